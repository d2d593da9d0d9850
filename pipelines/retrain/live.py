"""Mature outcomes of what was served: the net of gold.examples, in the order in which they could be known."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.definition import Definition
from pipelines.gold.tables import EXAMPLES
from pipelines.lake import Lake

_KEY = [name for name in EXAMPLES.key if name != "known_at"]
_COLUMNS = [*EXAMPLES.key, "sign", "served_at", "version", "prediction", "score", "scores", "segments", "experiments"]


def outcomes(lake: Lake, definition: Definition, *, since: datetime, as_of: datetime) -> pa.Table:
    """What became of the requests that a model served at `since` or later, as known before `as_of`."""
    if not lake.exists(EXAMPLES) or definition.policy is None:
        return EXAMPLES.arrow.empty_table().select(_COLUMNS)
    field = pc.field
    where = (field("model") == definition.model) & (field("label") == definition.label) & (field("policy") == definition.policy.hash)
    where &= (field("known_at") < pa.scalar(as_of)) & (field("served_at") >= pa.scalar(since))
    return standing(lake.read(EXAMPLES, [*_COLUMNS, "model"], where & (field("served_date") >= since.date())))


def standing(rows: pa.Table) -> pa.Table:
    """The examples that were not taken back, each as it was stated last."""
    rows = rows.sort_by([("known_at", "ascending"), ("unit_id", "ascending"), ("item", "ascending")])
    stated = pc.if_else(pc.greater(rows["sign"], 0), pa.array(np.arange(rows.num_rows)), pa.scalar(-1, pa.int64()))
    ordered = pa.table([*(rows[name] for name in (*_KEY, "sign")), stated], [*_KEY, "sign", "stated"])
    net = ordered.group_by(_KEY).aggregate([("sign", "sum"), ("stated", "max")])
    return rows.take(net.filter(pc.greater(net["sign_sum"], 0))["stated_max"].combine_chunks().sort())
