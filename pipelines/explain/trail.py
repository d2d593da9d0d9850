"""From postings back to what was sent: the inference and the feedback behind an entry, with their places in the log."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import pyarrow.compute as pc

from pipelines.definition import Value
from pipelines.explain.postings import Posting
from pipelines.explain.sources import Row, Sources, utc
from pipelines.silver.tables import FEEDBACK, INFERENCES, LABELLED

_PLACE = ["partition", "offset", "received_at"]


@dataclass(frozen=True)
class Position:
    """Where an event stands in the log, and when the log took it in."""

    partition: int
    offset: int
    received_at: datetime


@dataclass(frozen=True)
class Said:
    """One feedback. `known_at`: when it and its inference had been received."""

    feedback_id: str
    action: str
    value: Value | None
    rater: str | None
    given_at: datetime
    known_at: datetime
    position: Position


@dataclass(frozen=True)
class Add:
    """What a row adds to one statistic."""

    basis: str
    statistic: str
    bucket: str
    amount: Decimal


@dataclass(frozen=True)
class Step:
    """A signed entry of the ledger, or (`sign` null) an inference: what it adds, and the events that it rests on.

    `feedback`: what had been said by then, in the order of the log; what became known with the entry moved it.
    """

    request: str
    item: str
    sign: int | None
    belief: Value | None
    known_at: datetime
    adds: tuple[Add, ...]
    inference: Position
    feedback: tuple[Said, ...]


def steps(sources: Sources, postings: Iterable[Posting], label: str, limit: int) -> tuple[list[Step], int]:
    """The rows behind postings, in the order in which they became known, and how many are beyond the limit."""
    by_row: dict[int, list[Posting]] = defaultdict(list)
    for posting in postings:
        by_row[id(posting.row)].append(posting)
    ordered = sorted(by_row.values(), key=_order)
    shown = ordered[:limit]
    entries = [group[0].row for group in shown if group[0].is_entry]
    said = _said(sources, entries, label)
    inferences = sources.at(INFERENCES, (_offset(group[0]) for group in shown), _PLACE)
    return [_step(group, said, inferences) for group in shown], len(ordered) - len(shown)


def position(row: Row) -> Position:
    """Where a row of a table with positions stands."""
    return Position(row["partition"], row["offset"], utc(row["received_at"]))


def value_of(row: Row) -> Value | None:
    """The number or the category of a row, whichever is there."""
    found: Value | None = row["number"] if row["text"] is None else row["text"]
    return found


def _said(sources: Sources, entries: Sequence[Row], label: str) -> dict[tuple[str, str], list[Said]]:
    """The feedback on the units of entries, by request and item."""
    if not entries:
        return {}
    dates, units = {row["served_date"] for row in entries}, {row["unit_id"] for row in entries}
    where = pc.field("served_date").isin(sorted(dates)) & pc.field("unit_id").isin(sorted(units))
    return said_in(sources, sources.rows(LABELLED, where & (pc.field("label") == label)).to_pylist())


def said_in(sources: Sources, labelled: Iterable[Row]) -> dict[tuple[str, str], list[Said]]:
    """Rows of silver.labelled, each feedback once, by request and item; in the order of the log."""
    rows = sorted({row["feedback_id"]: row for row in labelled}.values(), key=lambda row: row["offset"])
    places = sources.at(FEEDBACK, (row["offset"] for row in rows), _PLACE)
    found: dict[tuple[str, str], list[Said]] = defaultdict(list)
    for row in rows:
        at = position(places.get(row["offset"], {**row, "received_at": row["known_at"]}))
        times = utc(row["given_at"]), utc(row["known_at"])
        said = Said(row["feedback_id"], row["action"], value_of(row), row["rater"], *times, at)
        found[row["unit_id"], row["item"]].append(said)
    return found


def _step(group: list[Posting], said: dict[tuple[str, str], list[Said]], inferences: dict[int, Row]) -> Step:
    first, row = group[0], group[0].row
    place = inferences.get(_offset(first), {"partition": 0, "offset": _offset(first), "received_at": first.known_at})
    adds = tuple(Add(each.basis, each.statistic, each.bucket, each.amount) for each in group)
    if not first.is_entry:
        return Step(row["request_id"], "", None, None, utc(row["received_at"]), adds, position(place), ())
    known_at = utc(row["known_at"])
    heard = tuple(one for one in said.get((row["unit_id"], row["item"]), []) if one.known_at <= known_at)
    return Step(row["unit_id"], row["item"], row["sign"], value_of(row), known_at, adds, position(place), heard)


def _offset(posting: Posting) -> int:
    return int(posting.row["context"]["offset"] if posting.is_entry else posting.row["offset"])


def _order(group: list[Posting]) -> tuple[Any, ...]:
    row, is_entry = group[0].row, group[0].is_entry
    if is_entry:
        return row["known_at"], row["unit_id"], row["item"], row["sign"]
    return row["received_at"], row["request_id"], "", 0
