"""Files into the log: block by block, resumable, and never stopped by a bad record.

A record that is no event still becomes a record of the log; refine quarantines it with its reason. What lies behind us is
written down after the append, so a crash sends at most one block again: its events have the same ids, and are duplicates.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

import msgspec

from pipelines.errors import InputError, nearest
from pipelines.mapping import Mapping as ColumnMapping
from pipelines.mapping import load_mapping
from pipelines.reading import Block, columns, format_of, lines, naive_times, rows
from pipelines.records import Record, event_times, history, row_event

Source = Path | Literal["-"]
APPEND_BYTES = 32 << 20
"""The most payload of one append."""
_MINUTE = timedelta(minutes=1)


class Log(Protocol):
    """What an import needs of a log; `pipelines.log.embedded.EmbeddedLog` is one."""

    def append(self, payloads: Sequence[bytes], received_at: Sequence[datetime] | None = None) -> int: ...

    def assert_frontier(self, at: datetime) -> int: ...


@dataclass(frozen=True)
class Progress:
    """How far an import is within one file: `done` of `total` (bytes, or rows of a Parquet file; None: a pipe)."""

    file: str
    records: int
    done: int
    total: int | None


@dataclass(frozen=True)
class FileReport:
    """What came of one file: `records` appended now, of which `bad_rows` could not be read as rows; `resumed`: records that
    an earlier import had appended; `blank` lines and `silent` rows (without anything to say) hold no record.
    """

    file: str
    records: int
    resumed: int
    blank: int
    silent: int
    bad_rows: int


@dataclass(frozen=True)
class ImportReport:
    """What came of an import; `frontier` is the closing one, where one was asserted."""

    files: tuple[FileReport, ...]
    frontier: datetime | None

    @property
    def records(self) -> int:
        return sum(file.records for file in self.files)


class _State(msgspec.Struct):
    """What lies behind us in one file; `latest`: the greatest claimed receipt so far."""

    file: str
    position: int = 0
    records: int = 0
    finished: bool = False
    latest: datetime | None = None


def import_files(
    files: Sequence[Source],
    log: Log,
    *,
    state_dir: Path,
    mapping: Path | None = None,
    claimed: bool = False,
    frontier: bool = False,
    progress: Callable[[Progress], None] | None = None,
    stdin: BinaryIO | None = None,
) -> ImportReport:
    """Append the records of files (NDJSON, CSV, Parquet; "-" is NDJSON from a pipe) to the log.

    `claimed`: history; each record says when it was received (`records.history`). `frontier`: it is all there is, so after
    the last file the log asserts the next whole minute after the last receipt. `state_dir` remembers what has been done.

    Raises, before anything is appended, InputError (no_files, file_missing, format_unknown, file_unreadable, column_twice,
    column_missing, mapping_missing, time_zone_missing, frontier_not_claimed), and ConfigError for the mapping.
    """
    if not files:
        raise InputError("no_files", 'import: no files; expected NDJSON, CSV or Parquet files, or "-" for standard input')
    if frontier and not claimed:
        raise InputError(
            "frontier_not_claimed", "import: a closing frontier belongs to history; without a claimed clock the log knows the time"
        )
    chosen = load_mapping(mapping) if mapping else None
    for file in files:
        _check(file, chosen)
    work = [_Work(file, log, chosen, claimed, state_dir, progress) for file in files]
    with ExitStack() as stack:
        reports = tuple(one.run(stdin or sys.stdin.buffer, stack) for one in work)
    latest = max((one.state.latest for one in work if one.state.latest), default=None)
    if not frontier or latest is None:
        return ImportReport(reports, None)
    closing = latest - (latest - datetime(1970, 1, 1, tzinfo=UTC)) % _MINUTE + _MINUTE
    log.assert_frontier(closing)
    return ImportReport(reports, closing)


class _Work:
    """The import of one file."""

    def __init__(
        self,
        file: Source,
        log: Log,
        mapping: ColumnMapping | None,
        claimed: bool,
        state_dir: Path,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self.file, self.log, self.mapping, self.claimed, self.progress = file, log, mapping, claimed, progress
        self.state_path = None if file == "-" else state_dir / f"{_identity(file, mapping, claimed)}.json"
        self.state = _remembered(self.state_path) or _State(str(file))
        self.silent = self.bad_rows = 0

    def run(self, stdin: BinaryIO, stack: ExitStack) -> FileReport:
        before, blank = self.state.records, 0
        if not self.state.finished:
            for block in self._blocks(stdin, stack):
                blank += block.blank
                self._append([record for item in block.items for record in self._records(item)])
                self.state.position = block.position
                self._remember()
            self.state.finished = True
            self._remember()
        return FileReport(str(self.file), self.state.records - before, before, blank, self.silent, self.bad_rows)

    def _blocks(self, stdin: BinaryIO, stack: ExitStack) -> Iterator[Block]:
        if self.file == "-":
            return lines(stdin, 0)
        if format_of(self.file) == "ndjson":
            stream = stack.enter_context(self.file.open("rb"))
            stream.seek(self.state.position)
            return lines(stream, self.state.position)
        delimiter = self.mapping.delimiter if self.mapping else ","
        wanted = self.mapping.columns if self.mapping else columns(self.file)
        return rows(self.file, wanted, self.state.position, delimiter)

    def _records(self, item: bytes | Mapping[str, object]) -> list[Record]:
        """The records of a line or a row."""
        row = item if self.mapping or not isinstance(item, bytes) else None
        if isinstance(row, bytes):
            row = _document(row) if self.file == "-" or format_of(self.file) == "ndjson" else None
            if row is None:
                self.bad_rows += 1
                return [(item, None)] if isinstance(item, bytes) else []
        if row is None:
            return [history(item) if self.claimed else (item, None)] if isinstance(item, bytes) else []
        found = self.mapping.events(row) if self.mapping else [row_event(row)]
        self.silent += not found
        return found

    def _append(self, records: list[Record]) -> None:
        """Append records; one that does not say when it was received came with the one before it."""
        start = size = 0
        for end, (payload, _) in enumerate(records, 1):
            size += len(payload)
            if size >= APPEND_BYTES or end == len(records):
                self._append_some(records[start:end])
                start, size = end, 0

    def _append_some(self, records: list[Record]) -> None:
        payloads = [payload for payload, _ in records]
        if not self.claimed:
            self.log.append(payloads)
        else:
            times, last = [], self.state.latest or datetime(1970, 1, 1, tzinfo=UTC)
            for _, at in records:
                last = at or last
                times.append(last)
            self.log.append(payloads, times)
            self.state.latest = max([*times, *([self.state.latest] if self.state.latest else [])])
        self.state.records += len(records)

    def _remember(self) -> None:
        if self.progress:
            total = None if self.file == "-" else _length(self.file)
            self.progress(Progress(str(self.file), self.state.records, self.state.position, total))
        if self.state_path:
            self.state_path.parent.mkdir(parents=True, exist_ok=True)
            beside = self.state_path.with_suffix(f".{os.getpid()}")
            beside.write_bytes(msgspec.json.encode(self.state))
            beside.replace(self.state_path)


def _check(file: Source, mapping: ColumnMapping | None) -> None:
    """Whether a file can be imported at all."""
    form = "ndjson" if file == "-" else format_of(file)
    if file == "-" or form == "ndjson":
        return
    if mapping is None:
        if form == "csv":
            raise InputError(
                "mapping_missing",
                f"{file}: a CSV file needs a column mapping; `hindsight model init NAME --from {file}` writes one to start from",
            )
        naive = sorted(set(naive_times(file)) & {*event_times(), "received_at"})
        if naive:
            raise InputError(
                "time_zone_missing",
                f"{file}: the times in {', '.join(naive)} do not say of which zone; expected a mapping with source.time_zone",
            )
        return
    found = columns(file, mapping.delimiter)
    missing = [f'"{name}"{nearest(name, found)}' for name in mapping.columns if name not in found]
    if missing:
        raise InputError("column_missing", f"{file}: no column {', '.join(missing)}; it has {', '.join(found)}")
