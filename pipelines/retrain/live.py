"""Mature outcomes of what was served: the net of gold.examples, in the order in which they could be known."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.dataset.standing import standing
from pipelines.definition import Definition
from pipelines.gold.tables import EXAMPLES
from pipelines.lake import Lake

_SAID = ("version", "prediction", "prediction_text", "score", "scores")
_COLUMNS = [*EXAMPLES.key, "sign", "served_at", "weight", *_SAID, "segments", "experiments"]


def outcomes(lake: Lake, definition: Definition, *, since: datetime, as_of: datetime) -> pa.Table:
    """What became of the requests that a model served at `since` or later, as known before `as_of`."""
    if not lake.exists(EXAMPLES) or definition.policy is None:
        return EXAMPLES.arrow.empty_table().select(_COLUMNS)
    field = pc.field
    where = (field("model") == definition.model) & (field("label") == definition.label) & (field("policy") == definition.policy.hash)
    where &= (field("known_at") < pa.scalar(as_of)) & (field("served_at") >= pa.scalar(since))
    return as_known(lake.read(EXAMPLES, [*_COLUMNS, "model"], where & (field("served_date") >= since.date())))


def as_known(rows: pa.Table) -> pa.Table:
    """The examples that stand, in the order in which they could be known."""
    return standing(rows).sort_by([(name, "ascending") for name in ("known_at", "unit_id", "item")])
