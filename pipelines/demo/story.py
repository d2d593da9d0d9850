"""What the loop came to in the year: its steps, AUC with it and without it on the same flights, and whether it helped."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import SparkSession

from pipelines.charts import utc
from pipelines.dataset.manifest import named
from pipelines.definition import Definition
from pipelines.demo import model
from pipelines.demo.events import DAY, START
from pipelines.demo.loop import LABEL, Week, without_loop
from pipelines.demo.serving import FIRST
from pipelines.demo.show import WHOLE
from pipelines.gold.metrics.interval import Z
from pipelines.lake import Lake
from pipelines.metrics import metrics
from pipelines.models import load_models
from pipelines.quantities import spelled
from pipelines.retrain.declared import Acceptance, declared
from pipelines.retrain.ledger import Row, histories
from pipelines.retrain.live import outcomes
from pipelines.retrain.losses import in_shadow, losses, served
from pipelines.retrain.losses import outcomes as outcomes_of
from pipelines.settings import Settings
from pipelines.watch.incidents import incidents
from pipelines.watch.tables import ALERTS, TRIGGERS

ON, OFF = "on", "off"
Document = dict[str, Any]
"""What JSON can say."""


@dataclass(frozen=True)
class Curves:
    """Metrics of sliding windows, of what served and of what the first version said in the shadow; `width` of a window."""

    on: pd.DataFrame
    off: pd.DataFrame
    width: timedelta


def curves(spark: SparkSession, settings: Settings, days: int) -> Curves:
    """Windows of two weeks that start every day and lie within the replayed days; of shorter replays, shorter ones."""
    width = timedelta(days=14 if days >= 56 else 7 if days >= 14 else 1)
    asked = {"every": "1 day", "sliding": spelled(width), "start": START, "end": START + timedelta(days=days)}
    return Curves(_asked(spark, settings, None, **asked), _asked(spark, settings, _off(settings).hash, **asked), width)


def story(spark: SparkSession, settings: Settings, weeks: Sequence[Week], found: Curves) -> Document:
    """The whole of it, as the command answers with --json."""
    lake, frontier = Lake(settings.lake.path.resolve()), weeks[-1].ends
    fired = {row["trigger_id"]: row for row in lake.read(TRIGGERS).to_pylist() if row["state"] == "fired"}
    retrainings = [_retraining(lake, fired[name], steps, found) for name, steps in histories(lake).items()]
    year: Document = {
        ON: _whole(_asked(spark, settings, None, every=WHOLE)),
        OFF: _whole(_asked(spark, settings, _off(settings).hash, every=WHOLE)),
        "difference": difference(lake, settings, frontier),
    }
    raised = incidents(lake.read(ALERTS).to_pylist())
    return {
        "weeks": [{"ends": _day(week.ends), "champion": week.champion, "shadows": week.shadows} for week in weeks],
        "alarms": [_alarm(asdict(one)) for one in raised],
        "retrainings": retrainings,
        "year": year,
        "conclusion": conclusion(year, retrainings),
        "definitions": {OFF: _off(settings).hash},
    }


def difference(lake: Lake, settings: Settings, as_of: datetime) -> Document:
    """Mean loss of what served minus that of the first version, on the same flights, with its 95 % interval."""
    (late,) = [one for one in load_models(settings.models_path) if (one.model, one.label) == (model.NAME, LABEL)]
    found = declared(settings.models_path, model.NAME)
    acceptance = found[1] if found else Acceptance()
    rows = outcomes(lake, late, since=START, as_of=as_of)
    said, shadow = served(rows, late, acceptance), in_shadow(rows, FIRST, late, acceptance)
    came = outcomes_of(rows, late)
    less = losses(said, came, late, acceptance) - losses(shadow, came, late, acceptance)
    days = rows["served_at"].cast(pa.int64()).to_numpy() // (DAY // timedelta(microseconds=1))
    scored = ~np.isnan(less)
    estimate, low, high = by_day(less[scored], days[scored])
    return {"loss": acceptance.loss, "estimate": estimate, "low": low, "high": high, "support": int(scored.sum())}


def by_day(values: Any, days: Any) -> tuple[float, float, float]:
    """A mean and its 95 % interval, normal, of values of which those of one day go together: the same storm delays all of them."""
    _, at = np.unique(days, return_inverse=True)
    mean = float(values.mean())
    width = Z * float(np.sqrt((np.bincount(at, values - mean) ** 2).sum())) / len(values)
    return mean, mean - width, mean + width


def conclusion(year: Mapping[str, Any], retrainings: Sequence[Document]) -> str:
    """Whether the loop helped, as the figures have it: a difference counts where its interval, or both intervals, say so."""
    on, off, change = year[ON], year[OFF], year["difference"]
    loss = "better" if change["high"] < 0 else "worse" if change["low"] > 0 else "no difference shown"
    auc = "better" if on["low"] > off["high"] else "worse" if on["high"] < off["low"] else "no difference shown"
    head = {
        frozenset({"better"}): "The loop helped",
        frozenset({"better", "no difference shown"}): "The loop helped, by one measure of two",
        frozenset({"better", "worse"}): "The loop helped by one measure, and did harm by the other",
        frozenset({"no difference shown"}): "The loop did not help, as far as these flights show",
    }.get(frozenset({loss, auc}), "The loop did not help: it did harm")
    over = sum(one["took_over"] is not None for one in retrainings)
    head = head if over else "Nothing took over, so the loop changed nothing"
    of_loss = f"[{change['low']:+.4f}, {change['high']:+.4f}] over {change['support']:,} flights"
    return (
        f"{head}. {len(retrainings)} retrainings, {over} took over. AUC {_with_interval(on)} with it, {_with_interval(off)} without "
        f"({auc}); mean {change['loss']} loss on the same flights changed by {change['estimate']:+.4f} {of_loss} ({loss})."
    )


def _with_interval(figures: Mapping[str, Any]) -> str:
    return f"{figures['auc']:.3f} [{figures['low']:.3f}, {figures['high']:.3f}]"


def _off(settings: Settings) -> Definition:
    return without_loop(load_models(settings.models_path))


def _asked(spark: SparkSession, settings: Settings, definition: str | None, **windows: Any) -> pd.DataFrame:
    lake = settings.lake.path.resolve()
    return metrics(spark, lake=lake, model=model.NAME, label=LABEL, definition=definition, **windows).toPandas()


def _whole(frame: pd.DataFrame) -> Document:
    (row,) = frame.to_dict("records")
    return {**_auc(row), "brier": row["brier"], "n": int(row["n"])}


def _auc(row: Mapping[str, Any]) -> Document:
    return {"auc": row["auc"], "low": row["auc_low"], "high": row["auc_high"]}


def _retraining(lake: Lake, trigger: Row, steps: Sequence[Row], found: Curves) -> Document:
    """One row of the story: why, on what, with what verdict; and AUC before and after it took over, with the loop and without."""
    last = steps[-1]
    judged = next((row for row in reversed(steps) if row["estimate"] is not None), last)
    promoted = next((row["known_at"] for row in steps if row["step"] == "promoted"), None)
    told = json.loads(trigger["evidence"])
    return {
        "trigger_id": last["trigger_id"],
        "fired_at": trigger["known_at"].isoformat(),
        "met": told["met"],
        "release": last["release"],
        "rows": named(lake, last["release"]).rows if last["release"] else None,
        "version": last["version"],
        "replaces": last["champion"],
        "took_over": None if promoted is None else _day(promoted),
        "decided_at": last["known_at"].isoformat(),
        "steps": [row["step"] for row in steps],
        "verdict": last["verdict"] if last["step"] == "settled" else None,
        **{name: judged[name] for name in ("estimate", "low", "high", "support")},
        "reason": last["reason"],
        "before": None if promoted is None else _beside(found, "window_end", promoted),
        "after": None if promoted is None else _beside(found, "window_start", promoted),
    }


def _beside(found: Curves, edge: str, at: datetime) -> Document:
    """AUC of the window that ends, or starts, there; null where none is whole."""
    said: Document = {}
    for name, frame in ((ON, found.on), (OFF, found.off)):
        rows = [row for row in frame.to_dict("records") if utc(row[edge]) == at]
        said[name] = _auc(rows[0]) if rows else None
    return said


def _alarm(one: Row) -> Document:
    said = {name: one[name] for name in ("rule", "version", "state", "value", "low", "high", "support")}
    return {"raised_at": one["raised_at"].isoformat(), "window": _day(one["window_start"]), **said}


def _day(at: datetime) -> str:
    return f"{at:%Y-%m-%d}"
