"""Sums of gold.statistics kept in memory: a commit costs what it brings, and a later time what was known since."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from pipelines import files
from pipelines.gold.metrics.catalogue import EXPOSURES
from pipelines.gold.metrics.plan import Source
from pipelines.gold.tables import STATISTICS
from pipelines.handles import renew
from pipelines.lake import Lake

KEYS = ("version", "segment", "cell_at", "basis", "statistic", "bucket")
"""What sums are kept by."""
MOST = 3_000_000
"""Rows that are kept, at about 100 bytes each; what was asked for longest ago goes first."""
AT_ONCE = 4
"""Dates that are read at once: their files are small, and most of the time goes to opening them."""
_SUMMED = pa.schema([STATISTICS.arrow.field(name) for name in (*KEYS, "amount")])
_READ = pa.schema([*_SUMMED, STATISTICS.arrow.field("known_at")])


@dataclass(frozen=True)
class Place:
    """One date of a source; of a definition that another's metrics draw on, the exposures alone."""

    source: Source
    exposures: bool
    day: date


Key = tuple[Place, datetime | None]
"""A place as of the latest time that was asked for (None), or as of an earlier one."""


@dataclass(frozen=True)
class Part:
    """What data files add up to: sums of what was known before a time, and the rows known since, which wait for a later one."""

    files: frozenset[str]
    before: datetime
    sums: pa.Table
    later: pa.Table

    @property
    def rows(self) -> int:
        return int(self.sums.num_rows + self.later.num_rows)


NOTHING = Part(frozenset(), datetime.min, _SUMMED.empty_table(), _READ.empty_table())


@dataclass
class Kept:
    """The sums of one lake, for several readers at once. `files_read`: how many data files that has taken so far."""

    lake: Lake
    files_read: int = 0
    most: int = MOST
    _parts: OrderedDict[Key, Part] = field(default_factory=OrderedDict)
    _table: DeltaTable | None = None
    _files: pa.Table | None = None
    _files_of: int = -1
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def version(self) -> int:
        """Of gold.statistics, as it stands: as long as it is the same, so is every answer."""
        with self._lock:
            return int(self._newest().version())

    def newest(self, source: Source, before: datetime) -> datetime | None:
        """Start of the last cell of which something may have been known before a time."""
        with self._lock:
            known = self._of(source).filter(pc.field("min.known_at") < before)
        at: datetime | None = pc.max(known["max.cell_at"]).as_py()
        return at

    def sums(self, source: Source, *, exposures: bool, first: date, last: date, before: datetime) -> pa.Table:
        """What the increments known before a time add up to, in each cell of these dates."""
        with self._lock:
            day = pc.field("partition.cell_date")
            there = self._of(source).filter((day >= first) & (day <= last))
            of_day: dict[date, set[str]] = {}
            for one, path in zip(there["partition.cell_date"].to_pylist(), there["path"].to_pylist(), strict=True):
                of_day.setdefault(one, set()).add(path)
            places = [(Place(source, exposures, one), frozenset(of_day[one])) for one in sorted(of_day)]
            held = [self._held(*one, before) for one in places]
            new = [paths - part.files for (_, paths), (_, part) in zip(places, held, strict=True)]
            with ThreadPoolExecutor(AT_ONCE) as pool:
                rows = list(pool.map(self._read, [place for place, _ in places], new))
            found = [
                _brought(part, brought, paths, before) for (_, part), brought, (_, paths) in zip(held, rows, places, strict=True)
            ]
            self._keep({key: part for (key, _), part in zip(held, found, strict=True)}, sum(map(len, new)))
        return pa.concat_tables([_SUMMED.empty_table(), *(part.sums for part in found)])

    def _held(self, place: Place, paths: frozenset[str], before: datetime) -> tuple[Key, Part]:
        """What a date goes on from: what is kept as of the latest time that was asked for; an earlier time has a part of its own."""
        latest = self._parts.get((place, None), NOTHING)
        key = (place, before if latest.files and before < latest.before else None)
        held = self._parts.get(key, NOTHING)
        if not held.files <= paths:  # compacted, or erased
            held = NOTHING
        return key, held

    def _keep(self, found: Mapping[Key, Part], read: int) -> None:
        self.files_read += read
        for key, part in found.items():
            self._parts[key] = part
            self._parts.move_to_end(key)
        rows = sum(part.rows for part in self._parts.values())
        while rows > self.most and self._parts:
            rows -= self._parts.popitem(last=False)[1].rows

    def _read(self, place: Place, paths: frozenset[str]) -> pa.Table:
        """The rows of a place in some data files. Raises OSError where one is damaged."""
        if not paths:
            return _READ.empty_table()
        where = (
            (pc.field("definition") == place.source.definition)
            & (pc.field("cut") == place.source.cut)
            & (pc.field("experiment") == "")
        )
        if place.exposures:
            where &= pc.field("statistic").isin(pa.array(sorted(EXPOSURES)))
        root = self.lake.path(STATISTICS)
        full = [str(root / unquote(path)) for path in sorted(paths)]
        return files.read_files(full, STATISTICS, where, _READ.names)

    def _newest(self) -> DeltaTable:
        if self._table is None:
            self._table = self.lake.open(STATISTICS)
        renew(self._table)
        return self._table

    def _of(self, source: Source) -> pa.Table:
        """The data files that may hold a source, by what the table's log says of them."""
        table = self._newest()
        if self._files is None or table.version() != self._files_of:
            self._files, self._files_of = pa.table(table.get_add_actions(flatten=True)), table.version()
        if not self._files.num_rows:
            return _NO_FILES.empty_table()
        here = (pc.field("partition.grain") == source.grain) & (pc.field("min.definition") <= source.definition)
        return self._files.filter(here & (pc.field("max.definition") >= source.definition)).select(_NO_FILES.names)


_TIME = pa.timestamp("us", "UTC")
_NO_FILES = pa.schema([("path", pa.string()), ("partition.cell_date", pa.date32()), ("min.known_at", _TIME), ("max.cell_at", _TIME)])


def _brought(held: Part, rows: pa.Table, paths: frozenset[str], before: datetime) -> Part:
    """A part with further rows, as of this time."""
    waiting = pa.concat_tables([held.later, rows])
    if not waiting.num_rows:
        return Part(paths, before, held.sums, waiting)
    known = waiting.filter(pc.field("known_at") < before).drop_columns(["known_at"])
    later = waiting.filter(pc.field("known_at") >= before)
    return Part(paths, before, summed(pa.concat_tables([held.sums, known])) if known.num_rows else held.sums, later)


def summed(rows: pa.Table, keys: tuple[str, ...] = KEYS) -> pa.Table:
    """One row per key, without those that add up to nothing."""
    made: Any = rows.group_by(list(keys)).aggregate([("amount", "sum")])
    sums = made.select([*keys, "amount_sum"]).rename_columns([*keys, "amount"])
    sums = sums.cast(pa.schema([rows.schema.field(name) for name in sums.column_names]))
    return sums.filter(pc.not_equal(sums["amount"], pa.scalar(Decimal(0), sums["amount"].type)))
