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
ANY_MOMENT = "any moment"
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
    deaths = planned(rng, size)
    pieces = parts(truth.records, len(deaths) + 1)
    batch = max(10, len(pieces[0]) // PER_LIFE)
    place = Place.made(folder, batch_records=batch)
    reader = Reader(place, truth, WINDOW)
    reader.start()
    half_done = missed = 0
    for death, piece in zip(deaths, pieces, strict=False):
        place.append(piece, most=max(1, batch // 3))
        came = at_any_moment(place, rng) if death == ANY_MOMENT else at_a_point(place, rng, death)
        half_done += place.cut_off()
        missed += not came
    place.append(pieces[-1], most=max(1, batch // 3))
    assert place.start("run", "--once").wait() == 0, (place.conf / "told.txt").read_text()[-2000:]
    return {
        "kills": len(deaths),
        "kills_that_did_not_come": missed,
        "kills_that_left_a_batch_half_done": half_done,
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
        "kills": at_least(6),
        "kills_that_did_not_come": exactly(0),
        "kills_that_left_a_batch_half_done": at_least(4),
        "looks": at_least(20),
        "looks_that_saw_half_a_batch": exactly(0),
    },
)


def planned(rng: random.Random, size: int) -> list[str]:
    """How the lives end, in any order: 20 at each point and 50 at any moment in the full size, 1 and 2 in the short one."""
    each = max(1, min(20, size // 20_000))
    deaths = [*POINTS] * each + [ANY_MOMENT] * max(2, each * 5 // 2)
    return rng.sample(deaths, len(deaths))


def at_a_point(place: Place, rng: random.Random, point: str) -> bool:
    """Run until the application kills itself at a point; whether it did."""
    passes = rng.randrange(1, 4)
    process = place.start("run", module=("tests.reliability.dying", point, str(passes)))
    died = until(lambda: process.poll() is not None)
    kill(process)
    return died and process.returncode < 0 and place.cut_off()


def at_any_moment(place: Place, rng: random.Random) -> bool:
    """Run, and kill from without: sometimes while it starts, else within seconds of the first batch that it plans."""
    before = place.planned()
    process = place.start("run")
    if rng.random() > 0.2:
        until(lambda: place.planned() != before or process.poll() is not None)
    time.sleep(rng.random() * 4)
    alive = process.poll() is None
    kill(process)
    return alive
