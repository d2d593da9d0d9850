"""The question "how good is it": metrics of a lake by window and segment, as of any time up to the frontier."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import reduce
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines.definition import Definition
from pipelines.errors import InputError
from pipelines.gold.metrics.plan import Question, Windows, target
from pipelines.gold.metrics.rollup import answer
from pipelines.gold.tables import STATISTICS
from pipelines.opened import Opened, aware, named, newest, not_above
from pipelines.quantities import duration

_MINUTE = timedelta(minutes=1)
_WIDEST = timedelta(days=36_525)


def metrics(
    spark: SparkSession,
    *,
    lake: Path | str,
    catalog: str = "",
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

    `catalog`: the CATALOG.SCHEMA that knows the lake's tables by name (the setting lake.catalog); "" for none.

    A window is `final` when its end and the attribution window lie before `as_of`; only a correction still moves it.
    Raises InputError: no_lake, no_frontier, as_of_above_frontier, unknown_model, unknown_label, unknown_definition,
    cut_not_declared, grain_not_declared, bad_window, naive_time.
    """
    windows = windows_of(every, sliding, start, end)
    opened = Opened(spark, lake, catalog)
    frontier = opened.frontier()
    asked = question(
        opened.definitions(),
        frontier,
        windows,
        model=model,
        label=label,
        by=by,
        as_of=as_of,
        mature=mature,
        definition=definition,
    )
    groups = ("model", "label", *(["version"] if asked.version else []), *asked.fields)
    return answer(opened.table(STATISTICS), question=asked).orderBy(*groups, "window_start")


def metrics_as_of(spark: SparkSession, as_of: Sequence[datetime], **asked: Any) -> DataFrame:
    """What `metrics` answers as of each of these times, below each other: the first column, `as_of`, says which.

    `asked`: as `metrics` takes it. Raises what it raises, and InputError `no_times`.
    """
    if not as_of:
        raise InputError("no_times", "as_of names no time; expected at least one as of which to answer.")
    answers = [metrics(spark, as_of=at, **asked).select(F.lit(at).alias("as_of"), "*") for at in as_of]
    return reduce(DataFrame.unionByName, answers)


def question(
    declared: list[Definition],
    frontier: datetime,
    windows: Windows,
    *,
    model: str | None = None,
    label: str | None = None,
    by: Sequence[str] = (),
    as_of: datetime | None = None,
    mature: bool = False,
    definition: str | None = None,
) -> Question:
    """What is asked of a lake with these definitions that is processed up to this frontier; refuses what `metrics` does."""
    known_before = _as_of(frontier, as_of)
    fields = tuple(dict.fromkeys(field for field in by if field not in ("version", "label", "model")))
    chosen = newest(named(declared, model=model, label=label, definition=definition))
    services = [one for one in declared if one.policy is None]
    targets = [target(one, [s for s in services if s.model == one.model], windows, fields) for one in chosen]
    return Question(tuple(targets), windows, known_before, fields, version="version" in by, mature=mature)


def windows_of(
    every: str, sliding: str | None = None, start: datetime | None = None, end: datetime | None = None
) -> Windows:
    """The windows that `metrics` is asked for. Raises InputError bad_window, naive_time."""
    step = _width("every", every)
    width = step if sliding is None else _width("sliding", sliding)
    if width < step:
        raise InputError(
            "bad_window",
            f"sliding={sliding!r} is less than every={every!r}: windows would leave gaps. Make it at least as long.",
        )
    return Windows(step, width, aware("start", start) if start else None, aware("end", end) if end else None)


def _as_of(frontier: datetime, asked: datetime | None) -> datetime:
    """The whole minute as of which is answered."""
    at = not_above(frontier, asked) if asked else frontier
    return at - (at - datetime(1970, 1, 1, tzinfo=UTC)) % _MINUTE


def _width(argument: str, text: str) -> timedelta:
    problem = f'{argument}={text!r} is no width of a window: expected whole minutes, hours, days or weeks ("7 days"), of 100 years at most.'
    try:
        width = duration(text)
    except ValueError as error:
        raise InputError("bad_window", problem) from error
    if not width or width % _MINUTE or width > _WIDEST:
        raise InputError("bad_window", problem)
    return width
