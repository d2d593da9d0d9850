"""Where an event went: its place in the log, the table that it is in and why, whom it found, and what it moved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pyarrow.compute as pc

from pipelines.bronze.tables import EVENTS
from pipelines.contract import Table
from pipelines.definition import Definition, Value
from pipelines.errors import InputError
from pipelines.explain.outcome import policies, vote_of
from pipelines.explain.sources import Row, Sources, micros, moment, utc
from pipelines.explain.trail import Add, Position, position
from pipelines.explain.weighing import weigh
from pipelines.gold.expose import expose
from pipelines.gold.policy import sequence
from pipelines.gold.tables import OUTCOME_LEDGER
from pipelines.redriven import copies
from pipelines.silver.tables import CONTROLS, DUPLICATES, FEEDBACK, INFERENCES, LABELLED, ORPHANS, QUARANTINE

_HOMES = (INFERENCES, FEEDBACK, CONTROLS, QUARANTINE, DUPLICATES)


@dataclass(frozen=True)
class Moved:
    """A signed belief that the ledger would not hold without this feedback, and what became of its vote."""

    label: str
    item: str
    policy: str
    in_force: bool
    fate: str
    by: str | None
    told: str
    entries: tuple[tuple[datetime, int, Value | None], ...]


@dataclass(frozen=True)
class EventPath:
    """One record of the log. `home`: the table of silver that it is in, null while it has not been refined.

    `pairing`: of feedback, labelled, orphaned or waiting. `orphaned`: when it became an orphan (+1), and was none any more (-1).
    `posted`: of an inference, what it added to gold.statistics by label, in one cut and grain. `entries`: how many the ledger holds
    about that inference. `sent_again`: the log offset at which a redrive has repeated it; `repeats`: the one that it repeats.
    """

    position: Position
    clock: str
    payload: str
    home: str | None
    facts: dict[str, Any]
    pairing: str | None
    orphaned: tuple[tuple[datetime, int], ...]
    moved: tuple[Moved, ...]
    posted: tuple[tuple[str, datetime, Add], ...]
    entries: int
    sent_again: int | None
    repeats: int | None


def event(sources: Sources, *, name: str | None = None, offset: int | None = None) -> list[EventPath]:
    """The records that carry an id, as request or as feedback, its repetitions included; or the one at a log offset.

    Raises InputError: no_lake, unknown_event, unknown_offset, event_erased.
    """
    offsets = [offset] if offset is not None else _offsets(sources, name or "")
    landed = sources.at(EVENTS, offsets)
    if offset is not None and not landed:
        raise InputError(
            "unknown_offset",
            f"no record with log offset {offset} has landed in bronze.events. `hindsight status` says how far the log goes, "
            "and how far the jobs have come.",
        )
    if not landed:
        sources.refuse_erased(name or "")
        raise InputError(
            "unknown_event",
            f'no record with the id "{name}" was taken in, quarantined or repeated. A record whose id could not be read is '
            "found by its position: `hindsight explain event --offset N`.",
        )
    return [_path(sources, landed[at]) for at in sorted(landed)]


def _offsets(sources: Sources, name: str) -> list[int]:
    rows: list[Row] = [*sources.of(INFERENCES, name), *sources.of(FEEDBACK, name)]
    for table in (QUARANTINE, DUPLICATES):
        rows += sources.rows(table, pc.field("event_id") == name, ["offset"]).to_pylist()
    return [row["offset"] for row in rows]


def _path(sources: Sources, landed: Row) -> EventPath:
    again = copies(sources.rows(CONTROLS, pc.field("action") == "redrive", ["offset", "offsets"]).to_pylist())
    homes = [(table, row) for table in _HOMES for row in sources.at(table, [landed["offset"]]).values()]
    table, row = homes[0] if homes else (None, {})
    pairing: str | None = None
    orphaned: list[tuple[datetime, int]] = []
    moved: list[Moved] = []
    posted: list[tuple[str, datetime, Add]] = []
    entries = 0
    if table == FEEDBACK:
        orphaned = _orphaned(sources, row)
        pairing, moved = _paired(sources, row, orphaned=sum(sign for _, sign in orphaned) > 0)
    if table == INFERENCES:
        posted = list(_posted(sources, row))
        entries = len(sources.of(OUTCOME_LEDGER, row["request_id"]))
    return EventPath(
        position(landed),
        landed["clock"],
        landed["payload"].decode("utf-8", "replace"),
        table.name if table else None,
        _facts(table, row),
        pairing,
        tuple(orphaned),
        tuple(moved),
        tuple(posted),
        entries,
        again.get(landed["offset"]),
        {copy: original for original, copy in again.items()}.get(landed["offset"]),
    )


_SAID: dict[Table, tuple[str, ...]] = {
    INFERENCES: ("request_id", "model", "version", "served_at", "status"),
    FEEDBACK: ("feedback_id", "request_id", "item", "label", "action", "rater", "given_at"),
    CONTROLS: ("action", "at", "model", "definition", "backfill", "offsets"),
    QUARANTINE: ("reason", "detail", "kind", "event_id"),
    DUPLICATES: ("kind", "event_id", "first_partition", "first_offset"),
}


def _facts(table: Table | None, row: Row) -> dict[str, Any]:
    return {name: row[name] for name in _SAID[table] if row[name] is not None} if table else {}


def _orphaned(sources: Sources, row: Row) -> list[tuple[datetime, int]]:
    """When a feedback was without an inference for too long, and when it was found after all."""
    entries = [one for one in sources.of(ORPHANS, row["request_id"]) if one["feedback_id"] == row["feedback_id"]]
    return sorted(((utc(one["known_at"]), one["sign"]) for one in entries), key=lambda one: (one[0], -one[1]))


def _paired(sources: Sources, row: Row, *, orphaned: bool) -> tuple[str, list[Moved]]:
    """Whether a feedback found its inference, and what it moved."""
    said = sources.of(LABELLED, row["request_id"])
    own = next((each for each in said if each["feedback_id"] == row["feedback_id"]), None)
    if own is None:
        return "orphaned" if orphaned else "waiting", []
    inference = {"model": own["context"]["model"], "offset": own["context"]["offset"]}
    key = [each for each in said if (each["label"], each["item"]) == (own["label"], own["item"])]
    return "labelled", list(_moves(key, own, policies(sources.definitions, inference)))


def _moves(key: list[Row], own: Row, declared: list[tuple[str, Any, bool]]) -> Iterable[Moved]:
    """What the beliefs about a key would lack without one of its votes, under each policy."""
    name, served_at = own["feedback_id"], micros(own["context"]["served_at"])
    votes = [vote_of(row) for row in key]
    for label, policy, newest in declared:
        if label == own["label"] and policy.unit == own["unit"]:
            net: Counter[tuple[int, Value | None]] = Counter()
            for entry in sequence(votes, policy, served_at):
                net[entry.known_at, entry.value] += entry.sign
            for entry in sequence([vote for vote in votes if vote.feedback_id != name], policy, served_at):
                net[entry.known_at, entry.value] -= entry.sign
            moved = sorted(((at, sign, value) for (at, value), sign in net.items() if sign), key=lambda one: one[:2])
            weighed = next(one for one in weigh(votes, policy, served_at) if one.vote.feedback_id == name)
            yield Moved(
                label, own["item"], policy.hash, newest, weighed.fate, weighed.by, weighed.told,
                tuple((moment(at), sign, value) for at, sign, value in moved),
            )  # fmt: skip


def _posted(sources: Sources, inference: Row) -> Iterable[tuple[str, datetime, Add]]:
    """What an inference posts, in the first cut and grain of each definition: every other one has the same sums."""
    applies = [one for one in sources.definitions if one.model == inference["model"]]
    rows = INFERENCES.frame([inference])
    for definition in applies:
        made = expose(rows, definitions=[_one_place(definition)]).to_pylist()
        for row in sorted(made, key=lambda row: (row["statistic"], row["bucket"])):
            amount: Decimal = row["amount"]
            yield definition.label, utc(row["known_at"]), Add(row["basis"], row["statistic"], row["bucket"], amount)


def _one_place(definition: Definition) -> Definition:
    return replace(definition, cuts=definition.cuts[:1], grains=definition.grains[:1])
