"""What a lake holds, part by part: whether it is what was written, and whether the parts fit together."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path

from pipelines import checkpoint, kept
from pipelines.backfill import under_way
from pipelines.check import Check
from pipelines.contract import Table
from pipelines.dataset import tables as dataset
from pipelines.definitions import DefinitionBook
from pipelines.erasure.returned import CODE, returned
from pipelines.errors import StateError
from pipelines.guards import landed
from pipelines.health.marks import Query, mismatches, unread
from pipelines.health.queries import problems
from pipelines.health.tablelog import TableLog, replay
from pipelines.jobs import KEPT, LATER, RECONCILE, TABLES
from pipelines.lake import Lake, data_version
from pipelines.log import log_at
from pipelines.log.mend import told
from pipelines.log.receipt import micros
from pipelines.log.sound import Found, inspect, opened
from pipelines.paths import chains_of, checkpoints, erasing, in_bronze, log_path, swap_of
from pipelines.silver.frontier import from_the_future
from pipelines.written import noted

REPAIR = "Run `hindsight repair`: it restores this without processing anything again."
REBUILD = "Run `hindsight rebuild`: it makes all tables and checkpoints again from the log, which must be whole."
BACKUP = """Bring the newest copy back from a backup: no log says what it held. Where there is none, run `hindsight repair`, which \
goes on from what is there. What the model files' rules come to is stated again by `hindsight run`, what earlier rules had come to is \
gone; retrainings are taken up again by `hindsight launch`, a release is made again by `hindsight dataset release`; what people decided \
they decide again."""
LOST = "bronze.events is the log itself, which nothing can make again. Bring its newest copy back from a backup."
KEEP = "`hindsight repair` makes it anew out of its data files: no log can give it again. Rows of a damaged one only a backup brings back."
AHEAD = (
    "A machine's clock was ahead when it appended: until that time comes all counts as received at it, and no frontier moves. Set "
    "the clock right, if it is not; nothing else needs mending."
)
SHOWN = 3


def checks(root: Path, *, quick: bool = False) -> list[Check]:
    """Every part of a lake; none where there is no lake. It may be at work meanwhile."""
    there = [table for table in TABLES if (root / table.folder).exists()]
    if not (log_path(root).exists() or there):
        return []
    if swap_of(root).exists():
        found = "a rebuild ended while it put its tables in place"
        return [Check("Rebuild", False, found, "Run `hindsight rebuild`: it finishes that.", "rebuild_unfinished")]
    reached = landed(root)
    queries = [Query.of(folder, chain) for folder, chain in chains_of(checkpoints(root).glob("*"))]
    log = log_of(root)
    # a lake that only took records in: the first run makes the other tables
    due = (*(TABLES if queries or reached else there), *_later(root))
    logs = {table.name: replay(root / table.folder) for table in due}
    return [
        _log(root, log, reached),
        *(_table(table, logs[table.name], _advice(root, table), quick=quick) for table in due if there),
        *(_query(query, quick=quick) for query in queries),
        _marks(root, queries, logs),
        *_kept(root, logs),
        *_erasures(root),
        *_backfill(root),
        Check("Not yet read", True, unread(log.end - reached, queries, logs) or "nothing"),
    ]


def _later(root: Path) -> list[Table]:
    """The tables of commands that are due: manifests are nothing without their rows, nor these without them."""
    released = any(data_version(root / table.folder) >= 0 for table in dataset.TABLES)
    return [table for table in LATER if (root / table.folder).exists() or (released and table in dataset.TABLES)]


def log_of(root: Path) -> Found:
    """What of the log is whole."""
    path = log_path(root)
    if in_bronze(root).exists():
        return _shared(path)
    if not path.is_file() or not path.stat().st_size:
        return Found(disorder="the file is empty" if path.is_file() else "the file is missing")
    try:
        with closing(opened(path)) as db:
            db.execute("BEGIN")
            return inspect(db)
    except sqlite3.DatabaseError as error:
        return Found(disorder=str(error))


def _shared(path: Path) -> Found:
    """The same of bronze.events, where that is the log."""
    try:
        log, rows = log_at(path), replay(path).rows
        end, (floor, _) = log.end(), log.clock()
    except StateError as error:
        return Found(disorder=error.message)
    disorder = "" if rows == end else f"{rows:,} records stand where there should be {end:,}"
    return Found([(0, end)], disorder=disorder, clock=True, floor=micros(floor))


