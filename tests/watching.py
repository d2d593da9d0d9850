"""Lakes to be watched, made without Spark: a model file, its definitions as the log declares them, and statistics of what one says."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

from pipelines.gold.tables import FRONTIERS, STATISTICS
from pipelines.lake import Lake, Mark
from pipelines.models import load_model
from pipelines.silver.tables import CONTROLS, LABELLED
from pipelines.watch.declared import watched_of
from pipelines.watch.rules import Watched
from pipelines.watch.tables import TABLES
from pipelines.watch.watch import post

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
MODEL = """
model = "m"
measures = ["latency_ms"]
[labels.late]
type = "binary"
positive = 1
threshold = 0.5
attribution_window = "48 hours"
resolve = "latest"
[segments]
origin = "any"
[statistics]
grains = ["1 day"]
cuts = ["all", "origin"]
"""
_NUMBERS = count()


def model(folder: Path, rules: str) -> Watched:
    """What a model file with these rules has watched."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "m.toml"
    path.write_text(MODEL + rules, encoding="utf-8")
    return watched_of(path, load_model(path))


def lake_of(root: Path, watched: Watched) -> Lake:
    """A lake that knows the model, and nothing else."""
    lake = Lake(root)
    lake.create(CONTROLS, LABELLED, STATISTICS, FRONTIERS, *TABLES)
    rows = [
        CONTROLS.row(action="define", offset=at, body=json.dumps(json.loads(one.control())["body"]))
        for at, one in enumerate(watched.definitions)
    ]
    append(lake, CONTROLS, rows)
    return lake


def append(lake: Lake, table: Any, rows: Iterable[dict[str, Any]]) -> None:
    lake.append(table, table.frame(list(rows)), Mark(f"test:{next(_NUMBERS)}", 0), {})


def reach(lake: Lake, at: datetime) -> None:
    append(lake, FRONTIERS, [FRONTIERS.row(frontier=at, end_offset=next(_NUMBERS) + 1, recorded_at=at)])


def answered(
    watched: Watched, day: int, right: int, wrong: int, known: datetime | None = None, **more: Any
) -> list[dict[str, Any]]:
    """Answers about what was served on a day: so many late flights called late, so many not. Known on the same day."""
    at = known or MONDAY + day * DAY + 20 * HOUR
    amounts = {"tp": right, "fn": wrong, "n": right + wrong}
    said = {"definition": watched.definition("late").hash, "label": "late", "basis": "answered", "known_at": at, **more}
    return [statistic(day, name, amount, **said) for name, amount in amounts.items() if amount]


def statistic(day: int, name: str, amount: int, **more: Any) -> dict[str, Any]:
    """A row of gold.statistics about what was served on a day."""
    cell = MONDAY + day * DAY
    said = {
        "cut": "all",
        "segment": "[]",
        "grain": "1 day",
        "version": "1",
        "bucket": "",
        "experiment": "",
        "arm": "",
        "unit_group": "",
    }
    said |= {"tenant": "default", "model": "m", "statistic": name}
    return STATISTICS.row(cell_at=cell, cell_date=cell.date(), amount=Decimal(amount), **said | more)


def matures(day: int) -> datetime:
    """When a day's answers are mature: 48 hours after its end."""
    return MONDAY + (day + 3) * DAY


def watch(lake: Lake, watched: Watched, at: datetime) -> int:
    """Move the frontier there, and watch; the rows written."""
    reach(lake, at)
    return post(lake, watched, at)
