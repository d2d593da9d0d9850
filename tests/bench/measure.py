"""What a run cost: wall and CPU seconds of this process and all its children, resident memory, and where the time went."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table as Grid

import pipelines.app
import pipelines.job
import pipelines.settle
from pipelines import settings as configuration
from pipelines.lake import Lake
from pipelines.settings import Settings

CONF = Path(__file__).parents[2] / "conf"
EVERY = 0.5
"""Seconds between two looks at the memory."""


def option(name: str, default: int) -> int:
    """A size, from the environment variable HINDSIGHT_BENCH_name."""
    return int(os.environ.get(f"HINDSIGHT_BENCH_{name}", default))


def settings_for(lake: Path, **options: Any) -> Settings:
    """The product's own settings for a lake, with the heap of HINDSIGHT_BENCH_MEMORY where it is named."""
    memory = os.environ.get("HINDSIGHT_BENCH_MEMORY", "2 GB")
    return configuration.load(CONF, lake_path=lake, spark_memory=memory, **options)


def processes() -> list[psutil.Process]:
    """This process and everything below it: the JVM, Spark's Python workers."""
    me = psutil.Process()
    return [me, *me.children(recursive=True)]


def cpu_seconds() -> float:
    """User and system time of all of them so far; what children used that have ended counts with their parents."""
    total = 0.0
    for process in processes():
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def resident() -> int:
    """Bytes resident in all of them; a page that several share counts for each, so it is rather too much."""
    total = 0
    for process in processes():
        try:
            total += process.memory_info().rss
        except psutil.Error:
            continue
    return total


@dataclass
class Usage:
    """Wall seconds, CPU seconds of all processes, and the most bytes that were resident at once."""

    wall: float = 0.0
    cpu: float = 0.0
    peak: int = 0


@contextmanager
def measured() -> Iterator[Usage]:
    """What happens inside, filled in at the end; a thread looks at the memory meanwhile."""
    usage, done = Usage(peak=resident()), threading.Event()

    def look() -> None:
        while not done.wait(EVERY):
            usage.peak = max(usage.peak, resident())

    watcher = threading.Thread(target=look, name="memory", daemon=True)
    watcher.start()
    wall, cpu = time.perf_counter(), cpu_seconds()
    try:
        yield usage
    finally:
        usage.wall, usage.cpu = time.perf_counter() - wall, cpu_seconds() - cpu
        done.set()
        watcher.join()


@dataclass
class Stages:
    """Every call of a stage: wall seconds and CPU seconds of all processes meanwhile (its own only if nothing else runs)."""

    calls: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _here: threading.local = field(default_factory=threading.local)

    def timed(self, function: Callable[..., Any], name: Callable[..., str], job: Callable[..., str | None]) -> Any:
        """The function, timed under a name; while it runs its thread works for `job`, or for whom it did before."""

        def call(*args: Any, **options: Any) -> Any:
            before = getattr(self._here, "job", "")
            self._here.job = job(*args, **options) or before
            label, wall, cpu = name(*args, **options), time.perf_counter(), cpu_seconds()
            try:
                return function(*args, **options)
            finally:
                spent = time.perf_counter() - wall, cpu_seconds() - cpu
                self._here.job = before
                with self._lock:
                    self.calls[label].append(spent)

        return call

    @property
    def job(self) -> str:
        return getattr(self._here, "job", "")

    def sums(self) -> list[tuple[str, int, float, float]]:
        """Stage, calls, wall and CPU seconds; the longest first."""
        found = [
            (name, len(spent), sum(wall for wall, _ in spent), sum(cpu for _, cpu in spent))
            for name, spent in self.calls.items()
        ]
        return sorted(found, key=lambda row: -row[2])


@contextmanager
def stages() -> Iterator[Stages]:
    """Time the stages of every batch inside: batches by chain, and within them computing, looking up, committing by job.

    A line `batch …` or `reconcile` holds the lines of its jobs.
    """
    found = Stages()

    def none(*_: Any, **__: Any) -> None:
        return None

    def chain(jobs: Any, *_: Any, **__: Any) -> str:
        return "+".join(job.name for job in jobs)

    def committed(_lake: Lake, table: Any, _rows: Any, _mark: Any, covers: Mapping[str, Any]) -> str:
        return f"  {covers['job']}: commit {table.name}"

    jobs, running = pipelines.job, found.timed
    wrapped: list[tuple[Any, str, Callable[..., str], Callable[..., str | None]]] = [
        (pipelines.app, "run_batch", lambda *a, **k: f"batch {chain(*a, **k)}", lambda jobs, *_, **__: jobs[0].name),
        (jobs, "_compute", lambda job, *_: f"  {job.name}: all but commits", lambda job, *_: job.name),
        (jobs, "hold", lambda *_: f"    {found.job}: compute", none),
        (pipelines.settle, "settle", lambda *_: "reconcile", lambda *_: "reconcile"),
        (pipelines.settle, "hold", lambda *_: f"    {found.job}: compute", none),
        (Lake, "lookup", lambda _, table, *__: f"    {found.job}: look up {table.name}", none),
        (Lake, "frame", lambda *_: f"    {found.job}: hand to Spark", none),
        (Lake, "append", committed, none),
    ]
    with ExitStack() as stack:
        for owner, attribute, name, job in wrapped:
            original = getattr(owner, attribute)
            stack.callback(setattr, owner, attribute, original)
            setattr(owner, attribute, running(original, name, job))
        yield found


def machine() -> dict[str, Any]:
    """What it ran on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    java = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr.splitlines()
    return {
        "cpu": model,
        "cores": len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        "java": java[0] if java else "",
        "system": platform.platform(),
        "load_average": os.getloadavg(),
    }


def report(name: str, found: Mapping[str, Any]) -> None:
    """Write a bench's result to NAME.json in the folder HINDSIGHT_BENCH_OUT, where one is named."""
    out = os.environ.get("HINDSIGHT_BENCH_OUT")
    if out:
        Path(out).mkdir(parents=True, exist_ok=True)
        text = json.dumps({"machine": machine(), **found}, indent=2, default=lambda value: asdict(value))
        (Path(out) / f"{name}.json").write_text(text)


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table for people; run pytest with -s to see it."""
    grid = Grid(title=title, title_justify="left")
    for number, column in enumerate(columns):
        grid.add_column(column, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        grid.add_row(*(f"{cell:,.2f}" if isinstance(cell, float) else f"{cell:,}" if isinstance(cell, int) else str(cell)
                       for cell in row))
    Console(width=110).print(grid)
