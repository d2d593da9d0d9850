"""The log in bronze.events itself, for a lake in a folder that hosts share: a file of SQLite is nothing for that.

An append is one Delta commit, put if absent. It holds the records and, in its metadata, what the log is after it: its end, its
clock, how far topics have been taken. So a crash at any moment loses and doubles nothing. All appends have one transaction id: of two
writers at one position Delta refuses the second, which stamps its records anew, at the next.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError

from pipelines import files
from pipelines.bronze.tables import EVENTS
from pipelines.errors import StateError, disk_full
from pipelines.handles import Handle
from pipelines.lake import Lake, commit, stands
from pipelines.log.block import Part, gathered, placed
from pipelines.log.receipt import Clock, Stamped, declared, frontier, micros, moment, stamped, ticked
from pipelines.log.taken import Taken, Taking

APP = "log"
"""The transaction id of appends, and the key of the log's state in the metadata of their commits."""
STRIDE = 20_000
"""Records that are read at once."""
_TRIES = 100
"""Appends of other processes that one append may lose its position to."""


class State(msgspec.Struct, frozen=True):
    """What the log is after an append: the next offset, its clock, how far topics have been taken, by name."""

    end: int = 0
    floor: int = 0
    live: bool = False
    taken: dict[str, Taken] = {}


