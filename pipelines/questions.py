"""The commands that ask a lake: each asks the function of the same name, and prints what it answers.

Metrics and outcomes are computed in a session; what explains them reads the tables as files.
"""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Group

from pipelines import settings as configuration
from pipelines import view
from pipelines.arguments import segments
from pipelines.console import answer, told

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import SparkSession

    from pipelines.explain import Sources
    from pipelines.gold.metrics.plan import Question

HEADLINE = (
    *(
        "n",
        "coverage",
        "accuracy",
        "precision",
        "recall",
        "f1",
        "auc",
        "brier",
        "base_rate",
        "mae",
        "rmse",
        "bias",
        "r2",
    ),
    *("macro_f1", "throughput", "error_rate", "latency_ms_p50", "latency_ms_p95", "latency_ms_p99"),
)
"""The metrics that are shown where none are named, as far as they apply; --json has them all."""


def metrics(asked: Namespace) -> int:
    from pipelines import charts
    from pipelines.metrics import metrics as ask

    question = _question(asked)
    with _session(asked) as (spark, where):
        frame: pd.DataFrame = ask(
            spark,
            **where,
            model=asked.model,
            label=asked.label,
            every=asked.every,
            sliding=asked.sliding,
            by=asked.by,
            as_of=asked.as_of,
            mature=asked.mature,
            definition=asked.definition,
            start=asked.start,
            end=asked.end,
        ).toPandas()
    answer(
        asked,
        lambda: _records(frame, "ms"),
        lambda: _tables(frame, asked.metric),
    )
    if frame.empty:
        told.print(
            f"No window has numbers as of {question.as_of:%Y-%m-%d %H:%M} UTC. What was logged after that counts once the "
            "frontier has passed it: `hindsight run` moves it every minute, `hindsight run --once` when it is run again."
            + refused(where["lake"])
        )
    if asked.plot:
        drawn = asked.metric or [name for name in ("auc", "coverage") if name in frame] or headline(frame)[:2]
        told.print(f"drawn: {charts.draw(frame, asked.plot, metrics=drawn)}")
    return 0


def refused(lake: Path) -> str:
    """How many records a lake did not take in, and why not most of them; nothing where it took all."""
    import pyarrow.compute as pc

    from pipelines.lake import Lake
    from pipelines.silver.tables import QUARANTINE

    held = Lake(lake)
    if not held.exists(QUARANTINE):
        return ""
    rows = held.read(QUARANTINE, ["reason", "offset"])
    counted = rows.group_by("reason").aggregate([("offset", "count"), ("offset", "min")])
    ordered = counted.sort_by([("offset_count", "descending"), ("offset_min", "ascending")]).to_pylist()
    if not ordered:
        return ""
    most, count, first = (ordered[0][name] for name in ("reason", "offset_count", "offset_min"))
    detail = held.read(QUARANTINE, ["detail"], (pc.field("offset") == first) & (pc.field("reason") == most))["detail"][0]
    return (
        f" {rows.num_rows:,} records were refused, {count:,} of them as {most} ({detail}): "
        f"`hindsight explain event --offset {first}` shows the first."
    )


def _tables(frame: pd.DataFrame, named: list[str]) -> Group:
    """A table per model and label, of the metrics that it has; where some are named, of those."""
    from pipelines.metrics_table import render

    parts = [rows for _, rows in frame.groupby(["model", "label"], sort=False)]
    parts = [rows for rows in parts if not named or rows[named].notna().any(axis=None)] or [frame]
    return Group(*(render(rows, named or headline(rows), intervals=bool(named)) for rows in parts))


def headline(frame: pd.DataFrame) -> list[str]:
    return [name for name in HEADLINE if name in frame and frame[name].notna().any()]


