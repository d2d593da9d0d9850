"""Drift: how far a window's histogram lies from the first ones, and how far it lies when nothing has changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from scipy.spatial.distance import jensenshannon

from pipelines.dataset.manifest import Manifest, content, keep, manifests
from pipelines.dataset.spec import Spec
from pipelines.dataset.tables import RELEASED
from pipelines.gold.tables import EXAMPLES, STATISTICS
from pipelines.lake import Lake
from pipelines.moments import rfc3339
from pipelines.retrain.tables import RETRAININGS
from pipelines.watch.conditions import CLOSED, OPENED, OVERTURNED, of_drift
from pipelines.watch.distances import js, ks, psi
from pipelines.watch.drift import counts_of
from pipelines.watch.released import shares
from pipelines.watch.rules import Watched
from pipelines.watch.tables import DRIFT
from pipelines.watch.watch import Watch
from tests import lakes
from tests.watching import DAY, HOUR, MINUTE, MONDAY, append, lake_of, model, reach, statistic, watch

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


def release(lake: Lake, *counts: int, version: str = "2", weight: float = 1.0) -> str:
    """A version trained on a release with so many rows in each bucket of the distance; the name of that."""
    number = len(manifests(lake)) + 1
    values = [value for value, count in zip((50.0, 200.0, 900.0), counts, strict=True) for _ in range(count)]
    rows = [
        RELEASED.row(tenant="default", unit="request", unit_id=f"{number}-{at}", item="", features=f'{{"distance":{value}}}', weight=weight,
                     basis="answered", split="train", served_at=MONDAY - DAY, known_at=MONDAY, segments={"origin": "JFK"}, score=0.7)
        for at, value in enumerate(values)
    ]  # fmt: skip
    table = RELEASED.frame(rows).drop_columns(["recorded_at"])
    made = Manifest(f"m/late/{number}", "", "m", "late", "p", rfc3339(MONDAY), Spec("m", "late").body(), {}, len(rows), {}, {},
                    {"label": "number", "features": {}}, content(table), {}, {}).sealed()  # fmt: skip
    keep(lake, made, table.set_column(0, "release", pa.array([made.digest] * len(table))))
    lake.create(RETRAININGS)
    said = {"model": "m", "version": version, "release": made.name, "known_at": MONDAY, "attempt": 1}
    append(lake, RETRAININGS, [RETRAININGS.row(step="trained", trigger_id=str(number), **said)])
    return made.name


AGAINST = RULES.replace("support = 50", 'support = 50\nagainst = "release"')


def test_a_version_is_held_against_the_release_it_was_trained_on(tmp_path: Path) -> None:
    watched = model(tmp_path / "models", AGAINST)
    lake = lake_of(tmp_path / "lake", watched)
    name = release(lake, 10, 90, 0)
    rows = [row for day in range(3) for row in shown(watched, day, 50, 50, 0, version="2")]
    append(lake, STATISTICS, [*rows, *(row for day in range(4) for row in shown(watched, day, 50, 50))])
    watch(lake, watched, MONDAY + 9 * DAY)
    told = lake.read(DRIFT).filter(pc.equal(lake.read(DRIFT)["measure"], "psi")).to_pylist()
    of = {version: [row for row in told if row["version"] == version] for version in ("1", "2")}
    # all three windows of the version that came out of a release; of the other those after its first two
    assert [(len(rows), {row["reached"] for row in rows}) for rows in of.values()] == [(2, {False}), (3, {True})]
    assert [json.loads(rows[0]["baseline"]) for rows in of.values()] == [{"windows": 2, "count": 200}, {"release": name, "count": 100}]
    window, baseline = np.array([50.0, 50, 0, 0, 0]), np.array([10.0, 90, 0, 0, 0])
    assert of["2"][0]["value"] == psi(window, baseline, 0.001)[0]


def test_a_release_that_comes_to_be_known_makes_a_turn_begin_anew(tmp_path: Path) -> None:
    watched = model(tmp_path / "models", AGAINST)
    turns, once = (lake_of(tmp_path / name, watched) for name in ("turns", "once"))
    rows = [row for day in range(4) for row in shown(watched, day, 50, 50, 0, version="2")]
    looking = Watch(turns, [watched])
    append(turns, STATISTICS, rows)
    reach(turns, MONDAY + 5 * DAY)
    looking()
    release(turns, 10, 90, 0)
    reach(turns, MONDAY + 6 * DAY)
    looking()
    release(once, 10, 90, 0)
    append(once, STATISTICS, rows)
    watch(once, watched, MONDAY + 6 * DAY)
    assert lakes.net(turns.root, DRIFT) == lakes.net(once.root, DRIFT)
    assert len(lakes.net(once.root, DRIFT)) == 12


def test_weights_of_a_release_count_and_claim_no_more_rows_than_there_are(watched: Watched) -> None:
    definition = watched.definition("")
    rows = [(50.0, 1.0)] * 60 + [(200.0, 3.0)] * 20
    columns = {"tenant": "default", "unit": "request", "item": "", "score": None, "scores": None, "segments": {"origin": "JFK"}}
    table = pa.Table.from_pylist(
        [{**columns, "unit_id": str(at), "features": f'{{"distance":{d}}}', "weight": w} for at, (d, w) in enumerate(rows)],
        schema=EXAMPLES.arrow.remove(EXAMPLES.arrow.get_field_index("served_at")),
    )
    found = shares(table, definition, "origin")["default", '["JFK"]']
    counts = counts_of(found, "feature.distance.histogram", (100.0, 500.0))
    # half of the weight each, and 120² / 240 rows' worth of it
    assert counts.tolist() == [30, 30, 0, 0, 0]


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
