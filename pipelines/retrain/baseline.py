"""What the metrics of a new version are on the slice that its release held out: what a later drop can be held against."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.definition import Definition
from pipelines.gold.metrics.catalogue import applicable
from pipelines.gold.metrics.plan import Target
from pipelines.gold.placing import Known, Units, increments
from pipelines.gold.quality import Outcomes, Shown, terms
from pipelines.gold.tables import EXAMPLES
from pipelines.retrain.losses import Floats, doubles, kind_of, likeliest, texts
from pipelines.watch.alerts import reading
from pipelines.watch.windows import Amounts

_DAY = timedelta(days=1)


def held_out(rows: pa.Table, said: Floats, definition: Definition) -> dict[str, Any]:
    """Each metric with its interval, as windows of statistics have it, and the definition that it is taken under.

    None of rows that stand for unequally many: what they come to is not what windows will. A binary label is called by its threshold,
    so without one there are only the metrics of scores.
    """
    weights = rows["weight"].to_numpy()
    if not len(weights) or (weights != weights[0]).any():
        return {}
    asked, amounts, found = Target(definition, ()), _amounts(rows, said, definition), dict[str, Any]()
    for metric in applicable(asked):
        seen = reading(asked, (metric, ""), _DAY, amounts) if metric.family != "coverage" and not metric.each else None
        if seen is not None:
            found[metric.name] = asdict(seen)
    return {"definition": definition.hash, "metrics": found}


def _amounts(rows: pa.Table, said: Floats, definition: Definition) -> Amounts:
    """The statistics of answers like these, had they been served."""
    kind, count = kind_of(definition), rows.num_rows
    of_classes, nothing = pa.nulls(count, pa.string()), np.full(count, np.nan)
    if kind == "category":
        called = said if said.ndim == 1 else likeliest(said, definition.classes)
        shown = Shown(nothing, pa.array(called, pa.string()), nothing, pa.nulls(count, EXAMPLES.arrow.field("scores").type))
        came = Outcomes(nothing, pa.array(texts(rows["label"]), pa.string()), np.ones(count, bool))
    else:
        prediction = said if kind == "number" else nothing
        shown = Shown(prediction, of_classes, said, pa.nulls(count, EXAMPLES.arrow.field("scores").type))
        came = Outcomes(doubles(rows["label"]), of_classes, np.ones(count, bool))
    # a release says of a binary label whether it is positive, and what is judged is what the new version says
    plain = replace(definition, judges="prediction", cuts=((),), grains=("1 day",), positive=1.0 if kind == "binary" else None)
    same, zeros = pa.repeat("", count), np.zeros(count, "int64")
    units = Units(same, same, pa.nulls(count, EXAMPLES.arrow.field("segments").type), zeros)
    made = increments(plain, units, [Known("answered", zeros, terms(plain, shown, came))])
    return {(row["basis"], row["statistic"], row["bucket"]): row["amount"] for row in made.to_pylist()}
