"""From alerts, drift, counts and time to triggers: when a policy fires, and what a person said about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pipelines.definition import digest
from pipelines.moments import rfc3339
from pipelines.watch.conditions import CLOSED, OPENED, OVERTURNED, Event, Growing, Raters
from pipelines.watch.rules import Condition, TriggerRule
from pipelines.watch.windows import micros, moment

HOUR = 3_600_000_000
"""How often counts and time are looked at, in microseconds; alerts and drift whenever they change."""
FIRED, AWAITING, FORCED = "fired", "awaiting", "forced"
DECLARED, PAUSED, RESUMED, APPROVED = "declared", "paused", "resumed", "approved"
_MICROS = timedelta(microseconds=1)


@dataclass(frozen=True)
class Firing:
    """That a trigger fires as of a time, or that what it rested on is taken back then (`state`)."""

    at: int
    state: str
    incident: str
    evidence: dict[str, Any] = field(compare=False)


@dataclass
class _Course:
    """What a trigger has come to so far: what is open, what it has fired on, and when."""

    base: int
    last: int | None
    fired: list[int]
    used: set[str]
    open: dict[str, dict[str, Event]] = field(default_factory=dict)
    standing: list[tuple[Firing, dict[str, set[str]]]] = field(default_factory=list)


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
    """When a trigger fires after `start`, up to a frontier, in the order of time.

    `events` about what it names, ordered; `steps`: the rows of gold.triggers about it, by which it is paused, and of which what fired
    or was forced before counts for cooldown and budget. An incident that it has fired on is used up; a count and a time start anew.
    What was decided stands: an incident that is overturned later gives an entry `overturned`, no other past.
    """
    before = [row for row in steps if row["state"] in (FIRED, AWAITING, FORCED)]
    past = sorted(
        micros(row["known_at"]) for row in before if row["state"] == FORCED or micros(row["known_at"]) <= start
    )
    used = {row["incident"] for row in before if micros(row["known_at"]) <= start}
    earlier = [at for at in past if at <= start]
    course = _Course(max([start, *earlier]), max(earlier, default=None), [*past], used)
    found, waiting = list[Firing](), list(events)
    changes = {event.at for event in events if event.at > start}
    for at in sorted(changes | set(range(start - start % HOUR + HOUR, frontier + 1, HOUR))):
        while waiting and waiting[0].at <= at:
            event = waiting.pop(0)
            found += _taken_back(course, rule, _happen(course, event), event.at)
        forced = [one for one in past if start < one < at]
        course.last = max([*forced, *filter(None, [course.last])], default=None)
        course.base = max(course.base, course.last or 0)
        if at <= frontier and not _paused(steps, at) and _allowed(rule, course, at):
            met = {one.said: _met(one, course, examples, at) for one in rule.conditions}
            holds = all(met.values()) if rule.all_of else any(met.values())
            evidence = _evidence(course, met, examples, raters, at) if holds else {}
            if holds and evidence.get("raters", rule.raters) >= rule.raters:
                found.append(_fire(rule, course, met, evidence, at))
    return found


def _happen(course: _Course, event: Event) -> str | None:
    """Open or close an incident; the incident that was overturned, if one was."""
    of_name = course.open.setdefault(event.name, {})
    if event.what == OPENED:
        of_name[event.incident] = event
    elif event.what in (CLOSED, OVERTURNED):
        of_name.pop(event.incident, None)
    return event.incident if event.what == OVERTURNED else None


def _taken_back(course: _Course, rule: TriggerRule, overturned: str | None, at: int) -> Iterator[Firing]:
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


def _paused(steps: Sequence[Mapping[str, Any]], at: int) -> bool:
    said = [
        (micros(row["known_at"]), row["recorded_at"], row["state"])
        for row in steps
        if row["state"] in (PAUSED, RESUMED)
    ]
    said = [one for one in said if one[0] < at]
    return bool(said) and max(said)[2] == PAUSED


def _allowed(rule: TriggerRule, course: _Course, at: int) -> bool:
    """Whether cooldown and budget let it fire."""
    if course.last is not None and at - course.last < rule.cooldown // _MICROS:
        return False
    if rule.budget is None:
        return True
    count, period = rule.budget
    return sum(at - period // _MICROS < one <= at for one in course.fired) < count


def _met(condition: Condition, course: _Course, examples: Growing, at: int) -> set[str]:
    """What makes a condition hold: incidents not used yet, or the words for a count or a time; nothing where it does not hold."""
    if condition.kind in ("alert", "drift"):
        return {incident for incident in course.open.get(condition.name, {}) if incident not in course.used}
    if condition.kind == "every":
        return {"every"} if at - course.base >= condition.every // _MICROS else set()
    return {"new_examples"} if examples.before(at) - examples.before(course.base) >= condition.count else set()


def _evidence(
    course: _Course, met: Mapping[str, set[str]], examples: Growing, raters: Raters | None, at: int
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
    return said | {"raters": raters.count(course.base, at, served)}


def _fire(rule: TriggerRule, course: _Course, met: dict[str, set[str]], evidence: dict[str, Any], at: int) -> Firing:
    """Fire: what it rests on is used up, and count and time start anew."""
    incidents = [one["incident"] for one in evidence["incidents"]]
    firing = Firing(at, AWAITING if rule.by_hand else FIRED, incidents[0] if incidents else evidence["as_of"], evidence)
    course.used |= {*incidents}
    course.base = course.last = at
    course.fired.append(at)
    course.standing.append((firing, met))
    return firing


def trigger_id(policy: str, model: str, trigger: str, incident: str) -> str:
    """The same for the same incident, whoever computes it and whenever."""
    return digest([policy, model, trigger, incident])
