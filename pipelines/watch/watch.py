"""`watch` as a running thing: the statistics of a lake in, what is missing in gold.alerts, gold.drift and gold.triggers out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contract import Table
from pipelines.definition import Definition
from pipelines.definitions import DefinitionBook
from pipelines.extras import extra
from pipelines.gold.metrics.catalogue import needs
from pipelines.gold.metrics.plan import ORIGIN, Target, cut_name
from pipelines.lake import Lake, data_version
from pipelines.watch import drift as drifting
from pipelines.watch import sources
from pipelines.watch.alerts import Alerts, readings, settles, sought
from pipelines.watch.declared import policies
from pipelines.watch.detectors import Seen
from pipelines.watch.drift import Drift
from pipelines.watch.firings import Firings
from pipelines.watch.ledgers import OF_ALERTS, OF_DRIFT, append, difference
from pipelines.watch.released import Released, retrained
from pipelines.watch.rules import AlertRule, DriftRule, Watched
from pipelines.watch.tables import ALERTS, DRIFT, TRIGGERS
from pipelines.watch.triggers import HOUR
from pipelines.watch.windows import LATENESS, Group, micros

Row = dict[str, Any]


@dataclass(frozen=True)
class Found:
    """What the rules of one model come to, since the last look up to a frontier."""

    alerts: pa.Table
    drift: pa.Table


@dataclass
class Watch:
    """Watches a lake: called after the frontier has moved, it posts what is missing; nothing where nothing is new.

    What the rules have come to is kept from one turn to the next, so a turn costs what has come since. Where that does not go on,
    after a crash as after an erasure, the turn begins anew, from the whole history, and comes to the same.
    """

    lake: Lake
    watched: Sequence[Watched] = ()
    _looked: dict[str, tuple[int, ...]] = field(default_factory=dict)
    _standing: dict[str, Standing] = field(default_factory=dict)
    _written: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Raises MachineError `extra_missing` where a rule needs what is not installed: before anything starts."""
        if any(rule.detector == "change" for one in self.watched for rule in one.alerts):
            extra("river.drift")

    def __call__(self) -> int:
        """Rows written."""
        at = (
            sources.frontier(self.lake)
            if any(one.alerts or one.drift or one.triggers for one in self.watched)
            else None
        )
        written = 0
        if at is not None and self._written != self._versions():
            self._standing.clear()  # somebody else has written
        for one in self.watched if at is not None else ():
            assert at is not None
            due = _due(one, at)
            if self._looked.get(one.model) != due:
                standing = self._standing.pop(one.model, None)
                if standing is None or not standing.goes_on(at):
                    standing = Standing(self.lake, one)
                written += standing.post(at)
                # not kept where it broke off: the next turn sees what was written of it
                self._standing[one.model], self._looked[one.model] = standing, due
        if at is not None:
            self._written = self._versions()
        return written

    def _versions(self) -> list[int]:
        """The last versions of the ledgers that brought rows."""
        return [data_version(self.lake.path(table)) for table in (ALERTS, DRIFT)]


def post(lake: Lake, watched: Watched, at: datetime) -> int:
    """Bring the ledgers of one model to what its rules come to as of a frontier. Run twice it posts nothing the second time."""
    return Standing(lake, watched).post(at)


def compute(lake: Lake, watched: Watched, at: datetime) -> Found:
    """What the rules of one model come to, from the beginning up to a frontier; nothing of what the lake does not know yet."""
    return Standing(lake, watched).look(at)


