"""A frame of one micro-batch, computed once and then used several times: looked into, split by table, written, handed on.

On one machine it is held as Arrow in the driver; on a cluster it is persisted by the executors. The two committers write
what the two kinds hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.contract import Table
from pipelines.lake import Lake, Mark


class Held(Protocol):
    """A frame that has been computed."""

    @property
    def frame(self) -> DataFrame:
        """As a frame to compute with."""

    @property
    def empty(self) -> bool:
        """Whether there are no rows."""

    def column(self, name: str) -> pa.ChunkedArray:
        """One column, without nulls."""

    def matching(self, name: str, pattern: str) -> pa.Table:
        """The few rows in whose binary column the pattern is found."""

    def route(self, table: Table) -> Held:
        """The rows of a routed frame that go to a table."""

    def append(self, table: Table, mark: Mark, covers: Mapping[str, Any]) -> int:
        """Write it; the number of rows written."""

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
        self._frame: DataFrame | None = None

    @property
    def frame(self) -> DataFrame:
        if self._frame is None:
            self._frame = self._lake.frame(self._rows)
        return self._frame

    @property
    def empty(self) -> bool:
        return not self._rows.num_rows

    def column(self, name: str) -> pa.ChunkedArray:
        return self._rows[name].drop_null()

    def matching(self, name: str, pattern: str) -> pa.Table:
        return self._rows.filter(pc.match_substring_regex(self._rows[name], pattern))

    def route(self, table: Table) -> Held:
        rows = self._rows.filter(pc.equal(self._rows["to"], table.noun))[table.noun].combine_chunks()
        array = rows if isinstance(rows, pa.Array) else pa.concat_arrays(rows.chunks or [pa.array([], rows.type)])
        return _Arrow(pa.Table.from_arrays(array.flatten(), names=[f.name for f in array.type]), self._lake)

    def append(self, table: Table, mark: Mark, covers: Mapping[str, Any]) -> int:
        return self._lake.append(table, self._rows, mark, covers)

    def release(self) -> None:
        self._frame = None


class _Persisted:
    def __init__(self, frame: DataFrame, lake: Lake) -> None:
        self._frame, self._lake = frame, lake

    @property
    def frame(self) -> DataFrame:
        return self._frame

    @property
    def empty(self) -> bool:
        return self._frame.isEmpty()

    def column(self, name: str) -> pa.ChunkedArray:
        return self._frame.select(name).toArrow()[name].drop_null()

    def matching(self, name: str, pattern: str) -> pa.Table:
        return self._frame.where(F.col(name).cast("string").rlike(pattern)).toArrow()

    def route(self, table: Table) -> Held:
        return _Persisted(self._frame.where(F.col("to") == table.noun).select(f"{table.noun}.*"), self._lake)

    def append(self, table: Table, mark: Mark, covers: Mapping[str, Any]) -> int:
        return self._lake.append(table, self._frame, mark, covers)

    def release(self) -> None:
        self._frame.unpersist()
