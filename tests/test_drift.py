"""Drift: how far a window's histogram lies from the first ones, and how far it lies when nothing has changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from pipelines.gold.tables import STATISTICS
from pipelines.lake import Lake
from pipelines.watch.conditions import CLOSED, OPENED, OVERTURNED, of_drift
from pipelines.watch.distances import js, ks, psi
from pipelines.watch.rules import Watched
from pipelines.watch.tables import DRIFT
from tests import lakes
from tests.watching import DAY, HOUR, MINUTE, MONDAY, append, lake_of, model, statistic, watch

RULES = """
[drift]
every = "1 day"
baseline = 2
support = 50
[drift.features.distance]
edges = [100, 500]
[drift.scores.score]
edges = [0.5]
[drift.features.carrier]
values = ["AA", "UA"]
"""


def test_the_distances_are_what_their_formulas_say() -> None:
    window, baseline = np.array([30.0, 50.0, 20.0]), np.array([50.0, 30.0, 20.0])
    p, q = ((one + 0.5) / (one + 0.5).sum() for one in (window, baseline))
    assert psi(window, baseline, 0.01)[0] == pytest.approx(
        sum((a - b) * np.log(a / b) for a, b in zip(p, q, strict=True))
    )
    assert js(window, baseline, 0.01)[0] == pytest.approx(jensenshannon(p, q) ** 2)
    assert ks(window, baseline, 0.01)[0] == pytest.approx(0.2)


@pytest.mark.parametrize("measure", [psi, js, ks])
@pytest.mark.parametrize(("alpha", "most"), [(0.05, 0.065), (0.01, 0.02)])
def test_a_window_of_the_same_distribution_reaches_the_reference_about_as_often_as_stated(
    measure: Any, alpha: float, most: float
) -> None:
    generator = np.random.default_rng(3)
    shares = np.array([0.05, 0.1, 0.2, 0.3, 0.2, 0.15])
    pairs = [(generator.multinomial(500, shares), generator.multinomial(3500, shares)) for _ in range(2000)]
    reached = [
        value >= reference for value, reference in (measure(window, baseline, alpha) for window, baseline in pairs)
    ]
    assert np.mean(reached) <= most


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return model(tmp_path / "models", RULES)


@pytest.fixture
def lake(tmp_path: Path, watched: Watched) -> Lake:
    return lake_of(tmp_path / "lake", watched)


def shown(watched: Watched, day: int, *counts: int, **more: Any) -> list[dict[str, Any]]:
    """So many requests of a day in each bucket of the distance."""
    said = {
        "definition": watched.definition("").hash,
        "label": "",
        "basis": "exposed",
        "known_at": MONDAY + day * DAY + 20 * HOUR,
    }
    rows = [(bucket, count) for bucket, count in enumerate(counts) if count]
    return [
        statistic(day, "feature.distance.histogram", count, **said | {"bucket": str(bucket), **more})
        for bucket, count in rows
    ]


def found(lake: Lake) -> list[tuple[int, str, bool, int]]:
    """Day, measure, whether it is reached, and sign, in the order of time."""
    rows = sorted(
        lake.read(DRIFT).to_pylist(),
        key=lambda row: (row["known_at"], row["sign"], row["window_start"], row["measure"]),
    )
    return [((row["window_start"] - MONDAY) // DAY, row["measure"], row["reached"], row["sign"]) for row in rows]


def test_windows_are_held_against_the_first_ones(lake: Lake, watched: Watched) -> None:
    days = [(40, 40, 20), (42, 38, 20), (41, 39, 20), (5, 5, 90), (0, 30, 0)]
    append(lake, STATISTICS, [row for day, counts in enumerate(days) for row in shown(watched, day, *counts)])
    watch(lake, watched, MONDAY + 9 * DAY)
    expected = [
        (2, "js", False, 1),
        (2, "ks", False, 1),
        (2, "psi", False, 1),
        (3, "js", True, 1),
        (3, "ks", True, 1),
        (3, "psi", True, 1),
    ]
    assert found(lake) == expected
    row = lake.read(DRIFT).to_pylist()[0]
    assert (row["feature"], row["version"], row["known_at"]) == ("feature.distance", "1", MONDAY + 3 * DAY + 5 * MINUTE)
    assert json.loads(row["baseline"]) == {"windows": 2, "count": 200}


def test_each_version_has_a_baseline_of_its_own(lake: Lake, watched: Watched) -> None:
    old = [row for day in range(4) for row in shown(watched, day, 50, 50)]
    new = [row for day in range(2, 6) for row in shown(watched, day, 10, 90, version="2")]
    append(lake, STATISTICS, [*old, *new])
    watch(lake, watched, MONDAY + 9 * DAY)
    assert {(row["version"], row["reached"]) for row in lake.read(DRIFT).to_pylist()} == {("1", False), ("2", False)}


def test_what_comes_late_takes_the_row_back_and_states_another(lake: Lake, watched: Watched) -> None:
    append(lake, STATISTICS, [row for day in range(3) for row in shown(watched, day, 50, 50)])
    watch(lake, watched, MONDAY + 4 * DAY)
    append(lake, STATISTICS, shown(watched, 2, 300, known_at=MONDAY + 5 * DAY))
    watch(lake, watched, MONDAY + 6 * DAY)
    assert found(lake) == [
        *((2, measure, False, 1) for measure in ("js", "ks", "psi")),
        *((2, measure, False, -1) for measure in ("js", "ks", "psi")),
        *((2, measure, True, 1) for measure in ("js", "ks", "psi")),
    ]


@pytest.mark.parametrize("looks", [1, 12])
def test_drift_is_the_same_whenever_one_looks(tmp_path: Path, watched: Watched, looks: int) -> None:
    generator = np.random.default_rng(5)
    rows = [
        row for day in range(9) for row in shown(watched, day, *generator.multinomial(200, [0.4, 0.4, 0.2]).tolist())
    ]
    rows += shown(watched, 1, 60, known_at=MONDAY + 6 * DAY)
    rows += shown(watched, 5, 90, known_at=MONDAY + 8 * DAY)
    lake, once = (lake_of(tmp_path / name, watched) for name in ("often", "once"))
    for one in (lake, once):
        append(one, STATISTICS, rows)
    for look in range(1, looks + 1):
        watch(lake, watched, MONDAY + 12 * DAY * look / looks)
    watch(once, watched, MONDAY + 12 * DAY)
    assert lakes.net(lake.root, DRIFT) == lakes.net(once.root, DRIFT)
    assert watch(once, watched, MONDAY + 12 * DAY) == 0


def test_an_incident_of_drift_lasts_while_windows_are_reached() -> None:
    def row(day: int, *, reached: bool, sign: int = 1, known: int | None = None) -> dict[str, Any]:
        at = MONDAY + (day + 1 if known is None else known) * DAY
        group = {
            "tenant": "default",
            "feature": "x",
            "cut": "all",
            "segment": "[]",
            "version": "1",
            "policy": "p",
            "measure": "psi",
        }
        start = MONDAY + day * DAY
        said = {"value": 1.0, "reference": 0.1, "support": 9, "window_start": start, "window_end": start + DAY}
        return {**group, **said, "reached": reached, "sign": sign, "known_at": at}

    stood = [
        row(0, reached=False),
        row(1, reached=True),
        row(2, reached=True),
        row(3, reached=False),
        row(4, reached=True),
    ]
    assert [event.what for event in of_drift(stood)] == [OPENED, CLOSED, OPENED]
    moved = [row(1, reached=True), row(1, reached=True, sign=-1, known=5), row(1, reached=True, known=5)]
    assert [event.what for event in of_drift(moved)] == [OPENED]
    assert [event.what for event in of_drift([*moved[:2], row(1, reached=False, known=5)])] == [OPENED, OVERTURNED]
