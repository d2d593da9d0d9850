"""Triggers: when they fire, that they fire once, what holds them back, and what people may decide."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.gold.tables import STATISTICS
from pipelines.lake import Lake
from pipelines.silver.tables import LABELLED
from pipelines.watch import sources
from pipelines.watch.conditions import CLOSED, OPENED, OVERTURNED, Event, Growing
from pipelines.watch.rules import Condition, TriggerRule, Watched
from pipelines.watch.tables import TRIGGERS
from pipelines.watch.triggers import triggers
from pipelines.watch.windows import micros
from tests.watching import DAY, HOUR, MONDAY, answered, append, lake_of, matures, model, watch

ALERT, DRIFT = Condition("alert", "low"), Condition("drift", "drift.feature.x")
WEEKLY, MANY = Condition("every", every=7 * DAY), Condition("new_examples", count=100)
RULES = """
[alerts.low]
label = "late"
metric = "recall"
every = "1 day"
below = 0.5
support = 50
[triggers.retrain]
when = {any = ["low"]}
"""


def event(what: str, hours: float, incident: str = "i", name: str = "low") -> Event:
    at = MONDAY + timedelta(hours=hours)
    return Event(micros(at), name, what, incident, {"window_start": at - 3 * DAY, "window_end": at - 2 * DAY})


def rule(*conditions: Condition, all_of: bool = False, **more: Any) -> TriggerRule:
    return TriggerRule("retrain", "late", conditions, all_of, **more)


def fired(
    of: TriggerRule, *events: Event, days: int = 30, grown: Any = (), steps: Any = (), raters: Any = None
) -> list[tuple[str, float]]:
    """State and hours after Monday of what a trigger comes to; `grown`: hours and how many are answered by then."""
    found = triggers(
        of,
        events=sorted(events, key=lambda one: one.at),
        examples=Growing([micros(MONDAY + timedelta(hours=at)) for at, _ in grown], [total for _, total in grown]),
        raters=raters,
        steps=steps,
        start=micros(MONDAY),
        frontier=micros(MONDAY + days * DAY),
    )
    return [(one.state, (one.at - micros(MONDAY)) / 3.6e9) for one in found]


def row(state: str, hours: float, **more: Any) -> dict[str, Any]:
    at = MONDAY + timedelta(hours=hours)
    return {"state": state, "known_at": at, "recorded_at": at, "incident": "", "trigger_id": "", **more}


def test_a_trigger_fires_as_of_the_minute_of_its_alert() -> None:
    assert fired(rule(ALERT), event(OPENED, 30.5)) == [("fired", 30.5)]


def test_it_fires_once_for_one_incident_and_again_for_another() -> None:
    found = fired(rule(ALERT), event(OPENED, 30), event(CLOSED, 50), event(OPENED, 60, "j"), event(OPENED, 61, "k"))
    assert found == [("fired", 30), ("fired", 60), ("fired", 61)]


def test_an_incident_that_was_open_when_the_trigger_was_declared_counts() -> None:
    assert fired(rule(ALERT), event(OPENED, -5)) == [("fired", 1)]
    assert fired(rule(ALERT), event(OPENED, -5), event(CLOSED, -4)) == []


def test_a_cooldown_delays_and_does_not_forget() -> None:
    assert fired(rule(ALERT, cooldown=2 * DAY), event(OPENED, 30), event(OPENED, 40, "j")) == [
        ("fired", 30),
        ("fired", 78),
    ]


def test_a_budget_bounds_how_many_fire_within_a_period() -> None:
    incidents = [event(OPENED, 24 * day, f"i{day}") for day in range(1, 9)]
    assert [at for _, at in fired(rule(ALERT, budget=(2, 5 * DAY)), *incidents)] == [24, 48, 144, 168, 264]


def test_all_of_its_conditions_hold_at_once_and_any_is_enough() -> None:
    opened = [event(OPENED, 30), event(CLOSED, 50), event(OPENED, 40, "d", "drift.feature.x")]
    assert fired(rule(ALERT, DRIFT, all_of=True), *opened) == [("fired", 40)]
    assert fired(rule(ALERT, DRIFT), *opened) == [("fired", 30), ("fired", 40)]
    assert fired(rule(ALERT, DRIFT, all_of=True), opened[0], opened[1], event(OPENED, 60, "d", "drift.feature.x")) == []


def test_a_schedule_counts_from_when_it_last_fired() -> None:
    assert fired(rule(WEEKLY), days=22) == [("fired", 168), ("fired", 336), ("fired", 504)]
    assert fired(rule(WEEKLY, ALERT), event(OPENED, 100), days=15) == [("fired", 100), ("fired", 268)]


def test_new_examples_are_counted_since_it_last_fired() -> None:
    grown = [(10.5, 60), (20.5, 99), (30.5, 100), (40.5, 190), (50.5, 200)]
    assert fired(rule(MANY), grown=grown) == [("fired", 31), ("fired", 51)]
    assert fired(rule(MANY, ALERT, all_of=True), event(OPENED, 5), event(OPENED, 100, "j"), grown=grown) == [
        ("fired", 31),
        ("fired", 100),
    ]


def test_what_is_overturned_later_is_said_to_be() -> None:
    assert fired(rule(ALERT), event(OPENED, 30), event(OVERTURNED, 90.5)) == [("fired", 30), ("overturned", 90.5)]
    both = [event(OPENED, 30), event(OPENED, 30, "d", "drift.feature.x"), event(OVERTURNED, 90)]
    assert fired(rule(ALERT, DRIFT), *both) == [("fired", 30)]
    assert fired(rule(ALERT, DRIFT, all_of=True), *both) == [("fired", 30), ("overturned", 90)]


def test_a_paused_trigger_waits_until_it_is_resumed() -> None:
    assert fired(rule(ALERT), event(OPENED, 30), steps=[row("paused", 20), row("resumed", 50)]) == [("fired", 51)]
    assert fired(rule(ALERT), event(OPENED, 30), steps=[row("paused", 20)]) == []


def test_what_was_forced_counts_for_the_cooldown() -> None:
    assert fired(rule(ALERT, cooldown=2 * DAY), event(OPENED, 30), steps=[row("forced", 20)]) == [("fired", 68)]


def test_what_an_earlier_policy_fired_on_is_used_up() -> None:
    assert fired(rule(ALERT), event(OPENED, -5), steps=[row("fired", -4, incident="i")]) == []


def test_one_that_is_approved_by_hand_waits() -> None:
    assert fired(rule(ALERT, by_hand=True), event(OPENED, 30)) == [("awaiting", 30)]


@pytest.mark.parametrize(("least", "expected"), [(2, [("fired", 30)]), (3, [])])
def test_too_few_people_behind_an_alert_fire_nothing(tmp_path: Path, least: int, expected: list[Any]) -> None:
    lake = Lake(tmp_path)
    lake.create(LABELLED)
    about = [("a", -30), ("a", -30), ("b", -30), (None, -30), ("c", 24), ("d", -49)]
    append(lake, LABELLED, [judged(who, served) for who, served in about])
    asked = sources.raters(lake, "m", "late")
    assert fired(rule(ALERT, raters=least), event(OPENED, 30), raters=asked, days=2) == expected


def judged(rater: str | None, served: float) -> dict[str, Any]:
    """A judgement that was known 20 hours before Monday, of what was served so many hours after it."""
    at = MONDAY + timedelta(hours=served)
    names = {"label": "late", "rater": rater, "known_at": MONDAY - 20 * HOUR, "served_date": at.date()}
    return LABELLED.row(**names, context={"model": "m", "served_at": at})


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return model(tmp_path / "models", RULES)


@pytest.fixture
def lake(tmp_path: Path, watched: Watched) -> Lake:
    return lake_of(tmp_path / "lake", watched)


def steps_of(lake: Lake) -> list[tuple[str, datetime]]:
    rows = lake.read(TRIGGERS).sort_by([("known_at", "ascending"), ("state", "ascending")]).to_pylist()
    return [(row["state"], row["known_at"]) for row in rows]


def test_a_new_trigger_fires_for_nothing_that_had_passed(lake: Lake, watched: Watched) -> None:
    append(
        lake, STATISTICS, [*answered(watched, 0, 40, 60), *answered(watched, 1, 80, 20), *answered(watched, 8, 40, 60)]
    )
    start = MONDAY + 9 * DAY
    watch(lake, watched, start)
    watch(lake, watched, MONDAY + 30 * DAY)
    assert steps_of(lake) == [("declared", start), ("fired", matures(8))]


def test_a_trigger_carries_its_evidence_and_an_id_that_anybody_computes(
    lake: Lake, tmp_path: Path, watched: Watched
) -> None:
    ids = []
    for one in (lake, lake_of(tmp_path / "other", watched)):
        watch(one, watched, MONDAY)
        append(one, STATISTICS, answered(watched, 0, 40, 60))
        watch(one, watched, MONDAY + 10 * DAY)
        found = next(row for row in one.read(TRIGGERS).to_pylist() if row["state"] == "fired")
        ids.append((found["trigger_id"], found["incident"]))
    assert ids[0] == ids[1]
    said = json.loads(found["evidence"])
    (incident,) = said["incidents"]
    assert (incident["name"], incident["value"], incident["support"]) == ("low", 0.4, 100)
    assert said["versions"].keys() == {"gold.statistics", "gold.alerts", "gold.drift"}
    assert (found["label"], said["met"]) == ("late", ["low"])


def test_a_trigger_fires_once_however_often_one_looks(lake: Lake, watched: Watched) -> None:
    watch(lake, watched, MONDAY)
    append(
        lake, STATISTICS, [*answered(watched, 0, 40, 60), *answered(watched, 4, 80, 20), *answered(watched, 5, 30, 60)]
    )
    for hour in range(60, 24 * 12, 12):
        watch(lake, watched, MONDAY + hour * HOUR)
    assert steps_of(lake) == [("declared", MONDAY), ("fired", matures(0)), ("fired", matures(5))]


def test_a_changed_trigger_is_declared_anew_and_forgets_no_incident(
    lake: Lake, tmp_path: Path, watched: Watched
) -> None:
    watch(lake, watched, MONDAY)
    append(lake, STATISTICS, answered(watched, 0, 40, 60))
    watch(lake, watched, MONDAY + 10 * DAY)
    changed = model(tmp_path / "models", RULES + 'cooldown = "1 day"\n')
    watch(lake, changed, MONDAY + 11 * DAY)
    watch(lake, changed, MONDAY + 12 * DAY)
    assert [state for state, _ in steps_of(lake)] == ["declared", "fired", "declared"]
