"""Erased records in the log, wherever it lies: what of them stands there, and a tombstone in its place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds

from pipelines.bronze.tables import EVENTS
from pipelines.erasure.rewrite import drop
from pipelines.lake import Lake
from pipelines.log import erase
from pipelines.paths import in_bronze, log_path
from pipelines.silver.erased import TOMBSTONE


def standing(root: Path, offsets: Sequence[int]) -> list[int]:
    """Of these offsets, those at which a record stands that is no tombstone, ascending. Raises as `log.erase.standing`."""
    if not in_bronze(root).exists():
        return erase.standing(log_path(root), offsets)
    rows = Lake(root).read(EVENTS, ["offset", "payload"], ds.field("offset").isin(list(offsets)))
    return sorted(row["offset"] for row in rows.to_pylist() if row["payload"] != TOMBSTONE)


def bury(root: Path, offsets: Sequence[int]) -> None:
    """Replace the records at these offsets, in ascending order; positions and receipts stay. Raises as `log.erase.erase`."""
    if in_bronze(root).exists():
        drop(root, EVENTS, pa.array(offsets, pa.int64()))
    else:
        erase.erase(log_path(root), offsets)
