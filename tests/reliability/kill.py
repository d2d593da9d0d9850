"""`kill -9` of the running application: at any moment, and at each point at which a batch can be half done."""

from __future__ import annotations

import random
import time
from pathlib import Path

from pyspark.sql import SparkSession

from tests.reliability.application import Place, kill, until
from tests.reliability.check import Check, Figures, at_least, exactly
from tests.reliability.dying import POINTS
from tests.reliability.ground import AGREES, compared, parts
from tests.reliability.lateness import late
from tests.reliability.reader import Reader
from tests.reliability.world import DAY

WINDOW = DAY
CHAINS = ("land", "attribute")
"""The first job of each."""
ANY_MOMENT = "any moment"
Death = tuple[str, str]
"""The point at which a life ends, and the chain."""
PER_LIFE = 4
"""The records that come for a life of the application are about so many batches."""
MODEL = """
model = "m"
[labels.late]
type = "binary"
positive = 1
judges = "prediction"
attribution_window = "24 hours"
resolve = "latest"
[segments]
origin = ["JFK"]
[statistics]
grains = ["1 hour", "1 day"]
cuts = ["all", "origin"]
"""


def run(seed: int, size: int, folder: Path, spark: SparkSession) -> Figures:
    del spark  # each life has its own
    rng = random.Random(f"kill {seed}")
    truth = late(seed, size, MODEL)
    deaths = planned(seed, size)
    pieces = parts(truth.records, len(deaths) + 1)
    batch = max(10, len(pieces[0]) // PER_LIFE)
    place = Place.made(folder, batch_records=batch)
    reader = Reader(place, truth, WINDOW)
    reader.start()
    half_done = dict.fromkeys(CHAINS, 0)
    missed = []
    for (end, job), piece in zip(deaths, pieces, strict=False):
        place.append(piece, most=max(1, batch // 3))
        if not (at_any_moment(place, rng, job) if end == ANY_MOMENT else at_a_point(place, rng, end, job)):
            missed.append(f"{end} of {job}")
        for chain in CHAINS:
            half_done[chain] += place.cut_off(chain)
    place.append(pieces[-1], most=max(1, batch // 3))
    last = place.start("run", "--once")
    assert last.wait() == 0, place.told(last)
    return {
        "kills": len(deaths),
        "kills_that_did_not_come": len(missed),
        **{f"batches_of_{chain}_cut_off": count for chain, count in half_done.items()},
        **reader.close(),
        **compared(place.lake, truth, WINDOW),
    }


CHECK = Check(
    "kill",
    "kill -9 at any moment loses, repeats and halves nothing, and no reader sees half a batch",
    run,
    short=600,
    full=460_000,
    wanted={
        **AGREES,
        "kills": at_least(5),
        "kills_that_did_not_come": exactly(0),
        **{f"batches_of_{chain}_cut_off": at_least(2) for chain in CHAINS},
        "looks": at_least(20),
        "looks_that_saw_half_a_batch": exactly(0),
    },
    apart=True,
)


def planned(seed: int, size: int) -> list[Death]:
    """Which point ends a life, and in which chain; in any order.

    In the full size 20 lives end at each point and 50 at any moment, in the short one 1; of each kind half in each chain.
    """
    each = max(1, min(20, size // 20_000))
    ends = [*POINTS] * each + [ANY_MOMENT] * max(1, (each - 1) * 50 // 19)
    deaths = [(end, CHAINS[(seed + number + number // len(POINTS)) % 2]) for number, end in enumerate(ends)]
    return random.Random(f"kill {seed}").sample(deaths, len(deaths))


def at_a_point(place: Place, rng: random.Random, point: str, job: str) -> bool:
    """Run until the application kills itself at a point; whether it did."""
    process = place.start("run", module=("tests.reliability.dying", point, job, str(rng.randrange(1, 3))))
    died = until(lambda: process.poll() is not None)
    kill(process)
    return died and process.returncode < 0 and place.cut_off(job)


def at_any_moment(place: Place, rng: random.Random, job: str) -> bool:
    """Run, and kill from without: sometimes while it starts, else within seconds of a chain's first new batch."""
    before = place.planned(job)
    process = place.start("run")
    if rng.random() > 0.2:
        until(lambda: place.planned(job) != before or process.poll() is not None)
    time.sleep(rng.random() * 4)
    alive = process.poll() is None
    kill(process)
    return alive