class Standing:
    """What the rules of one model have come to, as far as was looked; each look goes on from there."""

    def __init__(self, lake: Lake, watched: Watched) -> None:
        self._lake, self._watched = lake, watched
        self._at: datetime | None = None
        self._place = sources.place(lake)
        self._asked = _asked(lake, watched)
        self._retrained = retrained(lake, watched.model)
        self._alerts = [self._alert(rule, self._asked[rule.name]) for rule in watched.alerts if rule.name in self._asked]
        drift = self._asked.get("")
        self._drift = Drift(watched.drift, drift.definition, self._released(watched.drift, drift)) if watched.drift and drift else None
        self._firings = {rule.name: Firings(lake, watched, rule) for rule in watched.triggers}

    def goes_on(self, at: datetime) -> bool:
        """Whether what was looked at stands: what came since was known since, and nothing else is declared, or to be held against."""
        if self._at is None or at < self._at or self._asked != _asked(self._lake, self._watched):
            return False
        if self._retrained != retrained(self._lake, self._watched.model):
            return False
        return sources.only_news(self._lake, self._place, self._at)

    def _alert(self, rule: AlertRule, asked: Target) -> Alerts:
        held_out = self._retrained.held_out(asked.definition, rule.metric) if rule.against == "release" else {}
        return Alerts(rule, asked, held_out)

    def _released(self, rule: DriftRule, asked: Target) -> Released | None:
        if rule.against != "release":
            return None
        return Released(self._lake, asked.definition, cut_name(rule.fields), self._retrained.releases)

    def look(self, at: datetime) -> Found:
        """What the rules come to beyond the last look, up to a frontier."""
        self._place = sources.place(self._lake)
        found = [ALERTS.computed.empty_table()]
        for one in self._alerts:
            names, waits = needs(one.asked, {one.rule.metric}), settles(one.asked.definition)
            among = self._among(one.asked, names, one.rule.every, waits, at)
            found.append(one.take(sources.statistics(self._lake, one.asked, names, at, among), at))
        distances = DRIFT.computed.empty_table()
        if self._drift:
            asked, rule = self._asked[""], self._drift.rule
            names = {f"{name}.histogram" for name, _ in asked.definition.histograms}
            among = self._among(asked, names, rule.every, LATENESS, at)
            distances = self._drift.take(sources.statistics(self._lake, asked, names, at, among), at)
        self._at = at
        return Found(pa.concat_tables(found), distances)

    def _among(self, asked: Target, names: set[str], every: timedelta, waits: timedelta, at: datetime) -> list[tuple[int, int]] | None:
        """The cells that a look is about; None for all, at the first one."""
        if self._at is None:
            return None
        return sources.touched(self._lake, asked, names, every=every, settles=waits, after=self._at, at=at)

    def post(self, at: datetime) -> int:
        """Look, and append what the ledgers lack; the rows written."""
        first = self._at is None
        found = self.look(at)
        news = []
        for table, made, named, key in (
            (ALERTS, found.alerts, "rule", OF_ALERTS),
            (DRIFT, found.drift, "feature", OF_DRIFT),
        ):
            there = _there(self._lake, table, made, self._watched, named) if first else []
            news.append(difference(table, made.to_pylist(), there, key))
            append(self._lake, table, news[-1])
        steps = self._fire(news[0], news[1], at) if self._watched.triggers else []
        append(self._lake, TRIGGERS, steps)
        return len(news[0]) + len(news[1]) + len(steps)

    def _fire(self, alerts: list[Row], drift: list[Row], at: datetime) -> list[Row]:
        held, found = sources.rows_of(self._lake, TRIGGERS, self._watched.model), list[Row]()
        for rule in self._watched.triggers:
            steps = [row for row in held if row["trigger"] == rule.name]
            if not self._firings[rule.name].goes_on(steps):
                self._firings[rule.name] = Firings(self._lake, self._watched, rule)
            found += self._firings[rule.name].missing(alerts, drift, steps, at)
        return found


def _asked(lake: Lake, watched: Watched) -> dict[str, Target]:
    """What each alert looks at, by its name, and drift, by none; only what the lake knows."""
    known = {one.hash: one for one in DefinitionBook(lake).definitions()}
    services, found = _services(known.values(), watched.model), dict[str, Target]()
    for rule in watched.alerts:
        definition = known.get(watched.definition(rule.label).hash)
        if definition is not None:
            found[rule.name] = sought(rule, definition, services)
    service = known.get(watched.definition("").hash)
    if watched.drift and service is not None:
        found[""] = drifting.sought(watched.drift, service)
    return found


def _services(known: Iterable[Definition], model: str) -> list[Definition]:
    return [one for one in known if one.model == model and one.policy is None]


def shown(lake: Lake, watched: Watched, rule: AlertRule, at: datetime) -> dict[Group, dict[datetime, Seen]]:
    """The metric that a rule looks at, over its mature windows, by group."""
    seen = as_if(watched, lake)
    known = DefinitionBook(lake).definitions()
    asked = sought(rule, seen.definition(rule.label), _services(known, watched.model))
    return readings(
        sources.statistics(lake, asked, needs(asked, {rule.metric}), at), rule=rule, asked=asked, frontier=at
    )


def _there(lake: Lake, table: Table, made: pa.Table, watched: Watched, named: str) -> list[Row]:
    """The rows that a ledger holds under the policies that were computed; those of others stand as they are."""
    known = policies(watched)
    names = (
        {rule.name for rule in watched.alerts}
        if named == "rule"
        else {name for name, _ in watched.definition("").histograms}
    )
    under = {known[name if named == "rule" else f"drift.{name}"] for name in names if named == "rule" or watched.drift}
    wanted = pa.array(sorted({*under, *pc.unique(made["policy"]).to_pylist()}), pa.string())
    return list(
        lake.read(table, None, (pc.field("model") == watched.model) & pc.field("policy").isin(wanted)).to_pylist()
    )


def _due(watched: Watched, at: datetime) -> tuple[int, ...]:
    """What changes when a window has become mature, or triggers look at the clock."""
    found = []
    for rule in watched.alerts:
        found.append((at - settles(watched.definition(rule.label)) - ORIGIN) // rule.every)
    if watched.drift:
        found.append((at - LATENESS - ORIGIN) // watched.drift.every)
    return (*found, *([micros(at) // HOUR] if watched.triggers else []))


def as_if(watched: Watched, lake: Lake) -> Watched:
    """The rules against the definitions that the lake knows: its newest of each label, where it does not know the file's own."""
    book = DefinitionBook(lake).definitions()
    newest = {one.label: one for one in book if one.model == watched.model}
    hashes = {one.hash for one in book}
    return replace(
        watched,
        definitions=tuple(one if one.hash in hashes else newest.get(one.label, one) for one in watched.definitions),
    )
