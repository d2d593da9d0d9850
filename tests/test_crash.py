"""Crashes inside the data: after any commit, before Spark's own, by kill -9. Nothing is lost or counted twice."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipelines import checkpoint, cli, leases
from pipelines.app import Application
from pipelines.contract import Table
from pipelines.errors import StateError
from pipelines.gold.tables import FRONTIERS, OUTCOME_LEDGER, STATISTICS
from pipelines.job import run_batch
from pipelines.jobs import NAMES, TABLES
from pipelines.lake import Lake, Mark
from pipelines.log import EmbeddedLog
from pipelines.paths import checkpoints, log_path
from pipelines.silver import tables as silver
from pipelines.watch import tables as watch
from tests import generator, lakes
from tests.crashes import CrashError, CrashingLake, drained_with_crashes, forget_last

HISTORY = generator.history(11, 150)
FIRST = 80
"""Records of the first run; what comes afterwards belongs partly to it, so that reconcile has something to do."""
FED = tuple(table for table in TABLES if table not in watch.TABLES)
"""Nothing is watched here."""
STOPS_WITHIN = 15
"""Seconds that Ctrl-C may take."""


@pytest.fixture(scope="module")
def half(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake that has gone through the first part of the history; the rest is in its log."""
    root = tmp_path_factory.mktemp("crash") / "lake"
    settings = lakes.settings_for(root)
    lakes.run(settings, spark, [HISTORY[:FIRST]])
    with Application(settings, spark) as app:
        lakes.append(app, HISTORY[FIRST:])
    return root


