"""Where the time goes: the parts of each batch, timed from outside while the product runs as it is."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pipelines.app
import pipelines.job
import pipelines.settle
from pipelines.held import _Arrow
from pipelines.lake import Lake
from pipelines.log.intake import Intake
from tests.bench.measure import cpu_seconds


@dataclass(frozen=True)
class Spent:
    """One call: when it ended (seconds since the epoch), wall seconds, and CPU seconds of all processes meanwhile."""

    ended: float
    wall: float
    cpu: float


class Row(NamedTuple):
    """All calls of a stage."""

    stage: str
    calls: int
    wall: float
    cpu: float


@dataclass
class Stages:
    """The calls of every stage. CPU seconds are a stage's own only where nothing else runs beside it, as in a drain."""

    calls: dict[str, list[Spent]] = field(default_factory=lambda: defaultdict(list))
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _here: threading.local = field(default_factory=threading.local)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        wall, cpu = time.perf_counter(), cpu_seconds()
        try:
            yield
        finally:
            spent = Spent(time.time(), time.perf_counter() - wall, cpu_seconds() - cpu)
            with self._lock:
                self.calls[name].append(spent)

    @property
    def job(self) -> str:
        """The job that this thread is working for."""
        return getattr(self._here, "job", "")

    @job.setter
    def job(self, name: str) -> None:
        self._here.job = name

    def sums(self) -> list[Row]:
        """Each batch and reconcile, and below it its parts, the longest first."""
        rows = [
            Row(name, len(calls), sum(call.wall for call in calls), sum(call.cpu for call in calls))
            for name, calls in self.calls.items()
        ]
        longest = sorted(rows, key=lambda row: -row.wall)
        found = []
        for whole in longest:
            if ":" in whole.stage:
                continue
            jobs = whole.stage.removeprefix("batch ").split("+")
            parts = [part for part in longest if ":" in part.stage and part.stage.split(":")[0] in jobs]
            wall, cpu = whole.wall - sum(part.wall for part in parts), whole.cpu - sum(part.cpu for part in parts)
            found += [whole, *(part._replace(stage=f"  {part.stage}") for part in parts)]
            found += [Row("  rest", whole.calls, wall, cpu)] if parts else []
        return found


@contextmanager
def stages(into: Stages | None = None) -> Iterator[Stages]:
    """Time every batch inside and its parts: computing, looking up, handing to Spark and committing, by job."""
    found = into or Stages()
    with ExitStack() as stack:
        for owner, name, around in (
            (pipelines.app, "run_batch", _batch),
            (pipelines.job, "compute", _noted),
            (_Arrow, "through", _transformed),
            (pipelines.job, "hold", _computed),
            (pipelines.settle, "settle", _settled),
            (pipelines.settle, "record", _recorded),
            (pipelines.settle, "hold", _computed),
            (Lake, "lookup", _looked_up),
            (Lake, "frame", _handed),
            (Lake, "append", _committed),
            (Intake, "catch_up", _taken),
        ):
            original = getattr(owner, name)
            stack.callback(setattr, owner, name, original)
            setattr(owner, name, around(found, original))
        yield found


Call = Callable[..., Any]


def _batch(found: Stages, original: Call) -> Call:
    def run_batch(chain: Any, *args: Any, **options: Any) -> Any:
        found.job = chain[0].name
        with found.timed("batch " + "+".join(job.name for job in chain)):
            return original(chain, *args, **options)

    return run_batch


def _noted(found: Stages, original: Call) -> Call:
    def compute(job: Any, *args: Any) -> Any:
        found.job = job.name
        return original(job, *args)

    return compute


def _transformed(found: Stages, original: Call) -> Call:
    def through(held: Any, transform: Any, *args: Any) -> Any:
        with found.timed(f"{found.job}: {getattr(transform, 'func', transform).__name__}"):
            return original(held, transform, *args)

    return through


def _computed(found: Stages, original: Call) -> Call:
    def hold(*args: Any) -> Any:
        with found.timed(f"{found.job}: from Spark"):
            return original(*args)

    return hold


def _taken(found: Stages, original: Call) -> Call:
    def catch_up(*args: Any) -> Any:
        with found.timed("intake"):
            return original(*args)

    return catch_up


def _settled(found: Stages, original: Call) -> Call:
    def settle(*args: Any) -> Any:
        found.job = "reconcile"
        with found.timed("reconcile"):
            return original(*args)

    return settle


def _recorded(found: Stages, original: Call) -> Call:
    def record(*args: Any) -> Any:
        with found.timed("frontier"):
            return original(*args)

    return record


def _looked_up(found: Stages, original: Call) -> Call:
    def lookup(lake: Any, table: Any, *args: Any) -> Any:
        with found.timed(f"{found.job}: look up {table.name}"):
            return original(lake, table, *args)

    return lookup


def _handed(found: Stages, original: Call) -> Call:
    def frame(lake: Any, rows: Any) -> Any:
        with found.timed(f"{found.job}: hand to Spark"):
            return original(lake, rows)

    return frame


def _committed(found: Stages, original: Call) -> Call:
    def append(lake: Any, table: Any, rows: Any, mark: Any, covers: Any) -> Any:
        if table.name == "gold.frontiers":
            return original(lake, table, rows, mark, covers)
        with found.timed(f"{covers['job']}: commit {table.name}"):
            return original(lake, table, rows, mark, covers)

    return append
