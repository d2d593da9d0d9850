"""Which event stands, which repeats one, which contradicts one: decided by ids, contents and log positions alone."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contract import Table
from pipelines.silver.tables import CONTROLS, DUPLICATES, FEEDBACK, INFERENCES, QUARANTINE


class Place(NamedTuple):
    """A position with what stands there; ordered as the log is."""

    partition: int
    offset: int
    source: str
    body_hash: str


def refine(events: pa.Table, seen_inferences: pa.Table, seen_feedback: pa.Table) -> dict[str, pa.Table]:
    """Where each parsed record goes: the rows of each table, by its noun.

    Of the valid events with one id the one at the lowest log position stands, whatever else has been written meanwhile: so a
    batch that is replayed half-written decides the same. `seen_*` are the rows already there for the ids of these events.
    """
    refused = events["reason"].is_valid().to_numpy()
    repeats = _repeats(events.filter(pa.array(~refused)), seen_inferences, seen_feedback, np.flatnonzero(~refused))
    same = [row for row, (here, first) in repeats.items() if here.body_hash == first.body_hash]
    other = [row for row, (here, first) in repeats.items() if here.body_hash != first.body_hash]
    stands = ~refused
    stands[list(repeats)] = False
    conflicts = _conflicts(events.take(pa.array(other, pa.int64())), [repeats[row][1] for row in other])
    return {
        CONTROLS.noun: _said(CONTROLS, "control", events, stands),
        INFERENCES.noun: _said(INFERENCES, "inference", events, stands),
        FEEDBACK.noun: _said(FEEDBACK, "feedback", events, stands),
        QUARANTINE.noun: pa.concat_tables([_rows(QUARANTINE, events.filter(pa.array(refused))), conflicts]),
        DUPLICATES.noun: _duplicates(events.take(pa.array(same, pa.int64())), [repeats[row][1] for row in same]),
    }


def _repeats(
    valid: pa.Table, seen_inferences: pa.Table, seen_feedback: pa.Table, rows: Any
) -> dict[int, tuple[Place, Place]]:
    """Of each valid event that is not the first of its id: where it stands, and where the first one does. `rows`: their numbers."""
    places = pa.concat_tables(
        [
            _places(valid, valid["kind"], "event_id"),
            _places(seen_inferences, "inference", "request_id"),
            _places(seen_feedback, "feedback", "feedback_id"),
        ]
    )
    code = places["id"].combine_chunks().dictionary_encode().indices
    often = pc.greater(pa.array(np.bincount(code.drop_null(), minlength=1)).take(code), 1)
    again = pc.indices_nonzero(pc.fill_null(often, fill_value=False))
    some = places.take(again)
    found = [Place(*place) for place in zip(*(some[name].to_pylist() for name in Place._fields), strict=True)]
    ids = code.take(again).to_pylist()
    first: dict[int, Place] = {}
    for name, place in zip(ids, found, strict=True):
        first[name] = min(place, first.get(name, place))
    return {
        int(rows[at]): (here, first[name])
        for at, name, here in zip(again.to_pylist(), ids, found, strict=True)
        if at < len(rows) and here != first[name]
    }


def _places(rows: pa.Table, kind: str | pa.ChunkedArray, name: str) -> pa.Table:
    """Identity and place of each row; a control has no identity."""
    identity = pc.binary_join_element_wise(rows["tenant"], kind, rows[name], "\0")
    return pa.table({"id": identity, **{column: rows[column] for column in Place._fields}})


def _said(table: Table, kind: str, events: pa.Table, stands: Any) -> pa.Table:
    """The events of one kind that stand: what they say, and the record's own columns."""
    rows = events.filter(pc.and_(pa.array(stands), pc.equal(events["kind"], kind)))
    said = dict(zip([field.name for field in rows.schema.field(kind).type], rows[kind].flatten(), strict=True))
    return _rows(table, rows, **said, served_date=rows["event_date"])


def _conflicts(events: pa.Table, first: list[Place]) -> pa.Table:
    """Events whose id stands at a lower position with other content."""
    detail = [
        f"another event with this id stands at offset {place.offset} of partition {place.partition} with other content; "
        "the lower position stands"
        for place in first
    ]
    reason = pa.repeat("id_conflict", events.num_rows)
    return _rows(QUARANTINE, events, reason=reason, detail=pa.array(detail, pa.string()))


def _duplicates(events: pa.Table, first: list[Place]) -> pa.Table:
    """Events whose id stands at a lower position with the same content."""
    return _rows(
        DUPLICATES,
        events,
        first_source=pa.array([place.source for place in first], pa.string()),
        first_partition=pa.array([place.partition for place in first], pa.int64()),
        first_offset=pa.array([place.offset for place in first], pa.int64()),
    )


def _rows(table: Table, events: pa.Table, **computed: Any) -> pa.Table:
    """The rows of a table: computed columns, and the others as the events have them."""
    computed["received_date"] = events["received_at"].cast(pa.date32())
    columns = {name: computed[name] if name in computed else events[name] for name in table.names}
    return pa.table(columns).cast(table.arrow)
