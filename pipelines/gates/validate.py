"""Great Expectations at work: a suite of it on a frame, in a context that lies in memory and tells nobody."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import pandas as pd

from pipelines.errors import ConfigError, nearest
from pipelines.extras import extra
from pipelines.gates.suite import Expectation, Suite
from pipelines.gates.verdict import Judged
from pipelines.problems import Problems

EXAMPLES = 5
"""Values shown of those that an expectation did not expect, at most."""


def validate(suite: Suite, runs: list[bool], frame: pd.DataFrame, docs: Path | None) -> tuple[dict[int, Judged], str | None]:
    """What Great Expectations says of the expectations that can be judged, by their place; and its pages."""
    made = built(suite)
    expectations = [one for one, run in zip(made, runs, strict=True) if run]
    if not expectations:
        return {}, None
    gx, held_in = _library(), context()
    data = held_in.data_sources.add_pandas("lake").add_dataframe_asset("rows").add_batch_definition_whole_dataframe("all")
    whole = held_in.suites.add(gx.ExpectationSuite(name=suite.model, expectations=expectations))
    validation = held_in.validation_definitions.add(gx.ValidationDefinition(name=suite.model, data=data, suite=whole))
    form = {"result_format": "BASIC", "partial_unexpected_count": EXAMPLES}
    checkpoint = held_in.checkpoints.add(gx.Checkpoint(name="gate", validation_definitions=[validation], result_format=form))
    if docs is not None:
        held_in.add_data_docs_site("gate", _site(docs))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pandas, about patterns with groups
        (results,) = checkpoint.run(batch_parameters={"dataframe": frame}).run_results.values()
        pages = None if docs is None else str(held_in.build_data_docs(site_names=["gate"])["gate"])
    found: dict[int, Judged] = {}
    for one in results.results:
        place = one.expectation_config.meta["place"]
        found[place] = _read(suite.expectations[place], one)
    return found, pages


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


def _site(docs: Path) -> dict[str, Any]:
    docs.mkdir(parents=True, exist_ok=True)
    store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs.resolve())}
    return {"class_name": "SiteBuilder", "store_backend": store, "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"}}


def _read(one: Expectation, result: Any) -> Judged:
    found = result.result
    return judged_of(
        one,
        passed=bool(result.success),
        unexpected=found.get("unexpected_count"),
        examples=tuple(map(_plain, found.get("partial_unexpected_list", ())))[:EXAMPLES],
        observed=_plain(found.get("observed_value")),
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
