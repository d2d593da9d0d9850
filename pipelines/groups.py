"""Which jobs run together: neighbours of a chain as one query, named after its jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from shutil import rmtree

from pyspark.sql.streaming.query import StreamingQuery

from pipelines import checkpoint
from pipelines.contract import Table
from pipelines.errors import InputError, nearest
from pipelines.job import Chain
from pipelines.jobs import NAMES, RECONCILE, chains
from pipelines.paths import chains_of, checkpoints
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


def select(names: Sequence[str], settings: Settings, like: Path | None = None) -> tuple[list[Group], bool]:
    """The groups of jobs to run, and whether `reconcile` is among them.

    Neighbours of a chain that are named run together; where none is named, all run as they have run so far: in this lake, or in `like`.
    """
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise InputError(
            "unknown_job", f"no job is called {unknown[0]}{nearest(unknown[0], NAMES)}; the jobs are {', '.join(NAMES)}"
        )
    wanted, root = set(names) or set(NAMES), settings.lake.path.resolve()
    so_far = {} if names else _so_far(like or root)
    groups = []
    for chain in chains(horizon=settings.run.join_horizon, lands=settings.log.kept == "sqlite"):
        for (is_wanted, _), neighbours in groupby(chain, key=lambda job: (job.name in wanted, so_far.get(job.name))):
            if is_wanted:
                jobs = tuple(neighbours)
                name = "+".join(job.name for job in jobs)
                groups.append(Group(jobs, checkpoints(root) / name))
    return groups, RECONCILE in wanted


def _so_far(root: Path) -> dict[str, str]:
    """By job the name of the query that it has run in."""
    used = [(folder, chain) for folder, chain in chains_of(checkpoints(root).glob("*")) if not checkpoint.is_new(folder)]
    return {job.name: folder.name for folder, chain in used for job in chain}


def forget_unused(root: Path, groups: Sequence[Group]) -> None:
    """Delete checkpoints of other groups of these jobs that ended before their first batch: nobody would ever come to their end."""
    own = {group.checkpoint for group in groups}
    jobs = {job.name for group in groups for job in group.jobs}
    for folder, chain in chains_of(checkpoints(root).glob("*")):
        if folder not in own and checkpoint.is_new(folder) and any(job.name in jobs for job in chain):
            rmtree(folder)
