"""Frames for tests of transforms: rows of a table, two partitions, and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from pipelines.bronze.tables import EVENTS
from pipelines.contract import Table
from pipelines.definition import Definition
from pipelines.silver.derived import CONTEXT
from pipelines.silver.parse import parse

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(minutes: float) -> datetime:
    """So many minutes after noon."""
    return T0 + timedelta(minutes=minutes)


def frame(spark: SparkSession, table: Table, rows: Iterable[dict[str, Any]] = ()) -> DataFrame:
    """Rows of a table, over two partitions so that nothing depends on their order."""
    return spark.createDataFrame(table.frame(list(rows))).repartition(2)


def rows(frame: DataFrame) -> list[dict[str, Any]]:
    return [dict(row) for row in frame.toArrow().to_pylist()]


def read(
    payload: bytes,
    received_at: datetime,
    offset: int,
    definitions: Sequence[Definition],
    appended_at: datetime | None = None,
) -> dict[str, Any]:
    """What one record says: a row of PARSED. It was appended when it was received, unless said otherwise."""
    times = {"received_at": received_at, "appended_at": appended_at or received_at}
    (found,) = read_all([EVENTS.row(payload=payload, offset=offset, **times)], definitions)
    return found


def read_all(events: Sequence[dict[str, Any]], definitions: Sequence[Definition]) -> list[dict[str, Any]]:
    """What rows of bronze.events say: rows of PARSED."""
    found: list[dict[str, Any]] = parse(EVENTS.frame(list(events)), definitions=definitions).to_pylist()
    return found


def context(**changed: Any) -> dict[str, Any]:
    """What a row knows of its inference: a judged one of model m, served at noon, at offset 5."""
    plain: dict[str, Any] = dict.fromkeys(field.name for field in CONTEXT)
    known = {"model": "m", "version": "1", "served_at": T0, "received_at": T0, "offset": 5, "judged": True}
    return {**plain, **known, **changed}
