"""From outcomes to statistics."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.definition import Definition
from pipelines.gold.placing import INCREMENTS, Placed, Sums
from pipelines.gold.quality import Shown, silence, terms

_OF_ENTRY = ("tenant", "label", "policy", "unit", "number", "text", "sign")
_OF_CONTEXT = ("model", "version", "offset", "prediction", "prediction_text", "score", "scores", "segments")


def tally(entries: DataFrame, *, definitions: Sequence[Definition]) -> DataFrame:
    """Increments of gold.statistics: what each ledger entry adds as an answer, and takes from silence.

    An entry with sign s and known_at K posts `answered` with s at K, and `silent` with -s at max(matures_at, K), under every
    definition of its policy that applies to its inference. An entry whose inference is not judged posts nothing.
    """
    return (
        entries.where("context.judged")
        .select(
            *_OF_ENTRY,
            *[F.col(f"context.{name}").alias(name) for name in _OF_CONTEXT],
            *[F.unix_micros(name).alias(name) for name in ("known_at", "matures_at")],
            F.unix_micros("context.served_at").alias("served_at"),
        )
        .mapInArrow(partial(_increments, tuple(definitions)), INCREMENTS)
    )


def _increments(definitions: Sequence[Definition], batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    declared: dict[tuple[str, str, str], list[Placed]] = defaultdict(list)
    for definition in definitions:
        if definition.policy is not None:
            declared[definition.model, definition.label, definition.policy.hash].append(Placed(definition))
    sums = Sums()
    for batch in batches:
        for row in batch.to_pylist():
            for placed in declared.get((row["model"], row["label"], row["policy"]), ()):
                if placed.definition.offset < row["offset"]:
                    _add(sums, placed, row)
    yield from sums.rows().to_batches()


def _add(sums: Sums, placed: Placed, row: dict[str, Any]) -> None:
    """Both sides of one entry under one definition."""
    definition = placed.definition
    scores = dict(row["scores"]) if row["scores"] else None
    shown = Shown(row["unit"], row["prediction"], row["prediction_text"], row["score"], scores)
    value = row["number"] if row["text"] is None else row["text"]
    place = placed, row["tenant"], row["version"], placed.values(dict(row["segments"] or ())), row["served_at"]
    sign, known_at = row["sign"], row["known_at"]
    sums.add(place, known_at, "answered", terms(definition, shown, value), sign)
    silent_from = max(row["matures_at"], known_at)
    sums.add(place, silent_from, "silent", terms(definition, shown, silence(definition)), -sign)
