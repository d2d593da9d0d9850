"""Rows of one micro-batch, computed once and then used several times: looked into, transformed, written.

On one machine they are held as Arrow in the driver, and transforms run on them where they are. On a cluster they are
persisted by the executors, and the same transforms run on their partitions. The two committers write what the two kinds hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.contract import Table
from pipelines.lake import Lake, Mark
from pipelines.spread import Transform, by_noun, spread, unrouted


class Held(Protocol):
    """Rows that have been computed."""

    @property
    def empty(self) -> bool:
        """Whether there are none."""

    def column(self, name: str) -> pa.ChunkedArray:
        """One column, without nulls."""

    def matching(self, name: str, pattern: str) -> pa.Table:
        """The few rows in whose binary column the pattern is found."""

    def through(
        self,
        transform: Transform,
        name: str,
        gives: Sequence[Table],
        key: str = "",
        lookups: Mapping[str, tuple[pa.Table, str]] | None = None,
    ) -> dict[str, Held]:
        """What a transform makes of these rows, its parameter `name`, and of looked-up ones: by noun of the table.

        Rows that agree in `key`, and in the column that a lookup names, are seen together.
        """

    def route(self, table: Table) -> Held:
        """The rows of a routed frame that go to a table."""

    def append(self, table: Table, mark: Mark, covers: Mapping[str, Any]) -> int:
        """Write them; how many were written."""

    def release(self) -> None:
        """Give the memory back."""


def hold(frame: DataFrame, lake: Lake) -> Held:
    """Compute a frame, once."""
    if lake.committer == "arrow":
        return _Arrow(frame.toArrow(), lake)
    return _Persisted(frame.persist(StorageLevel.MEMORY_AND_DISK), lake)


def nothing(table: Table, lake: Lake) -> Held:
    """No rows of a table, without any computing."""
    return _Arrow(table.arrow.empty_table(), lake)


class _Arrow:
    def __init__(self, rows: pa.Table, lake: Lake) -> None:
        self._rows, self._lake = rows, lake

    @property
    def empty(self) -> bool:
        return not self._rows.num_rows

    def column(self, name: str) -> pa.ChunkedArray:
        return self._rows[name].drop_null()

    def matching(self, name: str, pattern: str) -> pa.Table:
        return self._rows.filter(pc.match_substring_regex(self._rows[name], pattern))

    def through(
        self,
        transform: Transform,
        name: str,
        gives: Sequence[Table],
        key: str = "",
        lookups: Mapping[str, tuple[pa.Table, str]] | None = None,
    ) -> dict[str, Held]:
        del key  # all rows are seen together
        found = {parameter: rows for parameter, (rows, _) in (lookups or {}).items()}
        made = by_noun(transform(**{name: self._rows}, **found), [table.noun for table in gives])
        return {noun: _Arrow(rows, self._lake) for noun, rows in made.items()}

    def route(self, table: Table) -> Held:
        return _Arrow(unrouted(self._rows, table), self._lake)

    def append(self, table: Table, mark: Mark, covers: Mapping[str, Any]) -> int:
        return self._lake.append(table, self._rows, mark, covers)

    def release(self) -> None:
        self._rows = self._rows.slice(0, 0)


class _Persisted:
    """`whole` is what is persisted, where this is only a part of it."""

    def __init__(self, frame: DataFrame, lake: Lake, whole: DataFrame | None = None) -> None:
        self._frame, self._lake, self._whole = frame, lake, whole or frame

    @property
    def empty(self) -> bool:
        return self._frame.isEmpty()

    def column(self, name: str) -> pa.ChunkedArray:
        return self._frame.select(name).toArrow()[name].drop_null()

    def matching(self, name: str, pattern: str) -> pa.Table:
        return self._frame.where(F.col(name).cast("string").rlike(pattern)).toArrow()

    def through(
        self,
        transform: Transform,
        name: str,
        gives: Sequence[Table],
        key: str = "",
        lookups: Mapping[str, tuple[pa.Table, str]] | None = None,
    ) -> dict[str, Held]:
        inputs = {name: (self._frame, key or self._frame.columns[0])}
        inputs |= {parameter: (self._lake.frame(rows), on) for parameter, (rows, on) in (lookups or {}).items()}
        made = _Persisted(spread(transform, inputs, gives).persist(StorageLevel.MEMORY_AND_DISK), self._lake)
        return {table.noun: made.route(table) for table in gives}

    def route(self, table: Table) -> Held:
        rows = self._frame.where(F.col("to") == table.noun).select(f"{table.noun}.*")
        return _Persisted(rows, self._lake, self._whole)

    def append(self, table: Table, mark: Mark, covers: Mapping[str, Any]) -> int:
        return self._lake.append(table, self._frame, mark, covers)

    def release(self) -> None:
        self._whole.unpersist()
