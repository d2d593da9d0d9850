"""The question "how good is it": metrics of a lake by window and segment, as of any time up to the frontier."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines.contract import Table
from pipelines.definition import Definition, active
from pipelines.errors import InputError, nearest
from pipelines.gold.metrics.plan import Question, Windows, target
from pipelines.gold.metrics.rollup import answer
from pipelines.gold.tables import FRONTIERS, STATISTICS
from pipelines.quantities import duration
from pipelines.silver.tables import CONTROLS

_MINUTE = timedelta(minutes=1)


def metrics(
    spark: SparkSession,
    *,
    lake: Path | str,
    model: str | None = None,
    label: str | None = None,
    every: str = "1 hour",
    sliding: str | None = None,
    by: Sequence[str] = (),
    as_of: datetime | None = None,
    mature: bool = False,
    definition: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
) -> DataFrame:
    """One row per model, label, group and window: every metric that applies, its 95 % interval, coverage, `final`.

    `model`, `label`: one of them, or all; the label "" is the service itself (throughput, errors, latency, cost).
    `every`: "5 minutes", "1 hour", "7 days" …; windows are counted from a Monday, midnight UTC. `sliding`: the width
    of windows that then start every `every`. `by`: "version", and segment fields that are a declared cut together.
    `as_of`: what could be known at that time, floored to the whole minute, as statistics are; without it, the
    frontier. `mature`: counts silence past the attribution window as the policy says it is. `definition`: the hash
    of an earlier definition; without it, each label's newest. `start`, `end`: only windows that lie between them.

    A window is `final` when its end and the attribution window lie before `as_of`; only a correction still moves it.
    Raises InputError: no_lake, no_frontier, as_of_above_frontier, unknown_model, unknown_label, unknown_definition,
    cut_not_declared, grain_not_declared, bad_window, naive_time.
    """
    known_before = _as_of(spark, lake, as_of)
    windows = _windows(every, sliding, start, end)
    fields = tuple(dict.fromkeys(field for field in by if field not in ("version", "label", "model")))
    declared = _definitions(spark, lake)
    chosen = _chosen(declared, model, label, definition)
    services = [one for one in declared if one.policy is None]
    targets = [target(one, [s for s in services if s.model == one.model], windows, fields) for one in chosen]
    question = Question(tuple(targets), windows, known_before, fields, version="version" in by, mature=mature)
    groups = ("model", "label", *(["version"] if question.version else []), *fields)
    return answer(_read(spark, lake, STATISTICS), question=question).orderBy(*groups, "window_start")


def _windows(every: str, sliding: str | None, start: datetime | None, end: datetime | None) -> Windows:
    step = _width("every", every)
    width = step if sliding is None else _width("sliding", sliding)
    if width < step:
        raise InputError(
            "bad_window",
            f"sliding={sliding!r} is less than every={every!r}: windows would leave gaps. Make it at least as long.",
        )
    return Windows(step, width, _aware("start", start), _aware("end", end))


def _as_of(spark: SparkSession, lake: Path | str, as_of: datetime | None) -> datetime:
    row = _read(spark, lake, FRONTIERS).agg(F.unix_micros(F.max("frontier")).alias("micros")).first()
    if row is None or row["micros"] is None:
        raise InputError(
            "no_frontier",
            f"{lake}: nothing has been processed to an end yet, so there is no time as of which numbers hold. "
            "Let `hindsight run` go until its first reconcile.",
        )
    frontier = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=row["micros"])
    asked = _aware("as_of", as_of) or frontier
    if asked > frontier:
        raise InputError(
            "as_of_above_frontier",
            f"as_of={asked.isoformat()} lies above the frontier {frontier.isoformat()}: what was known by then is "
            "not all processed. Ask for the frontier or earlier, or wait.",
        )
    return asked - (asked - datetime(1970, 1, 1, tzinfo=UTC)) % _MINUTE


def _definitions(spark: SparkSession, lake: Path | str) -> list[Definition]:
    rows = _read(spark, lake, CONTROLS).where(F.col("action") == "define").select("body", "offset").collect()
    return active([Definition.of(msgspec.json.decode(row["body"]), row["offset"]) for row in rows])


def _chosen(
    declared: list[Definition], model: str | None, label: str | None, definition: str | None
) -> list[Definition]:
    """The newest definition per model and label, or the one that is named."""
    found = declared
    for what, wanted in (("model", model), ("label", label), ("definition", definition)):
        named = {_name(what, one): one for one in found}
        if wanted is not None and wanted not in named:
            known = ", ".join(f'"{name}"' for name in sorted(named)) or "none"
            raise InputError(
                f"unknown_{what}", f'there is no {what} "{wanted}"{nearest(wanted, named)}; the lake knows: {known}.'
            )
        found = [one for one in found if wanted in (None, _name(what, one))]
    newest = {(one.model, one.label): one for one in sorted(found, key=lambda one: one.offset)}
    return [newest[key] for key in sorted(newest)]


def _name(what: str, definition: Definition) -> str:
    return {"model": definition.model, "label": definition.label, "definition": definition.hash}[what]


def _width(argument: str, text: str) -> timedelta:
    problem = f'{argument}={text!r} is no width of a window: expected whole minutes, hours, days or weeks ("7 days").'
    try:
        width = duration(text)
    except ValueError as error:
        raise InputError("bad_window", problem) from error
    if not width or width % _MINUTE:
        raise InputError("bad_window", problem)
    return width


def _aware(argument: str, at: datetime | None) -> datetime | None:
    if at is not None and at.tzinfo is None:
        raise InputError(
            "naive_time", f"{argument}={at.isoformat()} has no time zone. Say which, such as {at.isoformat()}+00:00."
        )
    return at.astimezone(UTC) if at else None


def _read(spark: SparkSession, lake: Path | str, table: Table) -> DataFrame:
    path = "/".join((str(lake).rstrip("/"), *table.name.split(".")))
    if not DeltaTable.isDeltaTable(spark, path):
        raise InputError(
            "no_lake",
            f"{path}: there is no table {table.name} here. Name the folder of a lake that `hindsight run` has filled.",
        )
    return spark.read.format("delta").load(path)
