"""What an event says, as far as a number depends on it, and a digest of all that it says."""

from __future__ import annotations

import hashlib
import json
from sys import intern
from typing import Any, NamedTuple

from pipelines.verify.document import RefusedError, canonical
from pipelines.verify.fields import (
    Fields,
    anything,
    either,
    listing,
    mapping,
    number,
    obj,
    one_of,
    read_fields,
    record,
    scalar,
    text,
    time,
    truth,
    whole,
)

_ID, _NAME, _LONG, _CATEGORY = text(256), text(128), text(65_536), text(256)
_NUMBER, _SHARE, _PROPENSITY = number(-1e12, 1e12), number(0.0, 1.0), number(1e-6, 1.0)
_VALUE, _PREDICTION = either(_NUMBER, _CATEGORY), either(number(-1e9, 1e9), _CATEGORY)
_KIND = (True, text(16))

_ITEM: Fields = {
    "item": (True, _ID),
    "position": (False, whole(0, 1_000_000)),
    "score": (False, _SHARE),
    "propensity": (False, _PROPENSITY),
}
_EXPERIMENT: Fields = {"arm": (True, _NAME), "unit_id": (False, _ID), "propensity": (False, _PROPENSITY)}
_INFERENCE: Fields = {
    "kind": _KIND,
    "request_id": (True, _ID),
    "model": (True, _NAME),
    "version": (True, _NAME),
    "served_at": (True, time),
    "status": (True, _NAME),
    "prediction": (False, _PREDICTION),
    "score": (False, _SHARE),
    "scores": (False, mapping(_NAME, _SHARE)),
    "items": (False, listing(record(_ITEM))),
    "segments": (False, mapping(_NAME, _CATEGORY)),
    "measures": (False, mapping(_NAME, _NUMBER)),
    "features": (False, mapping(_NAME, scalar(_NUMBER, text(65_536, least=0)), nullable=True)),
    "experiments": (False, mapping(_NAME, record(_EXPERIMENT))),
    "subject": (False, _ID),
    "session": (False, _ID),
    "asked": (False, _PROPENSITY),
    "embedding": (False, listing(_NUMBER)),
    "targets": (False, mapping(_NAME, _SHARE)),
    "inputs": (False, anything),
    "output": (False, anything),
}
_FEEDBACK: Fields = {
    "kind": _KIND,
    "feedback_id": (True, _ID),
    "request_id": (False, _ID),
    "session": (False, _ID),
    "subject": (False, _ID),
    "item": (False, _ID),
    "over_item": (False, _ID),
    "label": (True, _NAME),
    "value": (False, _VALUE),
    "action": (True, one_of("assert", "correct", "withdraw", "adjudicate")),
    "given_at": (True, time),
    "rater": (False, _ID),
    "role": (False, _NAME),
    "target_feedback_id": (False, _ID),
    "text": (False, _LONG),
    "receipt": (False, _LONG),
}
_CONTROL: Fields = {
    "kind": _KIND,
    "action": (True, one_of("define", "expect", "frontier", "redrive", "erase", "erased")),
    "at": (False, time),
    "model": (False, _NAME),
    "definition": (False, _ID),
    "body": (False, obj),
    "backfill": (False, truth),
    "offsets": (False, listing(whole(0, 2**63 - 1))),
}
_KINDS = {"inference": _INFERENCE, "feedback": _FEEDBACK, "control": _CONTROL}


class Inference(NamedTuple):
    """One inference. Times in microseconds; `items` are pairs of item and score, None where there is no slate.

    `features`: the MD5 of their canonical JSON, since nothing but equality is asked of them; `distributed`: as they are, where their
    distribution counts.
    """

    request_id: str
    model: str
    version: str
    served_at: int
    status: str
    prediction: float | str | None
    score: float | None
    scores: dict[str, float] | None
    items: tuple[tuple[str, float | None], ...] | None
    segments: tuple[tuple[str, str], ...]
    measures: tuple[tuple[str, float], ...]
    received_at: int
    offset: int
    features: bytes | None = None
    asked: float | None = None
    experiments: dict[str, dict[str, Any]] | None = None
    subject: str | None = None
    session: str | None = None
    distributed: dict[str, Any] | None = None


class Feedback(NamedTuple):
    """One judgement, of a request (or, to be refused, of a session or subject). Times in microseconds."""

    feedback_id: str
    request_id: str
    item: str
    label: str
    value: float | str | None
    action: str
    given_at: int
    rater: str | None
    role: str | None
    target: str | None
    received_at: int
    offset: int


def content(document: dict[str, Any]) -> dict[str, Any]:
    """The fields of an event of a known kind, in one spelling. Raises RefusedError."""
    kind = document.get("kind")
    fields = _KINDS.get(kind) if isinstance(kind, str) else None
    if fields is None:
        raise RefusedError("unknown_kind", f"kind {kind!r:.80}; expected one of {sorted(_KINDS)}")
    return read_fields("", document, fields)


def digest(found: dict[str, Any]) -> bytes:
    """Equal content, equal digest, whatever the spelling and the order of keys."""
    spelled = json.dumps(found, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.blake2b(spelled.encode("ascii"), digest_size=16).digest()


def inference(found: dict[str, Any], received_at: int, offset: int, *, distributed: bool) -> Inference:
    """The inference that this content describes; with its features only where their distribution counts, since they are large."""
    items = found.get("items")
    return Inference(
        found["request_id"],
        intern(found["model"]),
        intern(found["version"]),
        found["served_at"],
        intern(found["status"]),
        found.get("prediction"),
        found.get("score"),
        found.get("scores"),
        None if items is None else tuple((item["item"], item.get("score")) for item in items),
        tuple((intern(name), intern(value)) for name, value in sorted(found.get("segments", {}).items())),
        tuple((intern(name), value) for name, value in found.get("measures", {}).items()),
        received_at,
        offset,
        None if "features" not in found else fingerprint(canonical(found["features"])),
        found.get("asked"),
        found.get("experiments"),
        found.get("subject"),
        found.get("session"),
        found.get("features") if distributed else None,
    )


def fingerprint(text: str) -> bytes:
    """The MD5 of a text: quick, and DuckDB has it too."""
    return hashlib.md5(text.encode("utf-8"), usedforsecurity=False).digest()


def feedback(found: dict[str, Any], received_at: int, offset: int) -> Feedback:
    """The judgement that this content describes."""
    role, rater = found.get("role"), found.get("rater")
    return Feedback(
        found["feedback_id"],
        found.get("request_id", ""),
        found.get("item", ""),
        intern(found["label"]),
        found.get("value"),
        intern(found["action"]),
        found["given_at"],
        None if rater is None else intern(rater),
        None if role is None else intern(role),
        found.get("target_feedback_id"),
        received_at,
        offset,
    )
