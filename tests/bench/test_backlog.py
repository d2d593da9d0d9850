"""How fast a backlog goes from the log to gold, in a warm process; DuckDB's one shot beside it. Run: pytest -m bench -s."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipelines.app import Application
from pipelines.verify import verify
from tests.bench.load import Load, definitions, fill
from tests.bench.measure import Usage, machine, measured, option, report, settings_for, show, show_memory
from tests.bench.oneshot import answer, export, gold
from tests.bench.stages import Row, stages

pytestmark = pytest.mark.bench

EVENTS = option("EVENTS", 1_500_000)
"""Distinct events, two inferences for each feedback; 5 % are sent twice on top."""
WARM = option("WARM", 100_000)
PROVEN = option("PROVEN", 100_000)
"""Distinct events of the lake that the verifier goes through."""
RATE = option("RATE", 100)
"""Inferences per second of the events' own clock: how many share a cell and a minute."""
BATCH = option("BATCH", 100_000)


def drained(spark: SparkSession, folder: Path, lake: Path) -> int:
    """Drain what is in the log; how many records it holds."""
    settings = settings_for(lake, log_batch_records=BATCH)
    with Application(settings, spark, given=definitions(folder)) as app:
        records = app.log.end()
        app.drain()
    return records


def warm_up(spark: SparkSession, folder: Path) -> None:
    """The same on a scratch lake, so that the JVM has compiled what it will run."""
    scratch = folder / "warm"
    fill(scratch, Load(WARM, RATE, seed=1))
    drained(spark, folder, scratch)


def test_a_backlog_goes_from_the_log_to_gold_and_agrees_with_one_shot(spark: SparkSession, folder: Path) -> None:
    lake, records = folder / "lake", folder / "records.parquet"
    fill(lake, Load(EVENTS, RATE))
    warm_up(spark, folder)
    with stages() as found, measured() as ours:
        count = drained(spark, folder, lake)
    export(lake, records)
    with measured() as theirs:
        expected = answer(records)
    shown(count, ours, theirs, found.sums())
    report(
        "backlog",
        {
            "load": {"events": EVENTS, "records": count, "inferences_per_second": RATE, "batch": BATCH},
            "hindsight": {**figures(count, ours), "peak": ours.peak},
            "duckdb": figures(count, theirs),
            "stages": [row._asdict() for row in found.sums()],
        },
    )
    assert gold(lake) == expected


def test_what_a_backlog_made_of_its_log_is_verified_without_a_difference(spark: SparkSession, folder: Path) -> None:
    lake = folder / "lake"
    fill(lake, Load(PROVEN, RATE, seed=3))
    count = drained(spark, folder, lake)
    proof = verify(lake, definitions=[each.body() for each in definitions(folder)])
    rows = [("cells compared", proof.cells_compared), ("outcomes compared", proof.outcomes_compared)]
    show(f"verify, {count:,} records", ("", "count"), [*rows, ("differences", proof.differences)])
    assert proof.differences == 0, proof.examples
    assert proof.pending == 0
    assert proof.accounting["orphaned"] > 0
    assert proof.accounting["waiting"] == 0


def figures(count: int, usage: Usage) -> dict[str, float]:
    return {
        "wall": usage.wall,
        "cpu": usage.cpu,
        "records_per_second": count / usage.wall,
        "records_per_cpu_second": count / usage.cpu,
    }


def shown(count: int, ours: Usage, theirs: Usage, spent: list[Row]) -> None:
    here = machine()
    show(
        f"Backlog: {EVENTS:,} events, {count:,} records; {here['cpu']}, {here['cores']} cores, {here['memory_gb']} GB",
        ("", "wall s", "CPU s", "records/s", "per CPU second", "peak MB"),
        [
            ("Hindsight, log to gold", *figures(count, ours).values(), ours.peak.shared_once >> 20),
            ("DuckDB, one shot", *figures(count, theirs).values(), ""),
            ("ratio", ours.wall / theirs.wall, ours.cpu / theirs.cpu, "", "", ""),
        ],
    )
    show_memory(ours.peak)
    batches = [row for row in spent if not row.stage.startswith(" ")]
    wall, cpu = sum(row.wall for row in batches), sum(row.cpu for row in batches)
    rest = Row("between batches", len(batches), ours.wall - wall, ours.cpu - cpu)
    show("Where the time goes", ("stage", "calls", "wall s", "CPU s"), [*spent, rest])