def _question(asked: Namespace) -> Question:
    """What is asked. What the lake cannot answer, or cannot be drawn, is refused before a session takes seconds to start."""
    from pipelines import charts
    from pipelines.gold.metrics.catalogue import columns
    from pipelines.metrics import question, windows_of

    if asked.plot:
        charts.check(asked.plot)
    windows = windows_of(asked.every, asked.sliding, asked.start, asked.end)
    sources = _sources(asked)
    found = question(
        sources.definitions,
        sources.frontier(),
        windows,
        model=asked.model,
        label=asked.label,
        by=asked.by,
        as_of=asked.as_of,
        mature=asked.mature,
        definition=asked.definition,
    )
    charts.need([*columns(found.targets), "final"], asked.metric)
    return found


def outcomes(asked: Namespace) -> int:
    from pipelines.opened import named, not_above
    from pipelines.outcomes import outcomes as ask

    sources = _sources(asked)
    named([one for one in sources.definitions if one.policy is not None], model=asked.model, label=asked.label)
    if asked.as_of:
        not_above(sources.frontier(), asked.as_of)
    with _session(asked) as (spark, where):
        found = ask(spark, **where, model=asked.model, label=asked.label, request=asked.request, as_of=asked.as_of)
        # one more than is shown tells whether there are more
        frame: pd.DataFrame = found.limit(asked.limit + 1).toPandas()
    shown, more = frame.head(asked.limit), len(frame) > asked.limit
    answer(asked, lambda: _records(shown, "us"), lambda: view.beliefs(shown, more=more))
    return 0


def explain_metric(asked: Namespace) -> int:
    from pipelines.explain import metric
    from pipelines.explain.shown import metric_path

    found = metric(
        _sources(asked),
        model=asked.model,
        label=asked.label,
        metric=asked.metric,
        cell=asked.cell,
        grain=asked.grain,
        segment=segments(asked.segment),
        version=asked.version,
        as_of=asked.as_of,
        mature=asked.mature,
        limit=asked.limit,
    )
    answer(asked, lambda: _plain(asdict(found)), lambda: metric_path(found, asked.limit))
    return 0


def explain_outcome(asked: Namespace) -> int:
    from pipelines.explain import outcome
    from pipelines.explain.shown import request_path

    found = outcome(_sources(asked), request=asked.request, item=asked.item, label=asked.label, as_of=asked.as_of)
    answer(asked, lambda: _plain(asdict(found)), lambda: request_path(found))
    return 0


def explain_event(asked: Namespace) -> int:
    from pipelines.explain import event
    from pipelines.explain.shown import event_paths

    found = event(_sources(asked), name=asked.id, offset=asked.offset)
    answer(asked, lambda: _plain([asdict(one) for one in found]), lambda: event_paths(found))
    return 0


def _sources(asked: Namespace) -> Sources:
    """The lake that is asked, as files: no session."""
    from pipelines.explain import Sources
    from pipelines.paths import existing

    return Sources(existing(configuration.load(asked.conf, lake_path=asked.lake).lake.path))


def _plain(value: Any) -> Any:
    from pipelines.explain.sources import plain

    return plain(value)


def _records(frame: pd.DataFrame, precision: Literal["ms", "us"]) -> list[dict[str, Any]]:
    """Rows as JSON says them; times in ISO 8601, with the Z that pandas takes off."""
    in_utc = {name: frame[name].dt.tz_localize("UTC") for name in frame.select_dtypes("datetime")}
    text = frame.assign(**in_utc).to_json(orient="records", date_format="iso", date_unit=precision)
    records: list[dict[str, Any]] = json.loads(text)
    return records


@contextmanager
def _session(asked: Namespace) -> Iterator[tuple[SparkSession, dict[str, Any]]]:
    """A session, and the lake that is asked: its folder, and the catalog that knows its tables."""
    from pipelines import session
    from pipelines.paths import existing

    settings = configuration.load(asked.conf, lake_path=asked.lake)
    lake = existing(settings.lake.path)
    with session.opened(settings) as spark:
        yield spark, {"lake": lake, "catalog": settings.lake.catalog}
