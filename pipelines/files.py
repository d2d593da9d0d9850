"""Data files of tables: Parquet whose pages carry checksums, which readers verify, under a name that carries the file's.

Without checksums, which delta-rs does not write, two flipped bits of three come out of a file as other values and no error.
Spark writes those of the pages by itself, and verifies them as `session.py` tells it to. The name covers the footer and the headers of
pages too: whatever is read here is held against it first.
"""

from __future__ import annotations

import json
import re
import time
import uuid
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs as pa_fs
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.transaction import AddAction

from pipelines.contract import Table
from pipelines.errors import StateError

_NAME = re.compile(r"part-[0-9a-f-]{36}-([0-9a-f]{8})\.zstd\.parquet")
_FORMAT = ds.ParquetFileFormat()
_GROUP = 1 << 14
"""Rows of a row group: what a lookup reads at least."""
VERIFIED = ds.ParquetFragmentScanOptions(page_checksum_verification=True)
"""The scan option of every reader."""


def write(root: Path, table: Table, rows: pa.Table, *, data_change: bool = True) -> list[AddAction]:
    """Write rows as files under the folder of a table, one per partition; what a commit must say to add them."""
    return [_file(root, table, values, part, data_change) for values, part in _partitions(table, rows)]


def read(root: Path, delta: DeltaTable, columns: Sequence[str] | None = None, filters: Any = None) -> pa.Table:
    """Rows of a table as it stands. Raises StateError `data_file_damaged` or `table_rewritten`."""
    with _foreign(root):
        return _scanner(root, delta, columns, filters).to_table()


def scan(root: Path, delta: DeltaTable, columns: Sequence[str] | None = None) -> pa.RecordBatchReader:
    """The same, batch by batch."""
    return _scanner(root, delta, columns, None).to_reader()


def _scanner(root: Path, delta: DeltaTable, columns: Sequence[str] | None, filters: Any) -> ds.Scanner:
    # delta-rs's own file system calls back into Python, and aborts a process that ends while one still reads ahead
    local = pa_fs.SubTreeFileSystem(str(root), pa_fs.LocalFileSystem())
    dataset = delta.to_pyarrow_dataset(filesystem=local)
    for fragment in dataset.get_fragments(filters):
        _prove(root / fragment.path)
    return dataset.scanner(columns=columns and list(columns), filter=filters, fragment_scan_options=VERIFIED)


def read_files(files: Iterable[str], table: Table, filters: Any = None, columns: Sequence[str] = ()) -> pa.Table:
    """The rows of some of a table's files, in its schema; partition values from their paths."""
    return read_groups(dict.fromkeys(files), table, filters, columns)


def read_groups(
    groups: Mapping[str, Sequence[int] | None], table: Table, filters: Any = None, columns: Sequence[str] = ()
) -> pa.Table:
    """The rows of some row groups of a table's files (None: of all), as `read_files`; of all columns, or some."""
    for file in groups:
        _prove(Path(file))
    parts = pa.schema([table.arrow.field(name) for name in table.partition_by])
    hive, local = ds.partitioning(parts, flavor="hive"), pa_fs.LocalFileSystem()
    fragments = [
        _FORMAT.make_fragment(file, local, hive.parse("/".join(Path(file).parts[-1 - len(parts) :])), row_groups=of)
        for file, of in groups.items()
    ]
    # Spark writes partition columns into its files too
    written = [field for found in fragments[:1] for field in found.physical_schema if field.name not in table.partition_by]
    schema = pa.schema([*written, *parts]) if fragments else table.arrow
    rows = ds.FileSystemDataset(fragments, schema, _FORMAT, local)
    names = list(columns or table.names)
    asked = pa.schema([table.arrow.field(name) for name in names])
    with _foreign(Path(next(iter(groups), ""))):
        return rows.to_table(columns=names, filter=filters, fragment_scan_options=VERIFIED).cast(asked)


def keys(file: str, column: str) -> Iterator[tuple[int, pa.ChunkedArray]]:
    """One column, by row group."""
    _prove(Path(file))
    with pq.ParquetFile(file, page_checksum_verification=True) as opened:
        for group in range(opened.num_row_groups):
            yield group, opened.read_row_group(group, [column]).column(0)


@contextmanager
def _foreign(place: Path) -> Iterator[None]:
    """Name what delta-rs leaves where it changes rows: texts in a type that cannot be compared."""
    try:
        yield
    except pa.ArrowNotImplementedError as error:
        raise StateError(
            "table_rewritten",
            f"{place}: another program has written rows there, in types that Hindsight writes none in ({error}). `hindsight doctor` "
            "says what it did, and what mends it.",
        ) from error


