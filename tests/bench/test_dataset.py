"""One million examples to a release: seconds, CPU seconds, memory; and the same with ten times the history outside its window.

`HINDSIGHT_BENCH_EXAMPLES` sets how many.
"""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipelines.dataset import load
from pipelines.dataset.release import release
from pipelines.dataset.spec import spec_of
from pipelines.gold.tables import EXAMPLES
from pipelines.lake import Lake, Mark
from tests.bench.measure import measured, option, report, show, show_memory
from tests.examples import FRONTIER, LATE, lake_with

DAYS = 28
MOST_SECONDS, MOST_MEMORY = 120, 4 << 30


def day(number: int, count: int) -> pa.Table:
    """The examples of a day, that many days before the frontier; each a request of a flight."""
    chance = np.random.default_rng(number)
    first = FRONTIER - timedelta(days=number + 2)
    served = pa.array(np.datetime64(first.replace(tzinfo=None), "us") + np.sort(chance.integers(0, 86_400_000_000, count)))
    served = served.cast(pa.timestamp("us")).cast(pa.timestamp("us", "UTC"))
    known = pa.compute.add(served, pa.scalar(timedelta(days=1)))
    score, carrier = chance.random(count), chance.choice(["AA", "B6", "DL", "EV", "UA", "WN"], count)
    distance, hour = chance.integers(80, 4984, count), chance.integers(0, 24, count)
    features = [
        json.dumps({"carrier": str(c), "origin": "JFK", "dest": "SYR", "distance": float(d), "hour": int(h), "night": bool(h < 6)})
        for c, d, h in zip(carrier, distance, hour, strict=True)
    ]
    assert LATE.policy is not None
    same = {"tenant": "default", "model": "m", "version": "1", "label": "late", "policy": LATE.policy.hash, "unit": "request",
            "item": "", "basis": "answered", "weight": 1.0, "sign": 1, "served_date": first.date()}  # fmt: skip
    ids = [f"2013-{number}-{place}-JFK-SYR" for place in range(count)]
    columns = {
        "unit_id": pa.array(ids), "number": pa.array((chance.random(count) < score).astype("float64")), "score": pa.array(score),
        "features": pa.array(features), "subject": pa.array([f"s{place % 10_000}" for place in range(count)]),
        "served_at": served, "known_at": known, "matures_at": known, "offset": pa.array(np.arange(count) + number * count),
        "segments": pa.array([[("origin", "JFK")]] * count, EXAMPLES.arrow.field("segments").type),
    }  # fmt: skip
    fields = EXAMPLES.computed
    return pa.table(
        [columns[f.name] if f.name in columns else pa.array([same.get(f.name)] * count, f.type) for f in fields], schema=fields
    )


def fill(root: Path, days: range, count: int) -> None:
    lake = Lake(root)
    for number in days:
        lake.append(EXAMPLES, day(number, count), Mark(f"day {number}", 0), {"job": "bench"})


@pytest.mark.bench
def test_a_million_examples_become_a_release(folder: Path) -> None:
    wanted = option("EXAMPLES", 1_000_000)
    root = lake_with(folder / "lake", [])
    fill(root, range(DAYS), wanted // DAYS)
    body = {"window": f"{DAYS + 1} days", "split": ["time", "subject"], "embargo": "1 day"}
    rows, found = [], {}
    for name, said in (("all", {}), ("balanced", {"sampling": "balanced"}), ("no duplicates", {"deduplicate": True})):
        with measured() as usage:
            made = release(root, spec_of("m", "late", {**body, **said}, "bench"))
        rows.append((f"release: {name}", made.rows, usage.wall, usage.cpu, usage.peak.shared_once >> 20))
        found[name] = usage
    with measured() as loading:
        table = load(root, "m/late/1", "train")
    rows.append(("load: train", table.num_rows, loading.wall, loading.cpu, loading.peak.shared_once >> 20))
    del table
    fill(root, range(DAYS, 10 * DAYS), wanted // DAYS // 10)
    with measured() as later:
        release(root, spec_of("m", "late", {**body, "seed": 2}, "bench"))
    rows.append(("release: all, nine windows of a tenth before it", wanted, later.wall, later.cpu, later.peak.shared_once >> 20))
    show(f"{wanted:,} examples", ("", "rows", "seconds", "CPU seconds", "MB"), rows)
    show_memory(found["all"].peak)
    report("dataset", {"examples": wanted, **found, "load": loading, "with history": later})
    assert found["all"].wall < MOST_SECONDS
    assert found["all"].peak.shared_once < MOST_MEMORY
