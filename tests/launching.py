"""A launcher that is killed at a point, or comes through (`nowhere`).

What dies is the process, by SIGKILL, from within: no handler runs, nothing is flushed.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from pipelines import leases
from pipelines.models import load_models
from pipelines.retrain import decide, held_out, launch
from pipelines.retrain.targets import TARGETS
from pipelines.retrain.tracking import CHAMPION, Tracking
from tests.retraining import loop_of

POINTS = ("claimed", "released", "run_created", "started", "trained", "judged", "alias_moved")
ORDERED = "ordered"
"""Where training is elsewhere: that is told, and not yet written down."""


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dying(point: str, passes: int) -> None:
    """Die when a point is passed for the so-manyth time."""
    left = [passes]

    def may_come(passed: bool) -> None:
        left[0] -= passed
        if not left[0]:
            die()

    append, run_of, move = launch.append, Tracking.run_of, Tracking.move

    def appended(*given: Any, **changed: Any) -> Any:
        row = append(*given, **changed)
        may_come(given[1] == point)
        return row

    def created(self: Tracking, *given: Any) -> str:
        run_id = run_of(self, *given)
        may_come(point == "run_created")
        return run_id

    def moved(self: Tracking, model: str, alias: str, version: str) -> None:
        move(self, model, alias, version)
        may_come(point == "alias_moved" and alias == CHAMPION)

    def telling(tell: Any) -> Any:
        def told(*given: Any) -> None:
            tell(*given)
            may_come(point == ORDERED)

        return told

    launch.TARGETS = {name: telling(tell) for name, tell in TARGETS.items()}
    launch.append = decide.append = held_out.append = appended
    Tracking.run_of, Tracking.move = created, moved  # type: ignore[method-assign]


def main(point: str, lake: Path, models: Path, passes: int) -> None:
    """Turn after turn, until nothing is left to do."""
    dying(point, passes)
    with leases.hold_by_process(lake, [launch.LEASE], "launch"):
        loop = loop_of(lake, models, load_models(models))
        while launch.turn(loop):
            pass
