"""`watch` as a running thing: the statistics of a lake in, what is missing in gold.alerts, gold.drift and gold.triggers out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contract import Table
from pipelines.definitions import DefinitionBook
from pipelines.extras import extra
from pipelines.gold.metrics.catalogue import needs
from pipelines.gold.metrics.plan import ORIGIN
from pipelines.gold.tables import STATISTICS
from pipelines.lake import Lake
from pipelines.watch import conditions, sources
from pipelines.watch import drift as drifting
from pipelines.watch.alerts import alerts, readings, settles
from pipelines.watch.alerts import sought as sought_by_alert
from pipelines.watch.conditions import OVERTURNED
from pipelines.watch.declared import policies
from pipelines.watch.detectors import Seen
from pipelines.watch.ledgers import OF_ALERTS, OF_DRIFT, append, difference
from pipelines.watch.rules import AlertRule, TriggerRule, Watched
from pipelines.watch.tables import ALERTS, DRIFT, TRIGGERS
from pipelines.watch.triggers import AWAITING, DECLARED, FIRED, HOUR, Firing, trigger_id, triggers
from pipelines.watch.windows import LATENESS, Group, micros, moment

TENANT = "default"
Row = dict[str, Any]


@dataclass(frozen=True)
class Found:
    """All that the rules of one model come to, from the beginning up to a frontier."""

    alerts: pa.Table
    drift: pa.Table


@dataclass(frozen=True)
class Ledgers:
    """The rows of gold.alerts, gold.drift and gold.triggers of one model."""

    alerts: Sequence[Row]
    drift: Sequence[Row]
    triggers: Sequence[Row] = ()


@dataclass
class Watch:
    """Watches a lake: called after the frontier has moved, it posts what is missing; nothing where nothing is new."""

    lake: Lake
    watched: Sequence[Watched] = ()
    _looked: dict[str, tuple[int, ...]] = field(default_factory=dict)

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
        for one in self.watched if at is not None else ():
            assert at is not None
            due = _due(one, at)
            if self._looked.get(one.model) != due:
                written += post(self.lake, one, at)
                self._looked[one.model] = due
        return written


def post(lake: Lake, watched: Watched, at: datetime) -> int:
    """Bring the ledgers of one model to what its rules come to as of a frontier. Run twice it posts nothing the second time."""
    found = compute(lake, watched, at)
    written = 0
    for table, made, named, key in (
        (ALERTS, found.alerts, "rule", OF_ALERTS),
        (DRIFT, found.drift, "feature", OF_DRIFT),
    ):
        there = _there(lake, table, made, watched, named)
        written += append(lake, table, difference(table, made.to_pylist(), there, key))
    if watched.triggers:
        entries, distances, held = (rows_of(lake, table, watched.model) for table in (ALERTS, DRIFT, TRIGGERS))
        ledgers = Ledgers(entries, distances, held)
        steps = [row for rule in watched.triggers for row in _steps(lake, watched, rule, ledgers, at)]
        written += append(lake, TRIGGERS, steps)
    return written


def rows_of(lake: Lake, table: Table, model: str) -> list[Row]:
    """The rows of one model; none of a table that is not there."""
    return list(lake.read(table, None, pc.field("model") == model).to_pylist()) if lake.exists(table) else []


def compute(lake: Lake, watched: Watched, at: datetime) -> Found:
    """What the rules of one model come to, from the statistics of a lake up to a frontier; nothing of what it does not know yet."""
    known = {one.hash: one for one in DefinitionBook(lake).definitions()}
    services = [one for one in known.values() if one.model == watched.model and one.policy is None]
    found = [ALERTS.computed.empty_table()]
    for rule in watched.alerts:
        definition = known.get(watched.definition(rule.label).hash)
        if definition is not None:
            asked = sought_by_alert(rule, definition, services)
            found.append(
                alerts(
                    sources.statistics(lake, asked, needs(asked, {rule.metric}), at), rule=rule, asked=asked, frontier=at
                )
            )
    distances, service = DRIFT.computed.empty_table(), known.get(watched.definition("").hash)
    if watched.drift and service is not None:
        asked = drifting.sought(watched.drift, service)
        rows = sources.statistics(lake, asked, {f"{name}.histogram" for name, _ in service.histograms}, at)
        distances = drifting.drift(rows, rule=watched.drift, definition=service, frontier=at)
    return Found(pa.concat_tables(found), distances)


def shown(lake: Lake, watched: Watched, rule: AlertRule, at: datetime) -> dict[Group, dict[datetime, Seen]]:
    """The metric that a rule looks at, over its mature windows, by group."""
    seen = as_if(watched, lake)
    services = [one for one in DefinitionBook(lake).definitions() if one.model == watched.model and one.policy is None]
    asked = sought_by_alert(rule, seen.definition(rule.label), services)
    return readings(
        sources.statistics(lake, asked, needs(asked, {rule.metric}), at), rule=rule, asked=asked, frontier=at
    )


def firings(
    lake: Lake, watched: Watched, rule: TriggerRule, ledgers: Ledgers, *, start: datetime, at: datetime
) -> list[Firing]:
    """When a trigger fires after `start`, up to a frontier, given what the ledgers hold."""
    known = policies(watched)
    of = {one.name for one in rule.conditions if one.name}
    alerted = conditions.of_alerts(
        row for row in ledgers.alerts if row["rule"] in of and row["policy"] == known[row["rule"]]
    )
    drifted = conditions.of_drift(
        row for row in ledgers.drift if (name := f"drift.{row['feature']}") in of and row["policy"] == known[name]
    )
    definition = watched.definition(rule.label)
    return triggers(
        rule,
        events=sorted([*alerted, *drifted], key=lambda event: event.at),
        examples=sources.examples(lake, definition, at),
        raters=sources.raters(lake, watched.model, rule.label) if rule.raters else None,
        steps=[row for row in ledgers.triggers if row["trigger"] == rule.name],
        start=micros(start),
        frontier=micros(at),
    )


def _steps(lake: Lake, watched: Watched, rule: TriggerRule, ledgers: Ledgers, at: datetime) -> list[Row]:
    """The rows of gold.triggers that are missing about one trigger. One that is new, or has changed, is watched from now on."""
    policy = rule.policy(dict(policies(watched)))
    steps = [row for row in ledgers.triggers if row["trigger"] == rule.name]
    declared = max(
        (row for row in steps if row["state"] == DECLARED),
        key=lambda row: (row["known_at"], row["recorded_at"]),
        default=None,
    )
    if declared is None or declared["policy"] != policy:
        return [step(watched, rule, DECLARED, at, evidence={})]
    fired = firings(lake, watched, rule, ledgers, start=declared["known_at"], at=at)
    there = {(row["trigger_id"], row["state"]) for row in steps}
    versions = {table.name: int(lake.open(table).version()) for table in (STATISTICS, ALERTS, DRIFT)}
    found = []
    for one in fired:
        number = trigger_id(policy, watched.model, rule.name, one.incident)
        if (number, one.state) not in there:
            said = {**one.evidence, "versions": versions}
            found.append(step(watched, rule, one.state, moment(one.at), about=(number, one.incident), evidence=said))
    stand = {trigger_id(policy, watched.model, rule.name, one.incident) for one in fired}
    for row in steps:
        stale = row["state"] in (FIRED, AWAITING) and row["policy"] == policy and row["known_at"] > declared["known_at"]
        if stale and row["trigger_id"] not in stand and (row["trigger_id"], OVERTURNED) not in there:
            said = {"overturned": "not so with what the ledgers say now"}
            found.append(step(watched, rule, OVERTURNED, at, about=(row["trigger_id"], row["incident"]), evidence=said))
    return found


def step(
    watched: Watched,
    rule: TriggerRule,
    state: str,
    at: datetime,
    *,
    about: tuple[str, str] = ("", ""),
    evidence: Mapping[str, Any],
) -> Row:
    """A row of gold.triggers; `about`: trigger_id and incident."""
    return {
        **{"tenant": TENANT, "model": watched.model, "label": rule.label, "trigger": rule.name, "state": state},
        **{
            "trigger_id": about[0],
            "incident": about[1],
            "policy": rule.policy(dict(policies(watched))),
            "known_at": at,
        },
        "evidence": msgspec.json.encode(evidence).decode(),
    }


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
