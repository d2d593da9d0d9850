"""Turn after turn: each costs what has come since the last one, and all of them come to what one look at the whole history gives."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import copytree, rmtree
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipelines import kept
from pipelines.contract import Table
from pipelines.gold.tables import STATISTICS
from pipelines.health.checks import checks
from pipelines.lake import Lake
from pipelines.models import load_model
from pipelines.silver.tables import CONTROLS
from pipelines.watch import sources
from pipelines.watch.declared import watched_of
from pipelines.watch.rules import Watched
from pipelines.watch.tables import ALERTS, DRIFT, TRIGGERS
from pipelines.watch.watch import Watch
from tests.watching import DAY, HOUR, MINUTE, MONDAY, answered, append, lake_of, model, reach, statistic

DAYS = 24
RULES = """
[alerts.low]
label = "late"
metric = "recall"
every = "1 day"
by = ["version"]
below = 0.6
windows = "2 of 3"
support = 20
[alerts.dropped]
label = "late"
metric = "recall"
every = "2 days"
drop = 0.0
baseline = 2
alpha = 0.4
support = 20
[drift]
every = "1 day"
baseline = 2
support = 20
alpha = 0.05
least = 0.05
[drift.features.distance]
edges = [100, 500]
[triggers.retrain]
when = {any = ["low", "drift.feature.distance", "every 9 days", "new_examples >= 700"]}
cooldown = "1 day"
budget = "3 per 8 days"
"""


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return model(tmp_path / "models", RULES)


def history(watched: Watched, chance: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Answers of two versions in good days and bad ones, corrected now and then, some long after; and distances that drift."""
    service = watched.definition("").hash
    for day in range(DAYS):
        served = MONDAY + day * DAY
        for version in ("1", "2") if day > 8 else ("1",):
            hits, misses = chance.binomial(60, 0.8 if (day // 5) % 2 == 0 else 0.45), int(chance.integers(0, 25))
            yield from answered(watched, day, int(hits), misses, served + chance.integers(1, 60) * HOUR, version=version)
            for bucket, count in enumerate(chance.multinomial(80, [0.5, 0.3, 0.2] if day % 7 < 4 else [0.2, 0.3, 0.5])):
                shown = {"definition": service, "label": "", "basis": "exposed", "version": version, "bucket": str(bucket)}
                known = served + chance.integers(1, 24) * HOUR
                yield statistic(day, "feature.distance.histogram", int(count), **shown, known_at=known)
            if chance.random() < 0.4:
                by, late = int(chance.integers(5, 30)), served + chance.integers(60, 600) * HOUR
                yield from (row for row in answered(watched, day, by, -by, late, version=version) if row["amount"])


def rows_of(lake: Lake, table: Table) -> Counter[tuple[tuple[str, Any], ...]]:
    """The net of a ledger, evidence and all; of triggers what they rest on but for table versions."""
    found: Counter[tuple[tuple[str, Any], ...]] = Counter()
    for row in lake.read(table).to_pylist():
        free = ("recorded_at", "sign", "evidence", "state") if table is not TRIGGERS else ("recorded_at", "evidence")
        found[tuple((name, value) for name, value in row.items() if name not in free)] += row.get("sign", 1)
    return Counter({key: count for key, count in found.items() if count})


def told(lake: Lake) -> set[tuple[Any, ...]]:
    """What was raised and cleared, with its evidence."""
    names = ("rule", "version", "state", "window_start", "value", "known_at", "evidence")
    return {tuple(row[name] for name in names) for row in lake.read(ALERTS).to_pylist()}


def cuts(chance: np.random.Generator, count: int) -> list[datetime]:
    """Times at which is looked, in their order, and one at the end."""
    hours = np.sort(chance.choice(np.arange(24, (DAYS + 26) * 24), count, replace=False))
    return [*(MONDAY + int(hour) * HOUR + int(chance.integers(60)) * MINUTE for hour in hours), MONDAY + (DAYS + 28) * DAY]


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 12))])
def test_turns_at_random_come_to_what_the_whole_history_gives(tmp_path: Path, watched: Watched, seed: int) -> None:
    chance = np.random.default_rng(seed)
    rows = list(history(watched, chance))
    turns, once = (lake_of(tmp_path / name, watched) for name in ("turns", "once"))
    looking = Watch(turns, [watched])
    reach(turns, MONDAY)
    looking()
    for at in cuts(chance, 10):
        # what is known then is there, and a little of what is known later
        early = at + int(chance.integers(0, 3)) * HOUR
        append(turns, STATISTICS, [row for row in rows if row["known_at"] < early])
        rows = [row for row in rows if row["known_at"] >= early]
        reach(turns, at)
        if chance.random() < 0.2:
            looking = Watch(turns, [watched])  # a restart
        looking()
    append(once, STATISTICS, list(history(watched, np.random.default_rng(seed))))
    for at in (MONDAY, MONDAY + (DAYS + 28) * DAY):
        reach(once, at)
        Watch(once, [watched])()
    for table in (ALERTS, DRIFT, TRIGGERS):
        assert rows_of(turns, table) == rows_of(once, table)
    assert told(turns) == told(once)
    assert {row["state"] for row in turns.read(ALERTS).to_pylist()} >= {"raised", "overturned"}


