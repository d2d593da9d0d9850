"""Great Expectations at work: a suite of it on a frame, in a context that lies in memory and tells nobody."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import pandas as pd

from pipelines.errors import ConfigError, nearest
from pipelines.extras import extra
from pipelines.gates import page
from pipelines.gates.suite import Expectation, Suite
from pipelines.gates.verdict import Judged
from pipelines.problems import Problems

EXAMPLES = 5
"""Values shown of those that an expectation did not expect, at most."""


def validate(suite: Suite, runs: list[bool], frame: pd.DataFrame, docs: Path | None) -> tuple[dict[int, Judged], str | None]:
    """What Great Expectations says of the expectations that can be judged, by their place; and its page."""
    made = built(suite)
    expectations = [one for one, run in zip(made, runs, strict=True) if run]
    if not expectations:
        return {}, None
    data = context().data_sources.add_pandas("lake").add_dataframe_asset("rows").add_batch_definition_whole_dataframe("all")
    whole = _library().ExpectationSuite(name=suite.model, expectations=expectations)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pandas, about patterns with groups
        batch = data.get_batch(batch_parameters={"dataframe": frame})
        results = batch.validate(whole, result_format={"result_format": "BASIC", "partial_unexpected_count": EXAMPLES})
    found: dict[int, Judged] = {}
    for one in results.results:
        one.success, one.result = bool(one.success), _plain(one.result)
        place = one.expectation_config.meta["place"]
        found[place] = _read(suite.expectations[place], one)
    return found, None if docs is None else page.write(results, docs).resolve().as_uri()


def context() -> Any:
    """A context of Great Expectations in memory, which draws no bars. Raises MachineError `extra_missing`."""
    made = _library().get_context(mode="ephemeral")
    made.variables.progress_bars = extra("great_expectations.data_context.types.base").ProgressBarsConfig(globally=False)
    return made


def judged_of(one: Expectation, **found: Any) -> Judged:
    """What came of an expectation."""
    return Judged(one.type, ", ".join(one.columns), one.kwargs, one.rule is not None, **found)


def built(suite: Suite) -> list[Any]:
    """The expectations as Great Expectations' own, each with its place as meta. Raises ConfigError `suite_invalid`."""
    _library()
    implementation = extra("great_expectations.expectations.registry").get_expectation_impl
    problems = Problems(str(suite.file))
    made = []
    for place, one in enumerate(suite.expectations):
        kind = implementation(one.type)
        unknown = [name for name in one.kwargs if name not in kind.__fields__]
        for name in unknown:
            problems.add("suite_invalid", f"expectations[{place}].kwargs.{name}: unknown key{nearest(name, kind.__fields__)}")
        if not unknown:
            try:
                made.append(kind(**one.kwargs, meta={"place": place}))
            except (ValueError, TypeError) as error:
                problems.add("suite_invalid", f"expectations[{place}].kwargs: {' '.join(str(error).split())}")
    problems.close(ConfigError)
    return made


def _library() -> Any:
    """Great Expectations, which is to tell nobody of what it does here."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    return extra("great_expectations")


def _read(one: Expectation, result: Any) -> Judged:
    found = result.result
    return judged_of(
        one,
        passed=result.success,
        unexpected=found.get("unexpected_count"),
        examples=tuple(found.get("partial_unexpected_list", ()))[:EXAMPLES],
        observed=found.get("observed_value"),
        told=_failure(result.exception_info),
    )


def _failure(info: Any) -> str:
    """Why an expectation could not be computed; an empty string where it was."""
    causes = [info, *(one for one in info.values() if isinstance(one, dict))]
    said = [str(one["exception_message"]) for one in causes if one.get("raised_exception") and one.get("exception_message")]
    return said[0] if said else ""


def _plain(value: Any) -> Any:
    """A value that JSON can hold."""
    if hasattr(value, "item"):
        value = value.item()
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple | set) else str(value)
