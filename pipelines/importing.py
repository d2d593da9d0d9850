"""Files into the log: block by block, resumable, and never stopped by a bad record.

A record that is no event still becomes a record of the log; refine quarantines it with its reason. What lies behind an
import is written down after the append, so a crash sends at most one block again: its events have the same ids, and are
duplicates.
"""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

from pipelines.errors import InputError, nearest
from pipelines.imported import Memory, latest_of
from pipelines.mapping import Mapping, load_mapping
from pipelines.reading import Block, Row, columns, format_of, length, lines, naive_times, rows
from pipelines.records import OWN_TIMES, Record, kind_of, reader

Source = Path | Literal["-"]
APPEND_BYTES = 32 << 20
"""The most payload of one append."""
_MINUTE = timedelta(minutes=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Log(Protocol):
    """What an import needs of a log; `pipelines.log.embedded.EmbeddedLog` is one."""

    def append(self, payloads: Sequence[bytes], received_at: Sequence[datetime] | None = None) -> int: ...

    def assert_frontier(self, at: datetime) -> int: ...

    def clock(self) -> tuple[datetime, bool]: ...


@dataclass(frozen=True)
class Progress:
    """How far an import is within one file: `done` of `total` (bytes, or rows of a Parquet file; None: a pipe)."""

    file: str
    records: int
    done: int
    total: int | None


@dataclass(frozen=True)
class FileReport:
    """What came of one file.

    `records`: appended now, of which `inferences`, `feedback`, and `not_events`: without a known kind, so that refine
    will quarantine them; `already_there`: appended by an earlier import; `blank_lines`: without anything; `unlabelled`:
    rows that say nothing yet, as the mapping takes labels alone and theirs is empty; `belated`: appended now, with a receipt before
    the frontier of the log, at which they are received then.
    """

    file: str
    records: int
    inferences: int
    feedback: int
    not_events: int
    already_there: int
    blank_lines: int
    unlabelled: int
    belated: int


@dataclass(frozen=True)
class ImportReport:
    """What came of an import; `frontier` is the closing one, where one was asserted."""

    files: tuple[FileReport, ...]
    frontier: datetime | None

    @property
    def records(self) -> int:
        return sum(file.records for file in self.files)


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

    `claimed`: history; each record says when it was received (see `records.history`, `mapping.Section`). `frontier`:
    nothing older is to come, so at the end the whole minute after the last receipt is asserted: the last of these files, and of
    those of earlier imports. `state_dir` remembers what was done.

    Raises, before anything is appended, InputError (no_files, is_a_folder, file_missing, format_unknown,
    file_unreadable, column_twice, column_missing, mapping_missing, time_zone_missing, frontier_not_claimed); ConfigError for a mapping.
    Raises, when everything is appended, InputError frontier_from_the_future: receipts claim to be later than now.
    """
    chosen, forms = checked(files, mapping, claimed=claimed, frontier=frontier)
    reports, latest = [], latest_of(state_dir)
    before, _ = log.clock()
    for file, form in zip(files, forms, strict=True):
        memory = Memory(None if file == "-" else state_dir / f"{_identity(file, chosen, claimed)}.json", str(file), before)
        with _blocks(file, form, chosen, memory.position, stdin) as blocks:
            records = _told(blocks, reader(form, chosen, claimed))
            reports.append(_import(records, log, memory, claimed=claimed, tell=_teller(file, progress)))
        latest = max(filter(None, (latest, memory.latest)), default=None)
    if not frontier or latest is None:
        return ImportReport(tuple(reports), None)
    closing = latest - (latest - _EPOCH) % _MINUTE + _MINUTE
    log.assert_frontier(closing)
    return ImportReport(tuple(reports), closing)


def checked(
    files: Sequence[Source], mapping: Path | None, *, claimed: bool, frontier: bool
) -> tuple[Mapping | None, list[str]]:
    """The mapping, and the format of each file, where they can be imported so. Raises what `import_files` raises before it appends."""
    if not files:
        raise InputError("no_files", 'import: no files; expected NDJSON, CSV or Parquet files, or "-" for a pipe')
    if frontier and not claimed:
        raise InputError(
            "frontier_not_claimed",
            "import: a closing frontier belongs to history; without a claimed clock the log itself knows the time",
        )
    chosen = load_mapping(mapping) if mapping else None
    return chosen, [_checked(file, chosen) for file in files]


def _told(
    blocks: Iterator[Block], read: Callable[[bytes | Row], list[Record]]
) -> Iterator[tuple[Block, list[list[Record]]]]:
    """Blocks, and the records of each of their lines or rows."""
    for block in blocks:
        yield block, [read(item) for item in block.items]


def _import(
    told: Iterator[tuple[Block, list[list[Record]]]],
    log: Log,
    memory: Memory,
    *,
    claimed: bool,
    tell: Callable[[Memory], None],
) -> FileReport:
    """Append blocks, and write down after each what lies behind."""
    before, blank, unlabelled, kinds = memory.records, 0, 0, Counter[str]()
    if not memory.finished:
        for block, found in told:
            blank += block.blank
            unlabelled += sum(not records for records in found)
            appended = [record for records in found for record in records]
            memory.records += _append(log, appended, memory, claimed)
            kinds.update(kind_of(payload) for payload, _ in appended)
            memory.position = block.position
            memory.write()
            tell(memory)
        memory.finished = True
        memory.write()
    return FileReport(
        file=memory.file,
        records=memory.records - before,
        inferences=kinds["inference"],
        feedback=kinds["feedback"],
        not_events=kinds[""],
        already_there=before,
        blank_lines=blank,
        unlabelled=unlabelled,
        belated=memory.belated,
    )


def _append(log: Log, records: list[Record], memory: Memory, claimed: bool) -> int:
    """Append records; one that does not say when it was received came with the one before it."""
    start = size = 0
    for end, (payload, _) in enumerate(records, 1):
        size += len(payload)
        if size < APPEND_BYTES and end < len(records):
            continue
        payloads = [payload for payload, _ in records[start:end]]
        if claimed:
            times = [memory.receipt(at) for _, at in records[start:end]]
            log.append(payloads, times)
        else:
            log.append(payloads)
        start, size = end, 0
    return len(records)


@contextmanager
def _blocks(
    file: Source, form: str, mapping: Mapping | None, position: int, stdin: BinaryIO | None
) -> Iterator[Iterator[Block]]:
    """The blocks of a file from a position on."""
    if file == "-":
        yield lines(stdin or sys.stdin.buffer, 0)
    elif form == "ndjson":
        with file.open("rb") as stream:
            stream.seek(position)
            yield lines(stream, position)
    else:
        wanted = mapping.columns if mapping else columns(file)
        yield rows(file, wanted, position, mapping.delimiter if mapping else ",")


def _teller(file: Source, progress: Callable[[Progress], None] | None) -> Callable[[Memory], None]:
    total = None if file == "-" else length(file)

    def tell(memory: Memory) -> None:
        if progress:
            progress(Progress(memory.file, memory.records, memory.position, total))

    return tell


def _identity(file: Path, mapping: Mapping | None, claimed: bool) -> str:
    """The same file with the same content, read in the same way: by path, size, time of change, mapping and clock."""
    facts = file.stat()
    parts = (str(file.resolve()), facts.st_size, facts.st_mtime_ns, mapping.digest if mapping else "", claimed)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]


def _checked(file: Source, mapping: Mapping | None) -> str:
    """The format of a file that can be imported."""
    form = "ndjson" if file == "-" else format_of(file)
    if file == "-" or form == "ndjson":
        return form
    if mapping is None:
        if form == "csv":
            raise InputError(
                "mapping_missing",
                f"{file}: a CSV file needs a column mapping; `hindsight model init NAME --from {file}` writes one",
            )
        naive = sorted(set(naive_times(file)) & {*OWN_TIMES, "received_at"})
        if naive:
            raise InputError(
                "time_zone_missing",
                f"{file}: times without a zone in {', '.join(naive)}; expected a mapping with source.time_zone",
            )
        return form
    found = columns(file, mapping.delimiter)
    missing = [f'"{name}"{nearest(name, found)}' for name in mapping.columns if name not in found]
    if missing:
        raise InputError("column_missing", f"{file}: no column {', '.join(missing)}; it has {', '.join(found)}")
    return form
