"""Where a term counts: in every grain and every cut of its definition."""

from __future__ import annotations

from pyspark.sql import Column as Expression
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.contract import AMOUNT, STRING
from pipelines.definition import MISSING, OTHER
from pipelines.gold.defined import matching
from pipelines.gold.tables import STATISTICS

MINUTE = 60_000_000
_UNUSED = ("experiment", "arm", "unit_group")


def place(terms: DataFrame, definitions: Expression) -> DataFrame:
    """Terms summed into rows of gold.statistics; `definitions` is the literal array they were matched with.

    First over terms that fall into the same cell of the finest grain with the same values of the cuts' fields, so that the
    explosion by grains and cuts runs over few rows; then over what these make.
    """
    d = F.col("defined")
    finest = F.array_min(F.transform(d["grains"], lambda grain: grain["width"]))
    cells = (
        terms.withColumn("served", _floor(F.unix_micros("served_at"), finest))
        .withColumn("known", _floor(F.unix_micros("known_at"), F.lit(MINUTE)))
        .withColumn("values", F.transform(d["fields"], _value))
        .groupBy("tenant", "model", "version", "basis", "served", "known", "values", "statistic", "bucket", d["definition"].alias("hash"))
        .agg(F.sum("amount").cast(AMOUNT).alias("amount"))
        .where(F.col("amount") != 0)
    )
    placed = (
        cells.select("*", matching(definitions, lambda d: d["definition"] == F.col("hash")))
        .withColumn("grain", F.explode("defined.grains"))
        .withColumn("cut", F.explode("defined.cuts"))
        .withColumn("cell", _floor(F.col("served"), F.col("grain.width")))
        .withColumn(
            "segment", F.to_json(F.transform("cut.at", lambda at: F.element_at("values", at + 1)))
        )
        .groupBy(
            *["tenant", "model", "version", "basis", "cell", "known", "segment", "statistic", "bucket"],
            F.col("cut.name").alias("cut"),
            F.col("grain.name").alias("grain"),
            F.col("defined.label").alias("label"),
            F.col("defined.definition").alias("definition"),
        )
        .agg(F.sum("amount").cast(AMOUNT).alias("amount"))
        .where(F.col("amount") != 0)
    )
    made = {
        **{name: F.lit("").cast(STRING) for name in _UNUSED},
        "cell_at": F.timestamp_micros("cell"),
        "known_at": F.timestamp_micros("known"),
        "cell_date": F.to_date(F.timestamp_micros("cell")),
    }
    return placed.select(*[made.get(n, F.col(n)).alias(n) for n in STATISTICS.names if n != "recorded_at"])


def _floor(micros: Expression, width: Expression) -> Expression:
    return micros - F.pmod(micros, width)


def _value(field: Expression) -> Expression:
    """The value of a segment field: as sent, or __missing__, or __other__ where it is not among the declared ones."""
    sent = F.try_element_at("segments", field["name"])
    known = field["values"].isNull() | F.array_contains(field["values"], sent)
    return F.when(sent.isNull(), F.lit(MISSING)).when(known, sent).otherwise(F.lit(OTHER))
