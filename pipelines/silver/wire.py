"""Events as producers send them: strict types made from the contracts, and the reasons why bytes are no event."""

from __future__ import annotations

import json
import re
import types
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from hashlib import blake2b
from typing import Any, get_args

import msgspec
from msgspec import Struct

from pipelines.contract import Table
from pipelines.silver.tables import CONTROLS, FEEDBACK, INFERENCES

MOST_BYTES = 1_048_576
MOST_DEPTH = 100

KINDS: dict[str, Table] = {"inference": INFERENCES, "feedback": FEEDBACK, "control": CONTROLS}
"""Kind of event and the table whose sent columns are its fields."""


@dataclass(frozen=True)
class Refused:
    """Why a record is no event: a stable reason code, what was found, and kind and id where they could be read."""

    reason: str
    detail: str
    kind: str | None = None
    event_id: str | None = None


def event_type(kind: str, table: Table) -> type[Struct]:
    """The strict struct of one kind of event: the sent columns, unknown fields refused."""
    required = [(c.name, c.wire) for c in table.sent if not _optional(c.wire)]
    optional = [(c.name, c.wire, None) for c in table.sent if _optional(c.wire)]
    return msgspec.defstruct(
        kind.capitalize(),
        [*required, *optional],
        tag_field="kind",
        tag=kind,
        forbid_unknown_fields=True,
        omit_defaults=True,
        gc=False,  # what JSON says has no cycles
    )


def _optional(wire: Any) -> bool:
    return wire is Any or types.NoneType in get_args(wire)


_TYPES = {kind: event_type(kind, table) for kind, table in KINDS.items()}
_DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_TYPES["inference"] | _TYPES["feedback"] | _TYPES["control"])
_ENCODER = msgspec.json.Encoder(order="sorted")
_KEY = re.compile(rb'"\s*:')
_SPACED = re.compile(rb'"[ \t\r\n]')
"""A quote and a blank: such a text may have a key that does not end in `":`."""
_MANY_DIGITS = re.compile(rb"[0-9]{309}")
"""A whole number with fewer digits lies within the range of a double."""
_BASIC_OFFSET = re.compile(rb':[0-9.]+[+-][0-9]{4}"')
"""The end of a time whose offset lacks its colon: ISO 8601, and no RFC 3339."""
_TIMES = ("served_at", "given_at", "at")
_IDS = {"inference": "request_id", "feedback": "feedback_id"}


def decode(payload: bytes) -> tuple[Any, bytes] | Refused:
    """The event and its canonical content (equal content, equal bytes, whatever the spelling), or why there is none."""
    if len(payload) > MOST_BYTES:
        return Refused("too_large", f"{len(payload)} bytes; at most {MOST_BYTES} are taken")
    try:
        event = _DECODER.decode(payload)
        _utc(event)
        content = _content(event)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError) as error:
        return _refused(payload, error)
    refused = _read_again(payload) if _doubtful(payload, content) else None
    return refused or (event, content)


def body_hash(content: bytes) -> str:
    """Digest of the canonical content: 128 bits."""
    return blake2b(content, digest_size=16).hexdigest()


def _utc(event: Any) -> None:
    """Put times into UTC, so that two spellings of an instant are equal."""
    for name in _TIMES:
        at = getattr(event, name, None)
        if isinstance(at, datetime) and at.tzinfo is not UTC:
            setattr(event, name, at.astimezone(UTC))


def _content(event: Any) -> bytes:
    """The canonical content. Numbers count by their value: 1 and 1.0 are one, and minus zero is zero."""
    for name in ("inputs", "output"):
        value = getattr(event, name, None)
        if value is not None:
            setattr(event, name, _by_value(value))
    content = _ENCODER.encode(event)
    if b"-0.0" not in content:
        return content
    if getattr(event, "features", None):
        event.features = _unsigned(event.features)
    return _ENCODER.encode(_unsigned(msgspec.to_builtins(event)))


