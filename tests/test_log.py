"""The embedded log: what is appended stands, in order, once, by a clock that never falls behind what was asserted."""

from __future__ import annotations

import json
import multiprocessing
import signal
import sqlite3
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql.streaming.datasource import ReadAllAvailable, ReadMaxRows

from pipelines.bronze.tables import EVENTS
from pipelines.errors import InputError, MachineError, StateError
from pipelines.log import EmbeddedLog, Log, log_at
from pipelines.log.block import checksum
from pipelines.log.source import LogReader, Slice, bronze

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)
FAR = datetime(2199, 1, 1, tzinfo=UTC)


def minute(count: float) -> datetime:
    return T0 + timedelta(minutes=count)


PLACES = {"a file": "log.sqlite", "bronze.events": EVENTS.folder}
IN_A_FILE = pytest.mark.parametrize("log", ["a file"], indirect=True)


@pytest.fixture(params=PLACES)
def log(tmp_path: Path, request: pytest.FixtureRequest) -> Log:
    return log_at(tmp_path / "a folder" / PLACES[request.param], durable=False)


def received(log: Log) -> list[datetime]:
    return [at for append in log.read(0, log.end()) for at in append.records()["received_at"].to_pylist()]


def payloads(log: Log, start: int = 0, end: int | None = None) -> list[bytes]:
    rows = [bronze(append, start, end or log.end()) for append in log.read(start, end or log.end())]
    return [payload for row in rows for payload in row["payload"].to_pylist()]


def frontier(at: datetime) -> bytes:
    return json.dumps({"kind": "control", "action": "frontier", "at": at.isoformat()}).encode()


def test_offsets_count_up_without_gaps(log: Log) -> None:
    assert log.end() == 0
    assert [log.append([b"a"]), log.append([b"b", b"c"]), log.end()] == [0, 2, 3]


def test_records_come_back_byte_for_byte_in_order(log: Log) -> None:
    log.append([b"", b"\xff\x00"])
    log.append(["é".encode()])
    assert payloads(log) == [b"", b"\xff\x00", "é".encode()]


def test_what_was_appended_is_there_after_opening_again(log: Log) -> None:
    log.append([b"a"], [minute(5)])
    log.assert_frontier(minute(9))
    log.close()
    again = log_at(log.path)
    again.append([b"b"], [minute(1)])
    assert received(again) == [minute(5), minute(9), minute(9)]


def test_the_logs_own_clock_never_goes_back(log: Log) -> None:
    ahead = datetime.now(UTC) + timedelta(minutes=4)
    log.append([b"import"], [minute(0)])
    log.append([frontier(ahead)], [minute(0)])
    log.append([b"live"])
    assert received(log)[-1] == ahead


def test_a_claimed_receipt_below_the_frontier_is_lifted_to_it(log: Log) -> None:
    log.append([b"a"], [minute(5)])
    log.assert_frontier(minute(9))
    log.append([b"b", b"c"], [minute(3), minute(12)])
    assert received(log) == [minute(5), minute(9), minute(9), minute(12)]


def test_claimed_receipts_need_not_be_in_order_between_frontiers(log: Log) -> None:
    log.append([b"a", b"b"], [minute(5), minute(3)])
    assert received(log) == [minute(5), minute(3)]


def test_a_frontier_inside_an_append_lifts_what_follows_it_there(log: Log) -> None:
    log.append([b"a", frontier(minute(9)), b"b"], [minute(1), minute(2), minute(3)])
    assert received(log) == [minute(1), minute(2), minute(9)]


@pytest.mark.parametrize(
    "payload",
    [
        b'{"kind": "control", "action": "frontier"}',
        b'{"kind": "control", "action": "frontier", "at": "2999-01-01T00:00:00"}',
        b'{"kind": "feedback", "action": "frontier", "at": "2999-01-01T00:00:00Z"}',
        b'{"kind": "inference", "inputs": {"action": "frontier", "at": "2999-01-01T00:00:00Z"}}',
        frontier(FAR),
        b"frontier \xff",
        b'["frontier"' + b"[" * 5000,
    ],
)
def test_what_is_no_frontier_asserts_none(log: Log, payload: bytes) -> None:
    log.append([payload, b"a"], [minute(1), minute(2)])
    assert received(log) == [minute(1), minute(2)]


