"""`reconcile` as a running thing: bounded slices of the tables in, what was missed handed to the join's chain, the frontier out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from pipelines import written
from pipelines.gold.tables import EXAMPLES, FRONTIERS, OUTCOME_LEDGER, STATISTICS
from pipelines.held import Held, hold, nothing
from pipelines.jobs import RECONCILE
from pipelines.lake import Lake, Mark
from pipelines.paths import checkpoints
from pipelines.silver.reconcile import ORPHAN_AFTER, reconcile
from pipelines.silver.tables import CONTROLS, FEEDBACK, INFERENCES, LABELLED, ORPHANS, RECONCILED

SLICE = 200_000
"""Log records that one reconcile looks at: what bounds its memory after a long backlog."""
NOTED = (RECONCILED, ORPHANS, FRONTIERS, OUTCOME_LEDGER, STATISTICS, EXAMPLES)
"""Tables whose versions are noted with each frontier: those written by no query alone. An old backup of one is known by that."""


@dataclass(frozen=True)
class Cut:
    """What a reconcile has looked at: log offsets below `end`; all feedback below `open_from` is labelled or orphaned."""

    end: int
    open_from: int
    handed: int


def last(lake: Lake) -> dict[str, Any]:
    """The newest row of gold.frontiers; zeros before the first, and where there is no such table yet."""
    rows = lake.read(FRONTIERS) if lake.exists(FRONTIERS) else FRONTIERS.arrow.empty_table()
    newest = rows.sort_by([("end_offset", "descending"), ("recorded_at", "descending")]).slice(0, 1).to_pylist()
    return newest[0] if newest else {"frontier": None, "end_offset": 0, "open_from": 0}


@dataclass(frozen=True)
class Missed:
    """What the join has missed: pairs for it to take, and signed entries about orphans. `open_from`: as of a cut."""

    pairs: Held
    orphans: Held
    open_from: int


def settle(lake: Lake, end: int) -> Cut:
    """Find what the join has missed among log offsets below `end`, all of which it has consumed; write it for it to take.

    Idempotent: both outputs are differences to what is there, and each is one commit.
    """
    with missed(lake, end) as found:
        number = lake.open(FRONTIERS).version()
        covers = {"job": "reconcile", "query": "reconcile", "log_end": end}
        app = f"reconcile-{datetime.now(UTC).timestamp()}"
        handed = found.pairs.append(RECONCILED, Mark(f"{app}:{RECONCILED.name}", number), covers)
        found.orphans.append(ORPHANS, Mark(f"{app}:{ORPHANS.name}", number), covers)
        return Cut(end, found.open_from, handed)


@contextmanager
def missed(lake: Lake, end: int) -> Iterator[Missed]:
    """What is to be found below an offset, and is not written yet."""
    before = last(lake)
    feedback = _feedback(lake, before, end)
    if not feedback.num_rows:
        yield Missed(nothing(RECONCILED, lake), nothing(ORPHANS, lake), end)
        return
    requests = pc.unique(feedback["request_id"])
    inferences = _below(lake.lookup(INFERENCES, requests), end)
    labelled = pa.concat_tables(
        [lake.lookup(LABELLED, requests), lake.lookup(RECONCILED, feedback["feedback_id"]).cast(LABELLED.arrow)]
    )
    orphans = lake.lookup(ORPHANS, requests)
    orphans = orphans.filter(pc.is_in(orphans["feedback_id"], value_set=pc.unique(feedback["feedback_id"])))
    routed = hold(
        reconcile(
            *(lake.frame(rows) for rows in (feedback, inferences, labelled, orphans)),
            frontier=frontier(lake, end),
        ),
        lake,
    )
    try:
        found = routed.route(RECONCILED), routed.route(ORPHANS)
        settled = [labelled["feedback_id"], orphans["feedback_id"], *(rows.column("feedback_id") for rows in found)]
        yield Missed(*found, max(int(before["open_from"]), _open_from(feedback, settled, end)))
    finally:
        routed.release()


def record(lake: Lake, cut: Cut) -> datetime | None:
    """State that everything below the cut is in gold; the frontier that holds from now on."""
    at = frontier(lake, cut.end)
    before = last(lake)
    if (at, cut.end) != (before["frontier"], before["end_offset"]):
        row = FRONTIERS.frame(
            [{"frontier": at, "end_offset": cut.end, "open_from": cut.open_from, "recorded_at": datetime.now(UTC)}]
        )
        lake.append(
            FRONTIERS,
            row,
            Mark(f"reconcile:{FRONTIERS.name}:{cut.end}:{at}", 0),
            {"job": "reconcile", "query": "reconcile"},
        )
        reached = {table.name: lake.open(table).version() for table in NOTED if lake.exists(table)}
        written.note(checkpoints(lake.root) / RECONCILE, reached)
    return at


def frontier(lake: Lake, end: int) -> datetime | None:
    """The greatest frontier asserted at a log offset below `end`."""
    asserted = lake.read(CONTROLS, ["at"], (ds.field("action") == "frontier") & (ds.field("offset") < end))
    at: datetime | None = pc.max(asserted["at"]).as_py()
    return at


def _feedback(lake: Lake, before: dict[str, Any], end: int) -> pa.Table:
    """What may be open: feedback that is not labelled or was labelled late, and orphans whose inference has come since."""
    offset = ds.field("offset")
    since, columns = before["open_from"], ["tenant", "feedback_id", "received_at"]
    recent = lake.read(FEEDBACK, columns, (offset >= since) & (offset < end))
    labelled = lake.read(LABELLED, ["tenant", "feedback_id", "known_at"], (offset >= since) & (offset < end))
    at = pc.index_in(_identity(recent), value_set=_identity(labelled))
    late = pc.greater(labelled["known_at"].take(at), pc.add(recent["received_at"], pa.scalar(ORPHAN_AFTER)))
    unsettled = recent.filter(pc.or_(pc.is_null(at), pc.fill_null(late, fill_value=False)))["feedback_id"]
    arrived = lake.read(INFERENCES, ["request_id"], (offset >= before["end_offset"]) & (offset < end))
    again = lake.lookup(ORPHANS, arrived["request_id"])["feedback_id"]
    wanted = pa.chunked_array([*unsettled.chunks, *again.chunks], pa.string())
    return _below(lake.lookup(FEEDBACK, wanted), end)


def _identity(rows: pa.Table) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(rows["tenant"], rows["feedback_id"], "\0")


def _below(rows: pa.Table, end: int) -> pa.Table:
    return rows.filter(pc.less(rows["offset"], end))


def _open_from(feedback: pa.Table, settled: Iterable[pa.ChunkedArray], end: int) -> int:
    """The lowest offset of feedback that is neither labelled nor orphaned: it still waits. `end` where none does."""
    ids = pa.chunked_array([chunk for column in settled for chunk in column.chunks], pa.string())
    waiting = feedback.filter(pc.invert(pc.is_in(feedback["feedback_id"], value_set=ids)))
    lowest: int | None = pc.min(waiting["offset"]).as_py()
    return end if lowest is None else min(lowest, end)
