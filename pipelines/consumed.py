"""Whether what has been written has been read: reconcile may look for what the join let go only behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from pipelines import checkpoint
from pipelines.contract import Table
from pipelines.jobs import NAMES, RECONCILE
from pipelines.lake import Lake, data_version
from pipelines.paths import chains_of, checkpoints


def consumed(lake: Lake, patient: Callable[[], bool] = lambda: False) -> bool:
    """Whether every job has consumed what its sources hold now, in flow order: jobs of other applications too.

    `patient` waits a moment, or says that nobody waits any longer. A lake some of whose jobs have never run has no frontier.
    """
    ran = {job.name for _, chain in chains_of(checkpoints(lake.root).glob("*")) for job in chain}
    if not ran | {RECONCILE} >= set(NAMES):
        return False
    landed = checkpoint.landed(checkpoints(lake.root))
    if not _comes(lambda: checkpoint.refined(checkpoints(lake.root)) >= landed, patient):
        return False
    downstream = list(_downstream(lake.root))
    return all(_comes(partial(_reached, folder, _goal(lake, tables)), patient) for folder, tables in downstream)


def _comes(true: Callable[[], bool], patient: Callable[[], bool]) -> bool:
    """Whether something is true, or becomes so while it is waited for."""
    while not true():
        if not patient():
            return False
    return True


def is_read(lake: Lake, table: Table) -> bool:
    """Whether every query that reads a table has come to its end: till then it may want files that are replaced."""
    goal = _goal(lake, [table])
    return all(_reached(folder, goal) for folder, tables in _downstream(lake.root) if table in tables)


def _goal(lake: Lake, tables: Sequence[Table]) -> dict[str, int]:
    """The last version of each table that brought rows, by table id."""
    return {lake.open(table).metadata().id: data_version(lake.path(table)) for table in tables}


def _downstream(root: Path) -> Iterator[tuple[Path, list[Table]]]:
    """The queries that read tables, run by whomever: checkpoint and sources."""
    for folder, chain in chains_of(checkpoints(root).glob("*")):
        tables = chain[0].inputs
        if tables:
            yield folder, tables


def _reached(folder: Path, goal: dict[str, int]) -> bool:
    """Whether a query has consumed its sources up to these versions, by table id."""
    progress = checkpoint.committed(folder)
    reached = {o.get("reservoirId"): int(o["reservoirVersion"]) for o in progress.offsets if o} if progress else {}
    return all(version < 0 or reached.get(table, -1) > version for table, version in goal.items())
