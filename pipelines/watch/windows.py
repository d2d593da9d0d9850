"""Statistics as they come to be known, window by window: what a decision may look at, and from when on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.gold.metrics.plan import ORIGIN

LATENESS = timedelta(minutes=5)
"""How long a window of service statistics waits for what was served in it; a label's window waits as long as its votes count."""
MINUTE = 60_000_000
COLUMNS = ("tenant", "version", "segment", "cell_at", "known_at", "basis", "statistic", "bucket", "amount")
"""What is read of gold.statistics."""
_MICROS = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME = pa.timestamp("us", "UTC")

Cell = tuple[str, str, str]
"""Basis, statistic, bucket."""
Amounts = dict[Cell, Decimal]


@dataclass(frozen=True, order=True)
class Group:
    """What is looked at for itself; `version` is "" for all versions together."""

    tenant: str
    segment: str
    version: str


@dataclass(frozen=True)
class Step:
    """From `at` on (microseconds, a whole minute) these windows, by their start, add up to these amounts."""

    at: int
    windows: Mapping[int, Amounts]


def steps(
    rows: pa.Table,
    *,
    every: timedelta,
    settles: timedelta,
    frontier: datetime,
    by_version: bool,
    after: datetime | None = None,
) -> dict[Group, list[Step]]:
    """The mature windows of each group as they come to be known, up to the frontier, in the order of time; only steps `after` a time.

    `rows`: gold.statistics, of one grain and cut, all there are of each window. A window is first seen at the first whole minute at or
    after its end + `settles`, with all that was known before that minute; what is known in a later minute is seen when that minute has
    passed.
    """
    since = -(2**63) if after is None else micros(after)
    found: dict[Group, list[Step]] = {}
    held = _summed(rows, every, settles, micros(frontier), by_version=by_version)
    held.sort(key=itemgetter(0, 1, 2))
    for group, of_group in groupby(held, key=itemgetter(0)):
        amounts: dict[int, Amounts] = {}
        found[group] = []
        for at, arrived in groupby(of_group, key=itemgetter(1)):
            touched = set()
            for _, _, window, cell, amount in arrived:
                sums = amounts.setdefault(window, {})
                sums[cell] = sums.get(cell, Decimal(0)) + amount
                touched.add(window)
            if at > since:
                found[group].append(Step(at, {window: dict(amounts[window]) for window in sorted(touched)}))
    return found


def ripe(every: timedelta, settles: timedelta, after: datetime, at: datetime) -> tuple[int, int]:
    """The stretch of cells whose windows become mature after a time, up to another: from the first one's start to the last one's end."""
    width, origin, waits = every // _MICROS, micros(ORIGIN), (every + settles) // _MICROS
    first, last = ((micros(time) - waits - origin) // width for time in (after, at))
    return origin + (first + 1) * width, origin + (last + 1) * width


def window_of(cells: Any, every: timedelta) -> Any:
    """The start of the window of each cell, in microseconds."""
    return cells - (cells - micros(ORIGIN)) % (every // _MICROS)


def _summed(
    rows: pa.Table, every: timedelta, settles: timedelta, frontier: int, *, by_version: bool
) -> list[tuple[Group, int, int, Cell, Decimal]]:
    """Group, from when on it is seen, window, cell, and what is added."""
    cell_at, known = (rows[name].cast(pa.int64()).to_numpy() for name in ("cell_at", "known_at"))
    window = window_of(cell_at, every)
    mature = -(-(window + (every + settles) // _MICROS) // MINUTE) * MINUTE
    seen = np.maximum(mature, known + MINUTE)
    here = pa.array(seen <= frontier - frontier % MINUTE)
    columns = {name: rows[name] for name in ("tenant", "segment", "version", "basis", "statistic", "bucket", "amount")}
    if not by_version:
        columns["version"] = pa.repeat("", rows.num_rows)
    table = pa.table({"seen": seen, "window": window, **columns}).filter(here)
    keys = [name for name in table.column_names if name != "amount"]
    sums = table.group_by(keys, use_threads=False).aggregate([("amount", "sum")])
    return [
        (
            Group(row["tenant"], row["segment"], row["version"]),
            row["seen"],
            row["window"],
            (row["basis"], row["statistic"], row["bucket"]),
            row["amount_sum"],
        )
        for row in sums.to_pylist()
    ]


def each(steps: list[Step]) -> Iterator[tuple[int, int, Amounts]]:
    """At, window and amounts, one by one."""
    for step in steps:
        for window, amounts in step.windows.items():
            yield step.at, window, amounts


def micros(at: datetime) -> int:
    """Microseconds since 1970."""
    return (at - _EPOCH) // _MICROS


def moment(at: int) -> datetime:
    """The time so many microseconds after 1970."""
    return _EPOCH + at * _MICROS
