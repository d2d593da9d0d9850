"""Records of the log replaced by a tombstone where they stand, so that no byte of them is left in its file."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipelines.errors import StateError
from pipelines.log.block import Append, checksum, pack, unreadable
from pipelines.log.sound import opened, visit
from pipelines.silver.erased import TOMBSTONE

Offsets = np.ndarray[tuple[int], np.dtype[np.int64]]
AT_ONCE = 100
"""Appends of one transaction: producers wait for no longer than it takes."""
_PATIENCE = 120.0
"""Seconds to wait for those who read the log."""
_NEXT = (
    "SELECT last_offset, count, clock, appended_at, block, checksum FROM appends WHERE last_offset >= ? "
    "ORDER BY last_offset LIMIT 1"
)


def erase(path: Path, offsets: Sequence[int]) -> None:
    """Replace the records at these offsets, in ascending order; positions and receipts stay. Producers may append meanwhile.

    Then the file is made anew by SQLite, page by page, and what was in its journal goes. Raises StateError `log_unreadable`,
    or `log_busy` where others read or write it for longer than two minutes; to be done again then.
    """
    try:
        with closing(opened(path, "rw")) as db:
            # what a block leaves behind is overwritten, not just given free
            db.execute("PRAGMA secure_delete = ON")
            left = np.array(offsets, "int64")
            while len(left):
                db.execute("BEGIN IMMEDIATE")
                for _ in range(AT_ONCE):
                    left = _replace(db, left) if len(left) else left
                db.execute("COMMIT")
            db.execute("VACUUM")
            _empty_journal(db)
    except sqlite3.DatabaseError as error:
        if "locked" not in str(error):
            raise unreadable(str(path), str(error)) from error
        raise StateError("log_busy", f"{path}: {error}. Others read or write it all the while: try again.") from error


def standing(path: Path, offsets: Sequence[int]) -> list[int]:
    """Of these offsets, those at which a record stands that is no tombstone, ascending; damaged appends are passed over.

    Raises sqlite3.DatabaseError where SQLite cannot read the file.
    """
    wanted, found = np.array(offsets, "int64"), list[int]()

    def look(append: Append) -> None:
        here = wanted[(wanted >= append.start) & (wanted < append.end)].tolist()
        payloads = append.records()["payload"] if here else []
        found.extend(at for at in here if payloads[at - append.start].as_py() != TOMBSTONE)

    with closing(opened(path)) as db:
        visit(db, look)
    return sorted(found)


def _replace(db: sqlite3.Connection, offsets: Offsets) -> Offsets:
    """Rewrite the append that holds the first of these offsets; the offsets beyond it."""
    last, count, clock, appended_at, block, stored = db.execute(_NEXT, (int(offsets[0]),)).fetchone()
    records = Append(last - count + 1, last + 1, clock, appended_at, block, stored).records()
    payloads, beyond = records["payload"].to_pylist(), int(np.searchsorted(offsets, last, "right"))
    for offset in offsets[:beyond].tolist():
        payloads[offset - (last - count + 1)] = TOMBSTONE
    if payloads != records["payload"].to_pylist():
        row = (last, count, clock, appended_at, pack(payloads, records["received_at"].cast(pa.int64()).to_pylist()))
        db.execute("UPDATE appends SET block = ?, checksum = ? WHERE last_offset = ?", (row[-1], checksum(*row), last))
    return offsets[beyond:]


def _empty_journal(db: sqlite3.Connection) -> None:
    deadline = time.monotonic() + _PATIENCE
    while db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
        if time.monotonic() > deadline:
            raise sqlite3.OperationalError("its write-ahead log is locked")
        time.sleep(0.05)
