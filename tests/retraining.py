"""A loop in tests: a model's file, examples with known outcomes, triggers, and a lake that has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.contract import Table
from pipelines.definition import Definition
from pipelines.gold.tables import EXAMPLES, FRONTIERS
from pipelines.lake import Lake, Mark
from pipelines.models import load_model
from pipelines.retrain.launch import Loop
from pipelines.retrain.tables import RETRAININGS
from pipelines.retrain.tracking import Tracking
from pipelines.watch.tables import TRIGGERS
from tests.frames import at

MODEL = """model = "{name}"
[labels.late]
type = "binary"
positive = 1
attribution_window = "1 hour"
absent = "negative"
resolve = "latest"
[segments]
origin = ["EWR", "JFK"]
[retrain]
timeout = "2 minutes"
experiment = "loop"
{retrain}
[acceptance]
support = 100
{acceptance}
"""
TRIGGERED = at(0)
"""When the trigger fired."""
FRONTIER = at(600)


def model_file(folder: Path, retrain: str = "", acceptance: str = "", name: str = "m") -> Definition:
    """Write a model's file; the definition of its label."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.toml"
    path.write_text(MODEL.format(name=name, retrain=retrain, acceptance=acceptance), encoding="utf-8")
    return load_model(path)[1]


def examples(
    definition: Definition, came: Sequence[float], *, first: str = "r", minutes: float = 60, **columns: Sequence[Any]
) -> list[dict[str, Any]]:
    """An example for each outcome, each known a second after the one before."""
    policy = definition.policy.hash if definition.policy else ""
    plain = {"tenant": "default", "model": definition.model, "label": definition.label, "policy": policy, "unit": "request", "item": ""}
    known = {"served_at": at(minutes - 60), "served_date": at(0).date(), "matures_at": at(minutes)}
    return [
        EXAMPLES.row(
            **plain, **known, unit_id=f"{first}{i:05d}", number=value, basis="answered", weight=1.0, sign=1, version="1",
            known_at=at(minutes + i / 60),
        ) | {name: values[i] for name, values in columns.items()}
        for i, value in enumerate(came)
    ]


def net(rows: list[dict[str, Any]]) -> pa.Table:
    return EXAMPLES.frame(rows)


def trigger(trigger_id: str = "t1", *, model: str = "m", state: str = "fired", known_at: datetime = TRIGGERED) -> dict[str, Any]:
    names = {"tenant": "default", "model": model, "label": "late", "trigger": "worse"}
    return TRIGGERS.row(**names, trigger_id=trigger_id, state=state, known_at=known_at, recorded_at=known_at)


def fill(lake: Lake, table: Table, rows: list[dict[str, Any]], batch: int = 0) -> None:
    lake.create(table)
    lake.append(table, table.frame(rows), Mark(f"test:{table.name}", batch), {})


@dataclass(frozen=True)
class Released:
    """A release's manifest, as far as the loop needs it."""

    name: str
    digest: str
    splits: Mapping[str, int] = field(default_factory=lambda: {"train": 300, "test": 400})


def held_out(seed: int = 1, count: int = 400) -> pa.Table:
    """The test split of a release: `x` says what will come, and the champion's score knows nothing of it."""
    chance = np.random.default_rng(seed)
    x = chance.normal(size=count)
    came = (chance.random(count) < 1 / (1 + np.exp(-3 * x))).astype(float)
    names = [f"h{i}" for i in range(count)]
    origins = pa.array([{"origin": "JFK" if i % 2 else "EWR"} for i in range(count)], pa.map_(pa.string(), pa.string()))
    same = {"score": np.full(count, 0.5), "weight": np.ones(count), "version": ["1"] * count, "served_at": [TRIGGERED] * count}
    return pa.table({"unit_id": names, "label": came, "x": x, **same, "segments": origins})


def loop_of(root: Path, models: Path, definitions: Sequence[Definition], held: pa.Table | None = None) -> Loop:
    """A launcher over a lake, whose releases are named after their model and the time of their trigger."""
    lake = Lake(root)
    lake.create(RETRAININGS)

    def cut(model: str, label: str, as_of: datetime) -> Released:
        return Released(f"{model}/{label}/{as_of:%H%M}", f"{as_of:%Y%m%d%H%M}0000")

    rows = held_out() if held is None else held
    return Loop(lake, models, definitions, Tracking(root), cut, lambda _: rows)


def frontier(lake: Lake, moment: datetime = FRONTIER, batch: int = 0) -> None:
    fill(lake, FRONTIERS, [FRONTIERS.row(frontier=moment, end_offset=1 + batch)], batch)


def steps(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield from (row["step"] for row in rows)
