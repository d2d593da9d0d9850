"""The named scores of rows of a release: gold.released does not hold them, gold.examples does."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.gold.tables import EXAMPLES
from pipelines.lake import Lake

_KEY = ("tenant", "unit", "unit_id", "item")


def with_scores(lake: Lake, model: str, label: str, rows: pa.Table) -> pa.Table:
    """Rows of a release with the column `scores`, as served; null of what gold.examples no longer holds."""
    rows = rows.select([name for name in rows.column_names if name != "scores"])  # a feature may be called so
    field, served = pc.field, pc.min_max(rows["served_at"]).as_py()
    if served["min"] is None or not lake.exists(EXAMPLES):
        return rows.append_column("scores", pa.nulls(rows.num_rows, EXAMPLES.arrow.field("scores").type))
    where = (field("model") == model) & (field("label") == label)
    where &= (field("served_date") >= served["min"].date()) & (field("served_date") <= served["max"].date())
    found = lake.read(EXAMPLES, [*_KEY, "scores"], where)
    at = pc.index_in(_identity(rows), value_set=_identity(found))
    return rows.append_column("scores", found["scores"].take(at))


def _identity(rows: pa.Table) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(*(rows[name] for name in _KEY), "\0")
