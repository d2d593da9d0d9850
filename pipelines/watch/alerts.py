"""From statistics to alerts: what a rule has decided about each group, as it came to be known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from typing import Any

import pyarrow as pa

from pipelines.definition import Definition, digest
from pipelines.gold.metrics.catalogue import applicable, sums_of
from pipelines.gold.metrics.coverage import exposed
from pipelines.gold.metrics.declaration import Metric, Sums
from pipelines.gold.metrics.plan import Target, Windows, cut_name, target
from pipelines.watch.detectors import RAISED, Detector, Seen, detector
from pipelines.watch.rules import AlertRule
from pipelines.watch.steps import said
from pipelines.watch.tables import ALERTS
from pipelines.watch.windows import LATENESS, Amounts, Group, Step, moment, steps

Fact = tuple[str, int, int]
"""RAISED or CLEARED, the window that raised it, and the window that decided this."""


@dataclass(frozen=True)
class Decision:
    """What a detector said at a window, and what it rests on."""

    seen: Seen
    evidence: dict[str, Any]


def sought(rule: AlertRule, definition: Definition, services: Sequence[Definition]) -> Target:
    """The definition that a rule looks at, with the sources of its statistics."""
    return target(definition, services, Windows(rule.every, rule.every), rule.fields)


def alerts(rows: pa.Table, *, rule: AlertRule, asked: Target, frontier: datetime) -> pa.Table:
    """Signed entries of gold.alerts that a rule comes to, from all statistics of its sources, up to a frontier."""
    return Alerts(rule, asked).take(rows, frontier)


@dataclass
class Alerts:
    """What a rule has come to, group by group; `until` is the frontier up to which it has looked.

    `held_out`: by version, what the metric was on what its release held out.

    As of every time the entries known by then say what the detector says of the windows that were mature then, with the amounts that
    were known then. An alert that would not have been raised with what was learnt later is taken back by an entry `overturned`.
    """

    rule: AlertRule
    asked: Target
    held_out: Mapping[str, Seen] = field(default_factory=dict)
    until: datetime | None = None
    _courses: dict[Group, Course] = field(default_factory=dict)

    def take(self, rows: pa.Table, frontier: datetime) -> pa.Table:
        """The entries of what is seen after `until`, up to a frontier, from all statistics of the windows that it is about."""
        rule, asked = self.rule, self.asked
        look = partial(reading, asked, metric_of(rule.metric, asked), rule.every)
        entries: list[dict[str, Any]] = []
        for group, of_group in _steps(rows, rule, asked, frontier, self.until).items():
            course = self._courses.setdefault(group, Course(rule, look, self.held_out.get(group.version)))
            entries += _entries(rule, asked.definition, group, chain.from_iterable(map(course.take, of_group)))
        self.until = frontier
        return pa.Table.from_pylist(entries, schema=ALERTS.computed)


def readings(
    rows: pa.Table, *, rule: AlertRule, asked: Target, frontier: datetime
) -> dict[Group, dict[datetime, Seen]]:
    """The metric that a rule looks at, by group and start of the window, as it is known now; of mature windows alone."""
    look = partial(reading, asked, metric_of(rule.metric, asked), rule.every)
    found: dict[Group, dict[datetime, Seen]] = {}
    for group, of_group in _steps(rows, rule, asked, frontier).items():
        last = {window: amounts for step in of_group for window, amounts in step.windows.items()}
        seen = {moment(window): look(last[window]) for window in sorted(last)}
        found[group] = {window: one for window, one in seen.items() if one is not None}
    return found


def settles(definition: Definition) -> timedelta:
    """How long after its end a window is mature."""
    return timedelta(seconds=definition.policy.window) if definition.policy else LATENESS


def _steps(
    rows: pa.Table, rule: AlertRule, asked: Target, frontier: datetime, after: datetime | None = None
) -> dict[Group, list[Step]]:
    waits = settles(asked.definition)
    return steps(rows, every=rule.every, settles=waits, frontier=frontier, by_version="version" in rule.by, after=after)


def metric_of(name: str, asked: Target) -> tuple[Metric, str] | None:
    """A metric with one value that applies to a target, by its column; and the measure that it is about."""
    for metric in applicable(asked):
        for measure in asked.measures if metric.each == "measure" else ("",):
            if metric.each != "class" and metric.name.format(each=measure) == name:
                return metric, measure
    return None


def reading(asked: Target, metric: tuple[Metric, str] | None, width: timedelta, amounts: Amounts) -> Seen | None:
    """A metric of a window, with what it rests on; None where it has no value."""
    increments = [
        {"basis": basis, "statistic": statistic, "bucket": bucket, "amount": amount}
        for (basis, statistic, bucket), amount in amounts.items()
        if amount
    ]
    sums = sums_of(asked, increments, width=width, mature=True)
    if metric is None:
        return None
    declared, measure = metric
    at = sums.at(measure)
    value = declared.value(at)
    if value is None:
        return None
    low, high = (declared.interval(at) if declared.interval else None) or (None, None)
    hits, trials = declared.counts(at) if declared.counts else (None, None)
    support = _support(sums, declared.family)
    counts = (None, None) if hits is None or trials is None else (int(hits), int(trials))
    return Seen(value, low, high, support, *counts)


def _support(sums: Sums, family: str) -> int:
    """Judged units; of coverage what could be judged, of the service all that was asked."""
    if family == "coverage":
        return int(exposed(sums))
    return int(sums.total("exposed.n") + sums.total("exposed.errors") if family == "service" else sums.total("n"))


class Course:
    """What a rule has decided about one group so far.

    Where only later windows have come the detector goes on; where an earlier one has changed all are shown to a new one.
    """

    def __init__(self, rule: AlertRule, look: Callable[[Amounts], Seen | None], held_out: Seen | None = None) -> None:
        self._rule, self._look, self._held_out = rule, look, held_out
        self._known: dict[int, Seen] = {}
        self._facts: dict[Fact, Decision] = {}
        self._newest = -(2**63)
        self._watching, self._raised = detector(rule, held_out), [0]

    def take(self, step: Step) -> Iterator[tuple[int, int, Fact, Decision]]:
        """At, sign, fact and what it rests on, of one more step."""
        looked = {window: self._look(amounts) for window, amounts in step.windows.items()}
        changed = {window: seen for window, seen in looked.items() if seen != self._known.get(window)}
        enough = {w: seen for w, seen in changed.items() if seen is not None and seen.support >= self._rule.support}
        later = min(changed, default=self._newest) > self._newest
        lost = {window for window in changed if window not in enough and window in self._known}
        self._known |= enough
        for window in lost:
            del self._known[window]
        facts = self._facts
        if later and not lost:
            now = facts | dict(_shown(self._watching, enough, self._raised))
        elif enough or lost:
            self._watching, self._raised = detector(self._rule, self._held_out), [0]
            now = dict(_shown(self._watching, self._known, self._raised))
        else:
            return
        self._newest = max(self._known, default=self._newest)
        yield from ((step.at, -1, fact, facts[fact]) for fact in sorted(facts.keys() - now.keys(), reverse=True))
        yield from (
            (step.at, +1, fact, now[fact]) for fact in sorted(now.keys() - facts.keys(), key=lambda fact: fact[::-1])
        )
        # what stands stands as it was decided
        self._facts = {fact: facts.get(fact, decision) for fact, decision in now.items()}


def _shown(watching: Detector, windows: dict[int, Seen], raised: list[int]) -> Iterator[tuple[Fact, Decision]]:
    """The facts that a detector finds in windows, shown in their order; `raised` holds the window of the open incident."""
    for window in sorted(windows):
        said = watching.update(windows[window])
        if said == RAISED:
            raised[0] = window
        if said:
            yield (said, raised[0], window), Decision(windows[window], watching.evidence())


def _entries(
    rule: AlertRule, definition: Definition, group: Group, found: Iterable[tuple[int, int, Fact, Decision]]
) -> Iterator[dict[str, Any]]:
    """Rows of gold.alerts."""
    policy, cut = rule.policy(definition), cut_name(rule.fields)
    for at, sign, (what, began, window), decision in found:
        seen = decision.seen
        yield {
            **asdict(group),
            **{"model": definition.model, "label": definition.label, "rule": rule.name, "policy": policy, "cut": cut},
            "incident": digest([policy, group.tenant, cut, group.segment, group.version, began]),
            "state": "overturned" if what == RAISED and sign < 0 else what,
            "sign": sign,
            "window_start": moment(window),
            "window_end": moment(window) + rule.every,
            **{"value": seen.value, "low": seen.low, "high": seen.high, "support": seen.support},
            "known_at": moment(at),
            "evidence": said({"metric": rule.metric, **decision.evidence}),
        }
