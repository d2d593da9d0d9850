"""Tables without the rows that go, in place: no commit says that a row is new or gone, so streams pass over all of it.

Only files that hold such rows are written again. What streams are to learn has been appended before, with its signs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable
from deltalake.transaction import AddAction, RemoveAction

from pipelines import files, kept
from pipelines.bronze.tables import EVENTS
from pipelines.contract import Table
from pipelines.dataset.erased import succeed
from pipelines.dataset.tables import RELEASED
from pipelines.erasure.plan import about
from pipelines.errors import StateError
from pipelines.gold.tables import STATISTICS
from pipelines.health.tablelog import TableLog, replay
from pipelines.lake import Lake, commit
from pipelines.retrain.tables import RETRAININGS
from pipelines.silver.erased import TOMBSTONE

Changed = tuple[list[str], pa.Table]
"""Files as the table's log names them, all of one partition, and the rows that stand in their place."""
SILENCED = "what was said here has gone with an erasure"
_KEY = list(STATISTICS.key)


def drop(root: Path, table: Table, offsets: pa.Array) -> None:
    """Leave out the rows that are about these log offsets; in bronze.events leave a tombstone instead."""
    def kept(rows: pa.Table) -> pa.Table:
        gone = pc.is_in(about(table, rows), value_set=offsets)
        if table != EVENTS:
            return rows.filter(pc.invert(gone))
        at = rows.column_names.index("payload")
        return rows.set_column(at, "payload", pc.if_else(gone, pa.scalar(TOMBSTONE, pa.binary()), rows["payload"]))

    def changed(log: TableLog) -> Iterator[Changed]:
        for name in _holding(log, offsets):
            rows = files.read_files([str(log.file(name))], table)
            new = kept(rows)
            if not new.equals(rows):
                yield [name], new

    _rewrite(root, table, changed)


def net(root: Path, posted: pa.Table) -> None:
    """Add up the keys of gold.statistics under which this was posted, and leave out what comes to nothing.

    An amount and its opposite in a cell of one person would be as personal as the amount alone.
    """
    touched = pc.unique(_keys(posted))
    places = {(row["grain"], str(row["cell_date"])) for row in posted.select(["grain", "cell_date"]).to_pylist()}

    def changed(log: TableLog) -> Iterator[Changed]:
        for grain, date in sorted(places):
            names = [name for name, add in log.live.items() if add["values"] == {"grain": grain, "cell_date": date}]
            holding = [(name, rows) for name in names if (rows := _if_touched(log.file(name), touched)) is not None]
            if holding:
                rows = pa.concat_tables([rows for _, rows in holding])
                new = _netted(rows, touched)
                if new.num_rows < rows.num_rows:
                    yield [name for name, _ in holding], new

    _rewrite(root, STATISTICS, changed)


def silence(root: Path) -> None:
    """Forget why releases and trainings failed: what a gate or a script has said may quote a row. That they failed stays."""
    def changed(log: TableLog) -> Iterator[Changed]:
        for name in list(log.live):
            rows = files.read_files([str(log.file(name))], RETRAININGS)
            at = rows.column_names.index("reason")
            new = rows.set_column(at, "reason", pc.if_else(pc.equal(rows["step"], "failed"), SILENCED, rows["reason"]))
            if not new.equals(rows):
                yield [name], new

    _rewrite(root, RETRAININGS, changed)


def forget(lake: Lake, erasure: int, offsets: pa.Array) -> None:
    """Erase from the tables that no log says: rows from releases, which get successors, and why retrainings failed."""
    if lake.exists(RELEASED):
        drop(lake.root, RELEASED, offsets)
        kept.note(lake, RELEASED)
        succeed(lake, erasure)
    if lake.exists(RETRAININGS):
        silence(lake.root)
        kept.note(lake, RETRAININGS)


def _rewrite(root: Path, table: Table, changed: Callable[[TableLog], Iterator[Changed]]) -> None:
    """Put rows in place of files, in one commit."""
    path = root / table.folder
    log, actions = sound(root, table), list[AddAction | RemoveAction]()
    for names, rows in changed(log):
        actions += files.write(path, table, rows, data_change=False) if rows.num_rows else []
        now = time.time_ns() // 1_000_000
        actions += [RemoveAction(unquote(name), False, now, log.live[name]["size"], log.live[name]["values"]) for name in names]
    if actions:
        commit(path, table, DeltaTable(path), actions, CommitProperties(custom_metadata={"covers": "job=erase"}))


def sound(root: Path, table: Table) -> TableLog:
    """A table's log. Raises StateError `table_log_damaged`: which files are in use could not be told from it."""
    log = replay(root / table.folder)
    if log.broken:
        raise StateError(
            "table_log_damaged",
            f"{log.path}: {'; '.join(log.broken[:3])}. `hindsight doctor` says what mends it; erase again then.",
        )
    return log


def _holding(log: TableLog, offsets: pa.Array) -> Iterator[str]:
    """The files that may hold rows about these offsets, by the statistics that the table's log keeps of them."""
    sought = offsets.to_numpy()
    for name, add in list(log.live.items()):
        low, high = (add["stats"].get(side, {}).get("offset") for side in ("minValues", "maxValues"))
        if low is None or high is None or np.searchsorted(sought, low) < np.searchsorted(sought, high, "right"):
            yield name


def _if_touched(file: Path, touched: pa.Array) -> pa.Table | None:
    rows = files.read_files([str(file)], STATISTICS)
    return rows if pc.any(pc.is_in(_keys(rows), value_set=touched)).as_py() else None


def _netted(rows: pa.Table, touched: pa.Array) -> pa.Table:
    of_key = pc.is_in(_keys(rows), value_set=touched)
    grouped = rows.filter(of_key).group_by([*_KEY, "cell_date"], use_threads=False)
    sums = grouped.aggregate([("amount", "sum"), ("recorded_at", "max")])
    sums = sums.rename_columns([name.removesuffix("_sum").removesuffix("_max") for name in sums.column_names])
    left = sums.filter(pc.not_equal(sums["amount"], pa.scalar(0, pa.int64()).cast(sums["amount"].type)))
    return pa.concat_tables([rows.filter(pc.invert(of_key)), left.select(STATISTICS.names).cast(STATISTICS.arrow)])


def _keys(rows: pa.Table) -> pa.ChunkedArray:
    """The key of each row, as one text."""
    return pc.binary_join_element_wise(*(rows[name].cast(pa.string()) for name in _KEY), "\0")
