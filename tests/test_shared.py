"""The log in bronze.events itself: everything comes to the same as over a file, and what cannot be is refused by name."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyspark.sql import SparkSession
from pyspark.sql.streaming.datasource import ReadAllAvailable

from pipelines import checkpoint
from pipelines.app import Application
from pipelines.bronze.tables import EVENTS
from pipelines.consumed import consumed
from pipelines.content import content_of
from pipelines.erasure.erase import erase
from pipelines.errors import HindsightError
from pipelines.health.checks import checks
from pipelines.jobs import NAMES, TABLES
from pipelines.lake import Lake
from pipelines.log import log_at
from pipelines.log.shared import SharedLog
from pipelines.log.source import LogReader
from pipelines.maintain import maintain
from pipelines.paths import checkpoints, log_path, place_log
from pipelines.rebuild import rebuild
from pipelines.repair import repair
from pipelines.settings import Settings
from pipelines.silver import tables as silver
from pipelines.status import status
from pipelines.verify.records import processed
from tests import generator, lakes, people
from tests.crashes import drained_with_crashes, forget_last

HISTORY = people.history(11, 240, 12)
FIRST = 150
"""Records of the first run."""


def shared(root: Path) -> SharedLog:
    return SharedLog(place_log(root, "bronze"), durable=False)


def settings_for(root: Path, **options: Any) -> Settings:
    return lakes.settings_for(root, log_kept="bronze", log_batch_records=100, **options)


def refused(act: Callable[[], Any]) -> str:
    with pytest.raises(HindsightError) as error:
        act()
    return error.value.code


def rows(root: Path) -> pa.Table:
    return lakes.rows_of(root, EVENTS).sort_by("offset")


def test_an_append_that_lost_its_position_takes_the_next(tmp_path: Path) -> None:
    first, second = shared(tmp_path), shared(tmp_path)
    assert [log.append([b"x"] * 3) for log in (first, second, first)] == [2, 5, 8]
    delta, state = first._newest()
    second.append([b"y"])
    stale = rows(tmp_path).slice(0, 1)
    assert not first._commit(delta, state, stale)
    assert rows(tmp_path)["offset"].to_pylist() == list(range(10))


APPENDER = """
import sys
from pathlib import Path
from pipelines.log import log_at
log = log_at(Path(sys.argv[1]), durable=False)
for number in range(int(sys.argv[3])):
    log.append([f"{sys.argv[2]}{number}.{part}".encode() for part in range(3)])
    print(number, flush=True)
"""


def appender(root: Path, name: str, count: int) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", APPENDER, str(log_path(root)), name, str(count)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def test_what_was_acknowledged_outlives_a_kill_and_nothing_stands_half(tmp_path: Path) -> None:
    shared(tmp_path)
    for life in range(3):
        with appender(tmp_path, f"{life}-", 10_000) as writer:
            assert writer.stdout is not None
            told = [int(writer.stdout.readline()) for _ in range(4 + life)][-1]
            writer.send_signal(signal.SIGKILL)
        held = [payload for payload in rows(tmp_path)["payload"].to_pylist() if payload.startswith(f"{life}-".encode())]
        assert len(held) >= 3 * (told + 1)
        assert len(held) % 3 == 0
    assert rows(tmp_path)["offset"].to_pylist() == list(range(shared(tmp_path).end()))


def test_a_stream_reads_every_record_once_though_files_are_compacted(tmp_path: Path) -> None:
    log = shared(tmp_path)
    records = generator.history(3, 40)
    for payload, at in records:
        log.append([payload], [at])
    maintain(tmp_path, [EVENTS], settings_for(tmp_path).maintain, vacuum=False)
    read = [payload for part in log.read(0, log.end()) for payload in part.records()["payload"].to_pylist()]
    assert read == [payload for payload, _ in records]
    assert log.append([b"next"]) == len(records)


@pytest.fixture(scope="module")
def half(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake whose log is in bronze.events, and which has yet to process the rest of it."""
    root = tmp_path_factory.mktemp("shared") / "lake"
    app = lakes.run(settings_for(root), spark, [HISTORY[:FIRST]])
    lakes.append(app, HISTORY[FIRST:])
    return root


@pytest.fixture
def root(half: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(half, tmp_path / "lake"))


def test_it_comes_to_the_same_as_over_a_file_though_a_commit_is_followed_by_a_crash(
    spark: SparkSession, root: Path, tmp_path: Path
) -> None:
    lakes.run(lakes.settings_for(tmp_path / "file"), spark, [HISTORY])
    assert status(root).jobs[0].lag_events == len(HISTORY) - FIRST
    assert drained_with_crashes(settings_for(root), spark, (silver.INFERENCES,))
    lakes.proven(root)
    for table in (EVENTS, *lakes.COMPARED):
        assert lakes.net(root, table) == lakes.net(tmp_path / "file", table), table.name
    before = lakes.count(root)
    for folder in checkpoints(root).glob("*+*"):
        forget_last(folder)
    lakes.run(settings_for(root), spark, [[]])
    assert lakes.count(root) == before
    assert status(root).jobs[0].lag_events == 0
    assert [check for check in checks(root) if not check.ok] == []