@pytest.fixture(scope="module")
def whole(spark: SparkSession, half: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same lake after a second run, in which every single commit was followed by a crash."""
    root = copied(half, tmp_path_factory.mktemp("crash"))
    crashes = drained_with_crashes(lakes.settings_for(root), spark, TABLES)
    expected = {table.name for table in FED} - {"silver.controls"}
    assert expected <= {*crashes, "silver.controls"}, f"not every table was written to: {crashes}"
    return root


def copied(lake: Path, folder: Path) -> Path:
    """A copy of a lake; the tables' ids, and so the streams' offsets, stay the same."""
    return Path(shutil.copytree(lake, folder / "copy"))


def test_a_crash_after_every_single_commit_changes_nothing(whole: Path) -> None:
    lakes.proven(whole)


@pytest.mark.long
@pytest.mark.parametrize("table", FED, ids=lambda table: table.name)
def test_a_crash_after_a_commit_to_one_table_changes_nothing(
    spark: SparkSession, half: Path, tmp_path: Path, table: Table
) -> None:
    root = copied(half, tmp_path)
    assert drained_with_crashes(lakes.settings_for(root), spark, (table,))
    lakes.proven(root)


@pytest.mark.parametrize("batches", [1, 2])
def test_a_batch_that_spark_did_not_commit_is_done_again_without_a_trace(
    spark: SparkSession, whole: Path, tmp_path: Path, batches: int
) -> None:
    root = copied(whole, tmp_path)
    before = lakes.count(root)
    for folder in checkpoints(root).glob("*+*"):
        forget_last(folder, batches)
    if batches > 1:  # as of an old backup: what would be planned now need not be what was
        with pytest.raises(StateError) as refused, Application(lakes.settings_for(root), spark):
            pass
        assert refused.value.code == "checkpoint_behind"
        return
    lakes.run(lakes.settings_for(root), spark, [[]])
    assert lakes.count(root) == before
    lakes.proven(root)


@pytest.mark.parametrize("table", [STATISTICS, OUTCOME_LEDGER, silver.LABELLED], ids=lambda table: table.name)
def test_a_half_written_batch_is_completed_by_its_replay(
    spark: SparkSession, half: Path, tmp_path: Path, table: Table
) -> None:
    pairs, definitions = lakes.rows_of(half, silver.LABELLED), generator.definitions()
    once, twice = tmp_path / "once", tmp_path / "twice"

    def write(lake: Lake) -> None:
        lake.create(*TABLES)
        run_batch(
            Application(lakes.settings_for(once), spark).groups[1].jobs,
            spark.createDataFrame(pairs),
            lake=lake,
            definitions=lambda _: definitions,
            mark=lambda written: Mark(f"test:{written.name}", 0),
            covers={},
        )

    write(Lake(once, spark=spark))
    with pytest.raises(CrashError):
        write(CrashingLake(twice, (table,), spark))
    write(Lake(twice, spark=spark))
    for each in (STATISTICS, OUTCOME_LEDGER, silver.LABELLED):
        assert lakes.rows_of(twice, each).num_rows == lakes.rows_of(once, each).num_rows > 0
        assert lakes.net(twice, each) == lakes.net(once, each)


def test_a_batch_is_written_once_under_its_mark(tmp_path: Path) -> None:
    row = FRONTIERS.frame([{"frontier": None, "end_offset": 1, "open_from": 0, "recorded_at": generator.START}])
    Lake(tmp_path).create(FRONTIERS)
    for lake in (first := Lake(tmp_path), first, Lake(tmp_path)):
        for batch in (0, 1):
            lake.append(FRONTIERS, row, Mark("test", batch), {})
    Lake(tmp_path).append(FRONTIERS, row, Mark("another checkpoint", 0), {})
    assert lakes.rows_of(tmp_path, FRONTIERS).num_rows == 3


def test_a_second_application_on_one_lake_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    settings = lakes.settings_for(tmp_path)
    with Application(settings, spark) as app:
        with pytest.raises(StateError) as here, Application(settings, spark, jobs=["tally"]):
            pass
        with pytest.raises(StateError) as elsewhere, leases.hold_by_process(app.root, NAMES, "maintain"):
            pass
    assert (here.value.code, elsewhere.value.code) == ("lease_held", "lease_held")
    with leases.hold_by_process(app.root, NAMES, "maintain"), pytest.raises(StateError) as held:
        Application(settings, spark).__enter__()
    assert held.value.code == "lease_held"


HOLD = """
import sys
from pathlib import Path
from pipelines.jobs import NAMES
from pipelines.leases import hold_by_process
with hold_by_process(Path(sys.argv[1]), NAMES, "test"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("jobs", [[], ["tally"]])
def test_a_run_of_jobs_that_are_taken_is_refused_before_it_starts_spark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], jobs: list[str]
) -> None:
    monkeypatch.setattr("pipelines.session.build", lambda *_, **__: pytest.fail("Spark was started"))
    holding = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(holding, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        assert cli.main(["run", *jobs, "--lake", str(tmp_path), "--conf", str(lakes.CONF), "--json"]) == 5
        other.communicate("")
    assert json.loads(capsys.readouterr().out)["error"] == "lease_held"


def test_a_checkpoint_with_one_batch_is_not_new(tmp_path: Path) -> None:
    assert checkpoint.is_new(tmp_path)
    (tmp_path / "offsets").mkdir()
    assert checkpoint.is_new(tmp_path)
    (tmp_path / "offsets" / "0").touch()
    assert not checkpoint.is_new(tmp_path)


@pytest.mark.parametrize("chain", [0, 1])
def test_a_lost_checkpoint_over_filled_tables_is_refused(
    spark: SparkSession, whole: Path, tmp_path: Path, chain: int
) -> None:
    root = copied(whole, tmp_path)
    with Application(lakes.settings_for(root), spark) as app:
        shutil.rmtree(app.groups[chain].checkpoint)
    with pytest.raises(StateError) as refused, app:
        pass
    assert refused.value.code == "checkpoint_missing"


def test_other_chains_over_the_same_tables_are_refused(spark: SparkSession, whole: Path, tmp_path: Path) -> None:
    settings = lakes.settings_for(copied(whole, tmp_path))
    with pytest.raises(StateError) as refused, Application(settings, spark, jobs=["land", "refine"]):
        pass
    assert refused.value.code == "grouping_changed"


def command(lake: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """`python -m pipelines` on a lake, in a session of its own, so that a signal meets nobody else."""
    words = [sys.executable, "-m", "pipelines", *arguments, "--lake", str(lake), "--conf", str(lakes.CONF)]
    interpreted = ", ".join(f'"{name}" = "{value}"' for name, value in lakes.INTERPRETED.items())
    said = {"SPARK_MEMORY": "1 GB", "RUN_RECONCILE_EVERY": "1 second", "SPARK_EXTRA": f"{{{interpreted}}}"}
    environment = {**os.environ, **{f"HINDSIGHT_{name}": value for name, value in said.items()}}
    return subprocess.Popen(
        words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )


def filled(lake: Path) -> Path:
    """A lake with nothing but a log."""
    log = EmbeddedLog(log_path(lake), durable=False)
    payloads, received = zip(*HISTORY, strict=True)
    for start in range(0, len(payloads), 20):
        log.append(payloads[start : start + 20], received[start : start + 20])
    log.close()
    return lake


def finished(lake: Path, spark: SparkSession) -> None:
    """Wait until a killed process's JVM has let go, drain what is left, and verify."""
    deadline = time.monotonic() + 30
    while any(leases.holder(lake, job) for job in NAMES) and time.monotonic() < deadline:
        time.sleep(0.2)
    lakes.run(lakes.settings_for(lake), spark, [[]])
    lakes.proven(lake)


def wait_for_rows(lake: Path, table: Table, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 240
    while not (Lake(lake).exists(table) and lakes.rows_of(lake, table).num_rows):
        assert process.poll() is None, process.stderr and process.stderr.read().decode()[-2000:]
        assert time.monotonic() < deadline, f"no rows in {table.name} after 240 s"
        time.sleep(0.05)


def test_ctrl_c_ends_a_run_in_order_and_the_next_one_goes_on(spark: SparkSession, tmp_path: Path) -> None:
    lake = filled(tmp_path / "lake")
    process = command(lake, "run")
    wait_for_rows(lake, silver.INFERENCES, process)
    process.send_signal(signal.SIGINT)
    asked = time.monotonic()
    _, told = process.communicate(timeout=120)
    assert process.returncode in (0, 130), told.decode()[-2000:]
    assert time.monotonic() - asked < STOPS_WITHIN
    assert b"Traceback" not in told, told.decode()[-2000:]
    finished(lake, spark)


@pytest.mark.long
@pytest.mark.parametrize("table", [silver.CONTROLS, STATISTICS, silver.LABELLED], ids=lambda table: table.name)
def test_kill_9_at_any_moment_loses_and_repeats_nothing(spark: SparkSession, tmp_path: Path, table: Table) -> None:
    lake = filled(tmp_path / "lake")
    process = command(lake, "run", "--once")
    wait_for_rows(lake, table, process)
    time.sleep(random.Random(table.name).random() / 2)
    process.kill()
    process.communicate()
    finished(lake, spark)
