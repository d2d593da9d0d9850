"""Increments rolled up to the windows and groups of a question, and taken to metrics at the last moment."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from itertools import chain

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.contract import BOOL, STRING, TIMESTAMP
from pipelines.gold.metrics.catalogue import EXPOSURES, columns, evaluate, sums_of
from pipelines.gold.metrics.plan import ORIGIN, Question, Source, Windows, cut_name, is_final
from pipelines.spark_types import spark_schema

_INCREMENT = ("basis", "statistic", "bucket")


def schema(question: Question) -> pa.Schema:
    """The columns of the answer: the group, the window, the metrics that apply, and whether the window is final."""
    groups = ("model", "label", "definition", *_groups(question))
    return pa.schema(
        [
            *((name, STRING) for name in groups),
            *((name, TIMESTAMP) for name in ("window_start", "window_end")),
            *columns(question.targets).items(),
            ("final", BOOL),
        ]
    )


def roll_up(statistics: DataFrame, *, question: Question) -> DataFrame:
    """One row per definition, group and window: `increments`, the sums by basis, statistic and bucket that are not
    zero.
    """
    groups = ["definition", *_groups(question)]
    cells = _known(statistics, question).select(
        F.explode(_answers(question)).alias("definition"),
        *(["version"] if question.version else []),
        *(_field(question, field).alias(field) for field in question.fields),
        "cell_at",
        *_INCREMENT,
        "amount",
    )
    if question.windows.width > question.windows.step:
        # one row per cell before a cell goes into every window that slides over it
        cells = cells.groupBy(*groups, "cell_at", *_INCREMENT).agg(F.sum("amount").alias("amount"))
    sums = (
        cells.withColumn("window", _window(question.windows))
        .groupBy(*groups, "window", *_INCREMENT)
        .agg(F.sum("amount").alias("amount"))
        .where(F.col("amount") != 0)
        .withColumns({"window_start": F.col("window.start"), "window_end": F.col("window.end")})
    )
    return (
        _inside(sums, question.windows)
        .groupBy(*groups, "window_start", "window_end")
        .agg(F.collect_list(F.struct(*_INCREMENT, "amount")).alias("increments"))
    )


def answer(statistics: DataFrame, *, question: Question) -> DataFrame:
    """One row per definition, group and window that anything is known of, with every metric that applies."""
    return roll_up(statistics, question=question).mapInArrow(partial(_evaluated, question), spark_schema(schema(question)))


def _groups(question: Question) -> tuple[str, ...]:
    return (*(("version",) if question.version else ()), *question.fields)


def _known(statistics: DataFrame, question: Question) -> DataFrame:
    """The increments that can answer: named first by what files are pruned on."""
    sources = {source for target in question.targets for source in target.sources}
    windows = question.windows
    known = statistics.where(
        F.col("grain").isin(sorted({source.grain for source in sources}))
        & F.col("definition").isin(sorted({source.definition for source in sources}))
        & (F.col("experiment") == "")
        & (F.col("known_at") < F.lit(question.as_of))
    )
    if windows.start:
        from_date = F.col("cell_date") >= F.lit(windows.start.date())
        known = known.where(from_date & (F.col("cell_at") >= F.lit(windows.start)))
    if windows.end:
        to_date = F.col("cell_date") <= F.lit(windows.end.date())
        known = known.where(to_date & (F.col("cell_at") < F.lit(windows.end)))
    return known


def _answers(question: Question) -> Column:
    """The definitions that a row's increment goes into: its own, and exposures also into those of the labels."""
    by_source: dict[Source, list[str]] = {}
    for target in question.targets:
        for source in target.sources:
            by_source.setdefault(source, []).append(target.definition.hash)
    exposure = F.col("statistic").isin(sorted(EXPOSURES))
    chosen = F.array().cast("array<string>")
    for source, hashes in by_source.items():
        here = (
            (F.col("definition") == source.definition) & (F.col("cut") == source.cut) & (F.col("grain") == source.grain)
        )
        own = F.array(*[F.lit(name) for name in hashes if name == source.definition]).cast("array<string>")
        others = F.array(*[F.lit(name) for name in hashes if name != source.definition]).cast("array<string>")
        chosen = F.when(here, F.when(exposure, F.concat(own, others)).otherwise(own)).otherwise(chosen)
    return chosen


def _field(question: Question, field: str) -> Column:
    """The value of a segment field: its place in the segment is its place in the cut of the row's definition."""
    values = F.from_json(F.col("segment"), "array<string>")
    names = sorted({source.cut for target in question.targets for source in target.sources})
    places = [(name, name.split("*").index(field)) for name in names if name != cut_name(())]
    return F.coalesce(*(F.when(F.col("cut") == name, F.get(values, F.lit(place))) for name, place in places))


def _window(windows: Windows) -> Column:
    offset = timedelta(seconds=ORIGIN.timestamp()) % windows.step
    return F.window("cell_at", _seconds(windows.width), _seconds(windows.step), _seconds(offset))


def _seconds(length: timedelta) -> str:
    return f"{int(length.total_seconds())} seconds"


def _inside(sums: DataFrame, windows: Windows) -> DataFrame:
    if windows.start:
        sums = sums.where(F.col("window_start") >= F.lit(windows.start))
    if windows.end:
        sums = sums.where(F.col("window_end") <= F.lit(windows.end))
    return sums


def _evaluated(question: Question, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    targets = {target.definition.hash: target for target in question.targets}
    columns_of = schema(question)
    for row in chain.from_iterable(batch.to_pylist() for batch in batches):
        target = targets[row["definition"]]
        definition = target.definition
        sums = sums_of(target, row.pop("increments"), width=question.windows.width, mature=question.mature)
        found = {
            **row,
            "model": definition.model,
            "label": definition.label,
            **evaluate(target, sums),
            "final": is_final(definition, row["window_end"], question.as_of),
        }
        yield pa.RecordBatch.from_pylist([found], schema=columns_of)
