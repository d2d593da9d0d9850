"""A lake opened to be explained: its tables read as files, beside a running application and without Spark."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property, reduce
from operator import or_
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.bronze.tables import EVENTS
from pipelines.contract import Table
from pipelines.definition import Definition, active
from pipelines.definitions import DefinitionBook
from pipelines.errors import InputError, StateError
from pipelines.gold.tables import FRONTIERS
from pipelines.lake import Lake
from pipelines.moments import rfc3339
from pipelines.silver.erased import hashed
from pipelines.silver.tables import CONTROLS

AT_ONCE = 64
"""Positions that are looked for in one read: each is its own condition, by which files are pruned."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Row = dict[str, Any]


class Sources:
    """The tables of the lake under a folder. Raises StateError no_lake where there is none."""

    def __init__(self, root: Path) -> None:
        self._lake = Lake(root)
        for table in (EVENTS, FRONTIERS):
            if not self._lake.exists(table):
                raise StateError(
                    "no_lake",
                    f"{root}: there is no table {table.name} here. `hindsight run --once` fills it; --lake names another lake.",
                )

    def rows(self, table: Table, where: Any, columns: list[str] | None = None) -> pa.Table:
        """The rows that a condition holds for."""
        return self._lake.read(table, columns, where)

    def of(self, table: Table, *ids: str) -> list[Row]:
        """The rows whose indexed column is one of these ids; none where there is no such table yet."""
        if not self._lake.exists(table):
            return []
        return list(self._lake.lookup(table, pa.chunked_array([pa.array(ids, pa.string())])).to_pylist())

    def at(self, table: Table, offsets: Iterable[int], columns: list[str] | None = None) -> dict[int, Row]:
        """The rows at positions of the log, by offset."""
        wanted, found = sorted(set(offsets)), dict[int, Row]()
        for start in range(0, len(wanted), AT_ONCE):
            where = reduce(or_, (pc.field("offset") == offset for offset in wanted[start : start + AT_ONCE]))
            found |= {row["offset"]: row for row in self.rows(table, where, columns).to_pylist()}
        return found

    @cached_property
    def definitions(self) -> list[Definition]:
        """Everything that was ever declared, in the order of the log."""
        rows = self.rows(CONTROLS, pc.field("action") == "define", ["body", "offset", "backfill"]).to_pylist()
        return active([Definition.of(msgspec.json.decode(row["body"]), row["offset"], everywhere=row["backfill"] is True) for row in rows])

    def refuse_erased(self, name: str) -> None:
        """Raise InputError event_erased where a request of this id was erased: the log keeps a keyed hash of it."""
        if any(hashed(one.key, name) in one.requests for one in DefinitionBook(self._lake).erasures()):
            raise InputError(
                "event_erased",
                f'the request "{name}" was erased with its subject: nothing is left but a keyed hash, by which it is refused if it comes '
                "again. The certificates under _erasures say what was taken back, and when.",
            )

    def frontier(self) -> datetime:
        """The least time that is fully processed. Raises StateError no_frontier."""
        at = pc.max(self._lake.read(FRONTIERS, ["frontier"])["frontier"]).as_py()
        if at is None:
            raise StateError(
                "no_frontier",
                f"{self._lake.root}: nothing has been processed to an end yet, so there is no time as of which numbers hold. "
                "Let `hindsight run` go until its first reconcile.",
            )
        return utc(at)


def utc(at: datetime) -> datetime:
    return at.astimezone(UTC)


def micros(at: datetime) -> int:
    """Microseconds since 1970."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def moment(at: int) -> datetime:
    """The time so many microseconds after 1970."""
    return _EPOCH + timedelta(microseconds=at)


def plain(value: Any) -> Any:
    """A value as JSON has it; times with a Z, exact numbers as they are written out."""
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    if isinstance(value, dict):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value
