"""Lateness: delays over many horizons, feedback before its inference, repetitions hours apart, an idle side. Nothing is lost."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from pathlib import Path

from pyspark.sql import SparkSession

from pipelines.silver import tables as silver
from tests import lakes
from tests.reliability.check import Check, Figures, at_least, exactly
from tests.reliability.ground import AGREES, compared, declared, parts, process
from tests.reliability.world import DAY, HOUR, MINUTE, START, Event, Truth, World

HORIZON = 10 * MINUTE
"""Of the join, in these runs: a delay of a day is a hundred and forty-four of them."""
WINDOW = DAY
RUNS = 4
NO_FEEDBACK, NO_INFERENCES = START + 4 * HOUR, START + 7 * HOUR
"""One side is silent for the hour from here on."""
MODEL = """
model = "m"
[labels.late]
type = "binary"
positive = 1
judges = "prediction"
attribution_window = "24 hours"
resolve = "latest"
[statistics]
grains = ["1 hour"]
cuts = ["all"]
"""


def run(seed: int, size: int, folder: Path, spark: SparkSession) -> Figures:
    truth = late(seed, size)
    settings = lakes.settings_for(folder / "lake", run_join_horizon="10 minutes", log_batch_records=max(500, size // 4))
    for piece in parts(truth.records, RUNS):
        process(settings, spark, piece, most=100)
    before = lakes.count(folder / "lake")
    process(settings, spark, [])
    after = lakes.count(folder / "lake")
    fates = truth.fates()
    return {
        **compared(folder / "lake", truth, WINDOW),
        "rows_written_by_another_run": sum(after.values()) - sum(before.values()),
        "pairs_that_the_join_let_go": lakes.rows_of(folder / "lake", silver.RECONCILED).num_rows,
        "orphans_found_later": sum(sign < 0 for _, sign, _ in truth.orphans()),
        "still_orphaned": sum(fate == "orphaned" for fate in fates.values()),
        "waiting": sum(fate == "waiting" for fate in fates.values()),
        "duplicates": sum(record.home == "duplicate" for record in truth.records),
    }


CHECK = Check(
    "lateness",
    "However late, early or repeated: every record is accounted for, every pair found",
    run,
    short=600,
    full=60_000,
    wanted={
        **AGREES,
        "rows_written_by_another_run": exactly(0),
        "pairs_that_the_join_let_go": at_least(1),
        "orphans_found_later": at_least(1),
        "waiting": at_least(1),
    },
)


def late(seed: int, size: int, model: str = MODEL) -> Truth:
    """So many inferences over twelve hours, and all that can happen to feedback on them."""
    rng = random.Random(f"lateness {seed}")
    world = World(declared(model))
    for number in range(size):
        _request(world, rng, number)
    last = max(said.received_at for said in world.said)
    closing = last + DAY
    for number in range(max(2, size // 50)):
        at = closing - rng.randrange(1, 59) * MINUTE
        world.judge(f"waits {number}", f"to come {number}", 1, at, at)
    at = START
    while at < last:
        world.frontier(at)
        at += 40 * MINUTE if at < START + 2 * DAY else DAY
    world.frontier(closing)
    return world.truth()


def _request(world: World, rng: random.Random, number: int) -> None:
    """One inference and its feedback."""
    name = f"r{number}"
    served = _outside(NO_INFERENCES, START + rng.randrange(12 * 3600) * timedelta(seconds=1))
    how = rng.choice(
        ["soon", "soon", "horizons", "horizons", "early", "kept back", "closed", "found", "never", "silent"]
    )
    received = served + {"early": rng.randrange(1, 55) * MINUTE, "found": DAY + rng.randrange(600) * MINUTE}.get(
        how, rng.randrange(3) * MINUTE
    )
    event = world.infer(name, served, received)
    if rng.random() < 0.1:
        _repeat(world, rng, event, received + rng.randrange(1, 30) * HOUR)
    if rng.random() < 0.01:
        world.send({**event, "version": "2"}, received + rng.randrange(1, 30) * HOUR)
    for vote in range(0 if how == "silent" else rng.choice([1, 1, 2])):
        given, heard = _times(how, rng, served)
        about = f"{name} never came" if how == "never" else name
        said = world.judge(f"f{number}-{vote}", about, rng.randrange(2), given, _outside(NO_FEEDBACK, heard))
        if rng.random() < 0.05:
            _repeat(world, rng, said, heard + rng.randrange(1, 30) * HOUR)
    if rng.random() < 0.01:
        world.refuse(b'{"kind": "inference", "request_id":', received, "not_json")


def _times(how: str, rng: random.Random, served: datetime) -> tuple[datetime, datetime]:
    """When feedback was given, and when it was received."""
    soon = served + rng.randrange(1, 9) * MINUTE
    if how == "horizons":
        given = served + rng.randrange(2, 140) * HORIZON
        return given, given + rng.randrange(3) * MINUTE
    if how == "early":
        given = served + rng.randrange(-4, 1) * MINUTE
        return given, max(given, served)
    if how == "kept back":
        return soon, soon + rng.randrange(1, 5 * 24) * HOUR
    if how == "closed":
        given = served + WINDOW + rng.choice([timedelta(0), HOUR, 30 * DAY])
        return given, given
    return soon, soon


def _repeat(world: World, rng: random.Random, event: Event, at: datetime) -> None:
    world.respell(event, at) if rng.random() < 0.5 else world.send(event, at)


def _outside(hour: datetime, at: datetime) -> datetime:
    return at + HOUR if hour <= at < hour + HOUR else at
