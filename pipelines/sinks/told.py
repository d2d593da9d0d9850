"""How far sinks have been told: what stands on disk about each, and how far the lake is ahead of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow.compute as pc

from pipelines import leases, whole
from pipelines.contract import Table
from pipelines.errors import StateError
from pipelines.gold.tables import FRONTIERS, STATISTICS
from pipelines.lake import Lake
from pipelines.sections import Sinks
from pipelines.silver.tables import QUARANTINE
from pipelines.watch.tables import ALERTS, TRIGGERS

FOLLOWS: dict[str, Table] = {
    **dict.fromkeys(("postgres", "influx", "prometheus", "otlp", "kafka"), STATISTICS),
    **{"kafka_alerts": ALERTS, "kafka_triggers": TRIGGERS, "kafka_quarantine": QUARANTINE},
}
"""What each sink follows: metrics are made of gold.statistics, up to the frontier."""
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Reached:
    """How far a sink has been told: of a table, by its id, up to a version, as of a time (of statistics a whole minute)."""

    table: str
    version: int
    as_of: datetime


@dataclass(frozen=True)
class Told:
    """What stands on disk about a sink. `reached`: what it was told all of; `telling`: what it is being told, fixed before it begins, so
    that after a crash it is told the same. `revisions`, `refused`: how many so far; `refusal`: why of the last refused. `error`: of the
    last try, "" where that went well.
    """

    reached: Reached | None = None
    telling: Reached | None = None
    revisions: int = 0
    refused: int = 0
    refusal: str = ""
    error: str = ""
    at: str = ""


@dataclass(frozen=True)
class SinkStatus:
    """One sink, under these names in --json too.

    `running`: whether a process tells it. `as_of`: up to when it was told all. `lag_revisions`: versions of what it follows that it has
    not been told. `lag_seconds`: by how much the lake is ahead of `as_of`; None before it was told anything. `revisions`, `refused`:
    messages so far; `refusal`: why of the last refused. `error`: of the last try, "" where that went well.
    """

    sink: str
    running: bool
    as_of: datetime | None
    lag_revisions: int
    lag_seconds: float | None
    revisions: int
    refused: int
    refusal: str
    error: str


def addressed(sinks: Sinks) -> list[str]:
    """The sinks that have an address."""
    return [name for name in FOLLOWS if getattr(sinks, name)]


def path_of(root: Path, name: str) -> Path:
    return root / "_sinks" / f"{name}.json"


def noted(root: Path) -> list[str]:
    """The sinks that were ever told something, or tried to be."""
    return [name for name in FOLLOWS if path_of(root, name).exists()]


def told(root: Path, name: str) -> Told:
    """What stands on disk. Raises StateError `sink_damaged`."""
    file = path_of(root, name)
    try:
        said: dict[str, Any] = json.loads(file.read_text())
        return Told(**{**said, "reached": _reached(said["reached"]), "telling": _reached(said["telling"])})
    except FileNotFoundError:
        return Told()
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StateError(
            "sink_damaged",
            f"{file} is not what was written ({type(error).__name__}). Delete it: the sink is told all again, and takes it for the same.",
        ) from error


def write(root: Path, name: str, note: Told) -> None:
    """Put a note on disk, whole or not at all."""
    file = path_of(root, name)
    file.parent.mkdir(parents=True, exist_ok=True)
    said = asdict(replace(note, at=datetime.now(UTC).isoformat()))
    whole.write(file, json.dumps(said, default=lambda at: at.isoformat()))


def now(lake: Lake, table: Table = STATISTICS) -> Reached | None:
    """As far as a lake is: of statistics as of the frontier, None before the first; of another table as of its last commit."""
    if not lake.exists(table) or not lake.exists(FRONTIERS):
        return None
    found = lake.open(table)
    if table == STATISTICS:
        at = pc.max(lake.read(FRONTIERS, ["frontier"])["frontier"]).as_py()
        if at is None:
            return None
        at -= (at - datetime(1970, 1, 1, tzinfo=UTC)) % _MINUTE
    else:
        at = datetime.fromtimestamp(found.history(1)[0]["timestamp"] / 1000, UTC)
    return Reached(str(found.metadata().id), int(found.version()), at)


def standing(lake: Lake, names: Sequence[str]) -> list[SinkStatus]:
    """How far each sink has been told, and how far the lake is. A damaged note is its error."""
    ahead = {table: now(lake, table) for table in {FOLLOWS[name] for name in names}}
    return [_standing(lake, name, ahead[FOLLOWS[name]]) for name in names]


def _standing(lake: Lake, name: str, ahead: Reached | None) -> SinkStatus:
    try:
        found = told(lake.root, name)
    except StateError as error:
        found = Told(error=str(error))
    reached = found.reached
    same = reached is not None and ahead is not None and reached.table == ahead.table
    return SinkStatus(
        name,
        leases.holder(lake.root, f"sink-{name}") is not None,
        reached.as_of if reached else None,
        0 if ahead is None else ahead.version - reached.version if same and reached else ahead.version + 1,
        (ahead.as_of - reached.as_of).total_seconds() if ahead and reached else None,
        found.revisions,
        found.refused,
        found.refusal,
        found.error,
    )


def added(lake: Lake, table: Table, after: int, until: int) -> list[str] | None:
    """The files that brought rows in these versions; None where the log no longer says."""
    root, found = lake.path(table), list[str]()
    for version in range(after + 1, until + 1):
        try:
            lines = (root / "_delta_log" / f"{version:020d}.json").read_text().splitlines()
        except FileNotFoundError:
            return None
        adds = [action["add"] for line in lines if "add" in (action := json.loads(line))]
        found += [str(root / unquote(add["path"])) for add in adds if add["dataChange"]]
    return found if all(Path(path).exists() for path in found) else None  # compacted since, and deleted


def _reached(said: dict[str, Any] | None) -> Reached | None:
    return None if said is None else Reached(said["table"], said["version"], datetime.fromisoformat(said["as_of"]))
