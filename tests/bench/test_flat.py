"""Whether a batch takes as long with ten times the history in every table. Run: pytest -m bench -s."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import pytest
from pyspark.sql import SparkSession

from pipelines.app import TABLES, Application
from pipelines.gold.tables import STATISTICS
from pipelines.lake import Lake
from pipelines.maintain import maintain
from pipelines.silver.tables import INFERENCES
from tests.bench.load import Load, Stream, append, definitions, fill
from tests.bench.measure import machine, option, report, settings_for, show
from tests.bench.stages import Spent, Stages, stages

pytestmark = pytest.mark.bench

HISTORY = option("HISTORY", 60_000)
"""Distinct events of the short history."""
TIMES = option("TIMES", 10)
BATCH = option("FLAT_BATCH", 20_000)
"""Records of a batch; the history came in batches of as many."""
BATCHES = option("FLAT_BATCHES", 7)
"""Measured batches; the median counts. One before them is not: it reads the index of what is there."""
RATE = option("RATE", 100)

EVENING = datetime(2026, 3, 20, 22, tzinfo=UTC)
"""When the measured events begin."""
DAY = timedelta(hours=16)
GAP = timedelta(hours=5)
"""How much of a day the history fills, and how long before the evening it ends: all silence about it has matured by then."""


@dataclass(frozen=True)
class History:
    """What is there before: so many events over so many days, the last of which is the measured one's own."""

    events: int
    days: int

    @property
    def load(self) -> Load:
        length = DAY + timedelta(days=self.days - 1)
        rate = self.events * 2 / 3 / length.total_seconds()
        return Load(self.events, rate, seed=5, prefix="h", start=EVENING - GAP - length)


HISTORIES = {
    "short": History(HISTORY, 1),
    f"{TIMES} times, on as many days": History(HISTORY * TIMES, TIMES),
    f"{TIMES} times, on the same day": History(HISTORY * TIMES, 1),
}


def test_a_batch_takes_as_long_with_ten_times_the_history(spark: SparkSession, folder: Path) -> None:
    probe = Stream(Load((BATCHES + 1) * BATCH, RATE, prefix="p", start=EVENING))
    lakes = {name: folder / f"lake{number}" for number, name in enumerate(HISTORIES)}
    for name, history in HISTORIES.items():
        before(spark, folder, lakes[name], history)
    grown = {name: size(lake) for name, lake in lakes.items()}
    results = after(spark, folder, lakes, probe)
    answers = [added(lake) for lake in lakes.values()]
    assert all(answer == answers[0] for answer in answers), "the same events added different numbers"
    told = {name: figures(found) for name, found in results.items()}
    shown(grown, told)
    report(
        "flat",
        {
            "load": {"history": HISTORY, "rows_and_files": grown, "times": TIMES, "batch": BATCH, "batches": BATCHES},
            "batches": told,
            "ratio": {name: ratios(told["short"], each) for name, each in told.items()},
        },
    )


def before(spark: SparkSession, folder: Path, lake: Path, history: History) -> None:
    """Bring a history all the way, and do the upkeep that a running application does."""
    settings = settings_for(lake, log_batch_records=BATCH)
    fill(lake, history.load)
    with Application(settings, spark, given=definitions(folder)) as app:
        app.drain()
    maintain(lake, TABLES, settings.maintain, vacuum=True)


def after(spark: SparkSession, folder: Path, lakes: dict[str, Path], probe: Stream) -> dict[str, Stages]:
    """Drain the measured events batch by batch, each alone, the lakes in turn: a JVM that warms up favours none of them.

    What the batches took, and each drain as a whole, by lake.
    """
    found = {name: Stages() for name in lakes}
    with ExitStack() as stack:
        apps = {}
        for name, lake in lakes.items():
            settings = settings_for(lake, log_batch_records=2 * BATCH)
            apps[name] = stack.enter_context(Application(settings, spark, given=definitions(folder)))
        for number in range(BATCHES + 1):
            names = list(apps)[number % len(apps) :] + list(apps)[: number % len(apps)]
            for name in names:
                append(probe, apps[name].log, number * BATCH, (number + 1) * BATCH, close=False)
                into = found[name] if number else Stages()
                with stages(into), into.timed("drain"):
                    apps[name].drain()
    return found


def size(lake: Path) -> tuple[int, int]:
    """Rows of gold.statistics and files of silver.inferences."""
    return Lake(lake).read(STATISTICS, []).num_rows, len(Lake(lake).open(INFERENCES).file_uris())


def added(lake: Path) -> str:
    """What gold says of the measured evening, whose cells no history is in."""
    cells = Lake(lake).read(STATISTICS, ["cell_at", "segment", "basis", "statistic", "bucket", "amount"])
    names = ["cell_at", "segment", "basis", "statistic", "bucket"]
    sums = cells.group_by(names).aggregate([("amount", "sum")]).to_pylist()
    return json.dumps(sorted(str(row) for row in sums if row["cell_at"] >= EVENING and row["amount_sum"]))


def figures(found: Stages) -> dict[str, dict[str, float]]:
    """Median wall and CPU seconds of each chain's batches with rows in them, of reconcile, and of all together."""
    told = {}
    for name, calls in found.calls.items():
        if ":" not in name and name != "frontier":
            busy = _busiest(calls)
            told[name] = {"wall": median(call.wall for call in busy), "cpu": median(call.cpu for call in busy)}
    return told


def _busiest(calls: list[Spent]) -> list[Spent]:
    """One call for each measured batch: the join also runs batches without data, to move its watermark."""
    return sorted(calls, key=lambda call: -call.wall)[:BATCHES]


def ratios(base: dict[str, dict[str, float]], told: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    return {name: {unit: each[unit] / base[name][unit] for unit in each} for name, each in told.items()}


def shown(grown: dict[str, tuple[int, int]], told: dict[str, dict[str, dict[str, float]]]) -> None:
    here = machine()
    rows = []
    for name, each in told.items():
        against = ratios(told["short"], each)
        for stage, cost in each.items():
            ratio = against[stage]
            rows.append((f"{name}: {stage}", cost["wall"], ratio["wall"], cost["cpu"], ratio["cpu"]))
    show("History", ("", "rows of gold.statistics", "files of silver.inferences"), [(k, *v) for k, v in grown.items()])
    show(
        f"Flat: median of {BATCHES} batches of {BATCH:,} records; {here['cpu']}, {here['cores']} cores",
        ("history: what", "wall s", "ratio", "CPU s", "ratio"),
        rows,
    )