def test_a_frontier_in_the_future_is_refused_and_leaves_nothing(log: Log) -> None:
    with pytest.raises(InputError, match="expected at most 5 minutes later") as refused:
        log.assert_frontier(datetime.now(UTC) + timedelta(minutes=6))
    assert refused.value.code == "frontier_from_the_future"
    assert log.end() == 0


def test_a_frontier_may_be_ahead_by_as_much_as_clocks_differ(log: Log) -> None:
    ahead = datetime.now(UTC) + timedelta(minutes=4)
    log.assert_frontier(ahead)
    log.append([b"a"], [minute(0)])
    assert received(log) == [ahead, ahead]


def test_a_frontier_without_a_zone_is_refused(log: Log) -> None:
    with pytest.raises(InputError) as refused:
        log.assert_frontier(T0.replace(tzinfo=None))
    assert refused.value.code == "received_at_invalid"


def test_a_receipt_claimed_in_the_future_does_not_carry_its_frontier(log: Log) -> None:
    log.append([frontier(FAR), b"a"], [FAR, minute(2)])
    assert received(log) == [FAR, minute(2)]


@IN_A_FILE
def test_a_tick_waits_until_a_clock_that_was_set_back_has_caught_up(log: Log) -> None:
    log.append([b"live"])
    with sqlite3.connect(log.path) as other:
        floor = other.execute("SELECT floor FROM clock").fetchone()[0] + 600_000_000
        other.execute("UPDATE clock SET floor = ?, checksum = ?", (floor, checksum(floor, 1)))
    assert log.tick() is None
    assert log.end() == 1


def test_a_live_receipt_is_a_floor_for_later_claims(log: Log) -> None:
    before = datetime.now(UTC)
    log.append([b"live"])
    log.append([b"claimed"], [minute(0)])
    live, claimed = received(log)
    assert before <= live == claimed


def test_each_append_says_whose_clock_it_has(log: Log) -> None:
    log.append([b"a"])
    log.append([b"b"], [FAR])
    assert [append.clock for append in log.read(0, 2)] == ["log", "claimed"]


def test_a_tick_asserts_the_present_of_a_live_log(log: Log) -> None:
    log.append([b"live"])
    assert log.tick() == 1
    event = json.loads(payloads(log)[1])
    assert (event["kind"], event["action"]) == ("control", "frontier")
    assert datetime.fromisoformat(event["at"]) == received(log)[1] > received(log)[0]


def test_a_tick_says_nothing_in_a_replay_of_history(log: Log) -> None:
    assert log.tick() is None
    log.append([b"a"], [minute(0)])
    assert log.tick() is None
    assert log.end() == 1


def test_a_control_moves_no_floor(log: Log) -> None:
    log.control(b"define")
    log.append([b"a"], [minute(0)])
    assert received(log)[1] == minute(0)
    assert log.tick() is None


@pytest.mark.parametrize(
    ("records", "times", "code"),
    [
        ([], None, "empty_append"),
        ([b"a"], [], "received_at_invalid"),
        ([b"a"], [T0, T0], "received_at_invalid"),
        ([b"a"], [T0.replace(tzinfo=None)], "received_at_invalid"),
        ([b"a"], [T0.replace(year=9999)], "received_at_invalid"),
    ],
)
def test_a_wrong_append_is_refused_and_leaves_nothing(
    log: Log, records: list[bytes], times: list[datetime] | None, code: str
) -> None:
    with pytest.raises(InputError) as refused:
        log.append(records, times)
    assert refused.value.code == code
    assert log.end() == 0
    assert log.append([b"a"]) == 0


