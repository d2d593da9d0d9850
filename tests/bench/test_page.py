"""The page of a lake with ten million rows of statistics: seconds to its first view, cold and warm, and what a commit costs.

`HINDSIGHT_BENCH_STATISTICS` sets how many.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipelines.contract import Table
from pipelines.gold.tables import STATISTICS
from pipelines.lake import Lake, Mark
from tests.bench.measure import option, report, show
from tests.pages import filled, get, served
from tests.watching import DAY, MONDAY, reach

DAYS, GROUPS = 200, ("EWR", "JFK", "LGA")
FIRST = "metrics?model=m&label=late&metric=auc&every=1+day"


def fill(lake: Lake, definitions: tuple[str, str], rows: int) -> None:
    """Statistics of a label, most by score bucket, and of the service, in two grains, over all and by origin, day by day."""
    each = rows // DAYS
    for day in range(DAYS):
        lake.append(STATISTICS, a_day(definitions, day, each), Mark(f"day {day}", 0), {"job": "bench"})


def a_day(definitions: tuple[str, str], day: int, count: int) -> pa.Table:
    chance, cell = np.random.default_rng(day), MONDAY + day * DAY
    grain, cut = chance.integers(0, 2, count), chance.integers(0, 2, count)
    start = np.datetime64(cell.replace(tzinfo=None), "us")
    hour = start + np.where(grain, 0, chance.integers(0, 24, count)).astype("timedelta64[h]")
    known = start + (chance.integers(0, 2880, count)).astype("timedelta64[m]")
    kind = chance.choice(["n", "tp", "fp", "score.positive", "score.negative"], count, p=[0.2, 0.1, 0.1, 0.3, 0.3])
    bucket = chance.integers(0, 1000, count).astype(str)
    service = chance.random(count) < 0.1
    kind, bucket = np.where(service, "n", kind), np.where(service, "", bucket)
    origin = np.array([f'["{name}"]' for name in GROUPS])[chance.integers(0, 3, count)]
    columns: dict[str, Any] = {
        **{"grain": np.where(grain, "1 day", "1 hour"), "cut": np.where(cut, "all", "origin"), "segment": np.where(cut, "[]", origin)},
        **{"statistic": kind, "bucket": np.where(np.char.startswith(kind, "score"), bucket, "")},
        **{"cell_at": pa.array(hour).cast(pa.timestamp("us", "UTC")), "known_at": pa.array(known).cast(pa.timestamp("us", "UTC"))},
        **{"label": np.where(service, "", "late"), "definition": np.where(service, *definitions)},
        **{"basis": np.where(service, "exposed", "answered")},
        "version": chance.choice(["1", "2"], count),
        "amount": pa.array(np.ones(count, "int64")).cast(STATISTICS.arrow.field("amount").type),
    }
    same = {"tenant": "default", "model": "m", "cell_date": cell.date()}
    fields = STATISTICS.computed
    return pa.table(
        [pa.array(columns[f.name], f.type) if f.name in columns else pa.array([same.get(f.name, "")] * count, f.type) for f in fields],
        schema=fields,
    )


def seconds(address: str, route: str = FIRST) -> tuple[float, float]:
    """How long an answer takes, and its CPU seconds, those of who asks included."""
    started, cpu = time.perf_counter(), time.process_time()
    status, said, _ = get(f"{address}/api/{route}")
    assert status == 200, said
    return time.perf_counter() - started, time.process_time() - cpu


@pytest.mark.bench
def test_the_first_view_of_ten_million_statistics(folder: Path) -> None:
    rows = option("STATISTICS", 10_000_000)
    lake, watched = filled(folder / "lake", days=0)
    definitions = watched.definition("").hash, watched.definition("late").hash
    fill(lake, definitions, rows)
    reach(lake, MONDAY + (DAYS + 3) * DAY)
    held = rows_of(lake, STATISTICS)
    with served(lake.root) as address:
        cold = {name: seconds(address, name) for name in ("lake", FIRST, "flow", "alerts", "quarantine")}
        warm = {name: min(seconds(address, name) for _ in range(5)) for name in cold}
        whole = seconds(address, f"{FIRST}&last={DAYS}")
        lake.append(STATISTICS, a_day(definitions, DAYS - 1, 1_000), Mark("more", 0), {"job": "bench"})
        after = seconds(address)
    show(
        f"The page of {held:,} rows of gold.statistics, {DAYS} days",
        ("what", "seconds", "CPU seconds", "times the warm one"),
        [
            *(_row(f"{name.partition('?')[0]}, cold", took, warm[name]) for name, took in cold.items()),
            _row("the first numbers, cold (wanted: 1)", _both(cold), _both(warm)),
            _row("the first numbers, warm", _both(warm), _both(warm)),
            _row("metrics, after a commit of 1,000 rows", after, warm[FIRST]),
            _row(f"metrics of all {DAYS} days", whole, warm[FIRST]),
        ],
    )
    report("page", {"rows": held, "cold": cold, "warm": warm, "after a commit": after, "all days": whole})


Took = tuple[float, float]


def _both(took: dict[str, Took]) -> Took:
    """What comes before the first numbers: what can be asked, and the first question."""
    return took["lake"][0] + took[FIRST][0], took["lake"][1] + took[FIRST][1]


def _row(what: str, took: Took, warm: Took) -> tuple[str, ...]:
    return what, f"{took[0]:.2f}", f"{took[1]:.2f}", f"{took[0] / warm[0]:.1f}"


def rows_of(lake: Lake, table: Table) -> int:
    return sum(pa.table(lake.open(table).get_add_actions(flatten=True))["num_records"].to_pylist())
