"""What one outcome says about one inference: its terms, each a named additive statistic with an exact amount."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pyarrow as pa
from pyspark.sql import Column as Expression
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructField, StructType

from pipelines.contract import AMOUNT, INT, STRING
from pipelines.definition import OTHER
from pipelines.exact import amount, rounded, shortest, square

RESIDUAL = StructType(
    [
        StructField("bucket", INT),
        StructField("error", AMOUNT),
        StructField("absolute_error", AMOUNT),
        StructField("squared_error", AMOUNT),
        StructField("value", AMOUNT),
        StructField("squared_value", AMOUNT),
    ]
)
"""`bucket`: of the judged number among the buckets on [0, 1]; error = judged - actual. Null where a number is missing."""

TERM = StructType([StructField("statistic", STRING), StructField("bucket", STRING), StructField("amount", AMOUNT)])


def terms(outcomes: DataFrame) -> DataFrame:
    """One row per term: the outcome's columns of placing, and statistic, bucket, amount times sign.

    `outcomes`: one row per outcome and definition, with `defined`, `sign`, `unit`, prediction, prediction_text, score, scores,
    and the value as `number` or `text`; `missing` where silence has no value.
    """
    d = F.col("defined")
    decided = ~F.col("missing") & (F.col("number").isNotNull() | F.col("text").isNotNull())
    positive = F.when(d["positive_text"].isNotNull(), F.col("text") == d["positive_text"]).otherwise(F.col("number") == d["positive"])
    judged = (
        outcomes.withColumn("decided", decided)
        .withColumn("positive", F.when(F.col("decided") & (d["type"] == "binary"), F.coalesce(positive, F.lit(False))))
        .withColumn("judged", _judged_number(d))
        .withColumn("actual", F.when(d["type"] == "binary", F.col("positive").cast("double")).otherwise(F.col("number")))
        .withColumn("predicted", _predicted(d))
        .withColumn("residual", _residual("judged", "actual", d["score_buckets"]))
        .withColumn("class_actual", _class(F.col("text"), d))
        .withColumn("class_predicted", F.when(d["judges"] == "prediction", _class(_of_request("prediction_text"), d)))
    )
    every = F.filter(
        F.array(*_counted(), *_binary(d), *_number(d), *_category(d)),
        lambda term: term.isNotNull() & (term["amount"] != 0),
    )
    return judged.withColumn("term", F.explode(every)).select(
        *["tenant", "model", "version", "segments", "served_at", "defined", "basis", "known_at"],
        F.col("term.statistic").alias("statistic"),
        F.col("term.bucket").alias("bucket"),
        # not a product: Spark would take three places off a DECIMAL(38,9) to make room for its digits
        F.when(F.col("sign") > 0, F.col("term.amount")).otherwise(-F.col("term.amount")).cast(AMOUNT).alias("amount"),
    )


def _of_request(column: str) -> Expression:
    """What was predicted for the request says nothing about a single item of it."""
    return F.when(F.col("unit") == "request", F.col(column))


def _judged_number(d: Expression) -> Expression:
    """The score (binary) or prediction (number) that is judged; null where there is none."""
    named = F.try_element_at("scores", F.substring_index(d["judges"], "scores.", -1))
    own = F.when((d["type"] == "number") & (F.col("unit") == "request"), F.col("prediction")).otherwise(F.col("score"))
    chosen = F.when(d["judges"] == "prediction", own).when(d["judges"].startswith("scores."), named)
    return F.when(F.col("decided") & d["type"].isin("binary", "number"), chosen)


def _predicted(d: Expression) -> Expression:
    """The predicted class: by threshold where one is declared and there is a score, else the prediction itself."""
    by_threshold = F.when(d["threshold"].isNotNull(), F.col("judged") >= d["threshold"])
    itself = F.when(
        d["judges"] == "prediction",
        F.when(d["positive_text"].isNotNull(), _of_request("prediction_text") == d["positive_text"]).otherwise(
            _of_request("prediction") == d["positive"]
        ),
    )
    other_kind = F.when(
        (d["judges"] == "prediction")
        & (F.col("unit") == "request")
        & (F.col("prediction").isNotNull() | F.col("prediction_text").isNotNull()),
        F.lit(False),
    )
    binary = F.coalesce(by_threshold, itself, other_kind)
    number = F.when(d["positive_at"].isNotNull(), F.col("judged") >= d["positive_at"])
    return F.when(F.col("decided"), F.when(d["type"] == "binary", binary).when(d["type"] == "number", number))


def _class(value: Expression, d: Expression) -> Expression:
    """A category, or __other__ where classes are declared and it is none of them."""
    known = d["classes"].isNull() | F.array_contains(d["classes"], value)
    chosen = F.when(known, value).otherwise(F.lit(OTHER))
    return F.when(F.col("decided") & (d["type"] == "category") & value.isNotNull(), chosen)


def _term(when: Expression, statistic: str, value: Expression | int = 1, bucket: Expression | str = "") -> Expression:
    named = F.lit(bucket) if isinstance(bucket, str) else bucket
    number = F.lit(value) if isinstance(value, int) else value
    return F.when(
        when,
        F.struct(F.lit(statistic).alias("statistic"), named.alias("bucket"), number.cast(AMOUNT).alias("amount")),
    )


def _counted() -> list[Expression]:
    undecided = ~F.col("decided") & ~F.col("missing")
    return [_term(F.lit(True), "n"), _term(undecided, "undecided")]


def _confusion(actual: Expression) -> list[Expression]:
    predicted = F.col("predicted")
    return [
        _term(predicted & actual, "tp"),
        _term(predicted & ~actual, "fp"),
        _term(~predicted & actual, "fn"),
        _term(~predicted & ~actual, "tn"),
    ]


def _binary(d: Expression) -> list[Expression]:
    positive = F.col("positive")
    bucket = F.col("residual.bucket").cast("string")
    scored = (d["type"] == "binary") & F.col("judged").isNotNull()
    return [
        _term(positive, "positive"),
        *_confusion(positive),
        _term(scored & positive, "score.positive", bucket=bucket),
        _term(scored & ~positive, "score.negative", bucket=bucket),
        _term(scored, "brier", F.col("residual.squared_error")),
    ]


def _number(d: Expression) -> list[Expression]:
    valued = F.col("decided") & (d["type"] == "number")
    judged = valued & F.col("judged").isNotNull()
    sums = ("error", "absolute_error", "squared_error")
    return [
        _term(judged, "judged"),
        *[_term(judged, name, F.col(f"residual.{name}")) for name in sums],
        *[_term(valued, name, F.col(f"residual.{name}")) for name in ("value", "squared_value")],
        *_confusion(F.when(judged, F.col("number") >= d["positive_at"])),
    ]


def _category(d: Expression) -> list[Expression]:
    actual, predicted = F.col("class_actual"), F.col("class_predicted")
    valued = F.col("decided") & (d["type"] == "category")
    both = valued & actual.isNotNull() & predicted.isNotNull()
    return [
        _term(valued & actual.isNotNull(), "class.actual", bucket=actual),
        _term(both, "judged"),
        _term(both, "class.predicted", bucket=predicted),
        _term(both & (actual == predicted), "correct"),
        _term(both & (actual == predicted), "class.correct", bucket=actual),
    ]


def _residual(judged: str, actual: str, buckets: Expression) -> Expression:
    """Exact arithmetic on two doubles: a vectorised Python function, because no Spark decimal holds an exact square."""
    return F.arrow_udf(_residuals, RESIDUAL)(F.col(judged), F.col(actual), buckets)


def _residuals(batches: Iterator[tuple[pa.Array, pa.Array, pa.Array]]) -> Iterator[pa.Array]:
    from pipelines.contract import arrow_type

    kind = arrow_type(RESIDUAL)
    for judged, actual, buckets in batches:
        rows = [
            None if value is None else residual(number, value, count)
            for number, value, count in zip(judged.to_pylist(), actual.to_pylist(), buckets.to_pylist(), strict=True)
        ]
        yield pa.array(rows, kind)


def residual(judged: float | None, actual: float, buckets: int) -> dict[str, int | Decimal | None]:
    """The exact terms of one judged number and one actual value; see RESIDUAL."""
    value = {"value": amount(actual), "squared_value": square(shortest(actual))}
    if judged is None:
        return value
    number = shortest(judged)
    error = number - shortest(actual)
    in_unit = 0 <= number <= 1
    return value | {
        "bucket": min(int(number * buckets), buckets - 1) if in_unit else None,
        "error": rounded(error),
        "absolute_error": rounded(abs(error)),
        "squared_error": square(error),
    }
