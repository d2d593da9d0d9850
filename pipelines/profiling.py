"""What the columns of somebody's file hold, from a sample of its rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec

from pipelines.cells import number
from pipelines.errors import InputError
from pipelines.moments import EPOCHS, instant
from pipelines.reading import Row, columns, format_of, lines, rows

SAMPLE = 50_000
"""Rows that are looked at."""
_EMPTY_WORDS = ("NA", "N/A", "NaN", "nan", "null", "NULL", "None", "NaT")
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}.*", re.DOTALL)
_SINCE, _UNTIL = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Profile:
    """One column. `kind`: number, time, text, other (nested) or empty; `values`: how often each occurs.

    `epoch`: the unit, where its numbers look like counted times; `naive`: times without an offset; `null`: words for
    nothing.
    """

    name: str
    kind: str
    filled: int
    values: Counter[Any]
    epoch: str | None
    naive: bool
    null: tuple[str, ...]

    @property
    def unique(self) -> bool:
        return self.filled == len(self.values) > 1

    @property
    def is_time(self) -> bool:
        return self.kind == "time" or self.epoch is not None


@dataclass(frozen=True)
class Sample:
    """The first rows of a file, and the columns."""

    file: Path
    rows: list[Row]
    profiles: dict[str, Profile]
    delimiter: str


def sample(file: Path) -> Sample:
    """Look at a CSV, Parquet or NDJSON file.

    Raises InputError (file_missing, format_unknown, file_unreadable, column_twice, no_rows).
    """
    delimiter = _delimiter(file) if format_of(file) == "csv" else ","
    found: list[Row] = []
    for row in _rows(file, delimiter):
        found.append(row)
        if len(found) >= SAMPLE:
            break
    names = list(dict.fromkeys(name for row in found for name in row))
    if not names:
        raise InputError("no_rows", f"{file}: no rows; expected a header (CSV) or columns, and at least one row")
    return Sample(file, found, {name: _profile(name, [row.get(name) for row in found]) for name in names}, delimiter)


def _rows(file: Path, delimiter: str) -> Iterator[Row]:
    if format_of(file) != "ndjson":
        for block in rows(file, columns(file, delimiter), 0, delimiter):
            yield from (item for item in block.items if not isinstance(item, bytes))
        return
    with file.open("rb") as stream:
        for block in lines(stream, 0):
            yield from (row for item in block.items if isinstance(item, bytes) and (row := _document(item)))


def _document(line: bytes) -> Row | None:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _profile(name: str, cells: list[Any]) -> Profile:
    present = [cell for cell in cells if cell is not None and cell != ""]
    words = {cell for cell in present if isinstance(cell, str) and cell in _EMPTY_WORDS}
    rest = [cell for cell in present if not (isinstance(cell, str) and cell in words)]
    kinds = {_kind(cell) for cell in rest}
    if words and kinds not in ({"number"}, {"time"}):
        words, rest, kinds = set(), present, {_kind(cell) for cell in present}
    kind = next(iter(kinds)) if len(kinds) == 1 else "text" if kinds == {"number", "text"} else "other"
    values = Counter(_value(cell) for cell in rest) if kinds and kind != "other" else Counter()
    return Profile(
        name,
        kind if kinds else "empty",
        len(rest),
        values,
        _epoch(list(values)) if kind == "number" else None,
        kind == "time" and any(instant(cell) is None for cell in rest if not isinstance(cell, int | float)),
        tuple(sorted(words)),
    )


def _kind(cell: Any) -> str:
    if isinstance(cell, datetime | date) or (isinstance(cell, str) and _ISO.fullmatch(cell) and instant(cell, UTC)):
        return "time"
    if isinstance(cell, list | dict | bytes):
        return "other"
    return "text" if isinstance(number(cell), str) else "number"


def _value(cell: Any) -> Any:
    return cell if isinstance(cell, datetime | date) else number(cell)


def _epoch(values: list[Any]) -> str | None:
    """The unit in which all of these numbers are times of this century."""
    for unit in EPOCHS:
        times = [instant(value, epoch=unit) for value in values]
        if times and all(at is not None and _SINCE <= at < _UNTIL for at in times):
            return unit
    return None


def _delimiter(file: Path) -> str:
    """The separator of a CSV: the one that its first line has most of."""
    with file.open("rb") as stream:
        header = stream.readline(1 << 16).decode("utf-8", "replace")
    return max(",;\t|", key=lambda mark: (header.count(mark), mark == ","))
