"""Where a term counts: in every grain and every cut of its definition."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

import pyarrow as pa
from pyspark.sql.types import StructType

from pipelines.definition import GRAINS, MISSING, OTHER, Definition
from pipelines.exact import from_units
from pipelines.gold.quality import Term
from pipelines.gold.tables import STATISTICS

INCREMENTS = StructType([f for f in STATISTICS.schema.fields if f.name != "recorded_at"])
"""A row of gold.statistics before it is written."""

Micros = int
MINUTE: Micros = 60_000_000
_DAY: Micros = 86_400_000_000
_SCHEMA = pa.schema([field for field in STATISTICS.arrow if field.name != "recorded_at"])


class Placed:
    """A definition as it is used on row after row: the fields its cuts are made of, its grains, and its hash."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.hash = definition.hash
        self.grains = [(name, GRAINS[name] // timedelta(microseconds=1)) for name in definition.grains]
        self.finest = min((width for _, width in self.grains), default=MINUTE)
        order = sorted({field for cut in definition.cuts for field in cut})
        declared = dict(definition.segments)
        self._fields = [(name, frozenset(declared.get(name, ()))) for name in order]
        self._cuts = [("*".join(cut) or "all", [order.index(field) for field in cut]) for cut in definition.cuts]
        self._places: dict[tuple[str, ...], list[tuple[str, str]]] = {}

    def values(self, segments: Mapping[str, str]) -> tuple[str, ...]:
        """The fields' values: as sent, or __missing__, or __other__ where it is not among the declared ones."""
        return tuple(
            [
                MISSING if (sent := segments.get(name)) is None else sent if not declared or sent in declared else OTHER
                for name, declared in self._fields
            ]
        )

    def places(self, values: tuple[str, ...]) -> list[tuple[str, str]]:
        """Cut and segment (a JSON array of its fields' values) for each cut."""
        found = self._places.get(values)
        if found is None:
            found = [
                (cut, json.dumps([values[i] for i in at], separators=(",", ":"), ensure_ascii=False))
                for cut, at in self._cuts
            ]
            self._places[values] = found
        return found


Place = tuple[Placed, str, str, tuple[str, ...], Micros]
"""Definition, tenant, version, values of the fields, served_at."""
_Cell = tuple[Placed, str, str, tuple[str, ...], Micros, Micros, str]
"""Definition, tenant, version, values of the fields, start of the cell, known_at, basis."""
_Key = tuple[Placed, str, str, str, str, str, Micros, str, Micros]
"""Definition, tenant, version, cut, segment, basis, start of the cell, grain, known_at."""


class Sums:
    """Terms added up, first per cell of the finest grain and values of the fields, then for every grain and cut."""

    def __init__(self) -> None:
        self._cells: dict[_Cell, dict[tuple[str, str], int]] = defaultdict(lambda: defaultdict(int))

    def add(self, place: Place, known_at: Micros, basis: str, terms: Iterable[Term], sign: int = 1) -> None:
        """Add terms of one unit, known from a time on."""
        placed, tenant, version, values, served_at = place
        served, known = served_at - served_at % placed.finest, known_at - known_at % MINUTE
        cell = self._cells[placed, tenant, version, values, served, known, basis]
        for statistic, bucket, units in terms:
            cell[statistic, bucket] += sign * units

    def rows(self) -> pa.Table:
        """Increments, one per key of gold.statistics, without zeros."""
        sums: dict[tuple[_Key, tuple[str, str]], int] = defaultdict(int)
        for (placed, tenant, version, values, served, known, basis), terms in self._cells.items():
            for cut, segment in placed.places(values):
                for grain, width in placed.grains:
                    key = (placed, tenant, version, cut, segment, basis, served - served % width, grain, known)
                    for named, units in terms.items():
                        sums[key, named] += units
        return _rows([(*key, *named, units) for (key, named), units in sums.items() if units])


def _rows(sums: list[tuple[Any, ...]]) -> pa.Table:
    if not sums:
        return _SCHEMA.empty_table()
    placed, tenant, version, cut, segment, basis, cell, grain, known, statistic, bucket, units = zip(*sums, strict=True)
    blank = pa.repeat("", len(sums))
    cell_at = pa.array(cell, pa.int64()).cast(pa.timestamp("us", "UTC"))
    columns = {
        "tenant": tenant,
        "model": [p.definition.model for p in placed],
        "version": version,
        "experiment": blank,
        "arm": blank,
        "cut": cut,
        "segment": segment,
        "label": [p.definition.label for p in placed],
        "definition": [p.hash for p in placed],
        "basis": basis,
        "unit_group": blank,
        "cell_at": cell_at,
        "grain": grain,
        "known_at": pa.array(known, pa.int64()).cast(pa.timestamp("us", "UTC")),
        "statistic": statistic,
        "bucket": bucket,
        "amount": pa.array([from_units(count) for count in units], pa.decimal128(38, 9)),
        "cell_date": cell_at.cast(pa.date32()),
    }
    return pa.table([columns[name] for name in _SCHEMA.names], schema=_SCHEMA)
