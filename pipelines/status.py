"""How every job stands, read from disk alone: log, checkpoints, tables, and the notes that a running application leaves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines import checkpoint, files, leases, settle, whole
from pipelines.contract import Table
from pipelines.gold.tables import FRONTIERS
from pipelines.handles import opened
from pipelines.jobs import NAMES, RECONCILE, chains
from pipelines.lake import Lake, stands
from pipelines.log import Log, log_at
from pipelines.paths import chains_of, existing, log_path
from pipelines.redriven import redriven
from pipelines.silver.tables import DUPLICATES, ORPHANS, QUARANTINE, RECONCILED
from pipelines.sinks.told import SinkStatus, noted, standing

_SOURCES = {job.name: list(job.streams.values()) for chain in chains(horizon=timedelta()) for job in chain}
"""By job, the tables that it follows; None for the log."""


@dataclass(frozen=True)
class JobStatus:
    """One job, under these names in --json too.

    `batch`: the last that was committed. `rate`: rows a second over it. `lag_events`, `lag_seconds`: what waits in its source,
    and for how long. `state_rows`: what its join keeps. A job of a chain shares all these and `watermark` with its chain.
    `rows`: what the tables that it writes hold by now, whoever wrote it and when: `expose` and `tally` share one.
    """

    job: str
    running: bool
    batch: int | None
    rate: float | None
    lag_events: int
    lag_seconds: float
    watermark: datetime | None
    state_rows: int
    rows: int


@dataclass(frozen=True)
class LakeStatus:
    """All jobs and sinks, and how far the lake is. `redriven`: of the quarantined, those that were sent again."""

    lake: Path
    log_end: int
    frontier: datetime | None
    quarantined: int
    redriven: int
    duplicates: int
    orphans: int
    jobs: tuple[JobStatus, ...]
    sinks: tuple[SinkStatus, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), default=_text))
        return plain


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def status(root: Path, sinks: Sequence[str] | None = None) -> LakeStatus:
    """The state of a lake, with some sinks (None: those that were ever told something). Raises StateError `no_lake`."""
    root = existing(root)
    log = log_at(log_path(root))
    try:
        rows = cache(partial(rows_of, root))
        jobs = {status.job: status for status in _jobs(root, log, rows)}
        last = settle.last(Lake(root))
        jobs[RECONCILE] = _reconcile(root, log, last, rows)
        idle = [_idle(root, log, name) for name in NAMES if name not in jobs]
        ordered = sorted([*jobs.values(), *idle], key=lambda job: NAMES.index(job.job))
        return LakeStatus(
            root,
            log.end(),
            last["frontier"],
            rows(QUARANTINE),
            len(redriven(Lake(root))),
            rows(DUPLICATES),
            _net(root, ORPHANS),
            tuple(ordered),
            tuple(standing(Lake(root), noted(root) if sinks is None else sinks)),
        )
    finally:
        log.close()


def rows_of(root: Path, table: Table) -> int:
    """Rows of a table, from its log."""
    path = root / table.folder
    if not stands(path):
        return 0
    actions = pa.table(opened(path).get_add_actions(flatten=True))
    return sum(actions["num_records"].to_pylist()) if actions.num_rows else 0


def _net(root: Path, table: Table) -> int:
    """Rows of a signed table that have not been taken back."""
    path = root / table.folder
    if not stands(path):
        return 0
    return int(pc.sum(files.read(path, opened(path), ["sign"])["sign"]).as_py() or 0)


def note_path(root: Path, query: str) -> Path:
    """Where a running application notes how a query is doing."""
    return root / "_jobs" / f"{query}.json"


def note(root: Path, query: str, progress: dict[str, Any] | None) -> None:
    """Leave a note for `status`: Spark's own progress of the last batch."""
    path = note_path(root, query)
    path.parent.mkdir(parents=True, exist_ok=True)
    said = {
        "rate": (progress or {}).get("processedRowsPerSecond"),
        "state_rows": sum(operator.get("numRowsTotal", 0) for operator in (progress or {}).get("stateOperators", [])),
        "at": datetime.now(UTC).isoformat(),
    }
    whole.write(path, json.dumps(said))


def _jobs(root: Path, log: Log, rows: Callable[[Table], int]) -> Iterator[JobStatus]:
    folders = [folder for folder in sorted((root / "_checkpoints").glob("*")) if folder.is_dir()]
    for folder, chain in chains_of(folders):
        said = _note(root, folder.name)
        progress = checkpoint.committed(folder)
        events, seconds = _lag(root, log, progress, list(chain[0].streams.values()))
        for job in chain:
            yield JobStatus(
                job.name,
                leases.holder(root, job.name) is not None,
                progress.batch if progress else None,
                said.get("rate"),
                events,
                seconds,
                progress.watermark if progress else None,
                said.get("state_rows", 0),
                sum(rows(table) for table in job.writes),
            )


def _idle(root: Path, log: Log, name: str) -> JobStatus:
    """A job that never ran: before it waits all that its sources hold."""
    events, seconds = _lag(root, log, None, _SOURCES[name])
    return JobStatus(name, False, None, None, events, seconds, None, 0, 0)


def _reconcile(root: Path, log: Log, last: dict[str, Any], rows: Callable[[Table], int]) -> JobStatus:
    end = int(last["end_offset"])
    waiting = max(0, log.end() - end)
    since = log.appended_at(end) if waiting else None
    reconciled = rows(FRONTIERS)
    return JobStatus(
        RECONCILE,
        leases.holder(root, RECONCILE) is not None,
        reconciled - 1 if reconciled else None,
        None,
        waiting,
        _age(since),
        last["frontier"],
        0,
        rows(RECONCILED) + rows(ORPHANS),
    )


def _lag(
    root: Path, log: Log, progress: checkpoint.Progress | None, sources: list[Table | None]
) -> tuple[int, float]:
    """Events that wait in the sources, and how long the oldest has waited, in seconds."""
    if sources == [None]:
        start = int(progress.offsets[0].get("offset", 0)) if progress else 0
        waiting = log.end() - start
        return waiting, _age(log.appended_at(start)) if waiting else 0.0
    reached = {o.get("reservoirId"): int(o["reservoirVersion"]) for o in progress.offsets if o} if progress else {}
    events, oldest = 0, None
    for table in sources:
        if table is None or not stands(root / table.folder):
            continue
        delta = opened(root / table.folder)
        for version in range(max(1, reached.get(str(delta.metadata().id), 0)), delta.version() + 1):
            rows, at = _appended(root / table.folder, version)
            events += rows
            oldest = min(filter(None, [oldest, at]), default=None) if rows else oldest
    return events, _age(oldest)


def _appended(path: Path, version: int) -> tuple[int, datetime | None]:
    """Rows that a commit brought, and when; compaction brings none."""
    file = path / "_delta_log" / f"{version:020d}.json"
    if not file.exists():
        return 0, None
    rows, at = 0, None
    for line in file.read_text().splitlines():
        action = json.loads(line)
        if "commitInfo" in action:
            at = datetime.fromtimestamp(action["commitInfo"]["timestamp"] / 1000, UTC)
        elif "add" in action and action["add"]["dataChange"]:
            rows += json.loads(action["add"]["stats"] or "{}").get("numRecords", 0)
    return rows, at


def _age(at: datetime | None) -> float:
    return 0.0 if at is None else round(max(0.0, (datetime.now(UTC) - at).total_seconds()), 1)


def _note(root: Path, query: str) -> dict[str, Any]:
    try:
        said = json.loads(note_path(root, query).read_text())
    except (FileNotFoundError, ValueError):
        said = {}
    return said if isinstance(said, dict) else {}
