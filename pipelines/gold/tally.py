"""From outcomes to statistics."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.definition import Definition
from pipelines.gold.defined import defined, matching
from pipelines.gold.placing import place
from pipelines.gold.quality import terms


def tally(entries: DataFrame, *, definitions: Sequence[Definition]) -> DataFrame:
    """Increments of gold.statistics: what each ledger entry adds as an answer, and takes from silence.

    An entry with sign s and known_at K posts `answered` with s at K, and `silent` with -s at max(matures_at, K).
    """
    judged = entries.where("context.judged").select(
        "tenant",
        "label",
        "policy",
        "unit",
        "number",
        "text",
        "sign",
        "known_at",
        "matures_at",
        *[
            F.col(f"context.{name}").alias(name)
            for name in ("model", "version", "segments", "served_at", "offset")
            + ("prediction", "prediction_text", "score", "scores")
        ],
    )
    declared = defined(definitions, labels=True)
    by_definition = judged.select(
        "*",
        matching(
            declared,
            lambda d: (d["model"] == F.col("model"))
            & (d["label"] == F.col("label"))
            & (d["policy"] == F.col("policy"))
            & (d["offset"] < F.col("offset")),
        ),
    )
    answer = F.struct(
        F.lit("answered").alias("basis"),
        F.col("known_at"),
        F.col("sign"),
        F.lit(False).alias("missing"),
        F.col("number"),
        F.col("text"),
    )
    silence = F.struct(
        F.lit("silent").alias("basis"),
        F.greatest("matures_at", "known_at").alias("known_at"),
        (-F.col("sign")).alias("sign"),
        (~F.col("defined.silent")).alias("missing"),
        F.col("defined.absent").alias("number"),
        F.col("defined.absent_text").alias("text"),
    )
    sides = by_definition.withColumn("side", F.explode(F.array(answer, silence)))
    kept = [name for name in sides.columns if name not in ("known_at", "sign", "number", "text", "side")]
    return place(terms(sides.select(*kept, "side.*")), declared)
