"""A damaged log made whole again: what is whole stays, what is not is restored from the records that have landed."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import StateError
from pipelines.log.block import Append, checksum, pack
from pipelines.log.embedded import EmbeddedLog
from pipelines.log.receipt import asserted
from pipelines.log.sound import Found, Range, inspect, opened, visit
from pipelines.silver.wire import Refused, decode

Landed = Callable[[int, int], pa.Table]
"""Rows of bronze.events at offsets [start, end), whichever there are that can be trusted."""
MOST = 10_000
"""Records of one restored append."""
_STRETCH = 100_000
_INSERT = "INSERT INTO appends VALUES (?, ?, ?, ?, ?, ?)"


def mend(path: Path, landed: Landed, least_end: int, *, dry_run: bool = False) -> list[str]:
    """Make the log at `path` whole; what was done. `least_end`: so many records have landed, so many it must hold.

    One transaction where SQLite can still work with the file; else a new file, put in its place when it is whole: then nobody
    may append meanwhile. Raises StateError `log_lost`, and has changed nothing, where records are gone from both.
    """
    if path.is_file() and path.stat().st_size:
        try:
            with closing(opened(path, "ro" if dry_run else "rw")) as db:
                db.execute("BEGIN" if dry_run else "BEGIN IMMEDIATE")
                found = inspect(db)
                if found.well(least_end):
                    return [] if dry_run else _forget(path)
                if not found.disorder:
                    done = _within(db, found, landed, least_end, dry_run=dry_run)
                    db.execute("COMMIT")
                    return done
        except sqlite3.DatabaseError as error:
            if "locked" in str(error):
                raise StateError("log_busy", f"{path}: another process writes to it. Try again, or stop that first.") from error
            found = Found(disorder=str(error))
    else:
        found = Found(disorder="the file is empty" if path.exists() else "the file is missing")
    if _whole(path).exists() and not dry_run:  # an earlier repair ended here
        return _finish(path) + mend(path, landed, least_end)
    return _anew(path, found, landed, least_end, dry_run=dry_run)


def _within(db: sqlite3.Connection, found: Found, landed: Landed, least_end: int, *, dry_run: bool) -> list[str]:
    """Replace what is not whole, in the transaction that is open."""
    done = []
    damaged = found.damaged(least_end)
    rows = restored(damaged, landed)
    if not dry_run:
        db.executemany("DELETE FROM appends WHERE last_offset = ?", [(key,) for key, _ in found.spoilt])
        db.executemany(_INSERT, rows)
    if damaged:
        done.append(f"log: {told(damaged)} restored from bronze.events")
    elif found.spoilt:
        done.append("log: rows that repeat records removed")
    if not found.clock:
        if not dry_run:
            _set_clock(db)
        done.append("log: its clock computed again from the appends")
    return done


def _anew(path: Path, found: Found, landed: Landed, least_end: int, *, dry_run: bool) -> list[str]:
    """A new file of all whole appends and what is restored; the damaged one is kept beside it."""
    damaged = found.damaged(least_end)
    rows = restored(damaged, landed)
    said = f"log: made anew, since {found.disorder}; {told(damaged)} restored from bronze.events"
    if dry_run:
        return [said]
    scratch = path.with_name("log.new")
    _remove(scratch)
    EmbeddedLog(scratch).close()
    with closing(opened(scratch, "rw")) as new:
        new.execute("BEGIN IMMEDIATE")
        if found.whole:
            with closing(opened(path)) as old:
                visit(old, lambda append: _copy(new, append))
        for row in rows:
            new.execute(_INSERT, row)
        _set_clock(new)
        new.execute("COMMIT")
    scratch.replace(_whole(path))
    return [said, *_finish(path)]


def _finish(path: Path) -> list[str]:
    """Put a new log that is whole in its place, where there is one. What SQLite had not yet written into the old one is in it."""
    new = _whole(path)
    if not new.exists():
        return []
    kept = path.with_name("log.damaged.sqlite")
    if path.exists():
        kept.unlink(missing_ok=True)
        os.link(path, kept)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    new.replace(path)
    return [f"log: the new one is in its place; the damaged one, if it was there, is {kept.name}"]


def _forget(path: Path) -> list[str]:
    """A new log that is not needed any more, since the one in its place is whole."""
    found = _whole(path).exists()
    _remove(_whole(path))
    return [f"log: {_whole(path).name} removed, which an earlier repair left"] if found else []


def restored(damaged: Sequence[Range], landed: Landed) -> list[tuple[int, int, str, int, bytes, int]]:
    """The rows of appends that hold these offsets again. Raises StateError `log_lost`."""
    rows: list[tuple[int, int, str, int, bytes, int]] = []
    lost: list[Range] = []
    for low, high in damaged:
        for start in range(low, high, _STRETCH):
            end = min(start + _STRETCH, high)
            records = landed(start, end)
            lost += _lacking(records["offset"].to_numpy(), start, end)
            rows += _appends(records) if not lost else ()
    if lost:
        raise StateError(
            "log_lost",
            f"{told(lost)} are damaged in the log, and bronze.events does not hold them either: these records are lost. "
            "Bring the file of the log back from a backup, or append them again to a new lake; nothing was changed.",
        )
    return rows


def _appends(records: pa.Table) -> Iterator[tuple[int, int, str, int, bytes, int]]:
    records = records.sort_by("offset")
    clocks, at = records["clock"].to_pylist(), records["appended_at"].cast(pa.int64()).to_numpy()
    changes = [i for i in range(1, len(clocks)) if clocks[i] != clocks[i - 1] or at[i] != at[i - 1]]
    bounds = [0, *changes, len(clocks)]
    for low, high in pairwise(bounds):
        for start in range(low, high, MOST):
            part = records.slice(start, min(MOST, high - start))
            block = pack(part["payload"].to_pylist(), part["received_at"].cast(pa.int64()).to_pylist())
            row = (part["offset"][-1].as_py(), len(part), clocks[start], int(at[start]), block)
            yield *row, checksum(*row)


def _lacking(offsets: np.ndarray[tuple[int], np.dtype[np.int64]], start: int, end: int) -> list[Range]:
    missing = np.setdiff1d(np.arange(start, end), offsets)
    if not len(missing) and len(offsets) == end - start:
        return []
    if not len(missing):  # some twice: which of them is right nobody knows
        return [(start, end)]
    runs = np.split(missing, np.flatnonzero(np.diff(missing) != 1) + 1)
    return [(int(run[0]), int(run[-1]) + 1) for run in runs]


def _copy(db: sqlite3.Connection, append: Append) -> None:
    row = (append.end - 1, append.end - append.start, append.clock, append.appended_at, append.block)
    db.execute(_INSERT, (*row, append.checksum))


def _set_clock(db: sqlite3.Connection) -> None:
    """The floor, and whether the last data came in by the log's own clock, as the appends would have left them."""
    state = [0, 0]
    visit(db, lambda append: _advance(state, append))
    floor, live = state
    db.execute("DELETE FROM clock")
    db.execute("INSERT INTO clock VALUES (0, ?, ?, ?)", (floor, live, checksum(floor, live)))


