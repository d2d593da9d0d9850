"""From raw bytes to events, or to the reason why not. Each record is judged alone; identity is decided in `refine`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.bronze.tables import POSITION
from pipelines.contract import DATE, STRING, TIMESTAMP, Column, Table
from pipelines.definition import Definition
from pipelines.errors import ConfigError
from pipelines.silver.columns import SAID, said
from pipelines.silver.declared import Declaration, Declared, Label
from pipelines.silver.erased import problem
from pipelines.silver.frontier import from_the_future
from pipelines.silver.rules import RowRules, Rule
from pipelines.silver.unexpected import unexpected
from pipelines.silver.wire import Refused, body_hash, decode

SKEW = timedelta(minutes=5)
"""How far a client's clock may run ahead of the log's."""
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
PIECE = 4_000
"""Records that are Python objects at one time."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SKEW = SKEW // timedelta(microseconds=1)
_EARLIEST = int(EARLIEST.timestamp()) * 1_000_000
_TIME = pa.timestamp("us", "UTC")

PARSED = Table(
    "silver.parsed",
    "One row per record: its position, and either a reason or one of inference, feedback, control. Never stored.",
    (
        *POSITION,
        Column("kind", STRING, "Kind of event, where it could be read.", nullable=True),
        Column("event_id", STRING, "The event's id, where it could be read.", nullable=True),
        Column("body_hash", STRING, "Digest of its content.", nullable=True),
        Column("watermark_at", TIMESTAMP, "least(event time, received_at + 5 minutes).", nullable=True),
        Column("event_date", DATE, "UTC date of the event's time.", nullable=True),
        Column("reason", STRING, "Why it is no event.", nullable=True),
        Column("detail", STRING, "What was found and what was expected.", nullable=True),
        *(Column(kind, type_, f"What the {kind} says.", nullable=True) for kind, type_ in SAID.items()),
    ),
    key=("tenant", "source", "partition", "offset"),
)

_ERASED = "subject_erased", "the subject, or the request of one, was erased at a lower offset"
_PASSED = [column.name for column in POSITION]


class Stamp(NamedTuple):
    """What the log says of a record: its receipt and the wall clock of its append (microseconds), and its offset."""

    received: int
    appended: int
    offset: int


class Event(NamedTuple):
    """A well-formed event: what it says, its id, its time (microseconds; a control has none) and the digest of its content."""

    kind: str
    said: Any
    event_id: str | None
    at: int | None
    body_hash: str


def parse(events: pa.Table, *, definitions: Sequence[Declaration]) -> pa.Table:
    """What each record of bronze.events says: rows of PARSED. Strict by the contracts (JSON: RFC 8259, times: RFC 3339)."""
    declared = Declared(definitions)
    pieces = [_parse(events.slice(at, PIECE), declared) for at in range(0, events.num_rows, PIECE)]
    return pa.concat_tables([PARSED.arrow.empty_table(), *pieces])


def _parse(records: pa.Table, declared: Declared) -> pa.Table:
    received, appended = (records[name].cast(pa.int64()) for name in ("received_at", "appended_at"))
    stamps = list(map(Stamp, received.to_pylist(), appended.to_pylist(), records["offset"].to_pylist()))
    judged = [
        judge(payload, stamp, declared) for payload, stamp in zip(records["payload"].to_pylist(), stamps, strict=True)
    ]
    if declared.expects:
        refuse_unexpected(judged, stamps, declared)
    refused = [row if isinstance(row, Refused) else None for row in judged]
    at = pa.array([None if isinstance(row, Refused) else row.at for row in judged], pa.int64())
    control = pa.array([row.kind == "control" and isinstance(row, Event) for row in judged])
    columns = {
        **{name: records[name] for name in _PASSED},
        "kind": [row.kind for row in judged],
        "event_id": [row.event_id for row in judged],
        "body_hash": [None if isinstance(row, Refused) else row.body_hash for row in judged],
        "watermark_at": pc.if_else(pc.is_null(at), None, pc.min_element_wise(at, pc.add(received, _SKEW))).cast(_TIME),
        "event_date": pc.if_else(control, received, at).cast(_TIME).cast(pa.date32()),
        "reason": [row and row.reason for row in refused],
        "detail": [row and row.detail for row in refused],
        **{kind: _of_kind(kind, judged) for kind in SAID},
    }
    return pa.table([columns[name] for name in PARSED.names], schema=PARSED.arrow)


