"""The view gold.outcomes: what is believed now, or was at a time, out of the signed entries of the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import or_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.definition import Definition, Policy
from pipelines.gold.tables import OUTCOMES

_CONTEXT = ("model", "version", "served_at", "judged", "prediction", "prediction_text", "score", "segments")
_BELIEF = (*OUTCOMES.key, "number", "text")


def standing(ledger: DataFrame) -> DataFrame:
    """The beliefs that stand: entries that were taken back are gone.

    Signs cancel at their own known_at first: a belief that was moved to an earlier time is known since then.
    """
    moments = (
        ledger.groupBy(*_BELIEF, "known_at")
        .agg(F.sum("sign").alias("sign"), F.max("matures_at").alias("matures_at"), F.first("context").alias("context"))
        .where(F.col("sign") != 0)
    )
    return (
        moments.groupBy(*_BELIEF)
        .agg(
            F.sum("sign").alias("live"),
            *(F.max(name).alias(name) for name in ("known_at", "matures_at")),
            F.first("context").alias("context"),
        )
        .where(F.col("live") != 0)
        .select("*", *(F.col(f"context.{name}").alias(name) for name in _CONTEXT))
        .select(*OUTCOMES.names)
    )


def in_force(definitions: Sequence[Definition], among: Sequence[Definition]) -> Column:
    """Which entries of the ledger are under one of the definitions, as the newest that their inference was logged under.

    `among`: everything declared. A unit whose label was declared anew has beliefs under each policy; this keeps one of them.
    """
    return reduce(or_, (_logged_under(one, one.policy, among) for one in definitions if one.policy), F.lit(False))


def _logged_under(one: Definition, policy: Policy, among: Sequence[Definition]) -> Column:
    offset = F.col("context.offset")
    held = (F.col("context.model") == one.model) & (F.col("label") == one.label) & (offset > one.above)
    label = (one.model, one.label)
    later = [other.above for other in among if (other.model, other.label) == label and other.offset > one.offset]
    return held & (offset <= min(later) if later else F.lit(True)) & (F.col("policy") == policy.hash)
