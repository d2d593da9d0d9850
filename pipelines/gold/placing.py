"""Where terms count: in every grain and every cut of their definition."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.definition import GRAINS, MISSING, OTHER, Definition
from pipelines.exact import AMOUNTS, amounts
from pipelines.gold.quality import Term
from pipelines.gold.tables import STATISTICS

Micros = Any
"""A numpy array of microseconds since 1970."""
MINUTE = 60_000_000
_TIME = pa.timestamp("us", "UTC")
_SCHEMA = STATISTICS.computed
_EMPTY = pa.schema(
    {
        "stratum": pa.int64(),
        "cell": pa.int64(),
        "known": pa.int64(),
        "basis": pa.string(),
        "statistic": pa.string(),
        "bucket": pa.string(),
        "amount": AMOUNTS,
    }
).empty_table()
_ZERO = pa.scalar(Decimal(0), AMOUNTS)
_PLACE = ("tenant", "version", "segment")


@dataclass(frozen=True)
class Units:
    """What was served, unit by unit: all that says where its terms count."""

    tenant: pa.Array
    version: pa.Array
    segments: pa.Array
    served_at: Micros

    @classmethod
    def of(cls, rows: pa.Table) -> Units:
        """Of rows with these columns."""
        tenant, version, segments, served_at = (
            rows[name].combine_chunks() for name in ("tenant", "version", "segments", "served_at")
        )
        return cls(tenant, version, segments, micros(served_at))

    def take(self, rows: pa.Array) -> Units:
        """Some of them, some maybe more than once."""
        return Units(self.tenant.take(rows), self.version.take(rows), self.segments.take(rows), self.served_at[rows])


@dataclass(frozen=True)
class Known:
    """Terms of units, and from when on each unit's are known; `sign` of each, where they are not all plus."""

    basis: str
    known_at: Micros
    terms: Iterable[Term]
    sign: Any = None


def micros(times: pa.Array) -> Micros:
    return times.cast(pa.int64()).to_numpy()


def increments(definition: Definition, units: Units, known: Sequence[Known]) -> pa.Table:
    """What terms add to gold.statistics under one definition: one row per key, without zeros.

    They are added up for the finest grain and the values of all segment fields first, and then for every grain and cut.
    """
    fields = sorted({field for cut in definition.cuts for field in cut})
    code, strata = _strata(definition, units, fields)
    widths = {grain: GRAINS[grain] // timedelta(microseconds=1) for grain in definition.grains}
    finest = min(widths.values(), default=MINUTE)
    cell = units.served_at - units.served_at % finest
    pieces = [_piece(each, term, code, cell) for each in known for term in each.terms if len(term.rows)]
    sums = _added(pa.concat_tables([_EMPTY, *pieces]))
    found = [_SCHEMA.empty_table()]
    for cut in definition.cuts:
        of_stratum, places = _places(strata, [fields.index(field) for field in cut])
        for grain, width in widths.items():
            wide = _widened(sums, of_stratum, width)
            coarser = width > finest or len(places) < len(strata)
            found.append(_rows(definition, "*".join(cut) or "all", grain, places, _added(wide) if coarser else wide))
    return pa.concat_tables(found)


def _strata(definition: Definition, units: Units, fields: list[str]) -> tuple[Any, list[tuple[str, ...]]]:
    """The units' combinations of tenant, version and values of fields: a number for each unit, and what the numbers mean."""
    columns = [units.tenant, units.version, *(_values(definition, units, field) for field in fields)]
    code, first = np.zeros(len(units.served_at), "int64"), np.zeros(1, "int64")
    for column in columns:
        encoded = column.dictionary_encode()
        both = code * len(encoded.dictionary) + encoded.indices.to_numpy()
        _, first, code = np.unique(both, return_index=True, return_inverse=True)
    return code, list(zip(*(column.take(pa.array(first)).to_pylist() for column in columns), strict=True))


def _values(definition: Definition, units: Units, field: str) -> pa.Array:
    """A field's values: as sent, or __missing__, or __other__ where it is not among the declared ones."""
    sent = pc.map_lookup(units.segments, field, "first")
    declared = dict(definition.segments).get(field)
    known = pc.if_else(pc.is_in(sent, pa.array(declared, pa.string())), sent, OTHER) if declared else sent
    return pc.if_else(sent.is_null(), MISSING, known)


def _piece(known: Known, term: Term, code: Any, cell: Micros) -> pa.Table:
    """One row per unit that the term counts for."""
    rows = term.rows
    count = len(rows)
    amount = term.amount
    if not isinstance(amount, pa.Array):
        amount = amounts(np.full(count, amount) if isinstance(amount, int) else amount)
    if known.sign is not None:
        amount = pc.if_else(pa.array(known.sign[rows] < 0), pc.negate(amount), amount)
    at = known.known_at[rows]
    columns = {
        "stratum": code[rows],
        "cell": cell[rows],
        "known": at - at % MINUTE,
        "basis": pa.repeat(known.basis, count),
        "statistic": pa.repeat(term.statistic, count),
        "bucket": pa.repeat(term.bucket, count) if isinstance(term.bucket, str) else term.bucket,
        "amount": amount,
    }
    return pa.table(columns, schema=_EMPTY.schema)


def _added(rows: pa.Table) -> pa.Table:
    """One row per key."""
    keys = [name for name in rows.column_names if name != "amount"]
    return (
        rows.group_by(keys, use_threads=False).aggregate([("amount", "sum")]).rename_columns({"amount_sum": "amount"})
    )


def _places(strata: list[tuple[str, ...]], at: list[int]) -> tuple[pa.Array, list[tuple[str, str, str]]]:
    """Tenant, version and segment (a JSON array of its fields' values) in a cut: their number by stratum, and the places."""
    places: dict[tuple[str, str, str], int] = {}
    of_stratum = []
    for tenant, version, *values in strata:
        segment = json.dumps([values[i] for i in at], separators=(",", ":"), ensure_ascii=False)
        of_stratum.append(places.setdefault((tenant, version, segment), len(places)))
    return pa.array(of_stratum, pa.int64()), list(places)


def _widened(sums: pa.Table, of_stratum: pa.Array, width: int) -> pa.Table:
    """The sums with the places of a cut for strata, and with cells of a width."""
    cell = sums["cell"].to_numpy()
    columns = {"stratum": of_stratum.take(sums["stratum"]), "cell": cell - cell % width}
    return pa.table([columns.get(name, sums[name]) for name in sums.column_names], schema=_EMPTY.schema)


def _rows(definition: Definition, cut: str, grain: str, places: list[tuple[str, str, str]], sums: pa.Table) -> pa.Table:
    """Rows of gold.statistics."""
    sums = sums.filter(pc.not_equal(sums["amount"], _ZERO))
    place = {
        name: pa.array([each[i] for each in places], pa.string()).take(sums["stratum"]) for i, name in enumerate(_PLACE)
    }
    same = {
        "model": definition.model,
        "experiment": "",
        "arm": "",
        "cut": cut,
        "label": definition.label,
        "definition": definition.hash,
        "unit_group": "",
        "grain": grain,
    }
    cell_at = sums["cell"].cast(_TIME)
    columns = {
        **place,
        **{name: pa.repeat(value, sums.num_rows) for name, value in same.items()},
        **{name: sums[name] for name in ("basis", "statistic", "bucket", "amount")},
        "cell_at": cell_at,
        "cell_date": cell_at.cast(pa.date32()),
        "known_at": sums["known"].cast(_TIME),
    }
    return pa.table([columns[name] for name in _SCHEMA.names], schema=_SCHEMA)
