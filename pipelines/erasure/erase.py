"""The order of an erasure: what it does once, and what is done again until all of it is done.

1. The log says who is erased, and which requests, by keyed hashes, so that what comes of theirs is refused; all that came before
   is processed.
2. What is to go is found, and written down beside the log: from here on every start refuses until it has gone.
3. Gold takes back what it holds of them, by signed entries at the times of those that they cancel: what streams read.
4. Tables, old versions, log and state forget; then a certificate says what has gone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from pipelines import checkpoint, leases, whole
from pipelines.app import Application
from pipelines.bronze.tables import EVENTS
from pipelines.contract import Table
from pipelines.definitions import DefinitionBook
from pipelines.erasure import journal, purge, state
from pipelines.erasure.journal import Journal
from pipelines.erasure.key import make_key
from pipelines.erasure.logged import bury
from pipelines.erasure.plan import BY_OFFSET, Plan, plan
from pipelines.erasure.rewrite import drop, forget, net
from pipelines.gold.tables import EXAMPLES, OUTCOME_LEDGER, STATISTICS
from pipelines.guards import landed
from pipelines.jobs import BESIDE, LATER, LEASES, TABLES
from pipelines.lake import Lake, Mark, data_version
from pipelines.moments import rfc3339
from pipelines.silver.erased import control, fingerprint, hashed
from pipelines.silver.parse import parse
from pipelines.silver.refine import refine
from pipelines.silver.tables import CONTROLS, FEEDBACK, INFERENCES

AT_ONCE = 10_000
"""Hashes of one control event: what fits into a record."""
CELL = ("model", "version", "label", "definition", "cut", "segment", "grain", "cell_at")
Told = Callable[[str], None]
_POLL = 0.2


@dataclass(frozen=True)
class Erased:
    """One erasure that is done: the file of its certificate, and what that says."""

    certificate: Path
    said: dict[str, Any]


def erase(app: Application, subjects: Sequence[str], readers: Sequence[Path] = (), told: Told = lambda _: None) -> Erased | None:
    """Erase subjects; None where nothing of them is there that is not erased.

    `app` holds the leases of all jobs; producers may go on. `readers`: checkpoints of streams on the lake's tables that are waited for.
    Raises StateError `lease_held`, `state_not_erasable`, `log_busy` or `erasure_key_lost`.
    """
    with leases.hold_by_process(app.root, BESIDE, "erase"):
        _process(app, told)
        state.refuse_another_state(app.root)
        key = make_key(app.root)
        names = sorted({hashed(key, subject) for subject in subjects})
        new = _refuse(app, "subjects", names, key, told)
        found = plan(app.lake, subjects)
        if _refuse(app, "requests", [hashed(key, request) for request in found.requests], key, told):
            found = plan(app.lake, subjects)
        if not len(found.offsets) and not new:
            return None
        begin(app.root, found, names, key, readers)
        return carry_out(app.root, told)


def _process(app: Application, told: Told) -> None:
    app.drain_whole(lambda: told("processing what the log holds"))


def _refuse(app: Application, what: str, names: Sequence[str], key: bytes, told: Told) -> bool:
    """Say in the log that these are erased, where it does not say so yet, and process what has come before; whether that was new."""
    known = {name for one in DefinitionBook(app.lake).erasures() for name in getattr(one, what)}
    new = [name for name in names if name not in known]
    if new:
        app.log.control(*(control(key, **{what: new[at : at + AT_ONCE]}) for at in range(0, len(new), AT_ONCE)))
        _process(app, told)
    return bool(new)


def begin(root: Path, found: Plan, names: list[str], key: bytes, readers: Sequence[Path]) -> None:
    """Write down what is to go."""
    lake = Lake(root)
    ends = {table.name: int(lake.open(table).version()) for table in tables_of(lake)}
    cells = found.statistics.select(CELL).group_by(list(CELL)).aggregate([]).sort_by([(name, "ascending") for name in CELL])
    said = {
        "began": rfc3339(datetime.now(UTC)),
        "key": fingerprint(key),
        "subjects": names,
        "records": found.kinds,
        "offsets": ranges(found.offsets.to_pylist()),
        "rows": found.rows,
        "versions_before": ends,
        "entries_posted": found.ledger.num_rows,
        "examples_posted": found.examples.num_rows,
        "increments_posted": found.statistics.num_rows,
        "cells": [row | {"cell_at": rfc3339(row["cell_at"].astimezone(UTC))} for row in cells.to_pylist()],
        "left_as_raters": found.raters,
        "readers": [str(reader.resolve()) for reader in readers],
    }
    signed = found.ledger, found.examples, found.statistics
    journal.begin(root, Journal(f"{landed(root):012d}", found.offsets.to_pylist(), *signed, said))


def carry_out(root: Path, told: Told = lambda _: None) -> Erased | None:
    """Do what is left of an erasure that was begun; None where there is none. The caller holds all leases."""
    found = journal.under_way(root)
    if found is None:
        journal.clear(root)
        return None
    target = root / "_erasures" / f"{found.id}.json"
    if not target.exists():
        for name, step in STEPS if found.offsets else ():
            told(name)
            step(root, found)
        _certify(target, root, found)
    journal.end(root)
    return Erased(target, json.loads(target.read_text()))


def take_back(root: Path, found: Journal) -> None:
    """Append what cancels, as any other entries: once, under a mark."""
    lake = Lake(root)
    for table, rows in ((STATISTICS, found.statistics), (EXAMPLES, found.examples), (OUTCOME_LEDGER, found.ledger)):
        lake.append(table, rows, Mark(f"erase:{found.id}:{table.name}", 0), {"job": "erase", "query": "erase", "erasure": found.id})


def wait(root: Path, found: Journal) -> None:
    """Until the streams that were named have read what was appended: they could not read it from files that are gone."""
    ends = {Lake(root).open(table).metadata().id: data_version(root / table.folder) for table in tables_of(Lake(root))}
    for reader in map(Path, found.said["readers"]):
        while any(ends.get(offset.get("reservoirId"), -1) >= offset["reservoirVersion"] for offset in _offsets(reader)):
            time.sleep(_POLL)


def _offsets(reader: Path) -> Iterator[dict[str, Any]]:
    progress = checkpoint.committed(reader)
    yield from (offset for offset in (progress.offsets if progress else ()) if "reservoirVersion" in offset)


def rewrite(root: Path, found: Journal) -> None:
    """Tables without the rows, statistics added up; silver.controls gains what a reading of the new log would put there."""
    lake, offsets = Lake(root), pa.array(found.offsets, pa.int64())
    net(root, found.statistics)
    for table in (OUTCOME_LEDGER, *reversed(BY_OFFSET)):
        drop(root, table, offsets)
    forget(lake, int(found.id), offsets)
    buried = lake.read(EVENTS, None, ds.field("offset").isin(offsets))
    nothing = INFERENCES.arrow.empty_table(), FEEDBACK.arrow.empty_table()
    controls = refine(parse(buried, definitions=()), *nothing)[CONTROLS.noun]
    lake.append(CONTROLS, controls, Mark(f"erase:{found.id}:{CONTROLS.name}", 0), {"job": "erase", "query": "erase"})


def purge_files(root: Path, _: Journal) -> None:
    """Old versions and leftovers."""
    dead = journal.dead(root, lambda: [str(file.relative_to(root)) for file in purge.dead(root, tables_of(Lake(root)))])
    purge.purge(root, (root / name for name in dead))


STEPS: tuple[tuple[str, Callable[[Path, Journal], None]], ...] = (
    ("taking back what gold holds", take_back),
    ("waiting for the streams that read the lake", wait),
    ("writing the tables again", rewrite),
    ("replacing the records of the log", lambda root, found: bury(root, found.offsets)),
    ("forgetting the state of the join", lambda root, _: state.forget(root)),
    ("deleting old versions", purge_files),
)


def _certify(target: Path, root: Path, found: Journal) -> None:
    """Write the certificate."""
    lake = Lake(root)
    said = {"erasure": found.id, **found.said}
    said["versions_after"] = {table.name: int(lake.open(table).version()) for table in tables_of(lake)}
    said["files_deleted"] = journal.dead(root, list)
    said["finished"] = rfc3339(datetime.now(UTC))
    target.parent.mkdir(exist_ok=True)
    whole.write(target, json.dumps(said, indent=2))


def tables_of(lake: Lake) -> list[Table]:
    """The tables that an erasure looks at."""
    return [*TABLES, *(table for table in LATER if lake.exists(table))]


def ranges(offsets: Sequence[int]) -> list[list[int]]:
    """Ascending offsets as first and last of each run."""
    found: list[list[int]] = []
    for offset in offsets:
        if found and offset == found[-1][1] + 1:
            found[-1][1] = offset
        else:
            found.append([offset, offset])
    return found


def finish(root: Path, told: Told = lambda _: None) -> Erased | None:
    """Finish what was begun and not ended. Raises StateError `lease_held`."""
    with leases.hold_by_process(root, LEASES, "erase"):
        return carry_out(root, told)
