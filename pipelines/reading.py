"""Files as blocks of records: NDJSON lines as they are, rows of CSV and Parquet as values by column."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
from pyarrow import parquet

from pipelines.errors import InputError

BLOCK_RECORDS = 5_000
BLOCK_BYTES = 8 << 20
LONGEST = 16 << 20
"""Bytes of a line that are kept; beyond 1 MiB a record is quarantined anyway, and it must fit into memory."""
FORMATS = {
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".json": "ndjson",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
}

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Block:
    """Some records, and where to go on behind them: a byte of the file, or a row of a Parquet file.

    Bytes are a record as it stands; a row, values by column, still has to become one.
    """

    items: Sequence[bytes | Row]
    position: int
    blank: int = 0


def format_of(path: Path) -> str:
    """ndjson, csv or parquet. Raises InputError is_a_folder, file_missing or format_unknown."""
    if path.is_dir():
        endings = sorted({file.suffix for file in path.iterdir() if file.suffix.lower() in FORMATS}) or [".parquet"]
        named = " ".join(f"{path}/*{ending}" for ending in endings)
        raise InputError("is_a_folder", f"{path}: this is a folder; expected the files in it, such as {named}")
    if not path.is_file():
        raise InputError("file_missing", f"{path}: there is no such file")
    if path.suffix.lower() not in FORMATS:
        raise InputError("format_unknown", f"{path}: expected a name that ends with one of {', '.join(FORMATS)}")
    return FORMATS[path.suffix.lower()]


def lines(stream: BinaryIO, position: int) -> Iterator[Block]:
    """The lines of a stream from a position on, without line feeds. Blank ones are counted, overlong ones cut."""
    size, blank, items = 0, 0, list[bytes | Row]()
    while line := stream.readline(LONGEST):
        position += len(line)
        more = line
        while not more.endswith(b"\n") and (more := stream.readline(LONGEST)):
            position += len(more)
        record = line.removesuffix(b"\n")
        if record.strip():
            items.append(record)
            size += len(record)
        else:
            blank += 1
        if len(items) >= BLOCK_RECORDS or size >= BLOCK_BYTES:
            yield Block(items, position, blank)
            size, blank, items = 0, 0, []
    if items or blank:
        yield Block(items, position, blank)


def columns(path: Path, delimiter: str = ",") -> list[str]:
    """The columns of a CSV or Parquet file. Raises InputError file_unreadable, not_utf8 or column_twice."""
    with _readable(path), path.open("rb") as stream:
        is_parquet = format_of(path) == "parquet"
        names = parquet.read_schema(path).names if is_parquet else _Cells(stream, 0, delimiter).header()
    refuse_other_than_utf8(path, "its header", names)
    if len(set(names)) < len(names):
        doubled = ", ".join(sorted({name for name in names if names.count(name) > 1}))
        raise InputError("column_twice", f"{path}: more than one column is called {doubled}")
    return list(names)


def refuse_other_than_utf8(path: Path, what: str, texts: Iterable[str]) -> None:
    """Raises InputError not_utf8. (No text holds a null character either: ASCII letters of UTF-16 are full of them.)"""
    try:
        if b"\0" not in "".join(texts).encode():
            return
    except UnicodeEncodeError:  # bytes that could not be decoded stand as lone surrogates
        pass
    raise InputError(
        "not_utf8",
        f"{path}: {what} is not UTF-8; save the file so, or convert it, for example: iconv -f UTF-16 -t UTF-8 (spreadsheets "
        "write UTF-16 or ISO-8859-1)",
    )


def length(path: Path) -> int:
    """What the last block's position will be: bytes, or rows of a Parquet file."""
    if format_of(path) != "parquet":
        return path.stat().st_size
    with _readable(path):
        return int(parquet.read_metadata(path).num_rows)


def naive_times(path: Path) -> list[str]:
    """The columns of a Parquet file that hold times without saying of which zone."""
    with _readable(path):
        schema = parquet.read_schema(path)
    return [field.name for field in schema if pa.types.is_timestamp(field.type) and field.type.tz is None]


