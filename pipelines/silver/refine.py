"""Which event stands, which repeats one, which contradicts one: decided by ids, contents and log positions alone."""

from __future__ import annotations

from functools import reduce

from pyspark.sql import Column as Expression
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.contract import Table
from pipelines.silver.tables import CONTROLS, DUPLICATES, FEEDBACK, INFERENCES, QUARANTINE

_ID = ["tenant", "kind", "event_id"]


def refine(events: DataFrame, seen_inferences: DataFrame, seen_feedback: DataFrame) -> DataFrame:
    """Where each parsed record goes: one row per record, `to` names the table, the column of that name holds the row.

    Of the valid events with one id the one at the lowest log position stands, whatever else has been written meanwhile: so a
    batch that is replayed half-written decides the same. `seen_*` are the rows already there for the ids of this batch.
    """
    valid = events.where(F.col("reason").isNull() & F.col("event_id").isNotNull())
    here = valid.select(*_ID, _place())
    first = (
        reduce(DataFrame.unionByName, [here, _seen(seen_inferences, "inference"), _seen(seen_feedback, "feedback")])
        .groupBy(*_ID)
        .agg(F.count("*").alias("times"), F.min("place").alias("first"))
        .where(F.col("times") > 1)
        .drop("times")
    )
    judged = events.join(F.broadcast(first), _ID, "left")
    repeats = F.col("reason").isNull() & F.col("first").isNotNull() & (F.col("first") != _place())
    same = F.col("first.body_hash") == F.col("body_hash")
    decided = judged.withColumn(
        "to",
        F.when(F.col("reason").isNotNull() | (repeats & ~same), _noun(QUARANTINE))
        .when(repeats, _noun(DUPLICATES))
        .when(F.col("kind") == "inference", _noun(INFERENCES))
        .when(F.col("kind") == "feedback", _noun(FEEDBACK))
        .otherwise(_noun(CONTROLS)),
    )
    return decided.select(
        "to",
        _row(CONTROLS, "control"),
        _row(INFERENCES, "inference", served_date=F.col("event_date")),
        _row(FEEDBACK, "feedback"),
        _quarantine(),
        _row(
            DUPLICATES,
            None,
            first_source=F.col("first.source"),
            first_partition=F.col("first.partition"),
            first_offset=F.col("first.offset"),
        ),
    )


def _place() -> Expression:
    """A position with what stands there, in the order of the log."""
    return F.struct("partition", "offset", "source", "body_hash").alias("place")


def _seen(rows: DataFrame, kind: str) -> DataFrame:
    identity = "request_id" if kind == "inference" else "feedback_id"
    return rows.select("tenant", F.lit(kind).alias("kind"), F.col(identity).alias("event_id"), _place())


def _quarantine() -> Expression:
    conflict = F.concat(
        F.lit("another event with this id stands at offset "),
        F.col("first.offset").cast("string"),
        F.lit(" of partition "),
        F.col("first.partition").cast("string"),
        F.lit(" with other content; the lower position stands"),
    )
    return _row(
        QUARANTINE,
        None,
        attempt=F.lit(0).cast("long"),
        sign=F.lit(1),
        reason=F.coalesce("reason", F.lit("id_conflict")),
        detail=F.coalesce("detail", conflict),
    )


def _row(table: Table, said: str | None, **computed: Expression) -> Expression:
    """The row of a table: computed columns, then what the event says, then the record's own columns."""
    computed = {"received_date": F.to_date("received_at"), **computed}
    spoken = {c.name for c in table.sent} | {"prediction_text", "value_text"}
    columns = []
    for column in table.columns:
        if column.name in computed:
            value = computed[column.name]
        elif said is not None and column.name in spoken:
            value = F.col(f"{said}.{column.name}")
        else:
            value = F.col(column.name)
        columns.append(value.cast(column.type).alias(column.name))
    return F.when(F.col("to") == _noun(table), F.struct(*columns).cast(table.row_type)).alias(table.noun)


def _noun(table: Table) -> Expression:
    return F.lit(table.noun)
