"""Rebuild: the same rows again from the log alone, whatever has become of tables and checkpoints, and never half of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipelines import rebuild as rebuilding
from pipelines.app import Application
from pipelines.content import content_of
from pipelines.errors import MachineError, StateError
from pipelines.gold.tables import OUTCOME_LEDGER, STATISTICS
from pipelines.jobs import TABLES
from pipelines.lake import Lake
from pipelines.paths import SIDE, checkpoints, existing, swap_of
from pipelines.rebuild import FOLLOWING, rebuild
from pipelines.settings import Settings
from pipelines.silver.tables import FEEDBACK
from tests import generator, lakes


@pytest.fixture(scope="module")
def whole(history_lake: Path) -> Path:
    """A lake that was filled in two runs."""
    return history_lake


@pytest.fixture
def settings(whole: Path, tmp_path: Path) -> Settings:
    shutil.copytree(whole, tmp_path / "lake")
    return lakes.settings_for(tmp_path / "lake")


def hashes(root: Path) -> dict[str, str]:
    return {table.name: content_of(Lake(root), table).hash for table in FOLLOWING}


def damage_nothing(root: Path) -> None:
    """All is well."""


def damage_gold(root: Path) -> None:
    for file in Lake(root).path(STATISTICS).rglob("part-*.parquet"):
        file.write_bytes(b"")


def damage_the_table_log(root: Path) -> None:
    (Lake(root).path(OUTCOME_LEDGER) / "_delta_log" / f"{0:020d}.json").write_text("{")


def lose_silver_gold_and_checkpoints(root: Path) -> None:
    for folder in (root / "silver", root / "gold", checkpoints(root)):
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    "damage",
    [
        lose_silver_gold_and_checkpoints,
        *(pytest.param(one, marks=pytest.mark.long) for one in (damage_nothing, damage_gold, damage_the_table_log)),
    ],
)
def test_the_rows_are_the_same_whatever_was_lost(
    spark: SparkSession, whole: Path, settings: Settings, damage: object
) -> None:
    root = settings.lake.path
    damage(root)  # type: ignore[operator]
    done = {one.table: one for one in rebuild(settings, spark)}
    assert hashes(root) == hashes(whole)
    assert done[FEEDBACK.name].after.rows > 0
    assert all(one.same for one in done.values()) == (damage is damage_nothing)
    assert not (root / SIDE).exists()
    lakes.proven(root)


def test_a_live_log_is_rebuilt_without_a_record_more(spark: SparkSession, settings: Settings) -> None:
    with Application(settings, spark) as app:
        app.log.append([b"{}"])
        app.drain_whole()
        end = app.log.end()
    assert all(one.same for one in rebuild(settings, spark))
    with Application(settings, spark) as app:
        assert app.log.end() == end


def test_the_flow_goes_on_from_where_the_rebuild_ended(spark: SparkSession, whole: Path, settings: Settings) -> None:
    assert all(one.same for one in rebuild(settings, spark))
    assert hashes(settings.lake.path) == hashes(whole)
    before = lakes.count(settings.lake.path)
    more = generator.history(12, 40)
    lakes.run(settings, spark, [more])
    after = lakes.count(settings.lake.path)
    assert all(after[table.name] >= before[table.name] for table in TABLES)
    assert after["bronze.events"] >= before["bronze.events"] + len(more)
    lakes.proven(settings.lake.path)


class KilledError(Exception):
    """The process is gone."""


@pytest.mark.parametrize("renames", [3, *(pytest.param(one, marks=pytest.mark.long) for one in (0, 2, 6, 8))])
def test_one_that_is_killed_while_it_changes_places_is_finished_by_the_next(
    spark: SparkSession, whole: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    root, done, rename = settings.lake.path, [0], Path.rename

    def killed(path: Path, target: Path) -> Path:
        if SIDE in f"{path}{target}":
            done[0] += 1
            if done[0] > renames:
                raise KilledError
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        with pytest.raises(KilledError):
            rebuild(settings, spark)
    assert swap_of(root).exists()
    with pytest.raises(StateError) as refused:
        existing(root)
    assert refused.value.code == "rebuild_unfinished"
    with pytest.raises(StateError) as refused, Application(settings, spark):
        pass
    assert refused.value.code == "rebuild_unfinished"

    rebuilding.finish(root)
    assert hashes(existing(root)) == hashes(whole)


def test_one_that_is_killed_while_it_works_leaves_the_old_tables_and_goes_on(
    spark: SparkSession, whole: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, before = settings.lake.path, hashes(settings.lake.path)

    def killed(*_: object) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(rebuilding, "content_of", killed)
        patch.setattr(rebuilding, "_readable", killed)
        with pytest.raises(KilledError):
            rebuild(settings, spark)
    assert hashes(existing(root)) == before
    rebuild(settings, spark)
    assert hashes(root) == hashes(whole)


def test_without_room_it_is_refused_and_nothing_is_touched(
    spark: SparkSession, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuilding, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 100, 0))  # type: ignore[attr-defined]
    with pytest.raises(MachineError) as refused:
        rebuild(settings, spark)
    assert refused.value.code == "disk_too_small"
    assert not (settings.lake.path / SIDE).exists()


def test_a_lake_at_work_is_not_rebuilt(spark: SparkSession, settings: Settings) -> None:
    with Application(settings, spark), pytest.raises(StateError) as refused:
        rebuild(settings, spark)
    assert refused.value.code == "lease_held"
