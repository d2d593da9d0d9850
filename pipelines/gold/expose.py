"""What an inference says before anybody answers: exposure, silence to come, latency, cost."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from pyspark.sql import Column as Expression
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.contract import AMOUNT
from pipelines.definition import Definition
from pipelines.exact import amount
from pipelines.gold.defined import defined, matching
from pipelines.gold.placing import place
from pipelines.gold.quality import TERM, terms

EDGES: tuple[Decimal, ...] = tuple(amount(0.001 * 1.02**i) for i in range(1400))
"""Upper edges of the buckets of a measure, 2 % apart: bucket k holds EDGES[k - 1] < value <= EDGES[k]."""

_TERMS = f"array<{TERM.simpleString()}>"


def expose(inferences: DataFrame, *, definitions: Sequence[Definition]) -> DataFrame:
    """Increments of gold.statistics: basis `exposed` under the service definitions, and per label one post-dated silence."""
    service, labels = defined(definitions, labels=False), defined(definitions, labels=True)
    exposures = _service(inferences, service).unionByName(terms(_silence(inferences, labels)))
    return place(exposures, F.concat(service, labels))


def _silence(inferences: DataFrame, labels: Expression) -> DataFrame:
    """One outcome per exposure and label: what silence will say at maturity, max(served_at + window, received_at)."""
    served = inferences.where(F.col("status") == "ok").select(
        *["tenant", "model", "version", "segments", "served_at", "received_at", "score", "items"],
        *["prediction", "prediction_text", "scores"],
        matching(
            labels,
            lambda d: (d["model"] == F.col("model")) & (d["offset"] < F.col("offset")),
        ),
    )
    d = F.col("defined")
    itself = F.array(F.col("score"))
    shown = F.when(d["unit"] == "item", F.transform("items", lambda place: place["score"])).otherwise(itself)
    return (
        served.withColumn("shown", F.explode(shown))
        .withColumn("score", F.col("shown"))
        .withColumn("unit", d["unit"])
        .withColumn("basis", F.lit("silent"))
        .withColumn("sign", F.lit(1))
        .withColumn("missing", ~d["silent"])
        .withColumn("number", d["absent"])
        .withColumn("text", d["absent_text"])
        .withColumn("known_at", F.greatest("received_at", _later("served_at", d["window"])))
    )


def _later(at: str, seconds: Expression) -> Expression:
    return F.timestamp_micros(F.unix_micros(at) + seconds * 1_000_000)


def _service(inferences: DataFrame, service: Expression) -> DataFrame:
    """The terms of the service statistics."""
    matched = inferences.select(
        *["tenant", "model", "version", "segments", "served_at", "status", "items", "measures"],
        F.col("received_at").alias("known_at"),
        matching(
            service,
            lambda d: (d["model"] == F.col("model")) & (d["offset"] < F.col("offset")),
        ),
    )
    ok = F.col("status") == "ok"
    counts = F.array(
        F.when(ok, _term("n", F.lit(1))),
        F.when(~ok, _term("errors", F.lit(1))),
        F.when(ok & (F.size("items") > 0), _term("items", F.size("items"))),
    )
    measured = F.flatten(
        F.transform(
            F.filter("defined.measures", lambda name: F.try_element_at("measures", name).isNotNull()),
            lambda name: F.array(
                _term(name, F.try_element_at("measures", name)),
                _term(F.concat(name, F.lit(".n")), F.lit(1)),
                _term(
                    F.concat(name, F.lit(".histogram")),
                    F.lit(1),
                    bucket(F.try_element_at("measures", name)).cast("string"),
                ),
            ),
        )
    )
    every = F.filter(
        F.concat(counts, F.coalesce(measured, F.array().cast(_TERMS))),
        lambda term: term.isNotNull() & (term["amount"] != 0),
    )
    return matched.withColumn("term", F.explode(every)).select(
        *["tenant", "model", "version", "segments", "served_at", "defined"],
        F.lit("exposed").alias("basis"),
        "known_at",
        F.col("term.statistic").alias("statistic"),
        F.col("term.bucket").alias("bucket"),
        F.col("term.amount").alias("amount"),
    )


def bucket(value: Expression) -> Expression:
    """The number of EDGES below a value: guessed by logarithm, then counted among the four edges around, exactly."""
    edges = F.lit([str(edge) for edge in EDGES]).cast("array<decimal(38,9)>")
    guess = F.floor(F.log(F.greatest(value.cast("double"), F.lit(0.001)) / 0.001) / F.log(F.lit(1.02))).cast("int")
    low = F.greatest(F.lit(0), F.least(guess - 2, F.lit(len(EDGES) - 5)))
    below = F.filter(F.slice(edges, low + 1, F.lit(5)), lambda edge: edge < value)
    return F.when(value <= EDGES[0], F.lit(0)).otherwise(low + F.size(below))


def _term(statistic: str | Expression, value: Expression, bucket_name: Expression | None = None) -> Expression:
    return F.struct(
        (F.lit(statistic) if isinstance(statistic, str) else statistic).alias("statistic"),
        (F.lit("") if bucket_name is None else bucket_name).alias("bucket"),
        value.cast(AMOUNT).alias("amount"),
    )
