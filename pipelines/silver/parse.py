"""From raw bytes to events, or to the reason why not. Each record is judged alone; identity is decided in `refine`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import msgspec
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql.types import StructField, StructType

from pipelines.bronze.tables import POSITION
from pipelines.contract import DATE, STRING, TIMESTAMP, Column, Table, arrow_type, struct
from pipelines.definition import Definition
from pipelines.errors import ConfigError
from pipelines.exact import amount
from pipelines.silver.declared import Declared, Label
from pipelines.silver.frontier import from_the_future
from pipelines.silver.tables import CONTROLS, FEEDBACK, INFERENCES
from pipelines.silver.wire import Refused, body_hash, decode

SKEW = timedelta(minutes=5)
"""How far a client's clock may run ahead of the log's."""
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SKEW = SKEW // timedelta(microseconds=1)
_EARLIEST = int(EARLIEST.timestamp()) * 1_000_000


def _said(table: Table, *more: str) -> StructType:
    """What an event says: the columns of its table that are made from the payload, all nullable."""
    names = {c.name for c in table.sent} | set(more)
    return StructType([StructField(c.name, c.type, True) for c in table.columns if c.name in names])


INFERENCE = _said(INFERENCES, "prediction_text")
FEEDBACK_SAID = _said(FEEDBACK, "value_text")
CONTROL = _said(CONTROLS)

PARSED = StructType(
    [
        *struct(*POSITION).fields,
        *struct(
            Column("kind", STRING, "", nullable=True),
            Column("event_id", STRING, "", nullable=True),
            Column("body_hash", STRING, "", nullable=True),
            Column("watermark_at", TIMESTAMP, "", nullable=True),
            Column("event_date", DATE, "", nullable=True),
            Column("reason", STRING, "", nullable=True),
            Column("detail", STRING, "", nullable=True),
            Column("inference", INFERENCE, "", nullable=True),
            Column("feedback", FEEDBACK_SAID, "", nullable=True),
            Column("control", CONTROL, "", nullable=True),
        ).fields,
    ]
)
"""One row per record: its position, and either a `reason` or one of inference, feedback, control."""

_FIELDS = [pa.field(f.name, arrow_type(f.dataType)) for f in PARSED.fields]
_PASSED = [column.name for column in POSITION]
_MADE = [field for field in _FIELDS if field.name not in _PASSED]


def parse(records: DataFrame, *, definitions: Sequence[Definition]) -> DataFrame:
    """What each record says. Strict by the contracts (JSON: RFC 8259, times: RFC 3339); shape: PARSED."""
    return records.select(*_PASSED, "payload").mapInArrow(partial(_parse_batches, tuple(definitions)), PARSED)


def _parse_batches(definitions: Sequence[Definition], batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    declared = Declared(definitions)
    for batch in batches:
        received, appended = (
            batch.column(name).cast(pa.int64()).to_pylist() for name in ("received_at", "appended_at")
        )
        rows = [
            judge(payload, at, offset, declared, when)
            for payload, at, offset, when in zip(
                batch.column("payload").to_pylist(),
                received,
                batch.column("offset").to_pylist(),
                appended,
                strict=True,
            )
        ]
        made = [pa.array([row.get(field.name) for row in rows], field.type) for field in _MADE]
        yield pa.RecordBatch.from_arrays([*(batch.column(name) for name in _PASSED), *made], schema=pa.schema(_FIELDS))


def judge(
    payload: bytes, received: int, offset: int, declared: Declared, appended: int | None = None
) -> dict[str, Any]:
    """One record, received at this time (microseconds) and offset: the columns of PARSED beside its position.

    `appended`: the wall clock of its append; where it is not given, it was appended when it was received.
    """
    decoded = decode(payload)
    if isinstance(decoded, Refused):
        return _refusal(decoded)
    event, content = decoded
    kind = type(event).__name__.lower()
    if kind == "control":
        row = _control(event, received, offset, received if appended is None else appended)
    else:
        row = {"inference": _inference, "feedback": _feedback}[kind](event, received, offset, declared)
    if isinstance(row, Refused):
        return _refusal(row)
    row["kind"] = kind
    row["body_hash"] = body_hash(content)
    return row


def _refusal(refused: Refused) -> dict[str, Any]:
    return {
        "kind": refused.kind,
        "event_id": refused.event_id,
        "reason": refused.reason,
        "detail": refused.detail,
    }


def _inference(event: Any, received: int, offset: int, declared: Declared) -> dict[str, Any] | Refused:
    served = _micros(event.served_at)
    refused = _refuse_inference(event, served, received, offset, declared)
    if refused is not None:
        return Refused(*refused, "inference", event.request_id)
    said = msgspec.structs.asdict(event)
    said["served_at"] = served
    said["prediction"], said["prediction_text"] = _number_or_text(event.prediction)
    if event.items is not None:
        said["items"] = [msgspec.structs.asdict(item) for item in event.items]
    if event.measures is not None:
        said["measures"] = [(name, amount(value)) for name, value in event.measures.items()]
    for name in ("scores", "segments", "targets"):
        if said[name] is not None:
            said[name] = list(said[name].items())
    if event.experiments is not None:
        said["experiments"] = [(name, msgspec.structs.asdict(arm)) for name, arm in event.experiments.items()]
    for name in ("features", "inputs", "output"):
        if said[name] is not None:
            said[name] = msgspec.json.encode(said[name], order="sorted").decode()
    return _timed(event.request_id, served, received) | {"inference": said}


def _refuse_inference(
    event: Any, served: int, received: int, offset: int, declared: Declared
) -> tuple[str, str] | None:
    if event.status == "ok" and event.prediction is None and not event.items:
        return "prediction_required", 'status is "ok" and there is neither a prediction nor items'
    model = declared.model(event.model, offset)
    if model is None:
        return "unknown_model", f'model "{event.model}" is declared by no model file before this record'
    segments, measures = model
    if event.segments and not segments.issuperset(event.segments):
        return "undeclared_segment", f"segments {sorted(set(event.segments) - segments)}; declared: {sorted(segments)}"
    if event.measures and not measures.issuperset(event.measures):
        return "undeclared_measure", f"measures {sorted(set(event.measures) - measures)}; declared: {sorted(measures)}"
    refused = _refuse_time("served_at", served, received)
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


def _feedback(event: Any, received: int, offset: int, declared: Declared) -> dict[str, Any] | Refused:
    given = _micros(event.given_at)
    refused = _refuse_feedback(event, offset, declared) or _refuse_time("given_at", given, received)
    if refused is not None:
        return Refused(*refused, "feedback", event.feedback_id)
    said = msgspec.structs.asdict(event)
    said["given_at"] = given
    said["value"], said["value_text"] = _number_or_text(event.value)
    return _timed(event.feedback_id, given, received) | {"feedback": said}


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


def _control(event: Any, received: int, offset: int, appended: int) -> dict[str, Any] | Refused:
    if event.action == "frontier":
        if event.at is None:
            return Refused("missing_field", "a frontier needs `at`", "control")
        if from_the_future(_micros(event.at), appended):
            detail = f"at is {event.at.isoformat()}, more than 5 minutes after the append"
            return Refused("frontier_from_the_future", detail, "control")
    elif event.model is None or event.definition is None or event.body is None:
        return Refused("missing_field", "a define needs `model`, `definition` and `body`", "control")
    else:
        try:
            found = Definition.of(event.body, offset)
        except ConfigError as error:
            return Refused("definition_invalid", error.message, "control")
        if found.hash != event.definition or found.model != event.model:
            return Refused("definition_invalid", f"the body's hash is {found.hash}, not {event.definition}", "control")
    said = msgspec.structs.asdict(event)
    said["at"] = None if event.at is None else _micros(event.at)
    said["body"] = None if event.body is None else msgspec.json.encode(event.body, order="sorted").decode()
    return {"control": said, "event_date": received // 86_400_000_000}


def _timed(event_id: str, at: int, received: int) -> dict[str, Any]:
    return {"event_id": event_id, "watermark_at": min(at, received + _SKEW), "event_date": at // 86_400_000_000}


def _number_or_text(value: float | str | None) -> tuple[float | None, str | None]:
    return (None, value) if isinstance(value, str) else (value, None)


def _micros(at: datetime) -> int:
    since = at - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
