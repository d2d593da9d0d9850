"""What a line or a row of a file becomes in the log: a payload, and for history when it was received."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Raw

from pipelines.cells import plain
from pipelines.mapping import Mapping, encoded
from pipelines.moments import instant
from pipelines.reading import Row
from pipelines.silver.wire import KINDS

Record = tuple[bytes, datetime | None]
"""A payload, and when it was received; None where it does not say."""

OWN_TIMES = ("served_at", "given_at", "at")
"""The times that events carry themselves: the best that a history without receipts has."""


def reader(form: str, mapping: Mapping | None, claimed: bool) -> Callable[[bytes | Row], list[Record]]:
    """How the lines or rows of a file become records: ndjson, csv or parquet, with a column mapping or without."""
    if mapping is not None:
        return lambda item: _mapped(item, mapping, form == "ndjson")
    if form == "ndjson" and not claimed:
        return lambda item: [(item, None)] if isinstance(item, bytes) else [_row(item)]
    return lambda item: [history(item)] if isinstance(item, bytes) else [_row(item)]


def _mapped(item: bytes | Row, mapping: Mapping, is_json: bool) -> list[Record]:
    """The events of a row. What is no row is a record as it stands, and refine says what is wrong with it."""
    if not isinstance(item, bytes):
        return mapping.events(item)
    if is_json:
        try:
            return mapping.events(msgspec.json.decode(item, type=dict[str, Any]))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass
    return [(item, None)]


class _Kinded(msgspec.Struct):
    kind: str = ""


_KINDED = msgspec.json.Decoder(_Kinded)


def kind_of(payload: bytes) -> str:
    """The kind of event that a record says it is; empty where that is none. Whether it is a good one, refine decides."""
    try:
        kind = _KINDED.decode(payload).kind
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    return kind if kind in KINDS else ""


class _Line(msgspec.Struct):
    received_at: Raw = Raw()
    payload: Raw = Raw()
    served_at: Raw = Raw()
    given_at: Raw = Raw()
    at: Raw = Raw()


_LINE = msgspec.json.Decoder(_Line)


def history(line: bytes) -> Record:
    """A line of history and when it was received.

    `{"received_at": …, "payload": …}` wraps a record: its payload is a text, byte for byte, or an object. Otherwise the
    line is an event that may carry received_at beside its own fields (it is taken out); without it, the event's own
    time counts.
    """
    try:
        found = _LINE.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return line, None
    received = _time(found.received_at)
    if bytes(found.received_at) and bytes(found.payload):
        return _unwrapped(found.payload), received
    if bytes(found.received_at):
        return _without_received_at(line), received
    return line, next((at for name in OWN_TIMES if (at := _time(getattr(found, name)))), None)


def _time(raw: Raw) -> datetime | None:
    try:
        return instant(msgspec.json.decode(raw)) if bytes(raw) else None
    except (msgspec.MsgspecError, RecursionError):
        return None


def _unwrapped(payload: Raw) -> bytes:
    try:
        return msgspec.json.decode(payload, type=str).encode()
    except msgspec.MsgspecError:
        return bytes(payload)


def _without_received_at(line: bytes) -> bytes:
    """The event alone. A line that says one thing twice is left as it is: choosing one would hide that."""
    try:
        fields = msgspec.json.decode(line, type=dict[str, Raw])
        said = len(json.loads(line, object_pairs_hook=list))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return line
    if said != len(fields):
        return line
    del fields["received_at"]
    return msgspec.json.encode(fields)


def _row(row: Row) -> Record:
    """A row whose columns are the fields of an event, or `payload` and `received_at` of one."""
    received = instant(row.get("received_at")) or next((at for n in OWN_TIMES if (at := instant(row.get(n)))), None)
    payload = row.get("payload")
    if "kind" not in row and isinstance(payload, str | bytes):
        return payload.encode() if isinstance(payload, str) else payload, received
    event = {name: plain(value) for name, value in row.items() if value is not None and name != "received_at"}
    return encoded({name: value for name, value in event.items() if value is not None}), received
