"""What every comparison stands on: the lake, what the log says, and where to put what differs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.verify.explain import Evidence
from pipelines.verify.report import Findings
from pipelines.verify.stored import Stored
from pipelines.verify.verdicts import Verdicts


@dataclass(frozen=True)
class Ground:
    """`db` is a DuckDB connection; only log positions below `end` count, and cells that start at `since` or later."""

    db: Any
    lake: Path
    verdicts: Verdicts
    evidence: Evidence
    findings: Findings
    end: int
    since: int | None = None

    def stored(self, name: str) -> Stored:
        """A table of the lake."""
        return Stored(self.lake, name)


CHUNK = 200_000
"""Rows that are held back before they are handed to DuckDB."""


class Gathered:
    """Rows for tables of a DuckDB connection, handed over chunk by chunk; replaces what the tables held."""

    def __init__(self, db: Any, tables: Mapping[str, Any]) -> None:
        self._db, self._tables = db, tables
        self._rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in tables}
        for name, shape in tables.items():
            db.register("_shape", shape.empty_table())
            db.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT * FROM _shape")
            db.unregister("_shape")

    def add(self, name: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Take rows for one of the tables."""
        self._rows[name].extend(rows)
        if len(self._rows[name]) >= CHUNK:
            self._flush(name)

    def finish(self) -> None:
        """Hand over what is still held back."""
        for name in self._tables:
            self._flush(name)

    def _flush(self, name: str) -> None:
        rows = self._rows[name]
        if rows:
            self._db.register("_chunk", frame(rows, self._tables[name]))
            self._db.execute(f"INSERT INTO {name} SELECT * FROM _chunk")
            self._db.unregister("_chunk")
            rows.clear()


def frame(rows: list[tuple[Any, ...]], schema: Any) -> Any:
    """Rows as an Arrow table."""
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.table(arrays, schema=schema)


def schema(texts: str = "", wholes: str = "", doubles: str = "", amounts: str = "", binaries: str = "") -> Any:
    """An Arrow schema out of names by type, in this order."""
    kinds = {pa.string(): texts, pa.int64(): wholes, pa.float64(): doubles, pa.decimal128(38, 9): amounts}
    kinds[pa.binary()] = binaries
    return pa.schema([(name, kind) for kind, names in kinds.items() for name in names.split()])


def ordered(column: str) -> str:
    """The entries of a map, in one order, in SQL; no map is an empty one."""
    return f"list_sort(coalesce(map_entries({column}), []))"
