"""`python -m tests.launchers LAKE MODELS POINT …`: launchers one after the other, each killed at its point, then one that comes through.

`KILLS:SEED` instead of points: so many, killed at random ones. Each is a process of its own; what they import is imported once.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import traceback
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

from pipelines.errors import MachineError
from pipelines.extras import extra
from pipelines.retrain import tracking
from tests import launching

UNTRAINED = ("claimed", "released", "run_created", "started")
UNREACHABLE = 4
"""Ends so where the tracking server did not do what was asked."""


def ends(point: str, passes: int, lake: Path, models: Path) -> int:
    """How a launcher ends that is to die when it passes a point for the so-manyth time: its exit code, or the signal's, negative."""
    child = os.fork()
    if not child:
        try:
            launching.main(point, lake, models, passes)
        except MachineError:
            os._exit(UNREACHABLE)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def at_random(seed: int) -> Iterator[tuple[str, int]]:
    chance = random.Random(seed)
    while True:
        yield chance.choice(UNTRAINED), chance.randint(1, 3)


def main(lake: Path, models: Path, plan: Iterator[tuple[str, int]], kills: int) -> None:
    for module in ("mlflow.sklearn", "sklearn.linear_model", "skops.io"):
        extra(module)
    tracking.PAUSE = 0.02
    for _ in range(kills):
        point, passes = next(plan)
        while (ended := ends(point, passes, lake, models)) == UNREACHABLE:
            """The next one goes on from there."""
        assert ended == -signal.SIGKILL, f"{point}: a launcher ended with {ended}"
    while ended := ends("nowhere", 1, lake, models):
        assert ended == UNREACHABLE


if __name__ == "__main__":
    points = sys.argv[3:]
    if ":" in points[0]:
        kills, seed = map(int, points[0].split(":"))
        main(Path(sys.argv[1]), Path(sys.argv[2]), at_random(seed), kills)
    else:
        main(Path(sys.argv[1]), Path(sys.argv[2]), zip(points, repeat(1)), len(points))
