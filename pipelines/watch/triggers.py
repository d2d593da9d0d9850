"""From alerts, drift, counts and time to triggers: when a policy fires, and what a person said about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pipelines.moments import rfc3339
from pipelines.watch.conditions import CLOSED, OPENED, Event, Growing
from pipelines.watch.rules import Condition, TriggerRule
from pipelines.watch.steps import AWAITING, FIRED, FORCED, OVERTURNED, paused
from pipelines.watch.windows import micros, moment

HOUR = 3_600_000_000
"""How often counts and time are looked at, in microseconds; alerts and drift whenever they change."""
Raters = Callable[[int, int, tuple[int, int] | None], int]
"""Distinct raters of what was known before a time, the second: about what was served in a stretch, else of what was known since."""
_MICROS = timedelta(microseconds=1)


@dataclass(frozen=True)
class Firing:
    """That a trigger fires as of a time, or that what it rested on is taken back then (`state`)."""

    at: int
    state: str
    incident: str
    evidence: dict[str, Any] = field(compare=False)


@dataclass
class Course:
    """What a trigger has come to so far, up to a frontier: what is open, what it has fired on, and when; what it `found`, in order.

    It fires after its start alone. An incident that it has fired on is used up; a count and a time start anew. What was decided
    stands: an incident that is overturned later gives an entry `overturned`, no other past.
    """

    rule: TriggerRule
    start: int
    until: int
    base: int
    last: int | None
    fired: list[int]
    used: set[str]
    found: list[Firing] = field(default_factory=list)
    open: dict[str, dict[str, Event]] = field(default_factory=dict)
    standing: list[tuple[Firing, dict[str, set[str]]]] = field(default_factory=list)
    waiting: list[Event] = field(default_factory=list)

    @classmethod
    def starting(cls, rule: TriggerRule, steps: Sequence[Mapping[str, Any]], start: int) -> Course:
        """Of what fired or was forced before the start, cooldown, budget and used incidents follow."""
        before = [row for row in steps if row["state"] in (FIRED, AWAITING, FORCED) and micros(row["known_at"]) <= start]
        earlier = sorted(micros(row["known_at"]) for row in before)
        used = {row["incident"] for row in before}
        return cls(rule, start, start, max([start, *earlier]), max(earlier, default=None), earlier, used)

    def go_on(
        self,
        events: Sequence[Event],
        *,
        examples: Growing,
        raters: Raters | None,
        steps: Sequence[Mapping[str, Any]],
        frontier: int,
    ) -> None:
        """Look at what has happened since, up to a frontier; `events` about what the trigger names, ordered.

        `steps`: all rows of gold.triggers about it, by which it is paused, and of which what was forced counts for cooldown and budget.
        """
        rule, self.waiting = self.rule, [*self.waiting, *events]
        forced = [at for row in steps if row["state"] == FORCED and (at := micros(row["known_at"])) > self.start]
        changes = {event.at for event in self.waiting if self.until < event.at <= frontier}
        for at in sorted(changes | set(range(self.until - self.until % HOUR + HOUR, frontier + 1, HOUR))):
            while self.waiting and self.waiting[0].at <= at:
                event = self.waiting.pop(0)
                self.found += _taken_back(self, rule, _happen(self, event), event.at)
            self.last = max([*(one for one in forced if one < at), *filter(None, [self.last])], default=None)
            self.base = max(self.base, self.last or 0)
            held = paused(row for row in steps if micros(row["known_at"]) < at)
            if not held and _allowed(rule, self, forced, at):
                met = {one.said: _met(one, self, examples, at) for one in rule.conditions}
                holds = all(met.values()) if rule.all_of else any(met.values())
                evidence = _evidence(self, met, examples, raters, at) if holds else {}
                if holds and evidence.get("raters", rule.raters) >= rule.raters:
                    self.found.append(_fire(rule, self, met, evidence, at))
        self.until = max(self.until, frontier)


def triggers(
    rule: TriggerRule,
    *,
    events: Sequence[Event],
    examples: Growing,
    raters: Raters | None,
    steps: Sequence[Mapping[str, Any]],
    start: int,
    frontier: int,
) -> list[Firing]:
    """When a trigger fires after `start`, up to a frontier, in the order of time; see `Course`."""
    course = Course.starting(rule, steps, start)
    course.go_on(events, examples=examples, raters=raters, steps=steps, frontier=frontier)
    return course.found


def _happen(course: Course, event: Event) -> str | None:
    """Open or close an incident; the incident that was overturned, if one was."""
    of_name = course.open.setdefault(event.name, {})
    if event.what == OPENED:
        of_name[event.incident] = event
    elif event.what in (CLOSED, OVERTURNED):
        of_name.pop(event.incident, None)
    return event.incident if event.what == OVERTURNED else None


def _taken_back(course: Course, rule: TriggerRule, overturned: str | None, at: int) -> Iterator[Firing]:
    """What had fired and would not have without an incident that is overturned."""
    if overturned is None:
        return
    for firing, met in list(course.standing):
        if not any(overturned in incidents for incidents in met.values()):
            continue
        left = {name: incidents - {overturned} for name, incidents in met.items()}
        course.standing.remove((firing, met))
        if all(left.values()) if rule.all_of else any(left.values()):
            course.standing.append((firing, left))
        else:
            yield Firing(at, OVERTURNED, firing.incident, {"overturned": overturned})


def _allowed(rule: TriggerRule, course: Course, forced: Sequence[int], at: int) -> bool:
    """Whether cooldown and budget let it fire."""
    if course.last is not None and at - course.last < rule.cooldown // _MICROS:
        return False
    if rule.budget is None:
        return True
    count, period = rule.budget
    return sum(at - period // _MICROS < one <= at for one in (*course.fired, *forced)) < count


def _met(condition: Condition, course: Course, examples: Growing, at: int) -> set[str]:
    """What makes a condition hold: incidents not used yet, or the words for a count or a time; nothing where it does not hold."""
    if condition.kind in ("alert", "drift"):
        return {incident for incident in course.open.get(condition.name, {}) if incident not in course.used}
    if condition.kind == "every":
        return {"every"} if at - course.base >= condition.every // _MICROS else set()
    return {"new_examples"} if examples.before(at) - examples.before(course.base) >= condition.count else set()


def _evidence(
    course: Course, met: Mapping[str, set[str]], examples: Growing, raters: Raters | None, at: int
) -> dict[str, Any]:
    """What it would fire on: incidents with their windows, in the order in which they opened, counts, and how many judged."""
    on = [course.open[name][incident] for name in met if name in course.open for incident in met[name]]
    on.sort(key=lambda event: (event.at, event.incident))
    said: dict[str, Any] = {
        "as_of": rfc3339(moment(at)),
        "met": sorted(name for name, of in met.items() if of),
        "incidents": [{"name": event.name, "incident": event.incident, **event.row} for event in on],
        "new_examples": examples.before(at) - examples.before(course.base),
    }
    if raters is None:
        return said
    ends = [(micros(event.row["window_start"]), micros(event.row["window_end"])) for event in on]
    served = (min(start for start, _ in ends), max(end for _, end in ends)) if ends else None
    return said | {"raters": raters(course.base, at, served)}


def _fire(rule: TriggerRule, course: Course, met: dict[str, set[str]], evidence: dict[str, Any], at: int) -> Firing:
    """Fire: what it rests on is used up, and count and time start anew."""
    incidents = [one["incident"] for one in evidence["incidents"]]
    firing = Firing(at, AWAITING if rule.by_hand else FIRED, incidents[0] if incidents else evidence["as_of"], evidence)
    course.used |= {*incidents}
    course.base = course.last = at
    course.fired.append(at)
    course.standing.append((firing, met))
    return firing