@IN_A_FILE
@pytest.mark.parametrize(
    ("start", "most", "end"),
    [
        (0, None, 6),
        (0, 100, 6),
        (0, 6, 6),
        (0, 5, 4),
        (0, 3, 3),
        (0, 1, 3),
        (3, 1, 4),
        (4, 1, 6),
        (6, 1, 6),
        (6, None, 6),
        (9, 5, 9),
    ],
)
def test_a_batch_is_whole_appends_and_at_least_one(log: Log, start: int, most: int | None, end: int) -> None:
    for size in (3, 1, 2):
        log.append([b"x"] * size)
    assert log.bound(start, most) == end


@pytest.mark.parametrize(("start", "end"), [(0, 6), (1, 2), (2, 4), (3, 4), (5, 6), (4, 4)])
def test_any_range_of_offsets_can_be_read(log: Log, start: int, end: int) -> None:
    log.append([b"0", b"1", b"2"])
    log.append([b"3"])
    log.append([b"4", b"5"])
    assert payloads(log, start, end) == [str(i).encode() for i in range(start, end)] or start == end


def test_the_wall_clock_of_an_append_is_found_by_any_of_its_offsets(log: Log) -> None:
    log.append([b"a", b"b"], [FAR, FAR])
    stamps = {log.appended_at(offset) for offset in (0, 1)}
    assert len(stamps) == 1
    assert abs(datetime.now(UTC) - (stamps.pop() or FAR)) < timedelta(minutes=1)
    assert log.appended_at(2) is None


def test_a_file_that_is_no_log_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log.sqlite").write_bytes(b"this is not a database, whatever its name " * 50)
    with pytest.raises(StateError) as refused:
        EmbeddedLog(tmp_path / "log.sqlite")
    assert refused.value.code == "log_unreadable"


def test_a_log_that_a_crash_left_half_made_is_made(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    crash = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    dying = f"""
import sqlite3, sys
from pathlib import Path
from pipelines.log import embedded
class Dying(sqlite3.Connection):
    def executescript(self, script):
        done, _, _ = script.partition("INSERT")
        super().executescript(done)
        {crash}
connect = sqlite3.connect
embedded.sqlite3.connect = lambda *given, **options: connect(*given, **options, factory=Dying)
embedded.EmbeddedLog(Path({str(path)!r}))
"""
    assert subprocess.run([sys.executable, "-c", dying], check=False).returncode == -signal.SIGKILL
    log = EmbeddedLog(path)
    assert log.append([b"a"]) == 0
    log.close()


DAMAGE = {
    "another block": "block = zeroblob(length(block))",
    "a flipped bit": "block = CAST(substr(block, 1, 400) || x'01' || substr(block, 402) AS BLOB)",
    "fewer records": "count = count - 1",
    "another clock": "clock = 'claimed'",
    "another time": "appended_at = appended_at + 1",
}


@IN_A_FILE
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_an_append_that_is_not_what_was_written_is_refused_when_it_is_read(log: Log, damage: str) -> None:
    log.append([b"a" * 600, b"b"])
    (intact,) = log.read(0, 2)
    assert intact.whole
    change(log, f"UPDATE appends SET {damage}")
    with pytest.raises(StateError) as refused:
        [append.records() for append in log.read(0, 2)]
    assert refused.value.code == "log_unreadable"


@IN_A_FILE
@pytest.mark.parametrize("lost", [0, 2, 5])
def test_a_lost_append_is_noticed_when_it_is_read(log: Log, lost: int) -> None:
    for first in (b"a", b"b", b"c"):
        log.append([first, b"x"])
    change(
        log,
        f"DELETE FROM appends WHERE last_offset = (SELECT min(last_offset) FROM appends WHERE last_offset >= {lost})",
    )
    with pytest.raises(StateError) as refused:
        list(log.read(0, 6))
    assert refused.value.code == "log_unreadable"


@IN_A_FILE
def test_a_clock_that_is_not_what_was_written_is_refused(log: Log) -> None:
    log.append([b"a"])
    change(log, "UPDATE clock SET floor = floor - 1")
    with pytest.raises(StateError) as refused:
        log.append([b"b"])
    assert refused.value.code == "log_unreadable"
    assert log.end() == 1


def change(log: Log, sql: str) -> None:
    with sqlite3.connect(log.path) as db:
        db.execute(sql)
    db.close()


def test_threads_may_share_a_log(log: Log) -> None:
    failed: list[BaseException] = []

    def append() -> None:
        try:
            for _ in range(8):
                log.append([b"x", b"y"])
                log.tick()
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=append) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert log.end() == 96
    assert received(log) == sorted(received(log))


