"""What triggers come to in a lake: its ledgers of alerts and drift in, what is missing in gold.triggers out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pipelines.gold.tables import STATISTICS
from pipelines.lake import Lake
from pipelines.watch import conditions, sources
from pipelines.watch.conditions import NONE, Growing
from pipelines.watch.declared import policies
from pipelines.watch.rules import TriggerRule, Watched
from pipelines.watch.steps import AWAITING, DECLARED, FIRED, FORCED, OVERTURNED, PAUSED, RESUMED, last, step, trigger_id
from pipelines.watch.tables import ALERTS, DRIFT
from pipelines.watch.triggers import Course, Firing
from pipelines.watch.windows import micros, moment

Row = dict[str, Any]


@dataclass
class Firings:
    """When one trigger fires, as far as was looked; of one that is new, or has changed, that it is watched from now on."""

    lake: Lake
    watched: Watched
    rule: TriggerRule
    _course: Course | None = None
    _by_hand: list[Row] = field(default_factory=list)
    _examples: Growing = NONE
    _drifting: conditions.Standing = field(default_factory=dict)

    def goes_on(self, steps: Sequence[Row]) -> bool:
        """Whether what was looked at stands: nothing was decided by hand, or declared, before the time up to which was looked."""
        return self._course is None or _by_hand(steps, self._course) == self._by_hand

    def missing(self, alerts: Sequence[Row], drift: Sequence[Row], steps: Sequence[Row], at: datetime) -> list[Row]:
        """The rows of gold.triggers that are missing; `alerts`, `drift`: what has come to the ledgers since the last look."""
        rule, policy = self.rule, self.rule.policy(dict(policies(self.watched)))
        declared = last(steps, DECLARED)
        if declared is None or declared["policy"] != policy:
            return [step(self.watched, rule, DECLARED, at, evidence={})]
        if self._course is None:
            alerts, drift = (sources.rows_of(self.lake, table, self.watched.model) for table in (ALERTS, DRIFT))
        fired = self.fired(alerts, drift, steps, start=declared["known_at"], at=at)
        there = {(row["trigger_id"], row["state"]) for row in steps}
        versions = {table.name: int(self.lake.open(table).version()) for table in (STATISTICS, ALERTS, DRIFT)}
        found, stand = [], set()
        for one in fired:
            number = trigger_id(policy, self.watched.model, rule.name, one.incident)
            stand.add(number)
            if (number, one.state) not in there:
                said = {**one.evidence, "versions": versions}
                found.append(step(self.watched, rule, one.state, moment(one.at), about=(number, one.incident), evidence=said))
        for row in steps:
            stale = row["state"] in (FIRED, AWAITING) and row["policy"] == policy and row["known_at"] > declared["known_at"]
            if stale and row["trigger_id"] not in stand and (row["trigger_id"], OVERTURNED) not in there:
                said = {"overturned": "not so with what the ledgers say now"}
                about = row["trigger_id"], row["incident"]
                found.append(step(self.watched, rule, OVERTURNED, at, about=about, evidence=said))
        return found

    def fired(
        self, alerts: Sequence[Row], drift: Sequence[Row], steps: Sequence[Row], *, start: datetime, at: datetime
    ) -> list[Firing]:
        """When it fires after `start`, up to a frontier; all of it, also what was found at earlier looks."""
        rule, known = self.rule, policies(self.watched)
        named = {one.name for one in rule.conditions if one.name}
        events = conditions.of_alerts(_under(alerts, named, known))
        events += conditions.of_drift(_under(drift, named, known), self._drifting)
        after = None if self._course is None else moment(self._course.until)
        self._examples = sources.examples(self.lake, self.watched.definition(rule.label), at, after, self._examples)
        self._course = self._course or Course.starting(rule, steps, micros(start))
        self._course.go_on(
            sorted(events, key=lambda event: event.at),
            examples=self._examples,
            raters=sources.raters(self.lake, self.watched.model, rule.label) if rule.raters else None,
            steps=steps,
            frontier=micros(at),
        )
        self._by_hand = _by_hand(steps, self._course)
        return self._course.found


def _under(rows: Sequence[Row], named: set[str], policies: Mapping[str, str]) -> list[Row]:
    """The entries that conditions name, under the policies that hold."""

    def name(row: Row) -> str:
        return str(row["rule"]) if "rule" in row else f"drift.{row['feature']}"

    return [row for row in rows if name(row) in named and row["policy"] == policies[name(row)]]


def _by_hand(steps: Sequence[Row], course: Course) -> list[Row]:
    """What was declared, or decided by people, before the time up to which a course has looked."""
    states = (DECLARED, PAUSED, RESUMED, FORCED)
    found = [row for row in steps if row["state"] in states and micros(row["known_at"]) < course.until]
    return sorted(found, key=lambda row: (row["known_at"], row["recorded_at"], row["state"]))
