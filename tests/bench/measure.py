"""What a run cost: wall and CPU seconds of this process and all its children, and their resident memory."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table as Grid

from pipelines import settings as configuration
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


@dataclass
class Memory:
    """Bytes resident at one time. `shared_once`: a page that several processes share counts once (PSS), which is what the
    machine gives; `summed`: it counts for each (RSS), as `ps` adds up. Then, of `shared_once`, whose it is."""

    shared_once: int = 0
    summed: int = 0
    jvm: int = 0
    driver: int = 0
    workers: int = 0
    processes: int = 0


def resident() -> Memory:
    """What this process and everything below it hold now."""
    found, me = Memory(), os.getpid()
    for process in processes():
        try:
            held, java = process.memory_full_info(), process.name() == "java"
        except psutil.Error:
            continue
        share = getattr(held, "pss", held.rss)
        whose = "jvm" if java else "driver" if process.pid == me else "workers"
        setattr(found, whose, getattr(found, whose) + share)
        found.shared_once += share
        found.summed += held.rss
        found.processes += 1
    return found


@dataclass
class Usage:
    """Wall seconds, CPU seconds of all processes, and the memory when the most was resident."""

    wall: float = 0.0
    cpu: float = 0.0
    peak: Memory = field(default_factory=Memory)


@contextmanager
def measured() -> Iterator[Usage]:
    """What happens inside, filled in at the end; a thread looks at the memory meanwhile."""
    usage, done = Usage(peak=resident()), threading.Event()

    def look() -> None:
        while not done.wait(EVERY):
            usage.peak = max(usage.peak, resident(), key=lambda memory: memory.shared_once)

    watcher = threading.Thread(target=look, name="memory", daemon=True)
    watcher.start()
    wall, cpu = time.perf_counter(), cpu_seconds()
    try:
        yield usage
    finally:
        usage.wall, usage.cpu = time.perf_counter() - wall, cpu_seconds() - cpu
        done.set()
        watcher.join()


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
        text = json.dumps({"machine": machine(), **found}, indent=2, default=asdict)
        (Path(out) / f"{name}.json").write_text(text)


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table for people; run pytest with -s to see it."""
    grid = Grid(title=title, title_justify="left")
    for number, column in enumerate(columns):
        grid.add_column(column, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        grid.add_row(*map(_spoken, row))
    Console(width=150).print(grid)


def show_memory(peak: Memory) -> None:
    """Where the memory was when there was the most of it."""
    show(
        "Peak memory, MB",
        ("", "MB"),
        [
            ("resident, shared pages once", peak.shared_once >> 20),
            ("  JVM", peak.jvm >> 20),
            ("  driver", peak.driver >> 20),
            (f"  other {peak.processes - 2} processes", peak.workers >> 20),
            ("sum of RSS, shared pages for each", peak.summed >> 20),
        ],
    )


def _spoken(cell: Any) -> str:
    if isinstance(cell, float):
        return f"{cell:,.2f}"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)
