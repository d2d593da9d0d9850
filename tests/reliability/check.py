"""What a check is, what it must reach, and the result of running one."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

Figures = dict[str, Any]
"""What a check measured, by name; `examples` are a few of what was wrong, for people."""
Run = Callable[[int, int, Path, SparkSession], Figures]
"""`run(seed, size, folder, spark)`: the folder is empty and the check's own."""


@dataclass(frozen=True)
class Wanted:
    """What a figure must be."""

    text: str
    holds: Callable[[Any], bool]


def exactly(value: Any) -> Wanted:
    return Wanted(f"{value}", lambda found: bool(found == value))


def at_least(value: float) -> Wanted:
    return Wanted(f"≥ {value}", lambda found: bool(found >= value))


def at_most(value: float) -> Wanted:
    return Wanted(f"≤ {value}", lambda found: bool(found <= value))


@dataclass(frozen=True)
class Check:
    """One promise: how to try it, at which sizes, and what its figures must be.

    `apart`: it asks nothing of the session, but starts applications of its own, each of which leaves a core idle.
    """

    id: str
    promise: str
    run: Run
    short: int
    full: int
    wanted: Mapping[str, Wanted]
    apart: bool = False


@dataclass(frozen=True)
class Result:
    """One run of a check. `missed`: the figures that are not what is wanted, and an error, if there was one."""

    id: str
    seed: int
    size: int
    passed: bool
    figures: Figures
    missed: list[str]
    seconds: float

    def body(self) -> dict[str, Any]:
        body = asdict(self)
        return {"pass" if name == "passed" else name: value for name, value in body.items()}

    @classmethod
    def of(cls, body: dict[str, Any]) -> Result:
        return cls(**{"passed" if name == "pass" else name: value for name, value in body.items()})


def perform(check: Check, seed: int, size: int, folder: Path, spark: SparkSession) -> Result:
    """Run a check. An exception in it is a failure like any other."""
    started = time.monotonic()
    try:
        figures = check.run(seed, size, folder, spark)
        missed = [
            f"{name} is {figures.get(name)}, wanted {wanted.text}"
            for name, wanted in check.wanted.items()
            if name not in figures or not wanted.holds(figures[name])
        ]
    except Exception:
        figures, missed = {}, [traceback.format_exc(limit=-4)]
    return Result(check.id, seed, size, not missed, figures, missed, round(time.monotonic() - started, 1))
