"""What has changed since a sink was told last: metrics of windows, by what was known before the frontier."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines import files
from pipelines.errors import InputError
from pipelines.explain.sources import Sources
from pipelines.gold.metrics.catalogue import applicable, names_of
from pipelines.gold.metrics.plan import ORIGIN, Question, Source, Target, Windows, is_final, target
from pipelines.gold.tables import STATISTICS
from pipelines.lake import Lake
from pipelines.opened import newest
from pipelines.page.numbers import Window, values_of, windows
from pipelines.page.sums import Kept
from pipelines.sinks.told import Reached, added, now

_CELL = ("definition", "cut", "grain", "version", "segment", "cell_at")
Group = tuple[str, tuple[str, ...], datetime]
"""Version, values of the cut's fields, start of the window."""


@dataclass(frozen=True)
class Revision:
    """A metric of a window and a group, as of a time: what a sink puts in place of what it was told before.

    `name`: as `hindsight metrics` calls it; `of`: the class, of a metric per class. `value`: null where there is none, also where there
    was one before. `final`: only a correction still moves it. `settled`: it is final now, and was not when the sink was told last.
    `version_at`: of gold.statistics, ascending.
    """

    model: str
    label: str
    version: str
    segment: dict[str, str]
    every: timedelta
    start: datetime
    end: datetime
    name: str
    of: str
    value: float | None
    low: float | None
    high: float | None
    count: int
    final: bool
    settled: bool
    definition: str
    as_of: datetime
    version_at: int


@dataclass(frozen=True)
class Metrics:
    """The metrics of a lake in windows of a width, as sinks are told of them."""

    kept: Kept
    every: timedelta

    @property
    def lake(self) -> Lake:
        return self.kept.lake

    def now(self) -> Reached | None:
        """As far as the lake is; None before its first frontier."""
        return now(self.lake)

    def since(self, since: Reached | None, until: Reached) -> Iterator[list[Revision]]:
        """The revisions between two states of it."""
        return revisions(self.kept, since, until, self.every)


@dataclass(frozen=True)
class Asked:
    """A definition whose metrics are told, by version and the fields of a cut, in windows of a width, as of a state of the lake."""

    target: Target
    cut: tuple[str, ...]
    every: timedelta
    since: Reached | None
    until: Reached

    @property
    def names(self) -> list[str]:
        """The metrics that apply."""
        return [name for metric in applicable(self.target) for name in names_of(metric, self.target.measures)]

    def windows(self, kept: Kept, first: datetime, last: datetime) -> dict[Group, Window]:
        """The windows that start between two times, the last included."""
        span = Windows(self.every, self.every, first, last + self.every)
        question = Question((self.target,), span, self.until.as_of, self.cut, version=True)
        found = windows(kept, question, self.names)
        return {(one.version or "", tuple(one.segment.values()), one.start): one for one in found}

    def settled(self, kept: Kept) -> set[Group]:
        """The windows that have become final since, which need not have moved."""
        if self.since is None:
            return set()
        policy = self.target.definition.policy
        wait = self.every + timedelta(seconds=policy.window if policy else 0)
        first, last = (floor(at - wait, self.every) for at in (self.since.as_of, self.until.as_of))
        return {group for group, one in self.windows(kept, first, last).items() if self._settled(one)}

    def _settled(self, window: Window) -> bool:
        before = self.since is not None and is_final(self.target.definition, window.end, self.since.as_of)
        return window.final and not before

    def revisions(self, group: Group, window: Window | None) -> Iterator[Revision]:
        """Every metric of a group in a window, of which nothing may be known any more; of one per class, one for each class."""
        (version, segment, start), definition = group, self.target.definition
        values = window.values if window else {}
        rest: dict[str, Any] = {
            **{"model": definition.model, "label": definition.label, "definition": definition.hash, "version": version},
            **{"segment": dict(zip(self.cut, segment, strict=True)), "start": start, "end": start + self.every},
            **{"every": self.every, "as_of": self.until.as_of, "version_at": self.until.version},
            **{"count": int(values.get("n", 0)), "final": bool(window and window.final)},
            "settled": bool(window and self._settled(window)),
        }
        per_class = {metric.name for metric in applicable(self.target) if metric.each == "class"}
        for name in self.names:
            said = [values.get(f"{name}{suffix}") for suffix in ("", "_low", "_high")]
            for of in definition.classes if name in per_class else ("",):
                value, low, high = [(one or {}).get(of) if name in per_class else one for one in said]
                yield Revision(**rest, name=name, of=of, value=value, low=low, high=high)


def revisions(kept: Kept, since: Reached | None, until: Reached, every: timedelta) -> Iterator[list[Revision]]:
    """The revisions between two states of a lake, a day of a definition and cut at a time; all there is where `since` is None."""
    cells = _touched(kept.lake, since, until)
    for asked in questions(kept.lake, since, until, every):
        groups = {group for source in asked.target.sources for group in _groups(cells, source, asked)}
        groups |= asked.settled(kept)
        # all of it sorted, so that who is told again is told the same
        for _, of_day in groupby(sorted(groups, key=lambda one: (one[2], one)), key=lambda one: one[2].date()):
            day = list(of_day)
            there = asked.windows(kept, day[0][2], day[-1][2])
            yield [one for group in day for one in asked.revisions(group, there.get(group))]


def questions(lake: Lake, since: Reached | None, until: Reached, every: timedelta) -> Iterator[Asked]:
    """The newest definition of each model and label, in each of its cuts."""
    declared = Sources(lake.root).definitions
    services = [one for one in declared if one.policy is None]
    for definition in newest(declared):
        for cut in definition.cuts:
            try:
                found = target(definition, [one for one in services if one.model == definition.model], Windows(every, every), cut)
            except InputError:  # this definition keeps no grain that such windows can be made of
                continue
            yield Asked(found, tuple(cut), every, since, until)


def _touched(lake: Lake, since: Reached | None, until: Reached) -> pa.Table:
    """The cells of increments that count by now and did not then: newly known, or newly written about a time that had been told."""
    counts = (pc.field("experiment") == "") & (pc.field("known_at") < until.as_of)
    columns = list(_CELL)
    if since is None or since.table != until.table:
        return _distinct(lake.read(STATISTICS, columns, counts))
    paths = added(lake, STATISTICS, since.version, until.version)
    if paths is None:
        return _distinct(lake.read(STATISTICS, columns, counts))
    newly = lake.read(STATISTICS, columns, counts & (pc.field("known_at") >= since.as_of))
    late = files.read_files(paths, STATISTICS, counts & (pc.field("known_at") < since.as_of), columns)
    return _distinct(pa.concat_tables([newly, late]))


def _distinct(rows: pa.Table) -> pa.Table:
    return rows.group_by(list(_CELL)).aggregate([])


def _groups(cells: pa.Table, source: Source, asked: Asked) -> Iterator[Group]:
    """The groups and windows that cells of a source lie in."""
    here = cells.filter(
        (pc.field("definition") == source.definition) & (pc.field("cut") == source.cut) & (pc.field("grain") == source.grain)
    )
    for version, segment, at in zip(*(here[name].to_pylist() for name in ("version", "segment", "cell_at")), strict=True):
        yield version, values_of(segment, source, asked.cut), floor(at, asked.every)


def floor(at: datetime, every: timedelta) -> datetime:
    """The start of the window that a time lies in."""
    return at - (at - ORIGIN) % every
