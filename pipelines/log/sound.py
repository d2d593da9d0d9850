"""What of a log is whole: read row by row, whatever has become of the rest."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.log.block import Append, checksum
from pipelines.log.embedded import SCHEMA

_ROWS = "SELECT last_offset, count, clock, appended_at, block, checksum FROM appends ORDER BY last_offset"
Range = tuple[int, int]
"""Offsets [start, end)."""


@dataclass
class Found:
    """`whole`: the appends that are what was written. `spoilt`: keys and counts of the others. `disorder`: what SQLite finds wrong.

    `clock`: whether the clock row is whole; `floor`: the least receipt of what comes, in microseconds since 1970, as it says.
    """

    whole: list[Range] = field(default_factory=list)
    spoilt: list[tuple[int, int]] = field(default_factory=list)
    disorder: str = ""
    clock: bool = False
    floor: int = 0

    @property
    def end(self) -> int:
        """The offset that the next record will get, as far as can be told."""
        return max((end for _, end in self.whole), default=0)

    def damaged(self, least_end: int) -> list[Range]:
        """The offsets that no whole append holds; the log ends at `least_end` at least.

        It ends with a damaged row where that follows upon another, or where there are more of them than gaps that want one.
        """
        more = len(self.spoilt) > len(self._gaps(max(self.end, least_end)))
        end = max(self.end, least_end)
        for key, count in sorted(self.spoilt):
            if more or key - count + 1 == end:
                end = max(end, key + 1)
        return self._gaps(end)

    def _gaps(self, end: int) -> list[Range]:
        starts, ends = [start for start, _ in self.whole], [end for _, end in self.whole]
        return [(low, high) for low, high in zip([0, *ends], [*starts, end], strict=True) if low < high]

    def well(self, least_end: int) -> bool:
        return not (self.damaged(least_end) or self.spoilt or self.disorder) and self.clock


PATIENCE = 60.0
"""Seconds to wait for whoever is writing."""


def opened(path: Path, mode: str = "ro") -> sqlite3.Connection:
    """The file of a log as it is: none is made."""
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode={mode}", uri=True, timeout=PATIENCE, isolation_level=None)


def inspect(db: sqlite3.Connection) -> Found:
    """Read everything."""
    found = Found()
    found.disorder = _disorder(db)
    try:
        found.spoilt = visit(db, lambda append: found.whole.append((append.start, append.end)))
        ((floor, live, stored),) = db.execute("SELECT floor, live, checksum FROM clock").fetchall()
        found.clock = stored == checksum(floor, live)
        found.floor = floor if found.clock else 0
    except sqlite3.DatabaseError as error:
        found.disorder = found.disorder or str(error)
    except ValueError:  # no row, or several
        found.clock = False
    found.whole.sort()
    return found


def visit(db: sqlite3.Connection, take: Callable[[Append], None]) -> list[tuple[int, int]]:
    """Hand on every whole append that can be reached, from the start and, where that breaks off, from the end.

    Gives keys and counts of rows that are not whole. Raises sqlite3.DatabaseError where no row can be reached at all.
    """
    spoilt, reached = [], -1
    try:
        for row, append in _appends(db, _ROWS):
            if append is None:
                spoilt.append(row)
            else:
                take(append)
                reached = append.end - 1
    except sqlite3.DatabaseError:
        try:
            for _, append in _appends(db, f"{_ROWS} DESC"):
                if append is not None:
                    if append.start <= reached:
                        break
                    take(append)
        except sqlite3.DatabaseError:
            if reached < 0:
                raise
    return spoilt


def _appends(db: sqlite3.Connection, query: str) -> Iterator[tuple[tuple[int, int], Append | None]]:
    """Key and count of each row, and its append where it is whole."""
    for last, count, clock, appended_at, block, stored in db.execute(query):
        typed = all(isinstance(value, int) for value in (last, count, appended_at)) and isinstance(block, bytes)
        append = Append(last - count + 1, last + 1, clock, appended_at, block, stored) if typed else None
        yield (last, count if typed else 0), append if append is not None and append.whole else None


def _disorder(db: sqlite3.Connection) -> str:
    try:
        (said,) = db.execute("PRAGMA integrity_check(1)").fetchone()
        if said != "ok":
            return str(said)
        with sqlite3.connect(":memory:") as new:
            new.executescript(SCHEMA)
            return "" if _tables(db) == _tables(new) else "its tables are not those of a log"
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        return str(error)


def _tables(db: sqlite3.Connection) -> list[list[str]]:
    """What every log has; how far topics were taken is there where any were."""
    return sorted(str(sql).split() for (sql,) in db.execute("SELECT sql FROM sqlite_master WHERE tbl_name != 'taken'"))