@pytest.mark.long
def test_nothing_of_an_erased_person_is_left_and_a_rebuild_says_the_same(spark: SparkSession, root: Path) -> None:
    gone = {people.person(1), people.person(5)}
    theirs = people.about(HISTORY, gone)
    with Application(settings_for(root), spark) as app:
        assert erase(app, sorted(gone)) is not None
    assert people.traces(root, theirs) == []
    assert all(one.same for one in rebuild(settings_for(root), spark))
    assert people.traces(root, theirs) == []
    lakes.proven(root)


@pytest.mark.long
def test_every_job_runs_by_itself(spark: SparkSession, tmp_path: Path) -> None:
    settings = settings_for(tmp_path, lake_committer="spark")
    with closing(shared(tmp_path)) as log:
        for start in range(0, len(HISTORY), 50):
            payloads, received = zip(*HISTORY[start : start + 50], strict=True)
            log.append(payloads, received)
    # reconcile looks at what all have taken in, hands what it finds to the join, and sets the frontier behind that
    for job in (*NAMES, "reconcile", "attribute", "resolve", "tally", "examples", "reconcile"):
        with Application(settings, spark, jobs=[job]) as app:
            app.drain(tick=False)
    lakes.proven(tmp_path)


def test_a_log_does_not_move(root: Path, tmp_path: Path) -> None:
    assert refused(lambda: place_log(root, "sqlite")) == "log_elsewhere"
    with closing(log_at(place_log(tmp_path / "file", "sqlite"))):
        assert refused(lambda: place_log(tmp_path / "file", "bronze")) == "log_elsewhere"


def test_a_damaged_log_is_named_and_nothing_makes_it_again(spark: SparkSession, root: Path) -> None:
    before = content_of(Lake(root), silver.INFERENCES)
    max(root.glob(f"{EVENTS.folder}/*/*.parquet"), key=os.path.getmtime).unlink()
    assert refused(lambda: repair(root)) == "log_lost"
    assert refused(lambda: rebuild(settings_for(root), spark)) == "log_lost"
    assert content_of(Lake(root), silver.INFERENCES) == before
    (bad,) = [check for check in checks(root) if not check.ok]
    assert (bad.name, bad.code, "backup" in bad.advice) == ("Table bronze.events", "data_file_damaged", True)


DAY = timedelta(hours=24)


@pytest.mark.parametrize("kept", ["sqlite", "bronze"])
def test_refine_by_itself_takes_records_in_the_order_of_the_log(spark: SparkSession, tmp_path: Path, kept: str) -> None:
    settings = lakes.settings_for(tmp_path, log_kept=kept, run_bytes_per_trigger="1 B")
    with closing(log_at(place_log(tmp_path, kept), durable=False)) as log:
        for start in range(0, len(records := generator.history(3, 240)), 20):
            payloads, at = zip(*records[start : start + 20], strict=True)
            # of each append, and of all of them, the files of one day hold what stands around that of the other
            log.append(payloads, [one + DAY * (number % 2) for number, one in enumerate(at)])
    for job in ("land", "refine"):
        with Application(settings, spark, jobs=[job]) as app:
            app.drain(tick=False)
        maintain(tmp_path, [EVENTS], replace(settings.maintain, small_files=2), vacuum=False)
    again = lakes.rows_of(tmp_path, silver.QUARANTINE).filter(pc.field("reason") == "id_conflict")
    assert again.num_rows > 5, "nothing is contradicted"
    for table, name in ((silver.INFERENCES, "request_id"), (silver.FEEDBACK, "feedback_id")):
        stands = lakes.rows_of(tmp_path, table)
        assert pc.count_distinct(stands[name]).as_py() == stands.num_rows


def committed(root: Path, query: str, reached: int | None = None) -> Path:
    """What Spark writes for a batch of a query, one that reads the log up to an offset or tables; the folder of checkpoints."""
    offset = "{}" if reached is None else f'{{"offset": {reached}}}'
    for part, said in (("offsets", f"v1\n{{}}\n{offset}"), ("commits", "v1\n{}")):
        (checkpoints(root) / query / part).mkdir(parents=True)
        (checkpoints(root) / query / part / "0").write_text(said)
    return checkpoints(root)


def test_what_nobody_has_refined_has_not_landed(tmp_path: Path) -> None:
    with closing(shared(tmp_path)):
        folder = committed(tmp_path, "land", 20)
        committed(tmp_path, "refine+expose", 10)
        assert (checkpoint.landed(folder), processed(tmp_path)) == (10, 10)


def test_who_does_not_land_the_log_reads_it_as_far_as_it_has_landed(tmp_path: Path) -> None:
    with closing(log_at(place_log(tmp_path, "sqlite"), durable=False)) as log:
        for _ in range(3):
            log.append([b"x"] * 10)
    reader, start = LogReader(log.path, 100, checkpoints(tmp_path)), {"offset": 0}
    assert reader.latestOffset(start, ReadAllAvailable()) == start
    committed(tmp_path, "land", 20)
    assert reader.latestOffset(start, ReadAllAvailable()) == {"offset": 20}


def test_what_has_landed_and_is_not_refined_is_not_consumed(tmp_path: Path) -> None:
    Lake(tmp_path).create(*TABLES)
    for query in ("expose+absences", "attribute+resolve+tally+examples"):
        committed(tmp_path, query)
    committed(tmp_path, "land", 20)
    folder = committed(tmp_path, "refine", 10)
    assert not consumed(Lake(tmp_path))
    (folder / "refine" / "offsets" / "0").write_text('v1\n{}\n{"offset": 20}')
    assert consumed(Lake(tmp_path))
