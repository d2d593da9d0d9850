"""What an erasure takes out of a lake: which records of the log, and what they have posted in gold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from pipelines.bronze.tables import EVENTS
from pipelines.contract import Table
from pipelines.dataset.tables import RELEASED
from pipelines.definitions import DefinitionBook
from pipelines.erasure.naming import Ids, Record
from pipelines.gold.expose import READS, expose
from pipelines.gold.tables import EXAMPLES, OUTCOME_LEDGER, STATISTICS
from pipelines.gold.tally import tally
from pipelines.lake import Lake
from pipelines.silver.tables import DUPLICATES, FEEDBACK, INFERENCES, LABELLED, ORPHANS, QUARANTINE, RECONCILED

BY_OFFSET = (EVENTS, INFERENCES, FEEDBACK, QUARANTINE, DUPLICATES, LABELLED, RECONCILED, ORPHANS, EXAMPLES)
"""Tables whose rows say in `offset` which record of the log they are about; the ledger says it of the inference in `context`."""


@dataclass(frozen=True)
class Plan:
    """`offsets`: the records of the log that go, ascending; none of them was erased before. `kinds`: how many of each kind.

    `rows`: how many rows go, by table. `ledger`, `examples`, `statistics`: what takes back, row by row, all that they have posted.
    `raters`: records that stay although one of the subjects is named in them as a rater. `requests`: the ids of theirs.
    """

    offsets: pa.Array
    kinds: dict[str, int]
    rows: dict[str, int]
    ledger: pa.Table
    examples: pa.Table
    statistics: pa.Table
    raters: int
    requests: list[str]


def plan(lake: Lake, subjects: Sequence[str]) -> Plan:
    """What the tables hold of subjects: their inferences, the feedback on them, what repeats or contradicts either, what was refused."""
    wanted = pa.array(subjects, pa.string())
    inferences = lake.read(INFERENCES, [*READS, "subject"], ds.field("subject").isin(wanted))
    # what was refused since of anybody who was erased
    erased = {*lake.read(QUARANTINE, ["offset"], ds.field("reason") == "subject_erased")["offset"].to_pylist()}
    refused = _refused(lake)
    # a request of theirs that was refused may have been answered all the same
    unserved = _unserved(lake, [one.request_id for one in refused if one.request_id and one.subject in {*subjects}])
    requests = _unique(inferences["request_id"], unserved)
    feedback = lake.read(FEEDBACK, ["feedback_id", "offset"], ds.field("request_id").isin(requests))
    stand = _unique(inferences["offset"], feedback["offset"])
    repeated = lake.read(DUPLICATES, ["offset"], ds.field("first_offset").isin(stand))["offset"]
    ids = Ids(frozenset(subjects), frozenset(requests.to_pylist()), frozenset(feedback["feedback_id"].to_pylist()))
    other = pa.chunked_array([[one.offset for one in refused if one.offset in erased or one.names(ids)]], pa.int64())
    offsets = _unique(stand, repeated, other).sort()
    entries = lake.lookup(OUTCOME_LEDGER, requests)
    kinds = {"inferences": inferences, "feedback": feedback, "duplicates": repeated, "quarantined": other}
    return Plan(
        offsets,
        {kind: len(rows) for kind, rows in kinds.items()},
        {table.name: _count(lake, table, offsets) for table in (*BY_OFFSET, RELEASED)} | {OUTCOME_LEDGER.name: entries.num_rows},
        _taken_back(entries.select(OUTCOME_LEDGER.computed.names), "sign"),
        _taken_back(_taught(lake, requests), "sign"),
        _posted(lake, inferences.select(list(READS)), entries),
        lake.read(FEEDBACK, [], ds.field("rater").isin(wanted) & ~ds.field("offset").isin(offsets)).num_rows,
        sorted(ids.requests),
    )


def about(table: Table, rows: pa.Table) -> Any:
    """The log offset that each row of a table is about."""
    return pc.struct_field(rows["context"], "offset") if table == OUTCOME_LEDGER else rows["offset"]


def _refused(lake: Lake) -> list[Record]:
    """The records in quarantine."""
    offsets = pc.unique(lake.read(QUARANTINE, ["offset"])["offset"])
    rows = lake.read(EVENTS, ["offset", "payload"], ds.field("offset").isin(offsets)) if len(offsets) else EVENTS.frame([])
    return [Record.of(row["offset"], row["payload"]) for row in rows.select(["offset", "payload"]).to_pylist()]


def _unserved(lake: Lake, requests: list[str]) -> pa.ChunkedArray:
    """Those of some requests that do not stand: an inference of somebody else may have their id."""
    asked = pa.chunked_array([requests], pa.string())
    standing = lake.lookup(INFERENCES, asked)["request_id"]
    return asked.filter(pc.invert(pc.is_in(asked, value_set=pc.unique(standing))))


def _unique(*columns: pa.Array | pa.ChunkedArray) -> pa.Array:
    """The values of columns of one type, each once."""
    parts = [part for column in columns for part in ([column] if isinstance(column, pa.Array) else column.chunks)]
    return pc.unique(pa.chunked_array(parts, columns[0].type))


def _count(lake: Lake, table: Table, offsets: pa.Array) -> int:
    return int(lake.read(table, [], ds.field("offset").isin(offsets)).num_rows) if lake.exists(table) else 0


def _taught(lake: Lake, requests: pa.Array) -> pa.Table:
    """The examples about requests, without their features: what takes back repeats none."""
    rows = lake.lookup(EXAMPLES, requests, [name for name in EXAMPLES.computed.names if name != "features"])
    return rows.append_column("features", pa.nulls(rows.num_rows, pa.string())).select(EXAMPLES.computed.names)


def _posted(lake: Lake, inferences: pa.Table, entries: pa.Table) -> pa.Table:
    """What takes back all that inferences and entries have posted in gold.statistics, one row per key."""
    definitions = DefinitionBook(lake).definitions()
    rows = pa.concat_tables([expose(inferences, definitions=definitions), tally(entries, definitions=definitions)])
    keys = [name for name in rows.column_names if name != "amount"]
    added = rows.group_by(keys, use_threads=False).aggregate([("amount", "sum")]).rename_columns({"amount_sum": "amount"})
    net = added.filter(pc.not_equal(added["amount"], pa.scalar(0, pa.int64()).cast(added["amount"].type)))
    return _taken_back(net.select(STATISTICS.computed.names).cast(STATISTICS.computed), "amount")


def _taken_back(rows: pa.Table, weight: str) -> pa.Table:
    at = rows.column_names.index(weight)
    return rows.set_column(at, rows.schema.field(at), pc.negate(rows[weight]))
