"""The embedded log: one SQLite file, one row per append, each holding a block of records as an Arrow IPC stream.

A block per append and no row per record is what makes it fast: appending and reading never touch a record in Python.
Every row carries a checksum of all of itself, since SQLite hands on a damaged page without a word.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import disk_full
from pipelines.log.block import Append, checksum, pack, unreadable
from pipelines.log.receipt import Clock, Stamped, declared, frontier, micros, moment, stamped, ticked
from pipelines.log.taken import Taken, Taking

if TYPE_CHECKING:
    from collections.abc import Iterator

_PATIENCE = 60.0
"""Seconds to wait for another process that writes."""

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
_TAKEN = """
CREATE TABLE IF NOT EXISTS taken (
  topic TEXT NOT NULL, partition INTEGER NOT NULL, cluster TEXT NOT NULL, id TEXT NOT NULL, next INTEGER NOT NULL,
  checksum INTEGER NOT NULL, PRIMARY KEY (topic, partition)
)
"""


class EmbeddedLog:
    """A durable, ordered log in one file; safe to append to from several processes.

    `wait`: seconds that an intake collects records for one append: what the way through Kafka adds to a record's own.

    `append` returns when the records are on disk. `received_at` never falls below the *floor*: the frontier asserted so far,
    and the last receipt by the log's own clock. So what was known before the floor can never change. A frontier that lies in
    the future moves no floor: refine quarantines it, and nothing else may trust it.
    """

    wait = 0.1

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
        self, payloads: Sequence[bytes], received_at: Sequence[datetime] | None = None, taking: Taking | None = None
    ) -> int:
        """Append records in order and return the offset of the last one; they are on disk by then.

        With `received_at`, history is imported: its clock is claimed, and each receipt is max(claimed, floor). `taking`: how far
        these records bring a topic, which is written in the same transaction. Raises InputError `empty_append` or
        `received_at_invalid`, StateError `topic_taken`, MachineError `disk_full`: none of the records is there then.
        """
        with self._transaction() as (now, clock):
            append = stamped(payloads, received_at, now, clock)
            if taking is not None:
                self._note(taking.after(self._taken(taking.topic)))
            return self._write(append)

    def control(self, *payloads: bytes) -> int:
        """Append control events by the log's clock, without moving the floor: they say nothing about the data's time."""
        with self._transaction() as (now, clock):
            return self._write(declared(payloads, now, clock))

    def assert_frontier(self, at: datetime) -> int:
        """Append the control event that says: everything known before `at` has been logged.

        Raises InputError `frontier_from_the_future`.
        """
        return self.append([frontier(at)], [at])

    def tick(self) -> int | None:
        """Assert the present as the frontier, where that is known; see `receipt.ticked`."""
        with self._transaction() as (now, clock):
            append = ticked(now, clock)
            return None if append is None else self._write(append)

    def taken(self, topic: str) -> Taken | None:
        """How far a topic has been taken into the log; None before it was first looked at."""
        with self._named():
            return self._taken(topic)

    def pass_over(self, taking: Taking) -> None:
        """Note how far a topic has been taken where no record came."""
        with self._transaction():
            self._note(taking.after(self._taken(taking.topic)))

    def forget(self, topic: str) -> None:
        """Take a topic from its start again: what is in the log already is a duplicate then, and counts once."""
        with self._transaction():
            self._db.execute(_TAKEN)
            self._db.execute("DELETE FROM taken WHERE topic = ?", (topic,))

    def clock(self) -> tuple[datetime, bool]:
        """The floor, and whether the last data came in by the log's own clock, and not as history with its own."""
        with self._named():
            clock = self._clock()
        return moment(clock.floor), clock.live

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
        return None if row is None else moment(row[0])

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
    def _transaction(self) -> Iterator[tuple[int, Clock]]:
        """The wall clock, in microseconds, and the log's, inside one write transaction; threads take turns."""
        with self._lock, self._named():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield micros(datetime.now(UTC)), self._clock()
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

    def _clock(self) -> Clock:
        floor, live, stored = self._db.execute("SELECT floor, live, checksum FROM clock").fetchone()
        if stored != checksum(floor, live):
            raise unreadable(str(self.path), "the clock does not match its checksum")
        return Clock(floor, bool(live))

    def _write(self, append: Stamped) -> int:
        count, block = len(append.payloads), pack(append.payloads, append.received_at)
        row = (self.end() + count - 1, count, append.clock, append.appended_at, block)
        self._db.execute("INSERT INTO appends VALUES (?, ?, ?, ?, ?, ?)", (*row, checksum(*row)))
        floor, live = append.after.floor, int(append.after.live)
        self._db.execute("UPDATE clock SET floor = ?, live = ?, checksum = ?", (floor, live, checksum(floor, live)))
        return row[0]

    def _taken(self, topic: str) -> Taken | None:
        try:
            rows = self._db.execute("SELECT topic, partition, cluster, id, next, checksum FROM taken WHERE topic = ?", (topic,)).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return None
            raise
        if any(checksum(*row[:-1]) != row[-1] for row in rows):
            raise unreadable(str(self.path), f"how far the topic {topic} was taken does not match its checksum")
        return Taken(topic, rows[0][2], rows[0][3], {row[1]: row[4] for row in rows}) if rows else None

    def _note(self, taken: Taken) -> None:
        self._db.execute(_TAKEN)
        for part, end in taken.next.items():
            row = (taken.topic, part, taken.cluster, taken.id, end)
            self._db.execute("INSERT OR REPLACE INTO taken VALUES (?, ?, ?, ?, ?, ?)", (*row, checksum(*row)))
