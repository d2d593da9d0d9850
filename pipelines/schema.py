"""The events as JSON Schema (draft 2020-12), made from the contracts, for producers in any language."""

from __future__ import annotations

import types
from typing import Any, get_args

import msgspec

from pipelines.contract import Column
from pipelines.errors import InputError, nearest
from pipelines.silver.reasons import BY_KIND
from pipelines.silver.wire import KINDS

_MEANING = {
    "inference": "One inference that a model served.",
    "feedback": "One judgement that a person or system passed on one prediction.",
    "control": "What can move a number beside the events. Written by Hindsight, and by whoever replays history.",
}

EXAMPLES: dict[str, list[dict[str, Any]]] = {
    "inference": [
        {
            "kind": "inference",
            "request_id": "2013-01-15-UA-1545",
            "model": "arrival_delay",
            "version": "3",
            "served_at": "2013-01-15T10:15:00Z",
            "status": "ok",
            "prediction": 1,
            "score": 0.73,
            "features": {"carrier": "UA", "distance": 1400},
            "segments": {"origin": "EWR"},
            "measures": {"latency_ms": 12.4},
        },
        {
            "kind": "inference",
            "request_id": "a-request-that-failed",
            "model": "arrival_delay",
            "version": "3",
            "served_at": "2013-01-15T10:15:01-05:00",
            "status": "timeout",
        },
    ],
    "feedback": [
        {
            "kind": "feedback",
            "feedback_id": "2013-01-15-UA-1545-arrived",
            "request_id": "2013-01-15-UA-1545",
            "label": "late",
            "action": "assert",
            "value": 1,
            "given_at": "2013-01-15T12:40:00Z",
        },
        {
            "kind": "feedback",
            "feedback_id": "2013-01-15-UA-1545-withdrawn",
            "request_id": "2013-01-15-UA-1545",
            "label": "late",
            "action": "withdraw",
            "given_at": "2013-01-15T13:00:00Z",
            "target_feedback_id": "2013-01-15-UA-1545-arrived",
        },
    ],
    "control": [{"kind": "control", "action": "frontier", "at": "2013-02-01T00:00:00Z"}],
}
"""Events that are valid, and found so by the tests."""


def json_schema(kind: str) -> dict[str, Any]:
    """The schema of one kind of event. Raises InputError unknown_kind.

    What needs the model file (is the label declared?) or the log (is the id new?) no schema can say: `x-reasons` lists
    every reason why a record of this kind can end in quarantine.
    """
    if kind not in KINDS:
        raise InputError("unknown_kind", f'kind "{kind}": expected one of {", ".join(KINDS)}{nearest(kind, KINDS)}')
    sent = KINDS[kind].sent
    types_of, shared = msgspec.json.schema_components([column.wire for column in sent], ref_template="#/$defs/{name}")
    properties = {"kind": {"const": kind, "description": "Kind of event."}}
    for column, schema in zip(sent, types_of, strict=True):
        properties[column.name] = {**schema, "description": _meaning(column)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": kind,
        "description": f"{_MEANING[kind]} A record is at most 1 MiB of UTF-8. null in an optional field is the same as "
        "leaving it out.",
        "type": "object",
        "properties": properties,
        "required": ["kind", *(column.name for column in sent if not optional(column))],
        "additionalProperties": False,
        **_RULES[kind],
        **({"$defs": shared} if shared else {}),
        "examples": EXAMPLES[kind],
        "x-reasons": BY_KIND[kind],
    }


def optional(column: Column) -> bool:
    """Whether an event may leave the field out."""
    return column.wire is Any or types.NoneType in get_args(column.wire)


def _meaning(column: Column) -> str:
    """The sent field's meaning; a number and a text column that share one field are described together."""
    return {
        "prediction": "The prediction: a number, or a text where the label is a category.",
        "value": "The label, rating or reward: a number, or a text where the label is a category.",
    }.get(column.name, column.meaning)


def _present(*names: str) -> dict[str, Any]:
    """The fields are there and not null."""
    return {"required": list(names), "properties": {name: {"not": {"type": "null"}} for name in names}}


def _when(name: str, values: list[str], then: dict[str, Any]) -> dict[str, Any]:
    return {"if": {"properties": {name: {"enum": values}}, "required": [name]}, "then": then}


_RULES: dict[str, dict[str, Any]] = {
    "inference": {"allOf": [_when("status", ["ok"], {"anyOf": [_present("prediction"), _present("items")]})]},
    "feedback": {
        "oneOf": [_present("request_id"), _present("session"), _present("subject")],
        "allOf": [
            _when("action", ["assert", "correct", "adjudicate"], _present("value")),
            _when("action", ["withdraw"], {"not": _present("value")}),
            _when("action", ["correct", "withdraw"], {"anyOf": [_present("target_feedback_id"), _present("rater")]}),
        ],
    },
    "control": {
        "allOf": [
            _when("action", ["define", "expect"], _present("model", "definition", "body")),
            _when("action", ["frontier"], _present("at")),
            _when("action", ["redrive"], _present("offsets")),
        ]
    },
}
"""What goes beyond single fields."""
