"""A suite against rows: which of its expectations can be judged there, and what Great Expectations says of these."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from pipelines.definition import digest
from pipelines.errors import InputError, nearest
from pipelines.gates.columns import columns
from pipelines.gates.suite import Expectation, Suite, load_suite
from pipelines.gates.validate import judged_of, validate
from pipelines.gates.verdict import Verdict
from pipelines.silver.rules import MAPS


def gate_of(model: str, conf: Path, docs: Path | None = None) -> Callable[[pa.Table], Verdict]:
    """What judges the rows of a release of this model; without a suite it passes all. Raises ConfigError `suite_invalid`."""
    suite = load_suite(conf, model)
    return lambda rows: judge(rows, suite, docs)


def judge(rows: pa.Table, suite: Suite, docs: Path | None = None) -> Verdict:
    """The verdict of a suite on rows: silver.inferences, or training examples. `docs`: a folder for Great Expectations' Data Docs.

    An expectation about a column that such rows have, and these do not, is not judged. Raises ConfigError `suite_invalid`,
    MachineError `extra_missing`, InputError `no_columns`.
    """
    if not suite.expectations:
        return Verdict(suite.model, digest([]), rows.num_rows, ())
    here = [all(_known(rows, name) for name in one.columns) for one in suite.expectations]
    named = [judged for one, judged in zip(suite.expectations, here, strict=True) if one.columns]
    if named and not any(named):
        raise InputError("no_columns", f"{suite.file}: these rows have none of its columns; expected silver.inferences or examples")
    names = [name for one, judged in zip(suite.expectations, here, strict=True) if judged for name in one.columns]
    frame, absent = columns(rows, names)
    missing = [[name for name in one.columns if name in absent] for one in suite.expectations]
    runs = [judged and not lacks for judged, lacks in zip(here, missing, strict=True)]
    found, pages = validate(suite, runs, frame, docs)
    judged = tuple(
        found.get(place) or judged_of(one, passed=None if not here[place] else False, told=_told(one, missing[place], absent))
        for place, one in enumerate(suite.expectations)
    )
    body = digest([{"type": one.type, "kwargs": one.kwargs} for one in suite.expectations])
    return Verdict(suite.model, body, rows.num_rows, judged, pages)


def _known(rows: pa.Table, name: str) -> bool:
    held, dot, _ = name.partition(".")
    return (held if dot and held in MAPS else name) in rows.column_names


def _told(one: Expectation, missing: list[str], absent: dict[str, list[str]]) -> str:
    if not missing:
        return f"not judged: these rows have no {', '.join(one.columns)}"
    return f"no row has {missing[0]}{nearest(missing[0], absent[missing[0]])}"
