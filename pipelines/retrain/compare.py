"""What champion and challenger lost on the same outcomes, or on those that each of them served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.definition import MISSING, OTHER, Definition
from pipelines.errors import ConfigError
from pipelines.retrain.declared import Acceptance

Floats = Any
"""A numpy array of doubles."""
SHADOW = "shadow."
"""Before the version in the names of scores: what a challenger said of a request that the champion served."""
CANARY = "canary"
"""The experiment whose arms are versions."""
_CLIP = 1e-3
"""The log loss takes no score for surer than this: it would be without bound, and so would every interval."""


@dataclass(frozen=True)
class Compared:
    """Differences of loss, challenger minus champion, in the order in which the outcomes were known.

    Each lies within [-reach, reach], and their mean is the difference of the mean losses. `segments`: by field, each one's value.
    `champion`, `challenger`: mean losses.
    """

    differences: Floats
    reach: float
    champion: float
    challenger: float
    segments: Mapping[str, Any] = field(default_factory=dict)


def losses(said: Floats, came: Floats, definition: Definition, acceptance: Acceptance) -> Floats:
    """The loss of each prediction; NaN where there is none."""
    if acceptance.loss == "brier":
        return (said - came) ** 2
    if acceptance.loss == "log":
        sure = np.clip(said, _CLIP, 1 - _CLIP)
        return -np.log(np.where(came > 0.5, sure, 1 - sure))
    low, high = _range(definition)
    return np.abs(np.clip(said, low, high) - came)


def greatest(definition: Definition, acceptance: Acceptance) -> float:
    """What a prediction can lose at most. Raises ConfigError `loss_unfit`."""
    kind = definition.policy.type if definition.policy else "none"
    if kind != ("number" if acceptance.loss == "absolute" else "binary"):
        raise ConfigError(
            "loss_unfit",
            f'model {definition.model}: acceptance.loss = "{acceptance.loss}" cannot judge the label {definition.label}, of type '
            f'{kind}; expected "brier" or "log" of a binary label, "absolute" of a number. Mend the model file.',
        )
    low, high = _range(definition)
    return {"brier": 1.0, "log": float(-np.log(_CLIP)), "absolute": high - low}[acceptance.loss]


def outcomes(rows: pa.Table, definition: Definition) -> Floats:
    """What came: 1 and 0 of a binary label, else the number."""
    if not definition.policy or definition.policy.type != "binary":
        return doubles(rows["number"])
    column = rows["text"] if isinstance(definition.positive, str) else rows["number"]
    positive = pc.fill_null(pc.equal(column, pa.scalar(definition.positive, column.type)), False)
    # silence that is negative is none, whatever number stands for it
    return doubles(pc.and_(positive, pc.equal(rows["basis"], "answered")).cast(pa.float64()))


def served(rows: pa.Table, definition: Definition) -> Floats:
    """What the version that served said: its score, or of a number label its prediction."""
    if definition.judges.startswith("scores."):
        if "scores" not in rows.column_names:  # a release has none of them
            return np.full(rows.num_rows, np.nan)
        return doubles(pc.map_lookup(rows["scores"], definition.judges.removeprefix("scores."), "first"))
    return doubles(rows["prediction" if definition.policy and definition.policy.type == "number" else "score"])


def paired(
    rows: pa.Table,
    challenger: Floats,
    definition: Definition,
    acceptance: Acceptance,
    *,
    champion: Floats | None = None,
    came: Floats | None = None,
) -> Compared:
    """Both on the same requests: what served, or `champion`, against what the challenger said of them; those that it scored.

    `came`: what the outcomes were, where the rows are none of gold.examples.
    """
    came = outcomes(rows, definition) if came is None else came
    old = losses(served(rows, definition) if champion is None else champion, came, definition, acceptance)
    new = losses(challenger, came, definition, acceptance)
    both = ~np.isnan(old) & ~np.isnan(new)
    return Compared(
        (new - old)[both],
        greatest(definition, acceptance),
        _mean(old[both]),
        _mean(new[both]),
        {name: segments_of(rows, name, definition)[both] for name, _ in acceptance.segments},
    )


def shadowed(rows: pa.Table, version: str, definition: Definition, acceptance: Acceptance) -> Compared:
    """Paired by what a version said in the shadow of the one that served."""
    return paired(rows, doubles(pc.map_lookup(rows["scores"], SHADOW + version, "first")), definition, acceptance)


def arms(rows: pa.Table, champion: str, challenger: str, definition: Definition, acceptance: Acceptance) -> Compared:
    """Of a canary: each served by one of both, at random with the propensity of its arm.

    A row tells of the difference by its own loss, weighted by one over that (Horvitz and Thompson 1952, JASA 47), after what was lost on
    average before it has been taken away, which leaves the mean as it is and narrows it. Rows without a propensity, or with one below
    the declared least, cannot be weighed and are left out.
    """
    arm = pc.map_lookup(rows["experiments"], CANARY, "first")
    propensity = doubles(pc.struct_field(arm, "propensity"))
    version = np.asarray(rows["version"].to_pylist(), object)
    loss = losses(served(rows, definition), outcomes(rows, definition), definition, acceptance)
    known = np.isin(version, [champion, challenger]) & (propensity >= acceptance.least_propensity) & ~np.isnan(loss)
    loss, new, share = loss[known], (version == challenger)[known], propensity[known]
    before = np.r_[0.0, np.cumsum(loss)[:-1]] / np.maximum(np.arange(len(loss)), 1)
    reach = greatest(definition, acceptance) / acceptance.least_propensity
    return Compared(
        (loss - before) * np.where(new, 1, -1) / share,
        reach,
        _mean(loss[~new]),
        _mean(loss[new]),
        {name: segments_of(rows, name, definition)[known] for name, _ in acceptance.segments},
    )


def segments_of(rows: pa.Table, name: str, definition: Definition) -> Any:
    """The value of a segment of each row, as cuts have it."""
    allowed = dict(definition.segments).get(name, ())
    found = pc.fill_null(pc.map_lookup(rows["segments"], name, "first"), MISSING).to_pylist()
    return np.asarray([value if value in (*allowed, MISSING) else OTHER for value in found], object)


def groups(definition: Definition, fields: Sequence[str]) -> list[tuple[str, str]]:
    """Every value that these segments can have: declared, so that their number follows from no data."""
    return [(name, value) for name in fields for value in (*dict(definition.segments).get(name, ()), OTHER, MISSING)]


def doubles(column: pa.ChunkedArray | pa.Array) -> Floats:
    return column.cast(pa.float64()).to_numpy(**({} if isinstance(column, pa.ChunkedArray) else {"zero_copy_only": False}))


def _range(definition: Definition) -> tuple[float, float]:
    policy = definition.policy
    return (0.0, 1.0) if policy is None or policy.low is None or policy.high is None else (policy.low, policy.high)


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else float("nan")