def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows of statistics each look reads from now on."""
    found: list[int] = []
    whole = sources.statistics

    def counting(*given: Any) -> pa.Table:
        rows = whole(*given)
        found.append(rows.num_rows)
        return rows

    monkeypatch.setattr(sources, "statistics", counting)
    return found


def steady(watched: Watched, days: range) -> list[dict[str, Any]]:
    return [row for day in days for row in answered(watched, day, 80, 20)]


@pytest.fixture
def looked(tmp_path: Path, watched: Watched) -> tuple[Lake, Watch]:
    """A lake with forty days, all looked at."""
    lake = lake_of(tmp_path / "lake", watched)
    append(lake, STATISTICS, steady(watched, range(40)))
    reach(lake, MONDAY + 44 * DAY)
    looking = Watch(lake, [watched])
    looking()
    return lake, looking


def test_a_turn_reads_the_windows_that_are_new_or_have_changed(
    watched: Watched, looked: tuple[Lake, Watch], monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, looking = looked
    append(lake, STATISTICS, [*steady(watched, range(44, 45)), *answered(watched, 7, 5, 0, MONDAY + 46 * DAY)])
    reach(lake, MONDAY + 48 * DAY)
    found = read(monkeypatch)
    looking()
    # by alert: two days with three statistics each and the late two; the two-day window has a quiet day besides; no drift
    assert sorted(found) == [0, 8, 11]


def test_what_another_model_raises_does_not_make_a_turn_begin_anew(
    watched: Watched, looked: tuple[Lake, Watch], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lake, _ = looked
    path = tmp_path / "models" / "n.toml"
    path.write_text((tmp_path / "models" / "m.toml").read_text().replace('model = "m"', 'model = "n"'))
    other = watched_of(path, load_model(path))
    append(lake, CONTROLS, (CONTROLS.row(action="define", offset=9, body=json.dumps(one.body())) for one in other.definitions))
    looking = Watch(lake, [watched, other])
    looking()
    append(lake, STATISTICS, [row | {"model": "n"} for day in range(44, 48) for row in answered(other, day, 10, 90)])
    reach(lake, MONDAY + 51 * DAY)
    assert looking() > 0
    found = read(monkeypatch)
    reach(lake, MONDAY + 52 * DAY)
    looking()
    assert max(found) < 20


def test_history_that_is_filled_makes_a_turn_begin_anew(
    watched: Watched, looked: tuple[Lake, Watch], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lake, looking = looked
    filled = [row for day in (3, 4) for row in answered(watched, day, 0, 400)]
    append(lake, STATISTICS, filled)
    reach(lake, MONDAY + 46 * DAY)
    found = read(monkeypatch)
    looking()
    assert max(found) == 40 * 3 + len(filled)
    once = lake_of(tmp_path / "once", watched)
    append(once, STATISTICS, [*steady(watched, range(40)), *filled])
    reach(once, MONDAY + 46 * DAY)
    Watch(once, [watched])()
    assert rows_of(lake, ALERTS) == rows_of(once, ALERTS)
    assert len(rows_of(lake, ALERTS)) > 0


def test_who_died_before_it_had_written_all_leaves_nothing_out(
    watched: Watched, looked: tuple[Lake, Watch], monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, looking = looked
    append(lake, STATISTICS, [row for day in (44, 45) for row in answered(watched, day, 10, 90)])
    reach(lake, MONDAY + 49 * DAY)
    with monkeypatch.context() as broken:
        broken.setattr("pipelines.watch.watch.append", None)
        with pytest.raises(TypeError):
            looking()
    assert looking() > 0
    assert {row["rule"] for row in lake.read(ALERTS).to_pylist()} == {"low", "dropped"}


def test_what_an_old_copy_of_a_ledger_lacks_is_written_again(watched: Watched, looked: tuple[Lake, Watch], tmp_path: Path) -> None:
    lake, looking = looked
    for table in (ALERTS, DRIFT):
        copytree(lake.path(table), tmp_path / table.name)
    append(lake, STATISTICS, [row for day in (44, 45) for row in answered(watched, day, 10, 90)])
    reach(lake, MONDAY + 49 * DAY)
    looking()
    written = [rows_of(lake, table) for table in (ALERTS, DRIFT)]
    fired = states(lake)
    for table in (ALERTS, DRIFT):
        rmtree(lake.path(table))
        copytree(tmp_path / table.name, lake.path(table))
    restored = Lake(lake.root)
    assert rows_of(restored, ALERTS) < written[0]
    Watch(restored, [watched])()
    assert [rows_of(restored, table) for table in (ALERTS, DRIFT)] == written
    assert states(restored) == fired


def test_what_earlier_rules_had_raised_and_an_old_copy_lacks_is_named_until_it_is_taken_as_it_is(
    watched: Watched, looked: tuple[Lake, Watch], tmp_path: Path
) -> None:
    lake, looking = looked
    copytree(lake.path(ALERTS), tmp_path / "old")
    append(lake, STATISTICS, [row for day in (44, 45) for row in answered(watched, day, 10, 90)])
    reach(lake, MONDAY + 49 * DAY)
    looking()
    before = rows_of(lake, ALERTS)
    assert not lost(lake)
    rmtree(lake.path(ALERTS))
    copytree(tmp_path / "old", lake.path(ALERTS))
    assert lost(lake)
    restored, changed = Lake(lake.root), model(tmp_path / "models", RULES.replace("below = 0.6", "below = 0.61"))
    Watch(restored, [changed])()
    # as much has been written by now as was lost, under other rules
    assert lake.open(ALERTS).version() == kept.noted(lake.root)[ALERTS.name] - 1
    assert before - rows_of(restored, ALERTS)
    assert lost(lake)
    kept.take(lake, ALERTS)  # as `hindsight repair` does
    assert not lost(lake)


def lost(lake: Lake) -> list[str]:
    """What doctor says is missing of what was decided."""
    return [check.found for check in checks(lake.root) if check.code == "table_behind"]


def test_a_pause_that_reaches_back_counts_as_if_it_had_been_known(looked: tuple[Lake, Watch]) -> None:
    lake, looking = looked
    at = MONDAY + 44 * DAY
    reach(lake, at + 10 * DAY)
    looking()
    assert states(lake) == ["declared", "fired"]
    said = {"tenant": "default", "model": "m", "label": "late", "trigger": "retrain", "trigger_id": "", "policy": "", "incident": ""}
    row = TRIGGERS.row(**said, state="paused", known_at=at + DAY, recorded_at=datetime.now(UTC), evidence="{}")
    append(lake, TRIGGERS, [row])
    reach(lake, at + 10 * DAY + timedelta(hours=2))
    looking()
    assert states(lake) == ["declared", "fired", "paused", "overturned"]


def states(lake: Lake) -> list[str]:
    return lake.read(TRIGGERS).sort_by("recorded_at")["state"].to_pylist()
