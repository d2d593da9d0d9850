"""Housekeeping beside a running stream: files and logs change, rows do not, and streams pass over."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from pipelines.app import Application
from pipelines.gold.tables import FRONTIERS, STATISTICS
from pipelines.jobs import TABLES
from pipelines.lake import Lake, Mark
from pipelines.maintain import maintain
from pipelines.settings import Settings
from pipelines.silver.tables import INFERENCES
from tests import generator, lakes

HISTORY = generator.history(3, 150)
OPTIONS = {
    "run_reconcile_every": "1 second",
    "maintain_small_files": 1,
    "maintain_checkpoint_every": 2,
    "log_batch_records": 60,
}


def wait_until_settled(app: Application) -> None:
    """Until everything in the log has gone all the way."""
    deadline = time.monotonic() + 240
    while not app.settled(app.log.end()):
        app.check()
        assert time.monotonic() < deadline, "the streams stand still"
        time.sleep(0.1)


def keep(settings: Settings) -> None:
    root = settings.lake.path
    maintain(root, TABLES, settings.maintain, vacuum=False)
    maintain(root, TABLES, settings.maintain, vacuum=True, dry_run=True)


@pytest.fixture(scope="module")
def kept(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A lake whose streams ran on while it was compacted again and again."""
    settings = lakes.settings_for(tmp_path_factory.mktemp("maintain") / "lake", **OPTIONS)
    with Application(settings, spark) as app:
        app.start()
        for piece in lakes.pieces_of(HISTORY, [60, 60]):
            lakes.append(app, piece, most=20)
            keep(settings)
            wait_until_settled(app)
            keep(settings)
    return settings


def test_a_stream_goes_on_while_its_tables_are_compacted(kept: Settings) -> None:
    lakes.proven(kept.lake.path)
    for table in (STATISTICS, INFERENCES):
        path = kept.lake.path / table.folder
        newest_first = [commit.get("covers") == "job=maintain" for commit in DeltaTable(path).history()]
        oldest = len(newest_first) - 1 - newest_first[::-1].index(True)
        assert False in newest_first[:oldest], "no stream wrote after a compaction"
        assert list((path / "_delta_log").glob("*.checkpoint.parquet"))


def test_compaction_changes_no_row_and_no_stream_sees_it(
    spark: SparkSession, kept: Settings
) -> None:
    root = kept.lake.path
    lakes.run(kept, spark, [[]])
    before = {table.name: lakes.net(root, table) for table in TABLES if table.noun != "frontiers"}
    files = DeltaTable(root / STATISTICS.folder).file_uris()
    keep(kept)
    assert len(DeltaTable(root / STATISTICS.folder).file_uris()) <= len(files)
    counted = lakes.count(root)
    lakes.run(kept, spark, [[]])
    assert lakes.count(root) == counted
    assert before == {table.name: lakes.net(root, table) for table in TABLES if table.noun != "frontiers"}
    lakes.proven(root)


def test_two_at_once_take_turns(tmp_path: Path) -> None:
    settings = lakes.settings_for(tmp_path, **OPTIONS)
    lake = Lake(tmp_path)
    lake.create(FRONTIERS)
    with ThreadPoolExecutor(2) as pool:
        for number in range(20):
            row = {"frontier": None, "end_offset": number, "open_from": 0, "recorded_at": generator.START}
            lake.append(FRONTIERS, FRONTIERS.frame([row]), Mark("test", number), {})
            for _ in range(2):
                pool.submit(maintain, tmp_path, [FRONTIERS], settings.maintain, vacuum=False)
    assert sorted(lakes.rows_of(tmp_path, FRONTIERS)["end_offset"].to_pylist()) == list(range(20))


def test_replaced_files_stay_as_long_as_they_are_to_and_no_longer(tmp_path: Path) -> None:
    settings = lakes.settings_for(tmp_path, **OPTIONS)
    lake, path = Lake(tmp_path), tmp_path / STATISTICS.folder
    lake.create(STATISTICS)
    for number in range(3):
        lake.append(STATISTICS, STATISTICS.frame([STATISTICS.row(grain="1 hour")]), Mark("test", number), {})

    def deleted(retain: timedelta) -> int:
        (done,) = maintain(tmp_path, [STATISTICS], replace(settings.maintain, retain=retain), vacuum=True)
        return done.deleted

    assert deleted(timedelta(minutes=30)) == 0
    time.sleep(0.01)
    version = DeltaTable(path).version()
    assert [deleted(timedelta(milliseconds=1)) for _ in range(2)] == [3, 0]
    assert DeltaTable(path).version() == version, "what only deletes files commits nothing"
    assert lakes.rows_of(tmp_path, STATISTICS).num_rows == 3


@pytest.mark.long
def test_what_a_query_has_yet_to_read_stays(spark: SparkSession, tmp_path: Path) -> None:
    settings = lakes.settings_for(tmp_path / "lake", **{**OPTIONS, "maintain_retain": "1 second"})
    one, *more = lakes.pieces_of(HISTORY, [60, 40])
    lakes.run(settings, spark, [one])
    for piece in more:
        with Application(settings, spark, jobs=["land", "refine", "expose", "absences"]) as app:
            lakes.append(app, piece, most=20)
            app.drain()
        maintain(settings.lake.path, TABLES, settings.maintain, vacuum=True)
        time.sleep(1.1)
    upkeep = {done.table: done for done in maintain(settings.lake.path, TABLES, settings.maintain, vacuum=True)}
    assert upkeep[STATISTICS.name].deleted > 0
    assert upkeep[INFERENCES.name].deleted == 0
    lakes.run(settings, spark, [[]])
    lakes.proven(settings.lake.path)


def test_a_dry_run_touches_nothing(kept: Settings) -> None:
    root = kept.lake.path

    def state() -> dict[str, float]:
        return {str(path): path.stat().st_mtime for path in root.rglob("*") if path.is_file()}

    before = state()
    maintain(root, TABLES, kept.maintain, vacuum=True, dry_run=True)
    assert state() == before