def test_a_worker_of_spark_that_reads_a_file_waits_for_no_library_of_tables() -> None:
    said = "import sys, pipelines.log.source; sys.exit(str({'deltalake', 'pandas', 'duckdb'} & sys.modules.keys() or ''))"
    done = subprocess.run([sys.executable, "-c", said], check=False, capture_output=True, text=True)
    assert done.stderr.strip() == ""


def _append_from_another_process(path: Path, name: str, start: Any) -> None:
    start.wait()
    log = log_at(path)
    for i in range(10):
        log.append([f"{name}:{i}:0".encode(), f"{name}:{i}:1".encode()])
    log.close()


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
def test_several_processes_may_append_at_once_to_a_log_that_none_has_made_before(tmp_path: Path, place: str) -> None:
    spawn = multiprocessing.get_context("spawn")
    start = spawn.Barrier(3)
    path = tmp_path / "new" / place
    workers = [spawn.Process(target=_append_from_another_process, args=(path, name, start)) for name in "abc"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]

    log = log_at(path)
    found = [payload.decode().split(":") for payload in payloads(log)]
    assert len(found) == log.end() == 60
    for name in "abc":
        assert [(int(i), int(part)) for who, i, part in found if who == name] == [
            (i, p) for i in range(10) for p in (0, 1)
        ]
    assert all(a[:2] == b[:2] for a, b in zip(found[::2], found[1::2], strict=True))
    assert received(log) == sorted(received(log))


def test_a_row_of_bronze_has_its_position_and_its_clocks(log: Log) -> None:
    log.append([b"a", b"b"], [minute(0), minute(721)])
    (append,) = log.read(0, 2)
    rows = bronze(append, 1, 2)
    assert rows.schema == EVENTS.arrow
    (row,) = rows.to_pylist()
    assert (row["offset"], row["payload"], row["received_at"], row["clock"]) == (1, b"b", minute(721), "claimed")
    assert row["received_date"].isoformat() == "2026-03-02"
    assert (row["tenant"], row["source"], row["partition"]) == ("default", "embedded", 0)


@IN_A_FILE
def test_a_stream_takes_bounded_batches_and_reads_each_record_once(log: Log) -> None:
    for size in (3, 1, 2):
        log.append([b"x"] * size)
    reader = LogReader(log.path, 2)
    start, ends = reader.initialOffset(), []
    while (end := reader.latestOffset(start, ReadMaxRows(2))) != start:
        slices = reader.partitions(start, end)
        offsets = [o for part in slices for batch in reader.read(part) for o in batch.column("offset").to_pylist()]
        assert offsets == list(range(start["offset"], end["offset"]))
        ends.append(end["offset"])
        start = end
    assert ends == [3, 4, 6]


def test_available_now_ends_where_the_log_ended_at_the_start(log: Log) -> None:
    log.append([b"x"] * 3)
    reader = LogReader(log.path, 100)
    reader.prepareForTriggerAvailableNow()
    log.append([b"y"])
    assert reader.latestOffset({"offset": 0}, ReadAllAvailable()) == {"offset": 3}
    assert reader.latestOffset({"offset": 3}, ReadAllAvailable()) == {"offset": 3}
    assert reader.reportLatestOffset() == {"offset": 4}
    assert reader.partitions({"offset": 3}, {"offset": 3}) == []
    assert reader.partitions({"offset": 0}, {"offset": 3}) == [Slice(0, 2), Slice(2, 3)]


def test_a_log_that_cannot_be_written_is_not_called_damaged(tmp_path: Path) -> None:
    with pytest.raises(MachineError) as refused:
        EmbeddedLog(tmp_path)  # a folder, where the file should be made
    assert refused.value.code == "no_permission"
