"""Where a metric of one cell comes from: its statistics, the entries and inferences that posted them, and their events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow.compute as pc

from pipelines.definition import GRAINS, Definition
from pipelines.errors import InputError, nearest
from pipelines.explain.postings import Posting, Spot, of_entries, of_inferences
from pipelines.explain.sources import Row, Sources, micros, moment, utc
from pipelines.explain.trail import Step, steps
from pipelines.gold.metrics.catalogue import EXPOSURES, applicable, evaluate, sums_of
from pipelines.gold.metrics.plan import Source, Target, Windows, is_final, target
from pipelines.gold.tables import STATISTICS
from pipelines.opened import named, newest, not_above

_MINUTE = timedelta(minutes=1)
_SUMMED = ("definition", "basis", "statistic", "bucket")
Key = tuple[str, str, str, str]
"""Definition, basis, statistic, bucket."""


@dataclass(frozen=True)
class Statistic:
    """One sum that the metric is taken from; `posted`: what the entries and inferences behind it add up to."""

    definition: str
    basis: str
    statistic: str
    bucket: str
    amount: Decimal
    posted: Decimal


@dataclass(frozen=True)
class MetricPath:
    """A value, and the path to it. `more`: postings that are not among `steps`.

    `agrees`: whether the statistics are what the ledger and the inferences post, sum by sum.
    """

    model: str
    label: str
    metric: str
    definition: str
    version: str | None
    segment: dict[str, str]
    cell_from: datetime
    cell_to: datetime
    as_of: datetime
    final: bool
    value: Any
    low: Any
    high: Any
    statistics: tuple[Statistic, ...]
    agrees: bool
    steps: tuple[Step, ...]
    more: int


def metric(
    sources: Sources,
    *,
    model: str,
    label: str,
    metric: str,
    cell: datetime,
    grain: str = "1 hour",
    segment: Mapping[str, str] | None = None,
    version: str | None = None,
    as_of: datetime | None = None,
    mature: bool = False,
    limit: int = 20,
) -> MetricPath:
    """The path of one number: the metric of the cell that a time lies in, as `hindsight metrics` gives it.

    `segment`: values by field; the fields are a declared cut together. `as_of`: floored to the whole minute; without it,
    the frontier. Raises InputError: no_lake, no_frontier, as_of_above_frontier, unknown_model, unknown_label,
    unknown_metric, unknown_grain, cut_not_declared, grain_not_declared, empty_cell.
    """
    before = _known_before(sources, as_of)
    if grain not in GRAINS:
        raise InputError("unknown_grain", f'there is no grain "{grain}"{nearest(grain, GRAINS)}; there is {", ".join(GRAINS)}')
    width = GRAINS[grain]
    start = _floored(cell, width)
    (chosen,) = newest(named(sources.definitions, model=model, label=label))
    held = dict(segment or {})
    services = [one for one in sources.definitions if one.policy is None and one.model == model]
    asked = target(chosen, services, Windows(width, width), tuple(held))
    spots = [Spot(source, start, start + width, before, held, version) for source in asked.sources]
    stored = _stored(sources, spots, chosen)
    values = _values(asked, stored, width, mature=mature)
    needed = _needed(asked, metric, values, mature=mature)
    postings = _postings(sources, spots, chosen, needed)
    statistics = _statistics(stored, postings, needed)
    shown, more = steps(sources, postings, label, limit)
    return MetricPath(
        *(model, label, metric, chosen.hash, version, held),
        *(start, start + width, before, is_final(chosen, start + width, before)),
        *(values[metric], values.get(f"{metric}_low"), values.get(f"{metric}_high")),
        statistics,
        all(one.amount == one.posted for one in statistics),
        tuple(shown),
        more,
    )


def _values(asked: Target, stored: dict[Key, Decimal], width: timedelta, *, mature: bool) -> Row:
    """Every metric over these sums."""
    increments = [{**dict(zip(_SUMMED, key, strict=True)), "amount": amount} for key, amount in stored.items()]
    return evaluate(asked, sums_of(asked, increments, width=width, mature=mature))


def _known_before(sources: Sources, as_of: datetime | None) -> datetime:
    """The whole minute as of which is answered."""
    frontier = sources.frontier()
    return _floored(not_above(frontier, as_of) if as_of else frontier, _MINUTE)


def _floored(at: datetime, width: timedelta) -> datetime:
    return moment(micros(at) - micros(at) % (width // timedelta(microseconds=1)))


def _stored(sources: Sources, spots: list[Spot], chosen: Definition) -> dict[Key, Decimal]:
    """What gold.statistics holds there, without zeros: of another definition only the exposures. Raises InputError empty_cell."""
    found: dict[Key, Decimal] = {}
    for spot in spots:
        rows = sources.rows(STATISTICS, spot.of_statistics(), [*_SUMMED, "amount"]).to_pylist()
        for row in rows:
            if spot.source.definition == chosen.hash or row["statistic"] in EXPOSURES:
                key = (row["definition"], row["basis"], row["statistic"], row["bucket"])
                found[key] = found.get(key, Decimal(0)) + row["amount"]
    if not any(found.values()):
        raise _empty(sources, spots[0])
    return {key: amount for key, amount in found.items() if amount}


def _needed(asked: Target, name: str, values: Row, *, mature: bool) -> set[tuple[str, str]]:
    """The (basis, statistic) pairs that a metric is taken from. Raises InputError unknown_metric."""
    needs: dict[str, tuple[str, ...]] = (
        {"n": ("n",), "exposed": ("exposed.n", "exposed.items")} if asked.definition.policy else {"n": ("exposed.n",)}
    )
    for one in applicable(asked):
        for each in asked.measures if one.each == "measure" else ("",):
            needs[one.name.format(each=each)] = tuple(need.format(each=each) for need in one.needs)
    if name not in needs or name not in values:
        raise InputError(
            "unknown_metric",
            f'model {asked.definition.model}, label "{asked.definition.label}": there is no metric "{name}"'
            f"{nearest(name, needs)}; there is {', '.join(needs)}.",
        )
    policy = asked.definition.policy
    judged = ("answered", "silent") if mature and policy and policy.absent != "missing" else ("answered",)
    pairs: set[tuple[str, str]] = set()
    for need in needs[name]:
        basis, _, statistic = need.partition(".")
        known = basis in ("exposed", "answered", "silent")
        pairs |= {(basis, statistic)} if known else {(basis, need) for basis in judged}
    return pairs


def _postings(sources: Sources, spots: list[Spot], chosen: Definition, needed: set[tuple[str, str]]) -> list[Posting]:
    bases = {basis for basis, _ in needed}
    found: list[Posting] = []
    for spot in spots:
        definition = next(one for one in sources.definitions if one.hash == spot.source.definition)
        if ("silent" if definition.policy else "exposed") in bases:
            found += of_inferences(sources, spot, definition)
        if definition.hash == chosen.hash and definition.policy and bases & {"answered", "silent"}:
            found += of_entries(sources, spot, definition)
    return [posting for posting in found if (posting.basis, posting.statistic) in needed]


def _statistics(
    stored: dict[Key, Decimal], postings: list[Posting], needed: set[tuple[str, str]]
) -> tuple[Statistic, ...]:
    """The sums that are needed, as stored and as posted."""
    posted: dict[Key, Decimal] = {}
    for posting in postings:
        key = (posting.definition, posting.basis, posting.statistic, posting.bucket)
        posted[key] = posted.get(key, Decimal(0)) + posting.amount
    keys = {key for key in stored if (key[1], key[2]) in needed} | {key for key, amount in posted.items() if amount}
    ordered = sorted(keys, key=lambda key: (*key[:3], len(key[3]), key[3]))
    nothing = Decimal(0)
    return tuple(Statistic(*key, stored.get(key, nothing), posted.get(key, nothing)) for key in ordered)


def _empty(sources: Sources, spot: Spot) -> InputError:
    source: Source = spot.source
    where = (pc.field("grain") == source.grain) & (pc.field("definition") == source.definition)
    cells = sources.rows(STATISTICS, where, ["cell_at"])["cell_at"]
    known = "it has no cell at all"
    if len(cells):
        first, last = (utc(at) for at in pc.min_max(cells).as_py().values())
        known = f"it has cells from {first:%Y-%m-%dT%H:%MZ} to {last:%Y-%m-%dT%H:%MZ}"
    return InputError(
        "empty_cell",
        f"the lake knows of nothing in the cell from {spot.start:%Y-%m-%dT%H:%MZ} to {spot.end:%Y-%m-%dT%H:%MZ} before "
        f"{spot.before:%Y-%m-%dT%H:%MZ}, in this segment and version; under definition {source.definition} {known}.",
    )
