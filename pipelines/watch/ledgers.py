"""Ledgers brought to what the rules come to: what is missing is stated, what is too much is taken back, nothing is edited."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from pipelines import kept
from pipelines.contract import Table
from pipelines.lake import Lake, Mark

OF_ALERTS = ("tenant", "model", "rule", "policy", "cut", "segment", "version", "incident", "window_start", "known_at")
OF_DRIFT = ("tenant", "model", "feature", "policy", "cut", "segment", "version", "window_start", "measure", "known_at")
_VALUES = ("value", "reference", "support", "baseline")
Row = dict[str, Any]


def difference(table: Table, made: Sequence[Row], there: Sequence[Row], key: Sequence[str]) -> list[Row]:
    """Signed rows that bring what is there to what was made; nothing is netted across known_at."""
    net: Counter[tuple[Any, ...]] = Counter()
    example: dict[tuple[Any, ...], Row] = {}
    for rows, weight in ((there, -1), (made, 1)):
        for row in rows:
            about = (
                *(row[name] for name in key),
                row.get("state") == "cleared",
                *(row[name] for name in _VALUES if "measure" in row),
            )
            net[about] += weight * row["sign"]
            example[about] = row
    found = []
    for about, count in net.items():
        row = {name: example[about][name] for name in table.computed.names}
        row["sign"] = 1 if count > 0 else -1
        if row.get("state") not in (None, "cleared"):
            row["state"] = "raised" if count > 0 else "overturned"
        found += [row] * abs(count)
    return found


def append(lake: Lake, table: Table, rows: Sequence[Row]) -> int:
    """One commit, under a mark of its own: what follows from the ledgers is missing or it is not."""
    if not rows:
        return 0
    made = pa.Table.from_pylist(list(rows), schema=table.computed)
    version = int(lake.open(table).version())
    return kept.append(lake, table, made, Mark(f"watch:{table.name}", version + 1), {"job": "watch", "query": "watch"})
