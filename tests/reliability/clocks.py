"""Clock poison: producers whose clocks are absurd. They harm nobody but themselves, and never the watermark."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
from pyspark.sql import SparkSession

from pipelines import checkpoint
from pipelines.paths import checkpoints
from pipelines.silver import tables as silver
from tests import lakes
from tests.reliability.check import Check, Figures, at_least, at_most, exactly
from tests.reliability.ground import AGREES, compared, declared, latest_receipt, parts, process
from tests.reliability.lateness import MODEL
from tests.reliability.world import DAY, MINUTE, START, Event, Truth, World, spelled, written

WINDOW = DAY
RUNS = 3
SHARE = 1000
"""One event in so many is poison."""
SECOND = timedelta(seconds=1)


def run(seed: int, size: int, folder: Path, spark: SparkSession) -> Figures:
    truth = poisoned(seed, size)
    lake = folder / "lake"
    settings = lakes.settings_for(lake, log_batch_records=max(4000, size // 12))
    ahead, seen = -1e9, 0
    for piece in parts(truth.records, RUNS):
        process(settings, spark, piece, most=1000)
        seen += len(piece)
        ahead = max(ahead, watermark_ahead(lake, latest_receipt(truth.records[:seen])))
    return {
        **compared(lake, truth, WINDOW),
        "poison": sum(record.home == "quarantined" for record in truth.records),
        "good_rows_dropped_by_the_join": lakes.rows_of(lake, silver.RECONCILED).num_rows,
        "seconds_of_a_watermark_after_the_last_receipt": ahead,
        "seconds_of_an_events_mark_after_its_receipt": max(
            _marks_ahead(lake, table) for table in (silver.INFERENCES, silver.FEEDBACK)
        ),
    }


CHECK = Check(
    "clocks",
    "A client's clock, however wrong, costs no good row and drags no watermark",
    run,
    short=20_000,
    full=400_000,
    wanted={
        **AGREES,
        "poison": at_least(20),
        "good_rows_dropped_by_the_join": exactly(0),
        "seconds_of_a_watermark_after_the_last_receipt": at_most(300),
        "seconds_of_an_events_mark_after_its_receipt": at_most(300),
    },
)


def watermark_ahead(lake: Path, received: datetime) -> float:
    """By how many seconds the watermark of any batch of any query was later than this."""
    ahead = [-1e9]
    for folder in checkpoints(lake).iterdir():
        last = checkpoint.committed(folder)
        for number in range(last.batch + 1 if last else 0):
            if (folder / "offsets" / str(number)).exists():
                mark = checkpoint.planned_batch(folder, number).watermark
                ahead += [(mark - received).total_seconds()] if mark else []
    return max(ahead)


def _marks_ahead(lake: Path, table: Any) -> float:
    rows = lakes.rows_of(lake, table)
    ahead = pc.subtract(rows["watermark_at"], rows["received_at"]).cast("int64")
    return float(pc.max(ahead).as_py()) / 1e6


def poisoned(seed: int, size: int) -> Truth:
    """So many good events within five hours, some a little ahead of the log's clock, and one in SHARE with an absurd time."""
    rng = random.Random(f"clocks {seed}")
    world = World(declared(MODEL))
    for number in range(size // 2):
        received = START + rng.randrange(5 * 3600) * SECOND
        served = received + rng.choice([-30, -5, 0, 0, 60, 299, 300]) * SECOND
        world.infer(f"r{number}", served, received)
        heard = received + rng.randrange(0, 50) * MINUTE
        given = heard + rng.choice([-30, -5, 0, 0, 60, 299, 300]) * SECOND
        world.judge(f"f{number}", f"r{number}", rng.randrange(2), max(given, served), max(heard, served))
    kinds = absurd()
    for number in range(max(len(kinds), size // SHARE)):
        event, name, at, reason = kinds[number % len(kinds)]
        received = START + rng.randrange(5 * 3600) * SECOND
        identity = "request_id" if event["kind"] == "inference" else "feedback_id"
        said = at(received) if callable(at) else at
        world.refuse(written({**event, identity: f"poison {number}", name: said}), received, reason)
    for hours in range(1, 8):
        world.frontier(START + hours * 60 * MINUTE)
    late = datetime.now(START.tzinfo) + 3650 * DAY
    ahead = {"kind": "control", "action": "frontier", "at": spelled(late)}
    world.refuse(written(ahead), START + 90 * MINUTE, "frontier_from_the_future")
    return world.truth()


def absurd() -> list[tuple[Event, str, Any, str]]:
    """Event, name of its time, the time (or how it follows from the receipt), and why it is refused."""
    inference = {"kind": "inference", "model": "m", "version": "1", "status": "ok", "prediction": 1}
    feedback = {"kind": "feedback", "request_id": "r0", "label": "late", "action": "assert", "value": 1}
    times: list[tuple[Any, str]] = [
        (lambda received: spelled(received + 3650 * DAY), "from_the_future"),
        (lambda received: spelled(received + 301 * SECOND), "from_the_future"),
        (lambda received: int(received.timestamp() * 1000), "wrong_type"),
        (lambda received: str(int(received.timestamp() * 1000)), "bad_time"),
        (lambda received: received.timestamp(), "wrong_type"),
        ("1970-01-01T00:00:00Z", "absurd_time"),
        ("1969-12-31T23:59:59Z", "absurd_time"),
        ("0001-01-01T00:00:00Z", "absurd_time"),
        ("9999-12-31T23:59:59Z", "from_the_future"),
        ("-0044-03-15T12:00:00Z", "bad_time"),
        (-1, "wrong_type"),
        (0, "wrong_type"),
    ]
    return [
        (event, name, at, reason)
        for event, name in ((inference, "served_at"), (feedback, "given_at"))
        for at, reason in times
    ]
