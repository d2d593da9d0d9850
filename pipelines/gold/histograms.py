"""How features and scores are distributed: which bucket of a declared histogram each served value falls into."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.definition import MISSING, OTHER, Definition, Scale
from pipelines.gold.quality import Term


def histograms(definition: Definition, rows: pa.Table, at: Any) -> Iterator[Term]:
    """One term per declared distribution: each of the rows `at` counts in one bucket of the statistic NAME.histogram.

    Buckets: the number of edges at or below a number, or the value itself; `__missing__` where there is none, `__other__` where it
    is not among the declared values, or of another type than declared.
    """
    if not definition.histograms or not len(at):
        return
    there = rows.take(pa.array(at))
    read = msgspec.json.Decoder().decode
    features: list[dict[str, Any]] = []
    if any(name.startswith("feature.") for name, _ in definition.histograms):
        features = [read(text) if text else {} for text in there["features"].to_pylist()]
    for name, scale in definition.histograms:
        of, _, key = name.partition(".")
        if of == "feature":
            values = [row.get(key) for row in features]
        else:
            scores = (
                there["score"] if of == "request" else pc.map_lookup(there["scores"].combine_chunks(), key, "first")
            )
            values = scores.to_pylist()
        buckets = {value: bucket(value, scale) for value in {(type(one), one) for one in values}}
        yield Term(f"{name}.histogram", at, pa.array([buckets[type(one), one] for one in values], pa.string()))


def bucket(typed: tuple[type, Any], scale: Scale) -> str:
    """The bucket of a value of a type; True and False are the texts true and false."""
    kind, value = typed
    if value is None:
        return MISSING
    if kind is bool:
        kind, value = str, str(value).lower()
    if isinstance(scale[0], str):
        return value if kind is str and value in scale else OTHER
    return str(bisect_right(scale, value)) if kind in (int, float) else OTHER
