"""Alerts: looked at when mature, raised, cleared, and overturned by what is learnt later; the same whenever one looks."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from pipelines.gold.tables import STATISTICS
from pipelines.lake import Lake
from pipelines.retrain.tables import RETRAININGS
from pipelines.watch.detectors import Seen
from pipelines.watch.rules import Watched
from pipelines.watch.tables import ALERTS
from pipelines.watch.watch import Watch, compute
from tests import lakes
from tests.watching import DAY, HOUR, MINUTE, MONDAY, answered, append, lake_of, matures, model, reach, watch

LOW = """
[alerts.low]
label = "late"
metric = "recall"
every = "1 day"
below = 0.5
windows = "2 of 3"
clear_at = 0.6
support = 50
"""


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return model(tmp_path / "models", LOW)


@pytest.fixture
def lake(tmp_path: Path, watched: Watched) -> Lake:
    return lake_of(tmp_path / "lake", watched)


def days(watched: Watched, *recall: int) -> list[dict[str, Any]]:
    """A hundred late flights on each day, so many of them called so."""
    return [row for day, hits in enumerate(recall) for row in answered(watched, day, hits, 100 - hits)]


def corrected(watched: Watched, day: int, at: datetime, by: int) -> list[dict[str, Any]]:
    """What is posted when so many of a day's late flights turn out to have been called so."""
    taken = answered(watched, day, by, -by, known=at)
    return [row for row in taken if row["amount"]]


