"""Which jobs run together: neighbours of a chain as one query, named after its jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from pyspark.sql.streaming.query import StreamingQuery

from pipelines.contract import Table
from pipelines.errors import InputError, nearest
from pipelines.job import Chain
from pipelines.jobs import NAMES, RECONCILE, chains
from pipelines.paths import checkpoints
from pipelines.settings import Settings


@dataclass
class Group:
    """Jobs that run as one query."""

    jobs: Chain
    checkpoint: Path
    query: StreamingQuery | None = None

    @property
    def name(self) -> str:
        return "+".join(job.name for job in self.jobs)

    @property
    def sources(self) -> list[Table | None]:
        return list(self.jobs[0].streams.values())


def select(names: Sequence[str], settings: Settings) -> tuple[list[Group], bool]:
    """The groups of jobs to run, neighbours of a chain together, and whether `reconcile` is among them."""
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise InputError(
            "unknown_job", f"no job is called {unknown[0]}{nearest(unknown[0], NAMES)}; the jobs are {', '.join(NAMES)}"
        )
    wanted = set(names) or set(NAMES)
    groups = []
    for chain in chains(horizon=settings.run.join_horizon, lands=settings.log.kept == "sqlite"):
        for is_wanted, neighbours in groupby(chain, key=lambda job: job.name in wanted):
            if is_wanted:
                jobs = tuple(neighbours)
                name = "+".join(job.name for job in jobs)
                groups.append(Group(jobs, checkpoints(settings.lake.path.resolve()) / name))
    return groups, RECONCILE in wanted
