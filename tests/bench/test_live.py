"""How soon an event that is durable in the log is visible in gold, at a steady rate. Run: pytest -m bench -s."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from pyspark.sql import SparkSession

from pipelines.app import Application
from pipelines.contract import Table
from pipelines.lake import Lake
from pipelines.log import EmbeddedLog
from pipelines.silver.tables import DUPLICATES, FEEDBACK, INFERENCES, LABELLED, ORPHANS, QUARANTINE
from pipelines.verify import verify
from tests.bench.load import definitions
from tests.bench.measure import Usage, machine, measured, option, report, settings_for, show, show_memory
from tests.bench.oneshot import gold
from tests.bench.sender import Sent, started
from tests.bench.stages import Stages, stages

pytestmark = pytest.mark.bench

RATE = option("RATE_LIVE", 1_500)
"""Events per second; two inferences for each feedback."""
WARM = option("WARM_SECONDS", 60)
SECONDS = option("SECONDS", 120)
PATIENCE = option("PATIENCE", 300)
"""Seconds after the last event in which everything must have come through."""

Numbers = NDArray[np.float64]


def test_live_events_reach_gold_and_none_is_lost_or_counted_twice(spark: SparkSession, folder: Path) -> None:
    lake = folder / "lake"
    with Application(settings_for(lake), spark, given=definitions(folder)) as app, stages() as found:
        app.start()
        with measured() as usage:
            sender = started(lake, RATE, WARM + SECONDS)
            output, _ = sender.communicate()
            sent = Sent(**json.loads(output))
        end = app.log.end()
        until = time.monotonic() + PATIENCE
        while not app.settled(end) and time.monotonic() < until:
            app.check()
            time.sleep(0.5)
        assert app.settled(end), f"not everything came through within {PATIENCE} s"
    latencies = {name: latency(lake, table) for name, table in (("expose", INFERENCES), ("tally", LABELLED))}
    shown(latencies, usage, sent, found)
    report(
        "live",
        {
            "load": {"events_per_second": RATE, "warm_up_seconds": WARM, "seconds": SECONDS, "sent": asdict(sent)},
            "latency_seconds": {name: summary(*found) for name, found in latencies.items()},
            "cpu_seconds": usage.cpu,
            "wall": usage.wall,
            "peak": usage.peak,
            "stages": [row._asdict() for row in found.sums()],
        },
    )
    exact(lake, folder, sent)


def exact(lake: Path, folder: Path, sent: Sent) -> None:
    """Every event counts once, and every number follows from the log."""
    rows = {table.noun: Lake(lake).read(table, []).num_rows for table in (INFERENCES, FEEDBACK, LABELLED, DUPLICATES)}
    assert rows == {
        "inferences": sent.inferences,
        "feedback": sent.feedback,
        "labelled": sent.feedback,
        "duplicates": sent.repeated,
    }
    assert not Lake(lake).read(QUARANTINE, []).num_rows
    assert not Lake(lake).read(ORPHANS, []).num_rows
    counts = gold(lake)
    by_basis = {
        basis: sum(n for (_, segment, b, name), n in counts.items() if (segment, b, name) == ("[]", basis, "n"))
        for basis in ("answered", "silent")
    }
    assert by_basis == {"answered": sent.judged, "silent": sent.inferences - sent.judged}
    proof = verify(lake, definitions=[each.body() for each in definitions(folder)])
    assert proof.differences == 0, proof.examples


def latency(lake: Path, table: Table) -> tuple[Numbers, Numbers]:
    """Per row, without the warm-up: when it was appended, in seconds since the first append, and seconds until visible.

    Visible is the commit to silver of the batch, before which its statistics are committed; durable is the append's clock,
    read when its transaction begins. Both make it longer than it was.
    """
    log = EmbeddedLog(lake / "_log" / "log.sqlite")
    appends = [(append.end, append.appended_at) for append in log.read(0, log.end())]
    log.close()
    ends, clocks = (np.array(column, "int64") for column in zip(*appends, strict=True))
    offsets, visible = zip(*commits(Lake(lake).path(table), "offset"), strict=True)
    appended = clocks[np.searchsorted(ends, np.concatenate(offsets), side="right")] / 1e6
    seen = np.repeat(np.array(visible) / 1e3, [len(part) for part in offsets])
    since = appended - clocks[0] / 1e6
    measured = since >= WARM
    order = np.argsort(since[measured], kind="stable")
    return since[measured][order], (seen - appended)[measured][order]


def commits(path: Path, column: str) -> Iterator[tuple[NDArray[np.int64], int]]:
    """A column of the rows that each commit brought, and its time in milliseconds; compaction brings none."""
    for file in sorted((path / "_delta_log").glob("*.json")):
        actions = [json.loads(line) for line in file.read_text().splitlines()]
        at = next((action["commitInfo"]["timestamp"] for action in actions if "commitInfo" in action), 0)
        for action in actions:
            if action.get("add", {}).get("dataChange"):
                rows = pq.ParquetFile(path / action["add"]["path"], coerce_int96_timestamp_unit="us").read([column])
                yield rows[column].cast(pa.int64()).to_numpy(), at


def summary(since: Numbers, lag: Numbers) -> dict[str, float]:
    """Quantiles of the lag in seconds, and its median in the first and in the last third of the time."""
    low, high = np.quantile(since, [0, 1])
    first, last = lag[since < low + (high - low) / 3], lag[since >= high - (high - low) / 3]
    p50, p95, p99 = np.quantile(lag, [0.5, 0.95, 0.99])
    found = {"p50": p50, "p95": p95, "p99": p99, "max": lag.max()}
    found |= {"first_third_p50": np.median(first), "last_third_p50": np.median(last)}
    return {"rows": len(lag), **{name: float(value) for name, value in found.items()}}


def shown(latencies: dict[str, tuple[Numbers, Numbers]], usage: Usage, sent: Sent, found: Stages) -> None:
    here = machine()
    rows = [(name, *summary(*each).values()) for name, each in latencies.items()]
    show(
        f"Live: {RATE:,} events/s for {timedelta(seconds=SECONDS)} after {timedelta(seconds=WARM)}; seconds from the log "
        f"to gold; {here['cpu']}, {here['cores']} cores",
        ("", "rows", "p50", "p95", "p99", "max", "p50, first third", "p50, last third"),
        rows,
    )
    busy = usage.cpu - sent.cpu_seconds
    show(
        "Effort",
        ("", "value"),
        [
            ("CPU seconds per second, without the sender", busy / usage.wall),
            ("the sender was behind by at most, s", sent.most_behind_seconds),
        ],
    )
    show_memory(usage.peak)
    batches = [
        (name, len(calls), *(float(q) for q in np.quantile([call.wall for call in calls], [0.5, 0.99])))
        for name, calls in found.calls.items()
        if ":" not in name
    ]
    show("Batches", ("chain", "batches", "wall s, p50", "p99"), batches)
