"""Whether new examples cost what they are, and not what was there before: the jobs that fill gold.examples, on two histories."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import pytest

from pipelines.definition import Definition, Policy
from pipelines.gold.tables import EXAMPLES, OUTCOME_LEDGER
from pipelines.held import _Arrow
from pipelines.job import Held, compute
from pipelines.jobs import chains
from pipelines.lake import Lake, Mark
from pipelines.maintain import maintain
from pipelines.silver.tables import INFERENCES
from tests.bench.measure import Usage, measured, option, report, settings_for, show

BATCH = option("EXAMPLES_BATCH", 20_000)
HISTORY = option("EXAMPLES_HISTORY", 5)
"""Batches of the short history."""
TIMES = option("TIMES", 10)
BATCHES = 7
"""Measured batches; the median counts. One before them is not: it reads the index of what is there."""
MOST = 1.2

NOON = datetime(2026, 3, 20, 12, tzinfo=UTC)
"""When the measured batches are served."""
HOUR = timedelta(hours=1)
LATE = Definition(
    "m", "late", ((),), ("1 day",), positive=1.0, policy=Policy("binary", "request", "latest", 3600, absent="negative"), offset=1
)
JOBS = {job.name: job for chain in chains(horizon=HOUR) for job in chain}


@pytest.mark.bench
def test_new_examples_cost_what_they_are_whatever_was_before(folder: Path) -> None:
    lakes = {"short": history(folder / "short", HISTORY, days=1)}
    lakes["ten times, on as many days"] = history(folder / "days", HISTORY * TIMES, days=TIMES)
    lakes["ten times, on the same day"] = history(folder / "day", HISTORY * TIMES, days=1)
    spent: dict[str, list[Usage]] = {name: [] for name in lakes}
    for number in range(BATCHES + 1):
        for name in [*lakes][number % 3 :] + [*lakes][: number % 3]:
            with measured() as usage:
                added = fill(lakes[name], f"p{number}", NOON)
            assert added == 3 * BATCH
            spent[name] += [usage] if number else []
    told = {name: (median(one.wall for one in found), median(one.cpu for one in found)) for name, found in spent.items()}
    wall, cpu = told["short"]
    rows = [(name, each[0], each[0] / wall, each[1], each[1] / cpu) for name, each in told.items()]
    show(f"Examples of {BATCH:,} new outcomes, median of {BATCHES}", ("history", "wall s", "ratio", "CPU s", "ratio"), rows)
    report("examples", {"batch": BATCH, "history": HISTORY * BATCH, "times": TIMES, "median": told})
    assert all(each[1] / cpu <= MOST for each in told.values())


def history(root: Path, batches: int, days: int) -> Lake:
    """A lake with so many batches of inferences and examples before the measured ones, and the upkeep of a running application."""
    lake = Lake(root)
    lake.create(INFERENCES, OUTCOME_LEDGER, EXAMPLES)
    for number in range(batches):
        fill(lake, f"h{number}", NOON - timedelta(days=days * number // batches))
    maintain(root, (INFERENCES, OUTCOME_LEDGER, EXAMPLES), settings_for(root).maintain, vacuum=True)
    return lake


def fill(lake: Lake, name: str, served: datetime) -> int:
    """A batch on its way: inferences, their absences, and what the answers on them teach. How many examples that were."""
    rows, entries = inferences(name, served), ledger(name, served)
    lake.append(INFERENCES, rows, Mark("inferences", _number(name)), {})
    found = 0
    for job, driving in (("absences", rows), ("examples", entries)):
        made = compute(JOBS[job], _Arrow(driving, lake), lake, lambda _: [LATE], _as_it_is)[EXAMPLES.noun]
        found += made.append(EXAMPLES, Mark(job, _number(name)), {"job": job})
    return found


def inferences(name: str, served: datetime) -> pa.Table:
    """Predictions of one hour."""
    at = pa.array([served + timedelta(microseconds=place) for place in range(BATCH)], pa.timestamp("us", "UTC"))
    said = {"tenant": "default", "model": "m", "version": "1", "status": "ok", "served_date": served.date(), "offset": 5}
    score = np.random.default_rng(_number(name)).random(BATCH)
    made = {
        "request_id": pa.array(_ids(name)), "event_id": pa.array(_ids(name)), "served_at": at, "received_at": at, "score": pa.array(score),
        "features": pa.array([f'{{"distance":{one:.6f},"carrier":"B6","hour":7}}' for one in score]),
        "segments": pa.array([[("origin", "JFK")]] * BATCH, INFERENCES.arrow.field("segments").type),
    }  # fmt: skip
    return _table(INFERENCES.computed, made, said)


def ledger(name: str, served: datetime) -> pa.Table:
    """An answer to each."""
    at = pa.repeat(pa.scalar(served, pa.timestamp("us", "UTC")), BATCH)
    held = OUTCOME_LEDGER.arrow.field("context").type
    about = {"model": "m", "version": "1", "judged": True, "offset": 5}
    fields = [_column(field, {"served_at": at}, about) for field in held]
    said = {"tenant": "default", "unit": "request", "item": "", "label": "late", "sign": 1, "number": 1.0, "served_date": served.date()}
    made = {
        "unit_id": pa.array(_ids(name)), "known_at": at, "matures_at": pa.compute.add(at, pa.scalar(HOUR)),
        "context": pa.StructArray.from_arrays(fields, fields=[*held]),
    }  # fmt: skip
    assert LATE.policy is not None
    return _table(OUTCOME_LEDGER.computed, made, {**said, "policy": LATE.policy.hash})


def _table(schema: pa.Schema, made: dict[str, pa.Array], said: dict[str, object]) -> pa.Table:
    return pa.table([_column(field, made, said) for field in schema], schema=schema)


def _column(field: pa.Field, made: dict[str, pa.Array], said: dict[str, object]) -> pa.Array:
    return made[field.name] if field.name in made else pa.repeat(pa.scalar(said.get(field.name), field.type), BATCH)


def _ids(name: str) -> Sequence[str]:
    return [f"{name}-{place}" for place in range(BATCH)]


def _number(name: str) -> int:
    return int(name[1:]) + (1_000_000 if name[0] == "p" else 0)


def _as_it_is(made: Held) -> Held:
    return made
