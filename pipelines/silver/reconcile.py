"""What the join let go: late pairs, and feedback that never finds its inference."""

from __future__ import annotations

from datetime import datetime, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.silver.attribute import pair
from pipelines.silver.tables import ORPHANS, RECONCILED

ORPHAN_AFTER = timedelta(hours=1)
"""Feedback whose inference is not known this long after its receipt is an orphan, until the inference comes."""

_ORPHAN = [name for name in ORPHANS.names if name != "sign"]


def reconcile(
    feedback: DataFrame, inferences: DataFrame, labelled: DataFrame, orphans: DataFrame, *, frontier: datetime | None
) -> DataFrame:
    """Pairs to hand to the join's chain, and signed orphans; `to` names the table, the column of that name holds the row.

    `feedback`: what may be open; `inferences`: theirs, where they are there; `labelled`: the pairs that are known already;
    `orphans`: what has been posted about this feedback. Both outputs are differences, so a second run posts nothing.
    """
    missed = pair(inferences, feedback).join(
        labelled.select("tenant", "feedback_id"), ["tenant", "feedback_id"], "left_anti"
    )
    pairs = missed.select(
        F.lit(RECONCILED.noun).alias("to"),
        F.struct(*RECONCILED.names).cast(RECONCILED.row_type).alias(RECONCILED.noun),
        F.lit(None).cast(ORPHANS.row_type).alias(ORPHANS.noun),
    )
    answered = labelled.select("tenant", "feedback_id", "known_at").unionByName(
        missed.select("tenant", "feedback_id", "known_at")
    )
    difference = (
        _expected(feedback, answered.dropDuplicates(["tenant", "feedback_id"]), frontier)
        .unionByName(orphans.select(*_ORPHAN, (-F.col("sign")).alias("sign")))
        .groupBy(*_ORPHAN)
        .agg(F.sum("sign").cast("int").alias("sign"))
        .where(F.col("sign") != 0)
    )
    return pairs.unionByName(
        difference.select(
            F.lit(ORPHANS.noun).alias("to"),
            F.lit(None).cast(RECONCILED.row_type).alias(RECONCILED.noun),
            F.struct(*ORPHANS.names).cast(ORPHANS.row_type).alias(ORPHANS.noun),
        )
    )


def _expected(feedback: DataFrame, answered: DataFrame, frontier: datetime | None) -> DataFrame:
    """+1 when the grace has passed without the inference, -1 when it came after that. By the log's times alone."""
    known = answered.withColumnRenamed("known_at", "found_at")
    orphaned_at = F.col("received_at") + F.expr(f"INTERVAL {ORPHAN_AFTER // timedelta(seconds=1)} seconds")
    settled = F.lit(False) if frontier is None else F.col("orphaned_at") <= F.lit(frontier)
    late = F.col("found_at") > F.col("orphaned_at")
    entries = F.array(
        F.struct(F.lit(1).alias("sign"), F.col("orphaned_at").alias("known_at")),
        F.struct(F.lit(-1).alias("sign"), F.col("found_at").alias("known_at")),
    )
    return (
        feedback.withColumn("orphaned_at", orphaned_at)
        .join(known, ["tenant", "feedback_id"], "left")
        .where(late | (F.col("found_at").isNull() & settled))
        .withColumn("entry", F.explode(F.filter(entries, lambda entry: entry["known_at"].isNotNull())))
        .select(
            *["tenant", "feedback_id", "request_id", "label", "offset", "received_date"],
            F.col("entry.known_at").alias("known_at"),
            F.col("entry.sign").alias("sign"),
        )
        .select(*ORPHANS.names)
    )