def _advance(state: list[int], append: Append) -> None:
    records = append.records()
    payloads = records["payload"]
    telling = pc.or_(pc.match_substring(payloads, b"frontier"), pc.match_substring(payloads, b"\\u00"))
    frontiers = [asserted(payload, append.appended_at) for payload in payloads.filter(telling).to_pylist()]
    if append.clock == "log" and all(_declares(payload.as_py()) for payload in payloads):
        return  # appended by `control`: it says nothing about the data's time
    own = [pc.max(records["received_at"]).cast(pa.int64()).as_py()] if append.clock == "log" else []
    state[:] = max([state[0], *frontiers, *own]), int(append.clock == "log")


def _declares(payload: bytes) -> bool:
    decoded = decode(payload)
    return not isinstance(decoded, Refused) and getattr(decoded[0], "action", None) in ("define", "expect", "erase")


def told(ranges: Sequence[Range]) -> str:
    """Ranges of offsets, in words."""
    parts = [f"{low}" if high == low + 1 else f"{low} to {high - 1}" for low, high in ranges]
    more = f" and {len(parts) - 8} more" if len(parts) > 8 else ""
    return f"offsets {', '.join(parts[:8])}{more}" if parts else "no offsets"


def _whole(path: Path) -> Path:
    """Where a new log stands that is whole and not yet in its place."""
    return path.with_name("log.repaired")


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
