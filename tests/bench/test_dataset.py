"""One million examples to a release, judged by a gate: seconds, CPU seconds, memory; and ten times the history outside its window.

`HINDSIGHT_BENCH_EXAMPLES` sets how many.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipelines.dataset import load
from pipelines.dataset.release import release
from pipelines.dataset.spec import spec_of
from pipelines.gates.judge import gate_of
from pipelines.gates.verdict import Verdict
from pipelines.gold.tables import EXAMPLES
from pipelines.lake import Lake, Mark
from tests.bench.measure import measured, option, report, show, show_memory
from tests.examples import FRONTIER, LATE, lake_with

DAYS = 28
MOST_SECONDS, MOST_MEMORY = 120, 4 << 30
_COLUMN, _VALUES = "expect_column_", "expect_column_values_to_"
SUITE = (
    (f"{_VALUES}not_be_null", {"column": "score"}),
    (f"{_VALUES}be_between", {"column": "score", "min_value": 0, "max_value": 1}),
    (f"{_VALUES}be_in_set", {"column": "features.carrier", "value_set": ["AA", "B6", "DL", "EV", "UA", "WN"]}),
    (f"{_VALUES}match_regex", {"column": "features.dest", "regex": "^[A-Z]{3}$"}),
    (f"{_VALUES}be_between", {"column": "features.distance", "min_value": 10, "max_value": 6000}),
    (f"{_VALUES}be_between", {"column": "features.hour", "min_value": 0, "max_value": 24, "strict_max": True}),
    (f"{_VALUES}be_in_set", {"column": "features.night", "value_set": [True, False]}),
    (f"{_VALUES}be_unique", {"column": "unit_id"}),
    ("expect_table_row_count_to_be_between", {"min_value": 100}),
    (f"{_COLUMN}mean_to_be_between", {"column": "number", "min_value": 0.4, "max_value": 0.6}),
    (f"{_COLUMN}stdev_to_be_between", {"column": "features.distance", "min_value": 1000}),
    (f"{_COLUMN}unique_value_count_to_be_between", {"column": "features.carrier", "min_value": 6, "max_value": 6}),
)
"""Seven row rules, and five about all rows."""


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


def gate(folder: Path) -> Callable[[pa.Table], Verdict]:
    """The suite as a release meets it, with its page."""
    file = folder / "conf" / "expectations" / "m.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"name": "m", "expectations": [{"type": type_, "kwargs": kwargs} for type_, kwargs in SUITE]}))
    return gate_of("m", folder / "conf", folder / "docs")


@pytest.mark.bench
def test_a_million_examples_become_a_release(folder: Path) -> None:
    wanted = option("EXAMPLES", 1_000_000)
    root = lake_with(folder / "lake", [])
    fill(root, range(DAYS), wanted // DAYS)
    body = {"window": f"{DAYS + 1} days", "split": ["time", "subject"], "embargo": "1 day"}
    rows, found = [], {}
    with measured() as usage:
        made = release(root, spec_of("m", "late", {"split": ["time"]}, "bench"), gate=gate(folder))
    assert (made.rows, len(made.gates)) == (wanted // DAYS * DAYS, len(SUITE))
    assert len(list((folder / "docs").iterdir())) == 1
    rows.append(("release: all, with gate and page", made.rows, usage.wall, usage.cpu, usage.peak.shared_once >> 20))
    found["gated"] = usage
    for name, said in (("all", {}), ("balanced", {"sampling": "balanced"}), ("no duplicates", {"deduplicate": True})):
        with measured() as usage:
            made = release(root, spec_of("m", "late", {**body, **said}, "bench"))
        rows.append((f"release: {name}", made.rows, usage.wall, usage.cpu, usage.peak.shared_once >> 20))
        found[name] = usage
    with measured() as loading:
        table = load(root, "m/late/2", "train")
    rows.append(("load: train", table.num_rows, loading.wall, loading.cpu, loading.peak.shared_once >> 20))
    del table
    fill(root, range(DAYS, 10 * DAYS), wanted // DAYS // 10)
    with measured() as later:
        release(root, spec_of("m", "late", {**body, "seed": 2}, "bench"))
    rows.append(("release: all, nine windows of a tenth before it", wanted, later.wall, later.cpu, later.peak.shared_once >> 20))
    show(f"{wanted:,} examples", ("", "rows", "seconds", "CPU seconds", "MB"), rows)
    show_memory(found["gated"].peak)
    report("dataset", {"examples": wanted, **found, "load": loading, "with history": later})
    assert found["gated"].wall < MOST_SECONDS
    assert found["gated"].peak.shared_once < MOST_MEMORY