def _by_value(value: Any) -> Any:
    """Any JSON value with its whole numbers as integers; typed fields need no such care."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _by_value(entry) for name, entry in value.items()}
    return [_by_value(entry) for entry in value] if isinstance(value, list) else value


def _unsigned(value: Any) -> Any:
    """Any JSON value without minus zeros."""
    if isinstance(value, float):
        return value + 0.0
    if isinstance(value, dict):
        return {name: _unsigned(entry) for name, entry in value.items()}
    return [_unsigned(entry) for entry in value] if isinstance(value, list) else value


def _doubtful(payload: bytes, content: bytes) -> bool:
    """Whether a record that decoded may be wrong in a way that the decoder lets pass: it is read again, slowly.

    Every key of the text is followed by a colon: as many in the canonical form means that no key was there twice.
    Escapes could hide one, and a null has gone.
    """
    return (
        b"\\u" in payload
        or _keys(payload) != content.count(b'":')
        or payload.count(b"[") + payload.count(b"{") > MOST_DEPTH
        or _BASIC_OFFSET.search(payload) is not None
        or (len(payload) > 309 and _MANY_DIGITS.search(payload) is not None)
    )


def _keys(payload: bytes) -> int:
    """The keys of a text, and what in its strings looks like one: as many as in its canonical form, where nothing was lost."""
    return len(_KEY.findall(payload)) if _SPACED.search(payload) else payload.count(b'":')


def _read_again(payload: bytes) -> Refused | None:
    """What is wrong with bytes that decoded as an event; None where nothing is."""
    refused = _syntax(payload)
    if refused is None:
        document = json.loads(payload)
        for name in _TIMES:
            at = document.get(name)
            if at is not None and _BASIC_OFFSET.search(json.dumps(at).encode()):
                return _about(document, "bad_time", f"{name} is {at}; an RFC 3339 offset has a colon, as in +01:00")
    return refused


def _refused(payload: bytes, error: Exception) -> Refused:
    """The first reason in order, for bytes that did not decode."""
    syntax = _syntax(payload)
    if syntax is not None:
        return syntax
    document = json.loads(payload)
    if not isinstance(document, dict):
        return Refused("not_an_object", f"a JSON {type(document).__name__}; expected one object")
    kind = document.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        return Refused("unknown_kind", f"kind is {json.dumps(kind)[:100]}; expected one of {', '.join(KINDS)}")
    return _about(document, _reason(str(error)), str(error)[:500])


def _about(document: dict[str, Any], reason: str, detail: str) -> Refused:
    """A refusal of a document of a known kind, with its id where it has one."""
    found = document.get(_IDS.get(document["kind"], ""))
    event_id = found if isinstance(found, str) and 0 < len(found) <= 256 else None
    return Refused(reason, detail, document["kind"], event_id)


def _reason(message: str) -> str:
    if "unknown field" in message:
        return "unknown_field"
    if "missing required field" in message:
        return "missing_field"
    if ("datetime" in message and "got" not in message) or "date value out of range" in message:
        return "bad_time"
    if message.startswith("Expected") and (" of length " in message or ">=" in message or "<=" in message):
        return "out_of_range"
    if message.startswith("Invalid enum value") or "out of range" in message:
        return "out_of_range"
    return "wrong_type"


def _syntax(payload: bytes) -> Refused | None:
    """What is wrong with bytes as one JSON document; None where nothing is."""
    twice: list[str] = []
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError as error:
        return Refused("not_utf8", f"byte {error.start} is not UTF-8")
    try:
        document = json.loads(
            text,
            object_pairs_hook=partial(_pairs, twice),
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_whole,
        )
        json.dumps(document, ensure_ascii=False).encode()  # a lone surrogate cannot be encoded
    except (ValueError, RecursionError) as error:
        return Refused("not_json", str(error)[:500] or "nested too deeply")
    if _depth(document) > MOST_DEPTH:
        return Refused("not_json", f"nested more than {MOST_DEPTH} deep")
    return Refused("duplicate_key", f"the key {twice[0]} stands twice in one object") if twice else None


def _pairs(twice: list[str], pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object. A key that stands twice is noted, and everything kept: what it hides may be no JSON at all."""
    result = dict(pairs)
    if len(result) == len(pairs):
        return result
    names = [name for name, _ in pairs]
    twice.append(next(json.dumps(name)[:300] for name in names if names.count(name) > 1))
    return {f"{place} {name}": value for place, (name, value) in enumerate(pairs)}


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"the number {text[:40]} is outside the range of a double")
    return value


def _whole(text: str) -> int:
    if len(text) > 308:
        _finite(text)
    return int(text)


def _depth(document: Any) -> int:
    deepest, level = 0, [document]
    while level:
        deepest += 1
        level = [child for node in level for child in _children(node)]
    return deepest


def _children(node: Any) -> list[Any]:
    if isinstance(node, dict):
        return [v for v in node.values() if isinstance(v, (dict, list))]
    return [v for v in node if isinstance(v, (dict, list))] if isinstance(node, list) else []
