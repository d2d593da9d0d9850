"""What an inference says before anybody answers: exposure, silence to come, latency, cost."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.definition import Definition
from pipelines.exact import UNIT, amount, units
from pipelines.gold.placing import INCREMENTS, Placed, Sums
from pipelines.gold.quality import Shown, Term, silence, terms

EDGES: tuple[Decimal, ...] = tuple(amount(0.001 * 1.02**i) for i in range(1400))
"""Upper edges of the buckets of a measure, 2 % apart: bucket k holds EDGES[k - 1] < value <= EDGES[k]."""

_READ = (
    *("tenant", "model", "version", "status", "offset", "prediction", "prediction_text", "score", "scores"),
    *("segments", "measures", "items"),
)


def expose(inferences: DataFrame, *, definitions: Sequence[Definition]) -> DataFrame:
    """Increments of gold.statistics: basis `exposed` under the service definitions, and per label one post-dated silence.

    Silence is posted for inferences with status ok, at maturity: max(served_at + attribution window, received_at).
    """
    times = [F.unix_micros(name).alias(name) for name in ("served_at", "received_at")]
    return inferences.select(*_READ, *times).mapInArrow(partial(_increments, tuple(definitions)), INCREMENTS)


def _increments(definitions: Sequence[Definition], batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    declared: dict[str, list[Placed]] = defaultdict(list)
    for definition in definitions:
        declared[definition.model].append(Placed(definition))
    sums = Sums()
    for batch in batches:
        for row in batch.to_pylist():
            segments = dict(row["segments"] or ())
            for placed in declared.get(row["model"], ()):
                if placed.definition.offset < row["offset"]:
                    _add(sums, placed, row, placed.values(segments))
    yield from sums.rows().to_batches()


def _add(sums: Sums, placed: Placed, row: dict[str, Any], values: tuple[str, ...]) -> None:
    definition = placed.definition
    place = placed, row["tenant"], row["version"], values, row["served_at"]
    if definition.policy is None:
        sums.add(place, row["received_at"], "exposed", service_terms(definition, row))
    elif row["status"] == "ok":
        matures_at = max(row["served_at"] + definition.policy.window * 1_000_000, row["received_at"])
        for shown in _shown(definition.policy.unit, row):
            sums.add(place, matures_at, "silent", terms(definition, shown, silence(definition)))


def _shown(unit: str, row: dict[str, Any]) -> list[Shown]:
    """What was shown: the request, or each item of its slate."""
    scores = dict(row["scores"]) if row["scores"] else None
    if unit == "request":
        return [Shown(unit, row["prediction"], row["prediction_text"], row["score"], scores)]
    return [Shown(unit, score=item["score"], scores=scores) for item in row["items"] or ()]


def service_terms(definition: Definition, row: dict[str, Any]) -> list[Term]:
    """Counts of inferences, errors and items, and of each declared measure its sum, count and histogram."""
    if row["status"] == "ok":
        found: list[Term] = [("n", "", UNIT)]
        if row["items"]:
            found.append(("items", "", UNIT * len(row["items"])))
    else:
        found = [("errors", "", UNIT)]
    for name, value in row["measures"] or ():
        if name in definition.measures:
            total = units(value)
            found += [(f"{name}.n", "", UNIT), (f"{name}.histogram", str(bucket(value)), UNIT)]
            found += [(name, "", total)] if total else []
    return found


def bucket(value: Decimal) -> int:
    """The number of EDGES below a value."""
    return bisect_left(EDGES, value)