def _prove(file: Path) -> None:
    """Raise StateError `data_file_damaged` where a file is not there, or does not hold what its name says.

    The checksums of pages say nothing of their headers.
    """
    try:
        facts = file.stat()
    except FileNotFoundError as error:
        raise _damaged(file, "is missing") from error
    _proven(file, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=1 << 16)
def _proven(file: Path, _size: int, _changed: int) -> None:
    """Prove a file once per process, as long as it seems unchanged."""
    if is_whole(file) is False:
        raise _damaged(file, "does not hold what was written")


def _damaged(file: Path, found: str) -> StateError:
    return StateError("data_file_damaged", f"{file} {found}. `hindsight doctor` says what else is damaged, and what mends it.")


def is_whole(file: Path) -> bool | None:
    """Whether a file holds what its name says; None where the name says nothing, as of one that Spark wrote."""
    named = _NAME.fullmatch(file.name)
    return None if named is None else zlib.crc32(file.read_bytes()) == int(named[1], 16)


def readable(file: Path) -> bool:
    """Whether a file is whole; one whose name says nothing is read through, which leaves its footer unproven."""
    whole = is_whole(file)
    if whole is None:
        try:
            for _ in ds.dataset(str(file), format="parquet").scanner(fragment_scan_options=VERIFIED).to_batches():
                pass
        except (OSError, ValueError):
            return False
    return whole is not False


def sizes(root: Path, delta: DeltaTable) -> dict[Path, int]:
    """The files of a table under a folder, with their bytes."""
    actions = pa.table(delta.get_add_actions())
    if not actions.num_rows:
        return {}
    return {
        root / unquote(name): size
        for name, size in zip(actions["path"].to_pylist(), actions["size_bytes"].to_pylist(), strict=True)
    }


def _partitions(table: Table, rows: pa.Table) -> Iterator[tuple[tuple[Any, ...], pa.Table]]:
    """The rows by the values of their partition, each in the order in which they came."""
    columns = list(table.partition_by)
    if not columns:
        yield (), rows
        return
    codes = np.zeros(rows.num_rows, "int64")
    for name in columns:
        encoded = rows[name].combine_chunks().dictionary_encode()
        codes = codes * max(len(encoded.dictionary), 1) + encoded.indices.to_numpy(zero_copy_only=False)
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(codes[order]) != 0])
    ordered = rows if len(starts) == 1 else rows.take(pa.array(order))
    for start, end in zip(starts.tolist(), [*starts.tolist()[1:], rows.num_rows], strict=True):
        part = ordered.slice(start, end - start)
        yield tuple(part[name][0].as_py() for name in columns), part.drop_columns(columns)


def _file(root: Path, table: Table, values: tuple[Any, ...], rows: pa.Table, data_change: bool) -> AddAction:
    named = {name: _text(value) for name, value in zip(table.partition_by, values, strict=True)}
    folder = root.joinpath(*(f"{name}={quote(value, safe='')}" for name, value in named.items()))
    folder.mkdir(parents=True, exist_ok=True)
    sink = pa.BufferOutputStream()
    pq.write_table(
        rows,
        sink,
        row_group_size=_GROUP,
        compression="zstd",
        compression_level=1,
        write_page_checksum=True,
        store_schema=False,
    )
    content = sink.getvalue()
    file = folder / f"part-{uuid.uuid4()}-{zlib.crc32(content):08x}.zstd.parquet"
    try:
        file.write_bytes(content)
    except OSError:  # no room: what there is of it takes some, and no commit will name it
        file.unlink(missing_ok=True)
        raise
    return AddAction(
        file.relative_to(root).as_posix(),
        content.size,
        named,
        time.time_ns() // 1_000_000,
        data_change,
        json.dumps(_statistics(table, rows), separators=(",", ":")),
    )


def _statistics(table: Table, rows: pa.Table) -> dict[str, Any]:
    """Per-file statistics of the columns that may have them: "Per-file Statistics" of the Delta transaction protocol."""
    least, most, nulls = {}, {}, {}
    for name in table.skipping:
        if name in rows.column_names:
            found = pc.min_max(rows[name]).as_py()
            nulls[name] = rows[name].null_count
            if found["min"] is not None:
                least[name], most[name] = _json(found["min"]), _json(found["max"])
    return {"numRecords": rows.num_rows, "minValues": least, "maxValues": most, "nullCount": nulls}


def _json(value: Any) -> Any:
    return _text(value) if isinstance(value, date) else value


def _text(value: Any) -> str:
    """As JSON statistics and partition values have it."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else str(value)