def rows(path: Path, wanted: Sequence[str], position: int, delimiter: str = ",") -> Iterator[Block]:
    """The rows of a CSV or Parquet file from a position on, with the wanted columns. See `Block`."""
    with _readable(path):
        if format_of(path) == "parquet":
            yield from _parquet_rows(path, list(wanted), position)
        else:
            yield from _csv_rows(path, wanted, position, delimiter)


def _csv_rows(path: Path, wanted: Sequence[str], position: int, delimiter: str) -> Iterator[Block]:
    """A row that does not have the header's cells is a record of its own: the bytes of its lines, as they stand."""
    with path.open("rb") as stream:
        cells = _Cells(stream, 0, delimiter)
        names = cells.header()
        if position > cells.position:
            stream.seek(position)
            cells = _Cells(stream, position, delimiter)
        places = [(name, names.index(name)) for name in wanted]
        size, blank, items = 0, 0, list[bytes | Row]()
        for row, raw in cells:
            if row is not None and len(row) == len(names):
                items.append({name: row[place] for name, place in places})
            elif raw.strip():
                items.append(raw)
            else:
                blank += 1
            size += len(raw)
            if len(items) >= BLOCK_RECORDS or size >= BLOCK_BYTES:
                yield Block(items, cells.position, blank)
                size, blank, items = 0, 0, []
        if items or blank:
            yield Block(items, cells.position, blank)


class _Cells:
    """The rows of a CSV file from a position on, each with its bytes; None where the bytes are no row.

    The standard library's reader goes on after a broken row, and bytes that are not UTF-8 come through it unharmed.
    """

    def __init__(self, stream: BinaryIO, position: int, delimiter: str) -> None:
        self.position, self._stream, self._raw = position, stream, list[bytes]()
        self._reader = csv.reader(self._lines(), delimiter=delimiter)

    def header(self) -> list[str]:
        row, _ = next(iter(self), ([], b""))
        return [name.removeprefix("\ufeff") for name in row or []]

    def __iter__(self) -> Iterator[tuple[list[str] | None, bytes]]:
        while True:
            self._raw.clear()
            try:
                row: list[str] | None = next(self._reader)
            except StopIteration:
                return
            except csv.Error:
                row = None
            yield row, b"".join(self._raw).rstrip(b"\r\n")

    def _lines(self) -> Iterator[str]:
        while line := self._stream.readline(LONGEST):
            self.position += len(line)
            self._raw.append(line)
            yield line.decode("utf-8", "surrogateescape")


def _parquet_rows(path: Path, wanted: list[str], position: int) -> Iterator[Block]:
    file = parquet.ParquetFile(path)
    behind, groups = 0, list(range(file.metadata.num_row_groups))
    while groups and behind + file.metadata.row_group(groups[0]).num_rows <= position:
        behind += file.metadata.row_group(groups.pop(0)).num_rows
    for batch in file.iter_batches(BLOCK_RECORDS, row_groups=groups, columns=wanted):
        skipped = min(len(batch), max(0, position - behind))
        behind += len(batch)
        if skipped < len(batch):
            yield Block(_pylist(batch.slice(skipped)), behind)


def _pylist(batch: pa.RecordBatch) -> list[Row]:
    """Rows as Python values."""
    cells = [_cells(column) for column in batch.columns]
    return [dict(zip(batch.schema.names, row, strict=True)) for row in zip(*cells, strict=True)]


def _cells(column: pa.Array) -> list[Any]:
    """Times in microseconds, maps as dictionaries."""
    if pa.types.is_timestamp(column.type):
        return list(column.cast(pa.timestamp("us", column.type.tz), safe=False).to_pylist())
    if pa.types.is_map(column.type):
        return [None if cell is None else dict(cell) for cell in column.to_pylist()]
    return list(column.to_pylist())


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        form = FORMATS[path.suffix.lower()]
        raise InputError("file_unreadable", f"{path}: cannot be read as {form}: {error}") from error
