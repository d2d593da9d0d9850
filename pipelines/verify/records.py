"""The log, read on its own: SQLite rows of Arrow blocks, or files of bronze.events; nothing of the project in between."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from pipelines.errors import StateError
from pipelines.verify.stored import Stored

_TIMES = ("received_at", "appended_at")
_RECORDS = pa.schema(
    [("offset", pa.int64()), ("clock", pa.string()), ("payload", pa.binary()), *((name, pa.timestamp("us", "UTC")) for name in _TIMES)]
)
_SUMMED = ds.ParquetFragmentScanOptions(page_checksum_verification=True)
_STRETCH = 50_000
"""Records of bronze.events that are read at once."""


@dataclass(frozen=True)
class Block:
    """Consecutive records of the log: `payloads[i]` stands at offset `start + i`; `received_at` is in microseconds.

    `appended_at` is the wall clock of the append that holds them, likewise.
    """

    start: int
    clock: str
    payloads: list[bytes]
    received_at: list[int]
    appended_at: int


def path_of(lake: Path) -> Path:
    """Where a lake keeps its log: in a file, or in bronze.events itself."""
    return lake / "bronze" / "events" if (lake / "_log" / "in_bronze").exists() else lake / "_log" / "log.sqlite"


def key_of(lake: Path) -> Path:
    """Where a lake keeps the key by which it knows the subjects that were erased."""
    return lake / "_log" / "erasure.key"


def end(log: Path) -> int:
    """The offset that the next record will get. Raises StateError `log_not_found` or `log_unreadable`."""
    if log.is_dir():
        last = pc.max(_events(log).to_table(["offset"])["offset"]).as_py()
        return 0 if last is None else int(last) + 1
    with closing(_open(log)) as db:
        try:
            last = db.execute("SELECT MAX(last_offset) FROM appends").fetchone()[0]
        except sqlite3.DatabaseError as error:
            raise _unreadable(log, str(error)) from error
    return 0 if last is None else int(last) + 1


def processed(lake: Path) -> int:
    """The offset below which the query that refines has committed everything, as its checkpoint says: it reads the log itself."""
    reached = 0
    for folder in (lake / "_checkpoints").glob("*refine*"):
        batches = [int(file.name) for file in (folder / "commits").glob("*") if file.name.isdigit()]
        if batches:
            reached = max(reached, int(json.loads((folder / "offsets" / str(max(batches))).read_text().splitlines()[-1])["offset"]))
    return reached


def may_hold(log: Path, stop: int, word: bytes) -> bool:
    """Whether a record below an offset holds a word, or escaped letters that may hide it."""
    return any(word in payload or b"\\u00" in payload for block in blocks(log, 0, stop) for payload in block.payloads)


def blocks(log: Path, start: int, stop: int) -> Iterator[Block]:
    """The records with offsets in [start, stop), in order.

    Raises StateError `log_unreadable` where offsets are missing or a block does not hold what its row says.
    """
    if log.is_dir():
        yield from _shared(log, start, stop)
        return
    expected = start
    with closing(_open(log)) as db:
        rows = db.execute(
            "SELECT last_offset, count, clock, appended_at, block, checksum FROM appends "
            "WHERE last_offset >= ? AND last_offset - count + 1 < ? ORDER BY last_offset",
            (start, stop),
        )
        for last, count, clock, appended, body, checksum in rows:
            if zlib.crc32(body, zlib.crc32(f"{last},{count},{clock},{appended},".encode())) != checksum:
                raise _unreadable(log, f"append up to offset {last}: it does not match its checksum")
            first = int(last) - int(count) + 1
            table = _table(log, int(last), body)
            if table.num_rows != count or first > expected:
                raise _unreadable(
                    log,
                    f"append up to offset {last}: {table.num_rows} records from offset {first}; "
                    f"expected {count} from {expected}",
                )
            low, high = max(0, start - first), min(int(count), stop - first)
            kept = table.slice(low, high - low)
            times = kept.column("received_at").cast(pa.timestamp("us", "UTC")).cast(pa.int64())
            yield Block(first + low, str(clock), kept.column("payload").to_pylist(), times.to_pylist(), int(appended))
            expected = int(last) + 1


def _events(log: Path) -> Any:
    """The files of bronze.events."""
    files = [file for file, _ in Stored(log.parent.parent, "bronze.events").files]
    return ds.dataset(files, _RECORDS, format="parquet")


def _shared(log: Path, start: int, stop: int) -> Iterator[Block]:
    """As `blocks`, where bronze.events is the log: runs of records of one clock and one append."""
    events, offset = _events(log), ds.field("offset")
    for low in range(start, stop, _STRETCH):
        high = min(low + _STRETCH, stop)
        try:
            found = events.to_table(filter=(offset >= low) & (offset < high), fragment_scan_options=_SUMMED).sort_by("offset")
        except OSError as error:
            raise _unreadable(log, str(error)) from error
        rows = {name: (found[name].cast(pa.int64()) if name in _TIMES else found[name]).to_pylist() for name in found.column_names}
        if rows["offset"] != list(range(low, high)):
            raise _unreadable(log, f"offsets {low} to {high - 1} do not all stand there once")
        appends = list(zip(rows["clock"], rows["appended_at"], strict=True))
        starts = [at for at in range(high - low) if not at or appends[at] != appends[at - 1]]
        for first, after in pairwise([*starts, high - low]):
            yield Block(low + first, appends[first][0], rows["payload"][first:after], rows["received_at"][first:after], appends[first][1])


def _open(log: Path) -> sqlite3.Connection:
    if not log.is_file():
        raise StateError("log_not_found", f"{log}: there is no log; expected that of a lake that has taken records in")
    return sqlite3.connect(f"{log.resolve().as_uri()}?mode=ro", uri=True, timeout=60)


def _table(log: Path, last: int, body: bytes) -> Any:
    try:
        return pa.ipc.open_stream(body).read_all()
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(log, f"append up to offset {last}: the block is no Arrow stream ({error})") from error


def _unreadable(log: Path, found: str) -> StateError:
    advice = "`hindsight doctor` says what is damaged." if log.is_dir() else "`hindsight repair` restores what has landed."
    return StateError("log_unreadable", f"{log}: {found}. {advice}")