def _of_kind(kind: str, judged: list[Event | Refused]) -> pa.Array:
    """What the events of one kind say, null for the other records."""
    events = [row.said if isinstance(row, Event) and row.kind == kind else None for row in judged]
    there = np.array([event is not None for event in events])
    place = pa.array(np.cumsum(there) - 1, mask=~there)
    return said(kind, [event for event in events if event is not None]).take(place)


def judge(payload: bytes, stamp: Stamp, declared: Declared) -> Event | Refused:
    """One record."""
    decoded = decode(payload)
    if isinstance(decoded, Refused):
        return decoded
    event, content = decoded
    kind = type(event).__name__.lower()
    event_id, at, refused = _JUDGE[kind](event, stamp, declared)
    return Refused(*refused, kind, event_id) if refused else Event(kind, event, event_id, at, body_hash(content))


def refuse_unexpected(judged: list[Event | Refused], stamps: Sequence[Stamp], declared: Declared) -> None:
    """Refuse, in place, the inferences that break a row rule of their model; those that failed have nothing to be held against."""
    held: dict[tuple[str, int], tuple[tuple[Rule, ...], list[int], list[Any]]] = {}
    for place, (event, stamp) in enumerate(zip(judged, stamps, strict=True)):
        if isinstance(event, Event) and event.kind == "inference" and event.said.status == "ok":
            expected = declared.expected(event.said.model, stamp.offset)
            if expected is not None and expected.rules:
                _, places, events = held.setdefault((expected.model, expected.offset), (expected.rules, [], []))
                places.append(place)
                events.append(event.said)
    for rules, places, events in held.values():
        for at, detail in unexpected(events, rules):
            found = judged[places[at]]
            judged[places[at]] = Refused("expectation_failed", detail, found.kind, found.event_id)


_Judged = tuple[str | None, int | None, tuple[str, str] | None]
"""The event's id, its time, and the reason with its detail where it is refused."""


def _inference(event: Any, stamp: Stamp, declared: Declared) -> _Judged:
    served = _micros(event.served_at)
    if declared.erased(event, stamp.offset):
        return event.request_id, served, _ERASED
    return event.request_id, served, _refuse_inference(event, served, stamp, declared)


def _refuse_inference(event: Any, served: int, stamp: Stamp, declared: Declared) -> tuple[str, str] | None:
    if event.status == "ok" and event.prediction is None and not event.items:
        return "prediction_required", 'status is "ok" and there is neither a prediction nor items'
    model = declared.model(event.model, stamp.offset)
    if model is None:
        return "unknown_model", f'model "{event.model}" is declared by no model file before this record'
    segments, measures = model
    if event.segments and not segments.issuperset(event.segments):
        return "undeclared_segment", f"segments {sorted(set(event.segments) - segments)}; declared: {sorted(segments)}"
    if event.measures and not measures.issuperset(event.measures):
        return "undeclared_measure", f"measures {sorted(set(event.measures) - measures)}; declared: {sorted(measures)}"
    refused = _refuse_time("served_at", served, stamp.received)
    if refused is None and event.items and len({item.item for item in event.items}) < len(event.items):
        return "duplicate_item", "an item stands twice in the slate"
    return refused


def _refuse_time(name: str, at: int, received: int) -> tuple[str, str] | None:
    if at > received + _SKEW:
        return (
            "from_the_future",
            f"{name} is {(at - received) / 1e6:.0f} s after the record was received; at most 300 s are allowed",
        )
    if at < _EARLIEST:
        return "absurd_time", f"{name} is before the year {EARLIEST.year}"
    return None


