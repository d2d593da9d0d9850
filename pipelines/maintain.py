"""Housekeeping: what keeps the work of a batch the same however much history there is."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from threading import Lock
from urllib.parse import unquote

from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import CommitFailedError
from deltalake.transaction import AddAction, RemoveAction

from pipelines import files, leases
from pipelines.consumed import is_read
from pipelines.contract import Table
from pipelines.handles import opened
from pipelines.lake import Lake, commit, stands
from pipelines.sections import Maintain

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

    What a query has yet to read of a table stays, however long it was replaced: the query would break off there for good.
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
                done.append(_one(path, table, settings, vacuum=vacuum and is_read(Lake(root), table), dry_run=dry_run))
    return done


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Neither another thread nor another process maintains the lake."""
    with _THREADS, leases.hold_by_process(root, ["maintain"], "maintain"):
        yield


def _one(path: Path, table: Table, settings: Maintain, *, vacuum: bool, dry_run: bool) -> Upkeep:
    delta = opened(path)
    before = len(delta.file_uris())
    crowded = _crowded(path, delta, settings)
    if not dry_run:
        for folder in crowded:
            _compact(path, table, folder, settings)
    delta = opened(path)
    due = _commits_since_checkpoint(path, delta.version()) >= settings.checkpoint_every
    if due and not dry_run:
        delta.create_checkpoint()
    replaced = _replaced(path, delta, settings.retain) if vacuum else []
    for file in replaced if not dry_run else ():
        file.unlink()
    return Upkeep(table.name, len(crowded), before, len(delta.file_uris()), int(due), len(replaced))


def _crowded(path: Path, delta: DeltaTable, settings: Maintain) -> list[Path]:
    """The folders of partitions with too many small files."""
    small = (file for file, size in files.sizes(path, delta).items() if size < settings.target_file // 2)
    return [folder for folder, count in Counter(file.parent for file in small).items() if count > settings.small_files]


def _compact(path: Path, table: Table, folder: Path, settings: Maintain) -> None:
    """Put the rows of a partition's small files into few; no commit says that a row is new, so streams pass over it."""
    for _ in range(TRIES):
        delta = opened(path)
        actions: list[AddAction | RemoveAction] = []
        for small in _bins(path, delta, folder, settings):
            added = files.write(path, table, files.read_files(list(map(str, small)), table), data_change=False)
            actions += added
            actions += [
                RemoveAction(str(file.relative_to(path)), False, _now(), size, added[0].partition_values)
                for file, size in small.items()
            ]
        try:
            commit(path, table, delta, actions, CommitProperties(custom_metadata={"covers": "job=maintain"}))
        except CommitFailedError:
            continue
        return


def _bins(path: Path, delta: DeltaTable, folder: Path, settings: Maintain) -> Iterator[dict[Path, int]]:
    """The small files of a partition with their sizes, as many together as make one of the wanted size."""
    binned: dict[Path, int] = {}
    for file, size in sorted(files.sizes(path, delta).items()):
        if file.parent != folder or size >= settings.target_file // 2:
            continue
        if binned and sum(binned.values()) + size > settings.target_file:
            yield binned
            binned = {}
        binned[file] = size
    if len(binned) > 1:
        yield binned


def _replaced(path: Path, delta: DeltaTable, retain: timedelta) -> list[Path]:
    """The files that are there and that no version of the last `retain` holds. delta-rs counts that in whole hours."""
    since, recent = _now() - retain // timedelta(milliseconds=1), set()
    for stated in sorted((path / "_delta_log").glob("*.json"), reverse=True):
        if stated.stat().st_mtime_ns < since * 1_000_000:
            break
        actions = map(json.loads, stated.read_text().splitlines())
        recent |= {unquote(action["remove"]["path"]) for action in actions if "remove" in action}
    listed = delta.vacuum(0, dry_run=True, enforce_retention_duration=False)
    return [file for name in listed if name not in recent and (file := path / name).exists()]


def _now() -> int:
    return time.time_ns() // 1_000_000


def _commits_since_checkpoint(path: Path, version: int) -> int:
    found = [int(file.name.split(".")[0]) for file in (path / "_delta_log").glob("*.checkpoint*.parquet")]
    return version - max(found, default=0)
