"""What a table says, as one hash: the same for the same rows, whatever their order, their files, or when they were written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from pipelines import files
from pipelines.contract import Table
from pipelines.lake import Lake

FREE = ("recorded_at", "via")
"""Columns that say how and when a row came to be, which no number depends on."""


@dataclass(frozen=True)
class Content:
    """Rows as they stand, and the hash of what they come to: signed rows are summed, sums of zero left out."""

    rows: int
    hash: str


def content_of(lake: Lake, table: Table) -> Content:
    """The content of a table; of one that is not there, that of an empty one. Raises StateError `data_file_damaged`."""
    if not lake.exists(table):
        return Content(0, f"{0:016x}")
    return come_to(files.scan(lake.path(table), lake.open(table), table.names))


def come_to(rows: pa.RecordBatchReader) -> Content:
    """The content of rows of a table."""
    names = rows.schema.names
    weight = next((name for name in ("sign", "amount") if name in names), "1")
    carried = [name for name in ("features",) if name in names and weight == "sign"]
    said = ", ".join(f'"{name}"' for name in names if name not in (*FREE, *carried, weight))
    stated = ", ".join(["NULL", *(f'max("{name}")' for name in carried)])
    with duckdb.connect() as db:
        db.register("rows", rows)
        db.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
        found: tuple[Any, ...] | None = db.execute(
            f"WITH net AS (SELECT hash({said}) AS said, hash({stated}) AS stated, sum({weight}) AS total, count(*) AS rows "
            f"FROM rows GROUP BY {said}) SELECT coalesce(sum(rows), 0), "
            "bit_xor(hash(said, total, CASE WHEN total > 0 THEN stated END)) FILTER (total <> 0) FROM net"
        ).fetchone()
    assert found is not None
    return Content(int(found[0]), f"{found[1] or 0:016x}")
