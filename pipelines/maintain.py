"""Housekeeping: what keeps the work of a batch the same however much history there is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import CommitFailedError

from pipelines import checksum, leases
from pipelines.contract import Table
from pipelines.lake import stands
from pipelines.settings import Maintain

TRIES = 5
"""Compaction may race an append; it is tried again so often, and then left to the next time."""
_THREADS = Lock()


@dataclass(frozen=True)
class Upkeep:
    """What was done to one table: partitions compacted, files before and after, log checkpoints, files deleted."""

    table: str
    compacted: int
    files_before: int
    files_after: int
    checkpoints: int
    deleted: int


def maintain(
    root: Path,
    tables: Sequence[Table],
    settings: Maintain,
    *,
    vacuum: bool,
    dry_run: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Upkeep]:
    """Compact partitions of many small files, checkpoint the tables' logs and, with `vacuum`, delete files long replaced.

    No row changes: compacted files are committed as rearranged, not as new, so streams pass over them. One at a time: of two
    compactions at once delta-rs does not notice that both replace the same files, and every row would stand twice.
    Raises StateError `lease_held` where another process maintains the lake.
    """
    done = []
    with nullcontext() if dry_run else _alone(root):
        for table in tables:
            path = root / table.folder
            if stands(path):
                progress(table.name)
                done.append(_one(path, table, settings, vacuum=vacuum, dry_run=dry_run))
    return done


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Neither another thread nor another process maintains the lake."""
    with _THREADS, leases.hold_by_process(root, ["maintain"], "maintain"):
        yield


def _one(path: Path, table: Table, settings: Maintain, *, vacuum: bool, dry_run: bool) -> Upkeep:
    delta = DeltaTable(path)
    before = len(delta.file_uris())
    crowded = _crowded(delta, table, settings)
    if not dry_run:
        for partition in crowded:
            _compact(path, partition, settings)
    delta = DeltaTable(path)
    due = _commits_since_checkpoint(path, delta.version()) >= settings.checkpoint_every
    if due and not dry_run:
        delta.create_checkpoint()
    hours = int(settings.retain.total_seconds() // 3600)
    deleted = delta.vacuum(hours, dry_run=dry_run, enforce_retention_duration=False) if vacuum else []
    return Upkeep(table.name, len(crowded), before, len(delta.file_uris()), int(due), len(deleted))


def _crowded(delta: DeltaTable, table: Table, settings: Maintain) -> list[tuple[tuple[str, str], ...]]:
    """The partitions with too many small files, as (column, value) pairs."""
    actions = pa.table(delta.get_add_actions(flatten=True))
    if not actions.num_rows:
        return []
    small = [size < settings.target_file // 2 for size in actions["size_bytes"].to_pylist()]
    values = [actions[f"partition.{name}"].to_pylist() for name in table.partition_by]
    keys = list(zip(*values, strict=True)) if values else [()] * actions.num_rows
    counts = Counter(key for key, is_small in zip(keys, small, strict=True) if is_small)
    return [
        tuple((name, str(value)) for name, value in zip(table.partition_by, key, strict=True))
        for key, count in counts.items()
        if count > settings.small_files
    ]


def _compact(path: Path, partition: tuple[tuple[str, str], ...], settings: Maintain) -> None:
    for _ in range(TRIES):
        delta = DeltaTable(path)
        try:
            delta.optimize.compact(
                partition_filters=[(name, "=", value) for name, value in partition] or None,
                target_size=settings.target_file,
                max_concurrent_tasks=1,
                commit_properties=CommitProperties(custom_metadata={"covers": "job=maintain"}),
            )
        except CommitFailedError:
            continue
        checksum.write(path, delta.version())
        return


def _commits_since_checkpoint(path: Path, version: int) -> int:
    found = [int(file.name.split(".")[0]) for file in (path / "_delta_log").glob("*.checkpoint*.parquet")]
    return version - max(found, default=0)