def _feedback(event: Any, stamp: Stamp, declared: Declared) -> _Judged:
    given = _micros(event.given_at)
    if declared.erased(event, stamp.offset):
        return event.feedback_id, given, _ERASED
    refused = _refuse_feedback(event, stamp.offset, declared) or _refuse_time("given_at", given, stamp.received)
    return event.feedback_id, given, refused


def _refuse_feedback(event: Any, offset: int, declared: Declared) -> tuple[str, str] | None:
    named = [name for name in ("request_id", "session", "subject") if getattr(event, name) is not None]
    if len(named) != 1:
        return "target_ambiguous", f"names {named or 'nothing'}; expected exactly one of request_id, session, subject"
    if named != ["request_id"]:
        return "unit_not_enabled", f"feedback on a {named[0]} is not taken yet; it can be redriven later"
    labels = declared.labels(event.label, offset)
    if not labels:
        return "unknown_label", f'label "{event.label}" is declared by no model file before this record'
    unit = "request" if event.item is None else "item"
    if all(label.unit != unit for label in labels):
        return "unit_mismatch", f'label "{event.label}" judges a {labels[0].unit}, this feedback a {unit}'
    refused = _refuse_value(event, labels)
    if (
        refused is None
        and event.action in ("correct", "withdraw")
        and event.target_feedback_id is None
        and event.rater is None
    ):
        return "target_required", f"a {event.action} needs a target_feedback_id or a rater"
    return refused


def _refuse_value(event: Any, labels: list[Label]) -> tuple[str, str] | None:
    if event.action == "withdraw":
        return None if event.value is None else ("value_not_allowed", "a withdraw carries no value")
    if event.value is None:
        return "value_required", f"a {event.action} needs a value"
    accepting = [label for label in labels if label.text == isinstance(event.value, str)]
    if not accepting:
        return "wrong_value_type", f'label "{event.label}" takes a {"string" if labels[0].text else "number"}'
    if isinstance(event.value, str) or any(label.low <= event.value <= label.high for label in accepting):
        return None
    return "value_out_of_range", f"value {event.value!r}; expected {accepting[0].low} to {accepting[0].high}"


def _control(event: Any, stamp: Stamp, declared: Declared) -> _Judged:
    del declared
    return None, None, _refuse_control(event, stamp)


def _refuse_control(event: Any, stamp: Stamp) -> tuple[str, str] | None:
    if event.action == "frontier":
        return _refuse_frontier(event, stamp)
    if event.action == "redrive":
        return None if event.offsets is not None else ("missing_field", "a redrive needs `offsets`")
    if event.action == "erase":
        return _refuse_erasure(event)
    if event.action == "erased":
        return None
    if event.model is None or event.definition is None or event.body is None:
        return "missing_field", f"{event.action} needs `model`, `definition` and `body`"
    return _refuse_declaration(event, stamp.offset)


def _refuse_frontier(event: Any, stamp: Stamp) -> tuple[str, str] | None:
    if event.at is None:
        return "missing_field", "a frontier needs `at`"
    ahead = from_the_future(_micros(event.at), stamp.appended)
    detail = f"at is {event.at.isoformat()}, more than 5 minutes after the append"
    return ("frontier_from_the_future", detail) if ahead else None


def _refuse_declaration(event: Any, offset: int) -> tuple[str, str] | None:
    expects = event.action == "expect"
    code = "expectation_invalid" if expects else "definition_invalid"
    try:
        found = RowRules.of(event.model, event.body, offset) if expects else Definition.of(event.body, offset)
    except ConfigError as error:
        return code, error.message
    if found.hash != event.definition or found.model != event.model:
        return code, f"the body's hash is {found.hash}, not {event.definition}"
    return None


def _refuse_erasure(event: Any) -> tuple[str, str] | None:
    if event.body is None:
        return "missing_field", "an erase needs `body`"
    wrong = problem(event.body)
    return ("erasure_invalid", wrong) if wrong else None


_JUDGE = {"inference": _inference, "feedback": _feedback, "control": _control}


def _micros(at: datetime) -> int:
    since = at - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