def said(lake: Lake) -> list[tuple[str, int, int, Any]]:
    """State, sign, day of the window, and known_at, in the order of time."""
    rows = lake.read(ALERTS).to_pylist()
    found = [(row["state"], row["sign"], (row["window_start"] - MONDAY) // DAY, row["known_at"]) for row in rows]
    return sorted(found, key=lambda one: (one[3], one[1], one[2]))


def test_an_alert_is_raised_and_cleared_as_of_the_minute_its_window_is_mature(lake: Lake, watched: Watched) -> None:
    append(lake, STATISTICS, days(watched, 80, 40, 40, 55, 55, 70, 70))
    watch(lake, watched, MONDAY + 20 * DAY)
    assert said(lake) == [("raised", 1, 2, matures(2)), ("cleared", 1, 6, matures(6))]


def test_a_window_is_not_looked_at_before_its_answers_are_due(lake: Lake, watched: Watched) -> None:
    append(lake, STATISTICS, days(watched, 80, 40, 40))
    assert watch(lake, watched, matures(2) - MINUTE) == 0
    assert watch(lake, watched, matures(2)) == 1


def test_what_is_known_in_the_minute_of_maturity_is_not_yet_looked_at(lake: Lake, watched: Watched) -> None:
    append(lake, STATISTICS, days(watched, 80, 40))
    append(lake, STATISTICS, answered(watched, 2, 80, 0))
    append(lake, STATISTICS, answered(watched, 2, 0, 120, known=matures(2)))
    watch(lake, watched, MONDAY + 9 * DAY)
    assert said(lake) == [("raised", 1, 2, matures(2) + MINUTE)]


def test_windows_with_little_support_are_passed_over(lake: Lake, watched: Watched) -> None:
    few = answered(watched, 2, 0, 49)
    append(lake, STATISTICS, [*days(watched, 80, 40), *few, *answered(watched, 3, 40, 60)])
    watch(lake, watched, MONDAY + 9 * DAY)
    assert said(lake) == [("raised", 1, 3, matures(3))]


def test_an_alert_that_later_labels_overturn_is_taken_back_when_they_are_known(lake: Lake, watched: Watched) -> None:
    append(lake, STATISTICS, days(watched, 80, 40, 40, 70))
    watch(lake, watched, matures(2))
    late = matures(3) + 5 * DAY
    append(lake, STATISTICS, corrected(watched, 1, late, 50))
    watch(lake, watched, late)
    assert said(lake)[-1][0] == "raised"
    watch(lake, watched, late + MINUTE)
    assert said(lake)[-1] == ("overturned", -1, 2, late + MINUTE)


@pytest.mark.parametrize("looks", [1, 3, 20])
def test_decisions_are_the_same_whenever_one_looks(tmp_path: Path, watched: Watched, looks: int) -> None:
    rows = days(watched, 80, 40, 45, 70, 65, 30, 20, 90, 90)
    rows += [*corrected(watched, 2, matures(4) + HOUR, 30), *corrected(watched, 6, matures(9), 70)]
    lake = lake_of(tmp_path / str(looks), watched)
    append(lake, STATISTICS, rows)
    for look in range(1, looks + 1):
        watch(lake, watched, MONDAY + 20 * DAY * look / looks)
    once = lake_of(tmp_path / "once", watched)
    append(once, STATISTICS, rows)
    watch(once, watched, MONDAY + 20 * DAY)
    assert lakes.net(lake.root, ALERTS) == lakes.net(once.root, ALERTS)
    assert {state for state, *_ in said(lake)} == {"raised", "cleared", "overturned"}


def test_watching_again_posts_nothing(lake: Lake, watched: Watched) -> None:
    append(lake, STATISTICS, days(watched, 80, 40, 40, 55, 70, 70))
    assert watch(lake, watched, MONDAY + 20 * DAY) == 2
    assert watch(lake, watched, MONDAY + 20 * DAY) == 0
    assert Watch(lake, [watched])() == 0


def test_what_is_taken_out_of_the_past_is_taken_out_of_the_alerts_of_the_past(lake: Lake, watched: Watched) -> None:
    append(lake, STATISTICS, days(watched, 80, 40, 40))
    watch(lake, watched, MONDAY + 20 * DAY)
    append(lake, STATISTICS, [row | {"amount": -row["amount"]} for row in answered(watched, 2, 40, 60)])
    watch(lake, watched, MONDAY + 21 * DAY)
    assert [(sign, known_at) for _, sign, _, known_at in said(lake)] == [(-1, matures(2)), (1, matures(2))]


def test_each_group_of_a_cut_has_alerts_of_its_own(tmp_path: Path) -> None:
    watched = model(tmp_path / "models", LOW + 'by = ["origin", "version"]\n')
    lake = lake_of(tmp_path / "lake", watched)
    rows = [
        answered(watched, day, hits, 100 - hits, cut="origin", segment=f'["{origin}"]', version=version)
        for day in range(3)
        for origin, version, hits in (("JFK", "1", 40), ("JFK", "2", 70), ("EWR", "1", 80))
    ]
    append(lake, STATISTICS, [row for of in rows for row in of])
    watch(lake, watched, MONDAY + 9 * DAY)
    (row,) = lake.read(ALERTS).to_pylist()
    assert (row["cut"], row["segment"], row["version"]) == ("origin", '["JFK"]', "1")


def test_an_alert_says_what_it_rests_on(lake: Lake, watched: Watched) -> None:
    append(lake, STATISTICS, days(watched, 80, 40, 40))
    watch(lake, watched, MONDAY + 9 * DAY)
    (row,) = lake.read(ALERTS).to_pylist()
    assert (row["value"], row["support"], row["window_end"]) == (0.4, 100, MONDAY + 3 * DAY)
    assert row["low"] < 0.4 < row["high"]
    assert json.loads(row["evidence"]) == {"metric": "recall", "below": 0.5, "windows": "2 of 3"}


def test_nothing_is_looked_at_twice_before_another_window_is_mature(
    lake: Lake, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(lake, STATISTICS, days(watched, 80, 40, 40))
    looked = Watch(lake, [watched])
    reach(lake, matures(2))
    assert looked() == 1
    monkeypatch.setattr("pipelines.watch.watch.compute", None)
    reach(lake, matures(2) + HOUR)
    assert looked() == 0


def test_a_model_that_the_log_does_not_know_yet_has_no_alerts(tmp_path: Path, watched: Watched) -> None:
    lake = Lake(tmp_path / "other")
    lake_of(tmp_path / "other", model(tmp_path / "elsewhere", LOW.replace("0.5", "0.4")))
    assert compute(lake, watched, MONDAY).alerts.num_rows == 0


def judged(lake: Lake, watched: Watched, recall: int, of: int, version: str = "1") -> None:
    """That a version had so many hits on what its release held out."""
    seen = asdict(Seen(recall / of, None, None, of, recall, of))
    evidence = {"held_out": {"definition": watched.definition("late").hash, "metrics": {"recall": seen}}}
    said = {"model": "m", "label": "late", "version": version, "evidence": json.dumps(evidence), "known_at": MONDAY, "attempt": 1}
    lake.create(RETRAININGS)
    append(lake, RETRAININGS, [RETRAININGS.row(step="judged", trigger_id=version, **said)])


DROP = """
[alerts.dropped]
label = "late"
metric = "recall"
every = "1 day"
by = ["version"]
drop = 0.0
against = "release"
support = 50
"""


def test_a_drop_is_held_against_what_the_release_held_out(tmp_path: Path) -> None:
    watched = model(tmp_path / "models", DROP)
    lake = lake_of(tmp_path / "lake", watched)
    judged(lake, watched, 800, 1000)
    # bad from its first day on, which the first windows would take for its best
    append(lake, STATISTICS, days(watched, 60, 60, 60))
    append(lake, STATISTICS, [row | {"version": "2"} for row in days(watched, 60, 60, 60)])
    watch(lake, watched, MONDAY + 9 * DAY)
    (row,) = lake.read(ALERTS).to_pylist()
    assert (row["version"], row["state"], json.loads(row["evidence"])["held_out"]) == ("1", "raised", 1000)
