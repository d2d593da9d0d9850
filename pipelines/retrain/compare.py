"""What champion and challenger lost on the same outcomes, or on those that each of them served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.definition import MISSING, OTHER, Definition
from pipelines.retrain.declared import Acceptance
from pipelines.retrain.losses import Floats, doubles, greatest, in_shadow, losses, outcomes, served

CANARY = "canary"
"""The experiment whose arms are versions."""


@dataclass(frozen=True)
class Compared:
    """Differences of loss, challenger minus champion, in the order in which the outcomes were known.

    Each lies within [-reach, reach], and their mean, weighted by `shares`, is the difference of the mean losses. `shares`: what each
    stands for, as a share of the greatest weight that one may have. `segments`: by field, each one's value. `champion`, `challenger`:
    mean losses. `left_out`: outcomes that were asked for more seldom than is declared.
    """

    differences: Floats
    reach: float
    champion: float
    challenger: float
    segments: Mapping[str, Any] = field(default_factory=dict)
    shares: Floats | None = None
    left_out: int = 0


def asked(rows: pa.Table, acceptance: Acceptance) -> Floats:
    """What each outcome stands for, 1 / the probability with which it was asked for, as a share of the greatest that is declared.

    NaN where it was asked for more seldom than that (Horvitz and Thompson 1952, JASA 47). The bound is declared, not looked up in the
    data: one that grew with them would make an interval too narrow before the heavy ones have come.
    """
    found = doubles(rows["weight"]) * acceptance.least_asked
    return np.where(found <= 1 + 1e-9, np.minimum(found, 1), np.nan)


def drawn(rows: pa.Table) -> Floats:
    """The same of a release, by its greatest weight: that was fixed when it was cut, before anybody scored it."""
    found = doubles(rows["weight"])
    return found / found.max() if len(found) else found


def paired(
    rows: pa.Table,
    challenger: Floats,
    definition: Definition,
    acceptance: Acceptance,
    *,
    champion: Floats | None = None,
    came: Floats | None = None,
    shares: Floats | None = None,
) -> Compared:
    """Both on the same requests: what served, or `champion`, against what the challenger said of them; those that it scored.

    `came`: what the outcomes were, and `shares`: what they stand for, where the rows are none of gold.examples.
    """
    reach = greatest(definition, acceptance)
    came = outcomes(rows, definition) if came is None else came
    shares = asked(rows, acceptance) if shares is None else shares
    old = losses(served(rows, definition, acceptance) if champion is None else champion, came, definition, acceptance)
    new = losses(challenger, came, definition, acceptance)
    said = ~np.isnan(old) & ~np.isnan(new)
    both = said & ~np.isnan(shares)
    return Compared(
        (new - old)[both],
        reach,
        mean(old[both], shares[both]),
        mean(new[both], shares[both]),
        {name: segments_of(rows, name, definition)[both] for name, _ in acceptance.segments},
        shares[both],
        int((said & ~both).sum()),
    )


def shadowed(rows: pa.Table, version: str, definition: Definition, acceptance: Acceptance) -> Compared:
    """Paired by what a version said in the shadow of the one that served."""
    greatest(definition, acceptance)
    return paired(rows, in_shadow(rows, version, definition, acceptance), definition, acceptance)


def arms(rows: pa.Table, champion: str, challenger: str, definition: Definition, acceptance: Acceptance) -> Compared:
    """Of a canary: each served by one of both, at random with the propensity of its arm.

    A row tells of the difference by its own loss, weighted by one over that (Horvitz and Thompson 1952, JASA 47), after what was lost on
    average before it has been taken away, which leaves the mean as it is and narrows it. Rows without a propensity, or with one below
    the declared least, cannot be weighed and are left out.
    """
    arm = pc.map_lookup(rows["experiments"], CANARY, "first")
    propensity = doubles(pc.struct_field(arm, "propensity"))
    version = np.asarray(rows["version"].to_pylist(), object)
    reach, shares = greatest(definition, acceptance) / acceptance.least_propensity, asked(rows, acceptance)
    loss = losses(served(rows, definition, acceptance), outcomes(rows, definition), definition, acceptance)
    said = np.isin(version, [champion, challenger]) & (propensity >= acceptance.least_propensity) & ~np.isnan(loss)
    known = said & ~np.isnan(shares)
    loss, new, share, weight = loss[known], (version == challenger)[known], propensity[known], shares[known]
    before = np.r_[0.0, np.cumsum(loss)[:-1]] / np.maximum(np.arange(len(loss)), 1)
    return Compared(
        (loss - before) * np.where(new, 1, -1) / share,
        reach,
        mean(loss[~new], weight[~new]),
        mean(loss[new], weight[new]),
        {name: segments_of(rows, name, definition)[known] for name, _ in acceptance.segments},
        weight,
        int((said & ~known).sum()),
    )


def segments_of(rows: pa.Table, name: str, definition: Definition) -> Any:
    """The value of a segment of each row, as cuts have it."""
    allowed = dict(definition.segments).get(name, ())
    found = pc.fill_null(pc.map_lookup(rows["segments"], name, "first"), MISSING).to_pylist()
    return np.asarray([value if value in (*allowed, MISSING) else OTHER for value in found], object)


def groups(definition: Definition, fields: Sequence[str]) -> list[tuple[str, str]]:
    """Every value that these segments can have: declared, so that their number follows from no data."""
    return [(name, value) for name in fields for value in (*dict(definition.segments).get(name, ()), OTHER, MISSING)]


def mean(values: Floats, shares: Floats | None = None) -> float:
    """The mean, weighted (Hájek 1971); NaN of none."""
    return float(np.average(values, weights=shares)) if len(values) else float("nan")