def _log(root: Path, found: Found, reached: int) -> Check:
    if found.well(reached) and from_the_future(found.floor, now := time.time_ns() // 1000):
        by = timedelta(seconds=(found.floor - now) // 1_000_000)
        return Check("Log", False, f"its clock is {by} ahead of this machine's", AHEAD, "log_clock_ahead")
    if found.well(reached):
        held = "bronze.events" if in_bronze(root).exists() else f"{len(found.whole):,} appends, all whole"
        return Check("Log", True, f"{found.end:,} records in {held}")
    damaged = found.damaged(reached)
    told_of = [found.disorder] if found.disorder else []
    told_of += [f"{told(damaged)} damaged or missing"] if damaged else []
    told_of += [f"{len(found.spoilt)} rows are not what was written"] if found.spoilt else []
    told_of += [] if found.clock or found.disorder else ["the clock is not what was written"]
    code = "log_damaged"
    if in_bronze(root).exists():
        return Check("Log", False, "; ".join(told_of), LOST, code)
    if not log_path(root).is_file() or not log_path(root).stat().st_size:
        code = "log_missing"
    elif not (found.disorder or found.spoilt) and found.end < reached:
        code = "log_short"
    return Check("Log", False, "; ".join(told_of), REPAIR, code)


def _advice(root: Path, table: Table) -> str:
    """What mends a damaged table."""
    return KEEP if table in KEPT else LOST if log_path(root) == root / table.folder else REBUILD


def _table(table: Table, log: TableLog, advice: str, *, quick: bool) -> Check:
    name = f"Table {table.name}"
    bad = log.bad_files(quick=quick)
    if log.broken or bad:
        found = "; ".join([*log.broken[:SHOWN], *bad[:SHOWN]]) + _more(len(log.broken) + len(bad) - SHOWN)
        return Check(name, False, found, advice, "table_log_damaged" if log.broken else "data_file_damaged")
    if log.taken:
        found = f"another program changed or deleted rows: commit {', '.join(map(str, log.taken[:SHOWN]))}{_more(len(log.taken) - SHOWN)}"
        return Check(name, False, found, advice, "table_rewritten")
    if log.spoilt:
        found = ", ".join(file.name for file in log.spoilt[:SHOWN]) + _more(len(log.spoilt) - SHOWN)
        return Check(name, False, f"{found}: not what the commits say", REPAIR, "table_checksum_wrong")
    return Check(name, True, f"{log.version + 1:,} commits, {len(log.live):,} files, {log.rows:,} rows")


def _query(query: Query, *, quick: bool) -> Check:
    name = f"Checkpoint {query.folder.name}"
    found = problems(query.folder, query.chain, quick=quick)
    if found:
        told_of = "; ".join(found[:SHOWN]) + _more(len(found) - SHOWN)
        only_generation = all(problem.startswith("generation") for problem in found)
        return Check(name, False, told_of, REPAIR if only_generation else REBUILD, "checkpoint_damaged")
    done = checkpoint.committed(query.folder)
    return Check(name, True, "no batch yet" if done is None else f"batch {done.batch} is committed")


def _marks(root: Path, queries: list[Query], logs: dict[str, TableLog]) -> Check:
    found = list(mismatches(queries, logs, noted(checkpoints(root) / RECONCILE)))
    if not found:
        return Check("Marks", True, "tables and checkpoints agree on the batches that are done")
    told_of = "; ".join(text for _, text in found[:SHOWN]) + _more(len(found) - SHOWN)
    code = found[0][0]
    return Check("Marks", False, told_of, REPAIR if {c for c, _ in found} == {"generation_changed"} else REBUILD, code)


def _kept(root: Path, logs: dict[str, TableLog]) -> Iterator[Check]:
    """What was decided, and stands in no log."""
    ends = {name: log.version for name, log in logs.items() if log.version >= 0}
    behind = {name: reached for name, reached in kept.noted(root).items() if ends.get(name, -1) < reached}
    if behind:
        told_of = {name: f"ends with version {ends[name]}" if name in ends else "is gone" for name in behind}
        found = (f"{name} {told_of[name]}, but had come to version {reached}" for name, reached in behind.items())
        yield Check("Decisions", False, "; ".join(found), BACKUP, "table_behind")


def _erasures(root: Path) -> Iterator[Check]:
    """An erasure that ended halfway, and the key of those that were done."""
    if (erasing(root) / "plan.json").exists():
        found = "subjects are erased only in part"
        yield Check("Erasure", False, found, "Run `hindsight erase`: it finishes that.", "erasure_unfinished")
    with suppress(sqlite3.DatabaseError):  # the check of the log tells
        try:
            back = returned(root)
        except StateError as error:
            yield Check("Certificates", False, error.message, "`hindsight rebuild` refuses until then.", error.code)
        else:
            found = f"erased records stand in the log again, at {told([(offset, offset + 1) for offset in back])}"
            yield from [Check("Erased records", False, found, REPAIR, CODE)] if back else []
    with suppress(Exception):  # of a table that cannot be read its own check tells
        try:
            done = sum(len(one.subjects) for one in DefinitionBook(Lake(root)).erasures())
        except StateError as error:
            advice = "Bring its file back from a backup; no job starts without it."
            yield Check("Erasure key", error.code != "erasure_key_lost", error.message, advice, error.code)
        else:
            if done:
                yield Check("Erasure key", True, f"{done:,} subjects are refused")


def _backfill(root: Path) -> Iterator[Check]:
    """Definitions that were being filled when their plan was damaged. One that is whole goes on by itself."""
    try:
        under_way(root)
    except StateError as error:
        yield Check("Backfill", False, error.message, REBUILD, error.code)


def _more(count: int) -> str:
    return f" and {count} more" if count > 0 else ""
