"""Which inference a feedback is about."""

from __future__ import annotations

from datetime import timedelta

from pyspark.sql import Column as Expression
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.silver.derived import CONTEXT, LABELLED

AHEAD = timedelta(minutes=10)
"""How long before its inference a feedback may seem to be given: both clocks' skew."""
LATENESS = timedelta(minutes=10)
"""How far behind the newest event the watermark runs. What comes later still is found by `reconcile`."""

_CARRIED = [field.name for field in CONTEXT if field.name not in ("judged", "score")]


def attribute(inferences: DataFrame, feedback: DataFrame, reconciled: DataFrame, *, horizon: timedelta) -> DataFrame:
    """Pairs of a feedback and its inference, as soon as both are there, whichever came first; rows of silver.labelled.

    State: the keys and contexts of inferences until the watermark has passed them by `horizon`, and of feedback by AHEAD.
    Watermarks are on `watermark_at`, so no client clock can drag them. Pairs that the watermark let go come in `reconciled`.
    """
    served = inferences.select(
        "tenant",
        "request_id",
        "status",
        "items",
        "score",
        *_CARRIED,
        F.col("watermark_at").alias("served_mark"),
    ).withWatermark("served_mark", _interval(LATENESS))
    given = feedback.select(
        F.col("tenant").alias("feedback_tenant"),
        F.col("request_id").alias("unit_id"),
        *_judgement(),
        F.col("received_at").alias("feedback_received_at"),
        F.col("offset").alias("feedback_offset"),
        F.col("partition").alias("feedback_partition"),
        F.col("watermark_at").alias("given_mark"),
    ).withWatermark("given_mark", _interval(LATENESS))
    pairs = served.join(
        given,
        (F.col("tenant") == F.col("feedback_tenant"))
        & (F.col("request_id") == F.col("unit_id"))
        & (F.col("given_mark") >= F.col("served_mark") - F.expr(f"INTERVAL {_interval(AHEAD)}"))
        & (F.col("given_mark") <= F.col("served_mark") + F.expr(f"INTERVAL {_interval(horizon)}")),
    )
    return enrich(pairs, via="join").unionByName(reconciled.select(*LABELLED.names))


def pair(inferences: DataFrame, feedback: DataFrame) -> DataFrame:
    """The same pairs on batch frames, without any horizon: what `reconcile` finds."""
    served = inferences.select("tenant", "request_id", "status", "items", "score", *_CARRIED)
    given = feedback.select(
        F.col("tenant").alias("feedback_tenant"),
        F.col("request_id").alias("unit_id"),
        *_judgement(),
        F.col("received_at").alias("feedback_received_at"),
        F.col("offset").alias("feedback_offset"),
        F.col("partition").alias("feedback_partition"),
    )
    same = (F.col("tenant") == F.col("feedback_tenant")) & (F.col("request_id") == F.col("unit_id"))
    return enrich(served.join(given, same), via="reconcile")


def enrich(pairs: DataFrame, *, via: str) -> DataFrame:
    """A joined pair as a row of silver.labelled: one item's score taken from the slate, and the time when both were known."""
    shown = F.filter("items", lambda place: place["item"] == F.col("about_item"))
    of_request = F.col("about_item").isNull()
    computed: dict[str, Expression] = {
        "judged": (F.col("status") == "ok") & (of_request | (F.coalesce(F.size(shown), F.lit(0)) > 0)),
        "score": F.when(of_request, F.col("score")).otherwise(F.try_element_at(shown, F.lit(1))["score"]),
    }
    context = F.struct(*[computed.get(f.name, F.col(f.name)).alias(f.name) for f in CONTEXT])
    return pairs.select(
        "tenant",
        "feedback_id",
        F.when(of_request, "request").otherwise("item").alias("unit"),
        "unit_id",
        F.coalesce("about_item", F.lit("")).alias("item"),
        "label",
        "number",
        "text",
        "action",
        "given_at",
        "rater",
        "role",
        "target_feedback_id",
        F.greatest("received_at", "feedback_received_at").alias("known_at"),
        context.alias("context"),
        F.col("feedback_partition").alias("partition"),
        F.col("feedback_offset").alias("offset"),
        F.lit(via).alias("via"),
        # of UTC, whatever the zone of the session
        F.date_from_unix_date(F.expr("unix_seconds(served_at) div 86400").cast("int")).alias("served_date"),
    )


def _judgement() -> list[Expression]:
    """What a feedback says. Its own session and subject stay behind: they would shadow the inference's."""
    kept = ["feedback_id", "label", "action", "given_at", "rater", "role", "target_feedback_id"]
    said = [F.col(name) for name in kept]
    return [*said, F.col("item").alias("about_item"), F.col("value").alias("number"), F.col("value_text").alias("text")]


def _interval(length: timedelta) -> str:
    return f"{length // timedelta(seconds=1)} seconds"
