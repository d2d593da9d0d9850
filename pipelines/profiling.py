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

from pipelines.cells import number, pointed
from pipelines.errors import InputError
from pipelines.kinds import kind_of_cells
from pipelines.moments import EPOCHS, instant
from pipelines.reading import Row, columns, format_of, lines, refuse_other_than_utf8, rows

SAMPLE = 50_000
"""Rows that are looked at."""
_EMPTY_WORDS = ("NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "NaT")
_DATED = re.compile(r"[0-9]{1,4}[./-][0-9]{1,2}[./-][0-9]{1,4}")
_SINCE, _UNTIL = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Profile:
    """One column. `kind`: number, time, text, other (nested) or empty; `filled` of `rows`: how many have a value.

    `values`: how often each occurs; `epoch`: the unit, where its numbers look like counted times; `formats`: in which
    its texts are times, where those are no ISO 8601; `naive`: times without an offset; `null`: words for nothing;
    `comma`: its numbers have a decimal comma; `misfits`: the few cells that are not of the kind, and no `values`;
    `doubt`: the kind that most cells are of, though not nearly all, and those that are not.
    """

    name: str
    kind: str
    filled: int
    values: Counter[Any]
    epoch: str | None
    naive: bool
    null: tuple[str, ...]
    rows: int
    formats: tuple[str, ...]
    comma: bool
    misfits: Counter[str]
    doubt: tuple[str, Counter[str]] | None

    @property
    def always(self) -> bool:
        return self.filled == self.rows

    @property
    def format(self) -> str | None:
        return self.formats[0] if self.formats else None

    @property
    def is_dated(self) -> bool:
        """Texts that look like times, though of no format that is known."""
        return self.kind == "text" and all(_DATED.match(str(value)) for value in self.values)

    def is_empty(self, cell: Any) -> bool:
        return cell in (None, "") or (isinstance(cell, str) and cell in self.null)

    @property
    def unique(self) -> bool:
        return self.filled == len(self.values) + len(self.misfits) > 1

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

    @property
    def comma(self) -> bool:
        return any(profile.comma for profile in self.profiles.values())


def sample(file: Path) -> Sample:
    """Look at a CSV, Parquet or NDJSON file.

    Raises InputError (is_a_folder, file_missing, format_unknown, file_unreadable, not_utf8, column_twice, no_rows).
    """
    delimiter = _delimiter(file) if format_of(file) == "csv" else ","
    found: list[Row] = []
    for row in _rows(file, delimiter):
        found.append(row)
        if len(found) >= SAMPLE:
            break
    for place, row in enumerate(found if format_of(file) == "csv" else [], 1):
        refuse_other_than_utf8(file, f"row {place}", row.values())
    names = list(dict.fromkeys(name for row in found for name in row))
    if not names:
        expected = "one object a line (NDJSON), or a header (CSV) or columns, and at least one row"
        raise InputError("no_rows", f"{file}: no rows; expected {expected}")
    # beside commas that separate cells, one in a number separates thousands
    comma = delimiter != ","
    profiles = {name: _profile(name, [row.get(name) for row in found], comma) for name in names}
    return Sample(file, found, profiles, delimiter)


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


def _profile(name: str, column: list[Any], comma: bool) -> Profile:
    present = [cell for cell in column if cell is not None and cell != ""]
    words = {cell for cell in present if isinstance(cell, str) and cell in _EMPTY_WORDS}
    rest = [cell for cell in present if not (isinstance(cell, str) and cell in words)]
    taken = kind_of_cells(rest, comma)
    if words and taken.name not in ("number", "time"):
        words, rest = set(), present
        taken = kind_of_cells(rest, comma)
    kind, cells = taken.name, taken.fitting
    values = Counter(_value(cell, kind) for cell in cells) if kind not in ("empty", "other") else Counter()
    zoneless = any(instant(cell) is None for cell in cells if not isinstance(cell, int | float))
    return Profile(
        name,
        kind,
        len(rest),
        values,
        _epoch(list(values)) if kind == "number" else None,
        kind == "time" and zoneless,
        tuple(sorted(words)),
        len(column),
        taken.formats,
        kind == "number" and any(pointed(cell) != cell for cell in cells),
        Counter(map(str, taken.misfits)),
        (taken.doubt.name, Counter(map(str, taken.doubt.misfits))) if taken.doubt else None,
    )


def _value(cell: Any, kind: str) -> Any:
    return cell if isinstance(cell, datetime | date) else number(pointed(cell) if kind == "number" else cell)


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