class SharedLog:
    """A durable, ordered log in a Delta table; safe to append to from several processes and hosts. Its methods are `EmbeddedLog`'s.

    `wait`: each append is a commit, of which there had better be few.
    """

    wait = 0.7
    _table: DeltaTable

    def __init__(self, path: Path, durable: bool = True) -> None:
        self.path, self._durable = path, durable
        lake = Lake(path.parent.parent)
        if not stands(path):
            lake.create(EVENTS)
        self._lock = threading.Lock()
        self._open = partial(lake.open, EVENTS)
        self._handle = Handle(self._open)
        self._known: tuple[int, tuple[int, int] | None, State] | None = None

    def append(
        self, payloads: Sequence[bytes], received_at: Sequence[datetime] | None = None, taking: Taking | None = None
    ) -> int:
        """Append records in order and return the offset of the last one; see `EmbeddedLog.append`.

        Raises StateError `log_busy` too, where others append all the while.
        """
        last = self._append(lambda now, clock: stamped(payloads, received_at, now, clock), taking)
        assert last is not None
        return last

    def control(self, *payloads: bytes) -> int:
        """Append control events by the log's clock, without moving the floor: they say nothing about the data's time."""
        last = self._append(lambda now, clock: declared(payloads, now, clock))
        assert last is not None
        return last

    def assert_frontier(self, at: datetime) -> int:
        """Append the control event that says: everything known before `at` has been logged.

        Raises InputError `frontier_from_the_future`.
        """
        return self.append([frontier(at)], [at])

    def tick(self) -> int | None:
        """Assert the present as the frontier, where that is known; see `receipt.ticked`."""
        return self._append(ticked)

    def clock(self) -> tuple[datetime, bool]:
        """The floor, and whether the last data came in by the log's own clock, and not as history with its own."""
        state = self._now()[1]
        return moment(state.floor), state.live

    def end(self) -> int:
        """The offset that the next record will get."""
        return self._now()[1].end

    def appended_at(self, offset: int) -> datetime | None:
        """Wall clock of the append that holds this offset; None where there is none."""
        at: datetime | None = next(iter(self._rows(offset, offset + 1)["appended_at"].to_pylist()), None)
        return at

    def bound(self, start: int, most: int | None) -> int:
        """The end of the next batch: at most so many records from `start`."""
        end = max(start, self.end())
        return end if most is None else min(end, start + most)

    def read(self, start: int, end: int) -> Iterator[Part]:
        """The records at offsets [start, end). Raises StateError `log_unreadable`."""
        if start >= end:
            return
        stop = self.end()
        if stop < end:
            raise _unreadable(self.path, f"it ends at offset {stop}, before {end}")
        for low in range(start, end, STRIDE):
            high = min(low + STRIDE, end)
            rows = self._rows(low, high)
            if not np.array_equal(rows["offset"].to_numpy(), np.arange(low, high)):
                raise _unreadable(self.path, f"among offsets {low} to {high - 1} some are missing, or stand twice")
            yield from _parts(rows, low)

    def taken(self, topic: str) -> Taken | None:
        """How far a topic has been taken into the log; None before it was first looked at."""
        return self._now()[1].taken.get(topic)

    def pass_over(self, taking: Taking) -> None:
        """Note how far a topic has been taken where no record came."""
        self._write(lambda state: (_taking(state, taking), EVENTS.arrow.empty_table()))

    def forget(self, topic: str) -> None:
        """Take a topic from its start again: what is in the log already is a duplicate then, and counts once."""

        def without(state: State) -> tuple[State, pa.Table]:
            left = {name: one for name, one in state.taken.items() if name != topic}
            return msgspec.structs.replace(state, taken=left), EVENTS.arrow.empty_table()

        self._write(without)

    def close(self) -> None:
        """Nothing is held open."""

    def _append(self, stamp: Callable[[int, Clock], Stamped | None], taking: Taking | None = None) -> int | None:
        """Append what is stamped at the next free position; the last offset, None where nothing is to be said."""

        def appended(state: State) -> tuple[State, pa.Table] | None:
            append = stamp(micros(datetime.now(UTC)), Clock(state.floor, state.live))
            if append is None:
                return None
            after = State(state.end + len(append.payloads), *append.after, _taking(state, taking).taken)
            records = pa.Table.from_batches([gathered(append.payloads, append.received_at)])
            return after, placed(records, state.end, append.clock, append.appended_at)

        after = self._write(appended)
        return None if after is None else after.end - 1

    def _write(self, step: Callable[[State], tuple[State, pa.Table] | None]) -> State | None:
        """Commit the state and the rows that follow from the newest state, anew where another writer has come before; the state after."""
        with self._lock:
            for _ in range(_TRIES):
                delta, state = self._newest()
                found = step(state)
                if found is None:
                    return None
                after, rows = found
                if self._commit(delta, after, rows):
                    return after
        raise StateError("log_busy", f"{self.path}: other processes append all the while, {_TRIES} times in a row. Try again.")

    def _commit(self, delta: DeltaTable, after: State, rows: pa.Table) -> bool:
        """Write records and state in one commit; False where another writer has come before."""
        said = {APP: msgspec.json.encode(after).decode()}
        properties = CommitProperties(app_transactions=[Transaction(APP, after.end)], custom_metadata=said, max_commit_retries=100)
        added, before = [], delta.version()
        try:
            added = files.write(self.path, EVENTS, rows) if rows.num_rows else []
            self._sync(*(self.path / one.path for one in added))
            commit(self.path, EVENTS, delta, added, properties)
        except Exception as error:
            if (full := disk_full(error)) is not None:
                raise full from error
            if not isinstance(error, CommitFailedError):
                raise
            for one in added:
                (self.path / one.path).unlink()
            self._known = None
            return False
        commits = map(self._file, range(before + 1, delta.version() + 1))
        self._sync(*((self.path / one.path).parent for one in added), *commits, self.path / "_delta_log")
        return True

    def _sync(self, *written: Path) -> None:
        for path in written if self._durable else ():
            file = os.open(path, os.O_RDONLY)
            try:
                os.fsync(file)
            finally:
                os.close(file)

    def _rows(self, start: int, end: int) -> pa.Table:
        offset = ds.field("offset")
        return files.read(self.path, self._now()[0], None, (offset >= start) & (offset < end)).sort_by("offset")

    def _now(self) -> tuple[DeltaTable, State]:
        with self._lock:
            return self._newest()

    def _newest(self) -> tuple[DeltaTable, State]:
        """The table, and what its last append says. Asked again and again: where there is no newer commit it costs two looks."""
        if self._known is not None:
            version, facts, state = self._known
            if _facts(self._file(version)) == facts and not self._file(version + 1).exists():
                return self._table, state
            if _facts(self._file(version)) != facts:  # a backup was brought back
                self._handle = Handle(self._open)
        self._table = self._handle()
        version = self._table.version()
        state = self._state(version)
        if (self._table.transaction_version(APP) or 0) != state.end:
            raise _unreadable(self.path, "no commit says what its last append left")
        self._known = version, _facts(self._file(version)), state
        return self._table, state

    def _state(self, version: int) -> State:
        """What the last append up to a version says: compaction and erasure commit too, and say nothing of it."""
        for number in range(version, -1, -1):
            try:
                lines = self._file(number).read_text().splitlines()
            except FileNotFoundError:
                break
            said = next((info[APP] for line in lines if APP in (info := json.loads(line).get("commitInfo", {}))), None)
            if said is not None:
                return msgspec.json.decode(said, type=State)
        return State()

    def _file(self, version: int) -> Path:
        return self.path / "_delta_log" / f"{version:020d}.json"


def _taking(state: State, taking: Taking | None) -> State:
    """The state after something was taken of a topic."""
    taken = {taking.topic: taking.after(state.taken.get(taking.topic))} if taking is not None else {}
    return msgspec.structs.replace(state, taken={**state.taken, **taken})


def _facts(file: Path) -> tuple[int, int] | None:
    """By which a file is known to be the one that was read."""
    try:
        facts = file.stat()
    except FileNotFoundError:
        return None
    return facts.st_ino, facts.st_mtime_ns


def _parts(rows: pa.Table, first: int) -> Iterator[Part]:
    at, clocks = rows["appended_at"].cast(pa.int64()).to_numpy(), rows["clock"].to_numpy()
    changes = np.flatnonzero((at[1:] != at[:-1]) | (clocks[1:] != clocks[:-1])) + 1
    for low, high in pairwise([0, *changes.tolist(), len(at)] if len(at) else []):
        yield Part(first + low, first + high, clocks[low], int(at[low]), rows.slice(low, high - low))


def _unreadable(path: Path, found: str) -> StateError:
    return StateError(
        "log_unreadable",
        f"{path}: {found}. This table is the log itself, which nothing can make again: bring its newest copy back from a backup.",
    )
