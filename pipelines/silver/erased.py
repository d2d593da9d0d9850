"""Who was erased: the log holds keyed hashes alone, so that who comes again is refused and nobody can be read off it."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

TOMBSTONE = b'{"kind":"control","action":"erased"}'
"""What stands in the log, and in bronze.events, in place of a record that was erased."""
_HASH, _KEY = re.compile("[0-9a-f]{32}"), re.compile("[0-9a-f]{16}")


@dataclass(frozen=True)
class Erasure:
    """Subjects that the log erases, and their requests: hashes of both under a key. It refuses what stands at higher offsets.

    The requests, since feedback on them comes late, and names no subject.
    """

    offset: int
    subjects: frozenset[str]
    requests: frozenset[str]
    key: bytes


def hashed(key: bytes, name: str) -> str:
    """A subject or a request as the log names it: half of HMAC-SHA256, in hex."""
    return hmac.digest(key, name.encode(), "sha256").hex()[:32]


def fingerprint(key: bytes) -> str:
    """What the log says of the key, so that another one is noticed."""
    return hashlib.sha256(key).hexdigest()[:16]


def control(key: bytes, *, subjects: Iterable[str] = (), requests: Iterable[str] = ()) -> bytes:
    """The control event that erases, by hashes."""
    body = {"key": fingerprint(key), "subjects": sorted(subjects), "requests": sorted(requests)}
    return msgspec.json.encode({"kind": "control", "action": "erase", "body": body})


def problem(body: dict[str, Any]) -> str:
    """What keeps the body of an `erase` from being one; an empty string where nothing does."""
    if body.keys() != {"key", "subjects", "requests"}:
        return f"its body has {sorted(body)[:5]}; expected key, subjects and requests"
    if not (isinstance(body["key"], str) and _KEY.fullmatch(body["key"])):
        return "key is no fingerprint of 16 hex digits"
    if not (_are_hashes(body["subjects"]) and _are_hashes(body["requests"]) and (body["subjects"] or body["requests"])):
        return "subjects and requests are no lists of hashes of 32 hex digits, or both are empty"
    return ""


def _are_hashes(names: Any) -> bool:
    return isinstance(names, list) and all(isinstance(one, str) and _HASH.fullmatch(one) for one in names)
