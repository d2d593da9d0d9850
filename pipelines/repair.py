"""What is damaged and can be had again without processing anything: the log from bronze.events, and what tables do without.

Safe to run again after a crash at any point: each step is one transaction or one file, and finds by itself what is left to do.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

import pyarrow as pa
import pyarrow.compute as pc

from pipelines import checkpoint, checksum, files, kept, leases, salvage
from pipelines.bronze.tables import EVENTS
from pipelines.check import Check
from pipelines.erasure.logged import bury
from pipelines.erasure.returned import forget_again, returned
from pipelines.errors import StateError
from pipelines.guards import landed, refuse_a_damaged_log
from pipelines.health.checks import checks
from pipelines.health.marks import generations
from pipelines.health.tablelog import replay
from pipelines.jobs import KEPT, LATER, LEASES, TABLES
from pipelines.lake import Lake
from pipelines.log.mend import mend, told
from pipelines.paths import checkpoints, in_bronze, log_path, refuse_half_erased, refuse_half_rebuilt

LEFTOVERS = ("_log", "_jobs", "_checkpoints", "bronze", "silver", "gold")
"""Folders in which a file under a scratch name is what a crash left."""


@dataclass(frozen=True)
class Repaired:
    """`done`: what was mended, or would be. `left`: what is still wrong, with what to do; empty of a dry run."""

    done: tuple[str, ...]
    left: tuple[Check, ...]


def repair(root: Path, *, dry_run: bool = False) -> Repaired:
    """Mend what can be mended in place.

    Holds the leases of all jobs. Raises StateError `no_lake`, `lease_held`, `rebuild_unfinished`, `erasure_unfinished`, and
    `log_lost`, where records are gone from the log and from bronze.events, or from the one that is both; nothing is changed then.
    """
    if not log_path(root).exists() and not (root / EVENTS.folder).exists():
        raise StateError("no_lake", f"{root}: there is no lake here. --lake names another.")
    with leases.hold_by_process(root, LEASES, "repair"):
        refuse_half_rebuilt(root)
        refuse_half_erased(root)
        refuse_a_damaged_log(root)
        done = [] if in_bronze(root).exists() else mend(log_path(root), Landed(root), landed(root), dry_run=dry_run)
        done += _erased(root, dry_run=dry_run)
        done += _tables(root, dry_run=dry_run)
        done += _generations(root, dry_run=dry_run)
        done += _leftovers(root, dry_run=dry_run)
        done += _decided(root, dry_run=dry_run)
        done += _kept(root, dry_run=dry_run)
        left = [] if dry_run else [check for check in checks(root) if not check.ok]
    return Repaired(tuple(done), tuple(left))


class Landed:
    """Rows of bronze.events, of files that are what was written."""

    def __init__(self, root: Path) -> None:
        self._log = replay(root / EVENTS.folder)
        self._readable: dict[Path, bool] = {}

    def __call__(self, start: int, end: int) -> pa.Table:
        """The rows at offsets [start, end) that can be had."""
        holding = [
            str(file)
            for file, low, high in self._log.spans("offset")
            if (low is None or low < end) and (high is None or high >= start) and self._whole(file)
        ]
        if not holding:
            return EVENTS.arrow.empty_table()
        offset = pc.field("offset")
        return files.read_files(holding, EVENTS, (offset >= start) & (offset < end))

    def _whole(self, file: Path) -> bool:
        if file not in self._readable:
            self._readable[file] = file.is_file() and files.readable(file)
        return self._readable[file]


def _erased(root: Path, *, dry_run: bool) -> Iterator[str]:
    """What an erasure had replaced in the log is replaced again, where a backup has brought it back."""
    with suppress(sqlite3.DatabaseError, StateError):  # a dry run on a log that SQLite cannot read; a damaged certificate, which is left
        if back := returned(root):
            if not dry_run:
                bury(root, back)
            yield f"log: erased records replaced again, at {told([(offset, offset + 1) for offset in back])}"


def _tables(root: Path, *, dry_run: bool) -> Iterator[str]:
    """Checksums and checkpoints of table logs that are wrong go; the commits say all that they say."""
    for table in (*TABLES, *LATER):
        log = replay(root / table.folder)
        for file in log.spoilt if not log.broken else ():
            if not dry_run:
                file.unlink()
            yield f"{table.name}: {file.name} removed, which was not what the commits say"
        if log.spoilt and not log.broken and not dry_run:
            checksum.write(log.path, log.version)


def _generations(root: Path, *, dry_run: bool) -> Iterator[str]:
    """The id of a checkpoint, from the marks that it left in its tables."""
    logs = {table.name: replay(root / table.folder) for table in TABLES}
    for folder in sorted(checkpoints(root).glob("*")):
        known = generations(folder.name, logs)
        if len(known) != 1 or checkpoint.is_new(folder):
            continue
        file, (generation,) = folder / "generation", known
        if not file.exists() or file.read_bytes() != generation.encode():
            if not dry_run:
                checkpoint.state_generation(folder, generation)
            yield f"checkpoint {folder.name}: its generation written again, from the marks in its tables"


def _decided(root: Path, *, dry_run: bool) -> Iterator[str]:
    """Tables that no log can give again, made anew out of their data files where commits or some of these are damaged."""
    lake = Lake(root)
    if not dry_run and salvage.finish(lake, list(KEPT)):
        yield "a table that was made anew out of its data files, put in its place"
    for table in KEPT:
        log = replay(root / table.folder)
        if (root / table.folder).exists() and (log.broken or log.bad_files(quick=False)):
            found = salvage.salvage(lake, table, dry_run=dry_run)
            if not dry_run:
                forget_again(lake)
                kept.take(lake, table)
            lost = f"; the rows of {', '.join(found.lost)} are lost" if found.lost else ""
            yield f"{table.name}: made anew out of its data files, {found.rows:,} rows{lost}"


def _kept(root: Path, *, dry_run: bool) -> Iterator[str]:
    """What stands in no log is taken as it is, without the people who were erased since."""
    lake = Lake(root)
    tables = {table.name: table for table in KEPT if lake.exists(table)}
    behind = [name for name, reached in kept.noted(root).items() if name not in tables or replay(lake.path(tables[name])).version < reached]
    if behind and not dry_run:
        forget_again(lake)
        for name in behind:
            kept.take(lake, tables[name]) if name in tables else kept.forget(root, name)
    yield from (f"{name}: taken as it is, without what was written to it later" for name in behind)


def _leftovers(root: Path, *, dry_run: bool) -> Iterator[str]:
    """What crashes left: scratch files, and folders of tables that were never made."""
    scratch = re.compile(r".*\.tmp|log\.new(-wal|-shm)?")
    found = [file for name in LEFTOVERS for file in (root / name).rglob("*") if scratch.fullmatch(file.name) and file.is_file()]
    for file in found:
        if not dry_run:
            file.unlink()
        yield f"{file.relative_to(root)}: left by a crash, removed"
    for table in (*TABLES, *LATER):
        folder = root / table.folder
        if folder.is_dir() and not any(file.is_file() and file not in found for file in folder.rglob("*")):
            if not dry_run:
                rmtree(folder)
            yield f"{folder.relative_to(root)}: a table that was never made, removed"
