"""What `watch` reads of a lake, as files and without Spark."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines import settle
from pipelines.contract import Table
from pipelines.definition import GRAINS, Definition
from pipelines.gold.metrics.catalogue import EXPOSURES
from pipelines.gold.metrics.plan import Target, cut_name
from pipelines.gold.tables import STATISTICS
from pipelines.lake import Lake
from pipelines.silver.tables import LABELLED
from pipelines.watch.conditions import NONE, Growing, growing
from pipelines.watch.triggers import Raters
from pipelines.watch.windows import COLUMNS, MINUTE, micros, moment, ripe, window_of


def frontier(lake: Lake) -> datetime | None:
    """The whole minute up to which everything is processed."""
    at: datetime | None = settle.last(lake)["frontier"]
    return None if at is None else moment(micros(at) - micros(at) % MINUTE)


def rows_of(lake: Lake, table: Table, model: str) -> list[dict[str, Any]]:
    """The rows of one model; none of a table that is not there."""
    return list(lake.read(table, None, pc.field("model") == model).to_pylist()) if lake.exists(table) else []


def statistics(
    lake: Lake, asked: Target, names: set[str], at: datetime, among: Sequence[tuple[int, int]] | None = None
) -> pa.Table:
    """The increments of the sources of a target that were known before a time: of another definition the exposures alone.

    `among`: only of cells within these stretches, in microseconds.
    """
    found = []
    for where in _of(asked, names, at) if among is None or among else ():
        within = [(pc.field("cell_at") >= moment(start)) & (pc.field("cell_at") < moment(end)) for start, end in among or ()]
        found.append(lake.read(STATISTICS, list(COLUMNS), where & reduce(or_, within) if within else where))
    return pa.concat_tables(found) if found else STATISTICS.arrow.empty_table().select(COLUMNS)


def touched(
    lake: Lake, asked: Target, names: set[str], *, every: timedelta, settles: timedelta, after: datetime, at: datetime
) -> list[tuple[int, int]]:
    """The windows in which something is seen after a time, up to another: stretches of cells, in microseconds.

    They are those that become mature meanwhile, and the mature ones of which something has come to be known meanwhile.
    """
    ripened = ripe(every, settles, after, at)
    news = [
        lake.read(STATISTICS, ["cell_at"], where & (pc.field("known_at") >= after))["cell_at"]
        for where in _of(asked, names, at)
    ]
    width = every // timedelta(microseconds=1)
    cells = np.concatenate([column.cast(pa.int64()).to_numpy() for column in news])
    windows = np.unique(window_of(cells, every))
    earlier = [(start, start + width) for start in windows[windows < ripened[0]].tolist()]
    return [*earlier, *([ripened] if ripened[0] < ripened[1] else [])]


def _of(asked: Target, names: set[str], at: datetime) -> Iterator[Any]:
    """By source of a target, which increments are its."""
    for source in asked.sources:
        wanted = names if source.definition == asked.definition.hash else names & EXPOSURES
        yield (
            (pc.field("grain") == source.grain)
            & (pc.field("definition") == source.definition)
            & (pc.field("cut") == source.cut)
            & (pc.field("experiment") == "")
            & (pc.field("known_at") < at)
            & pc.field("statistic").isin(pa.array(sorted(wanted), pa.string()))
        )


Place = tuple[str, int]
"""Which table, and which version of it."""


def place(lake: Lake) -> Place:
    """Where gold.statistics stands."""
    table = lake.open(STATISTICS)
    return str(table.metadata().id), int(table.version())


def only_news(lake: Lake, since: Place, at: datetime) -> bool:
    """Whether all that has come to gold.statistics since a place was known at a time or after it.

    So it is in a lake that runs: what was known before its frontier is there. Not where history is filled, erased or made anew.
    """
    table, version = place(lake)
    if table != since[0] or version < since[1]:
        return False
    log = lake.path(STATISTICS) / "_delta_log"
    for number in range(since[1] + 1, version + 1):
        try:
            actions = [json.loads(line) for line in (log / f"{number:020d}.json").read_text().splitlines()]
        except FileNotFoundError:  # cleaned away
            return False
        if any(_older(action, at) for action in actions):
            return False
    return True


def _older(action: dict[str, Any], at: datetime) -> bool:
    """Whether an action of a commit takes rows away, or brings some that were known before a time, or does not say when."""
    if not (action.get("add") or action.get("remove") or {}).get("dataChange"):
        return False
    least = json.loads(action.get("add", {}).get("stats") or "{}").get("minValues", {}).get("known_at")
    return least is None or datetime.fromisoformat(least) < at


def examples(
    lake: Lake, definition: Definition, at: datetime, after: datetime | None = None, before: Growing = NONE
) -> Growing:
    """How many units were answered, over time; what was known at `after` or later is added to what was counted `before`."""
    grain = max(definition.grains, key=GRAINS.__getitem__)
    where = (
        (pc.field("grain") == grain)
        & (pc.field("definition") == definition.hash)
        & (pc.field("cut") == cut_name(min(definition.cuts, key=len)))
        & (pc.field("basis") == "answered")
        & (pc.field("statistic") == "n")
        & (pc.field("known_at") < at)
    )
    where = where if after is None else where & (pc.field("known_at") >= after)
    return growing(lake.read(STATISTICS, ["known_at", "amount"], where), before)


def raters(lake: Lake, model: str, label: str) -> Raters:
    """Who has judged what the model served; read when it is asked, and no more of it than is asked about."""

    def count(since: int, before: int, served: tuple[int, int] | None) -> int:
        where = (pc.field("label") == label) & (pc.field("known_at") < moment(before))
        if served is None:
            where &= pc.field("known_at") >= moment(since)
        else:
            first, last = (moment(at).date() for at in served)
            where &= (pc.field("served_date") >= first) & (pc.field("served_date") <= last)
        rows = lake.read(LABELLED, ["rater", "context"], where)
        of = pc.equal(pc.struct_field(rows["context"], "model"), model)
        if served is not None:
            at = pc.struct_field(rows["context"], "served_at").cast(pa.int64())
            of = pc.and_(of, pc.and_(pc.greater_equal(at, served[0]), pc.less(at, served[1])))
        return int(pc.count_distinct(rows.filter(of)["rater"].drop_null()).as_py())

    return count


def first_known(lake: Lake, model: str) -> datetime | None:
    """The first time at which anything was known of a model."""
    at = pc.min(lake.read(STATISTICS, ["known_at"], pc.field("model") == model)["known_at"]).as_py()
    return None if at is None else moment(micros(at))
