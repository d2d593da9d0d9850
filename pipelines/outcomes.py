"""The question "what became of it": the beliefs of a lake about single predictions, now or as of any time."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines.gold.outcomes import in_force, standing
from pipelines.gold.tables import OUTCOME_LEDGER
from pipelines.opened import Opened, named, not_above


def outcomes(
    spark: SparkSession,
    *,
    lake: Path | str,
    catalog: str = "",
    model: str | None = None,
    label: str | None = None,
    request: str | None = None,
    as_of: datetime | None = None,
) -> DataFrame:
    """One row per request or item and label that somebody answered: what is believed, since when, and what was predicted.

    The view `gold.outcomes`, under the label's policy as it was declared when the prediction was logged. `model`, `label`:
    one of them, or all. `request`: the beliefs about this one. `as_of`: what could be known before that time; without it,
    all that gold holds by now, so also what lies above the frontier and may still change.

    `number` or `text` is the outcome; both are null where it was answered and stays undecided. Silence has no row.
    Raises InputError: no_lake, unknown_model, unknown_label, no_frontier, as_of_above_frontier, naive_time.
    """
    opened = Opened(spark, lake, catalog)
    labels = [one for one in opened.definitions() if one.policy is not None]
    ledger = opened.table(OUTCOME_LEDGER).where(in_force(named(labels, model=model, label=label), labels))
    if request is not None:
        ledger = ledger.where(F.col("unit_id") == request)
    if as_of is not None:
        ledger = ledger.where(F.col("known_at") < F.lit(not_above(opened.frontier(), as_of)))
    return standing(ledger).orderBy(F.desc("known_at"), "model", "label", "unit_id", "item")
