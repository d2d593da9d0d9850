"""The embedded log: one SQLite file, one row per append, each holding a block of records as an Arrow IPC stream.

A block per append and no row per record is what makes it fast: appending and reading never touch a record in Python.
Every row carries a checksum of all of itself, since SQLite hands on a damaged page without a word.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pipelines.errors import InputError, disk_full
from pipelines.log.block import Append, checksum, pack, unreadable
from pipelines.silver.frontier import AHEAD, from_the_future
from pipelines.silver.wire import Refused, decode

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = "embedded"
TENANT = "default"
_PATIENCE = 60.0
"""Seconds to wait for another process that writes."""
MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS appends (
  last_offset INTEGER PRIMARY KEY, count INTEGER NOT NULL, clock TEXT NOT NULL, appended_at INTEGER NOT NULL, block BLOB NOT NULL,
  checksum INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS clock (
  id INTEGER PRIMARY KEY CHECK (id = 0), floor INTEGER NOT NULL, live INTEGER NOT NULL, checksum INTEGER NOT NULL
);
INSERT OR IGNORE INTO clock VALUES (0, 0, 0, {checksum(0, 0)});
COMMIT;
"""
"""In one transaction: a crash in between would leave a log without its clock."""


class EmbeddedLog:
    """A durable, ordered log in one file; safe to append to from several processes.

    `append` returns when the records are on disk. `received_at` never falls below the *floor*: the frontier asserted so far,
    and the last receipt by the log's own clock. So what was known before the floor can never change. A frontier that lies in
    the future moves no floor: refine quarantines it, and nothing else may trust it.
    """

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        self.path = path
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._db = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
            self._prepare(durable=durable)
        except sqlite3.DatabaseError as error:
            raise disk_full(error) or unreadable(str(path), f"this is not a readable log: {error}") from error

    def _prepare(self, *, durable: bool) -> None:
        """Make the log where there is none. SQLite does not wait for others that change the journal's mode: we do."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute(f"PRAGMA synchronous={'FULL' if durable else 'OFF'}")
                if not self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'clock'").fetchone():
                    self._db.executescript(SCHEMA)
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                return

    def append(
        self,
        payloads: Sequence[bytes],
        received_at: Sequence[datetime] | None = None,
        within: Callable[[sqlite3.Connection], None] = lambda _: None,
    ) -> int:
        """Append records in order and return the offset of the last one; they are on disk by then.

        With `received_at`, history is imported: its clock is claimed, and each receipt is max(claimed, floor). `within` writes
        more in the same transaction: where the records came from.
        Raises InputError `empty_append` or `received_at_invalid`, MachineError `disk_full`: none of the records is there then.
        """
        if not payloads:
            raise InputError("empty_append", "append: no records; expected at least one")
        if received_at is not None and (
            len(received_at) != len(payloads) or any(at.tzinfo is None for at in received_at)
        ):
            raise InputError(
                "received_at_invalid",
                f"append: {len(received_at)} receipt times for {len(payloads)} records; expected one each, with a time zone",
            )
        with self._transaction() as (now, before):
            floor, claimed = before, received_at is not None
            own = max(now, floor)
            times = [_micros(at) for at in received_at] if received_at is not None else [own] * len(payloads)
            for i, payload in enumerate(payloads):
                times[i] = max(times[i], floor)
                if b"frontier" in payload or b"\\u00" in payload:
                    floor = max(floor, asserted(payload, now))
            within(self._db)
            return self._write(payloads, times, "claimed" if claimed else "log", now, max(floor, 0 if claimed else own))

    def control(self, *payloads: bytes) -> int:
        """Append control events by the log's clock, without moving the floor: they say nothing about the data's time."""
        with self._transaction() as (now, floor):
            return self._write(payloads, [now] * len(payloads), "log", now, floor, data=False)

    def assert_frontier(self, at: datetime) -> int:
        """Append the control event that says: everything known before `at` has been logged.

        Raises InputError `frontier_from_the_future`.
        """
        now = datetime.now(UTC)
        if from_the_future(_micros(at.astimezone(UTC)), _micros(now)):
            raise InputError(
                "frontier_from_the_future",
                f"frontier {at.isoformat()}: it is {now.isoformat(timespec='seconds')} now; expected at most "
                f"{AHEAD // timedelta(minutes=1)} minutes later, since nobody knows what will have been logged by then. "
                "Assert a time that has passed; if receipts claim to be later, mend them, or this machine's clock.",
            )
        text = at.astimezone(UTC).isoformat().replace("+00:00", "Z")
        payload = msgspec.json.encode({"kind": "control", "action": "frontier", "at": text})
        return self.append([payload], [at])

    def tick(self) -> int | None:
        """Assert the present as the frontier, if the log's last data came in by its own clock; else nothing.

        Time passes for a live log even when nothing happens; in a replay of history only the replay knows the time. A wall
        clock that was set back waits until it has caught up with the floor.
        """
        with self._transaction() as (now, floor):
            if not self._clock()[1]:
                return None
            at = max(now, floor) + 1
            if from_the_future(at, now):
                return None
            text = _time(at).isoformat().replace("+00:00", "Z")
            payload = msgspec.json.encode({"kind": "control", "action": "frontier", "at": text})
            return self._write([payload], [at], "log", now, at)

    def clock(self) -> tuple[datetime, bool]:
        """The floor, and whether the last data came in by the log's own clock, and not as history with its own."""
        with self._named():
            floor, live = self._clock()
        return _time(floor), bool(live)

    def end(self) -> int:
        """The offset that the next record will get."""
        with self._named():
            row = self._db.execute("SELECT MAX(last_offset) FROM appends").fetchone()
        return 0 if row[0] is None else row[0] + 1

    def appended_at(self, offset: int) -> datetime | None:
        """Wall clock of the append that holds this offset; None where there is none."""
        row = self._db.execute(
            "SELECT appended_at FROM appends WHERE last_offset >= ? ORDER BY last_offset LIMIT 1", (offset,)
        ).fetchone()
        return None if row is None else _time(row[0])

    def bound(self, start: int, most: int | None) -> int:
        """The end of the next batch: whole appends from `start`, at most `most` records but at least one append."""
        if most is None:
            return max(start, self.end())
        row = self._db.execute(
            "SELECT MAX(last_offset) FROM appends WHERE last_offset >= ? AND last_offset < ?", (start, start + most)
        ).fetchone()
        if row[0] is None:
            row = self._db.execute("SELECT MIN(last_offset) FROM appends WHERE last_offset >= ?", (start,)).fetchone()
        return start if row[0] is None else row[0] + 1

    def read(self, start: int, end: int) -> Iterator[Append]:
        """The appends that hold offsets [start, end). Raises StateError `log_unreadable`, also where offsets are missing."""
        reached = start
        try:
            for last, count, clock, appended_at, block, stored in self._db.execute(
                "SELECT last_offset, count, clock, appended_at, block, checksum FROM appends "
                "WHERE last_offset >= ? AND last_offset - count + 1 < ? ORDER BY last_offset",
                (start, end),
            ):
                append = Append(last - count + 1, last + 1, clock, appended_at, block, stored)
                if append.start > reached or append.end <= reached:
                    break
                yield append
                reached = append.end
        except sqlite3.DatabaseError as error:
            raise unreadable(str(self.path), str(error)) from error
        if reached < end:
            raise unreadable(str(self.path), f"the append that holds offset {reached} is missing")

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[tuple[int, int]]:
        """The wall clock and the floor, in microseconds, inside one write transaction; threads take turns."""
        with self._lock, self._named():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield _micros(datetime.now(UTC)), self._clock()[0]
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # SQLite itself takes back what found the disk full
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _named(self) -> Iterator[None]:
        """What SQLite says of a damaged file, or a full disk, as an error with a code; that another writes is none of these."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            if "locked" in str(error):
                raise
            raise disk_full(error) or unreadable(str(self.path), str(error)) from error

    def _clock(self) -> tuple[int, int]:
        """The floor, and whether the last data came in by the log's own clock."""
        floor, live, stored = self._db.execute("SELECT floor, live, checksum FROM clock").fetchone()
        if stored != checksum(floor, live):
            raise unreadable(str(self.path), "the clock does not match its checksum")
        return floor, live

    def _write(
        self, payloads: Sequence[bytes], times: list[int], clock: str, now: int, floor: int, *, data: bool = True
    ) -> int:
        row = (self.end() + len(payloads) - 1, len(payloads), clock, now, pack(payloads, times))
        self._db.execute("INSERT INTO appends VALUES (?, ?, ?, ?, ?, ?)", (*row, checksum(*row)))
        live = int(clock == "log") if data else self._clock()[1]
        self._db.execute("UPDATE clock SET floor = ?, live = ?, checksum = ?", (floor, live, checksum(floor, live)))
        return row[0]


def asserted(payload: bytes, now: int) -> int:
    """The frontier that a record asserts, in microseconds; 0 for any other record, one that will be refused included."""
    decoded = decode(payload)
    event = None if isinstance(decoded, Refused) else decoded[0]
    at = getattr(event, "at", None) if getattr(event, "action", None) == "frontier" else None
    return _micros(at) if at is not None and not from_the_future(_micros(at), now) else 0


def _micros(at: datetime) -> int:
    return (at - _EPOCH) // MICROSECOND


def _time(micros: int) -> datetime:
    return _EPOCH + micros * MICROSECOND
