"""Strict JSON: bytes to one object, or the reason why not."""

from __future__ import annotations

import json
import re
from typing import Any

LARGEST = 1_048_576
"""Bytes of the largest record that is taken in."""
DEEPEST = 100
"""Objects and arrays may lie so deep in each other; the outermost counts."""

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)


class RefusedError(Exception):
    """A record that cannot be taken in: a stable reason, and what was found."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Reader:
    """Reads one document after the other; not shared between threads, since it notes doubled keys on the way."""

    def __init__(self) -> None:
        self._doubled: list[str] = []
        self._decoder = json.JSONDecoder(
            object_pairs_hook=self._object, parse_float=_fraction, parse_int=_whole, parse_constant=_constant
        )

    def read(self, payload: bytes) -> dict[str, Any]:
        """The object that a record holds. Raises RefusedError with the first reason that applies."""
        if len(payload) > LARGEST:
            raise RefusedError("too_large", f"{len(payload)} bytes; at most {LARGEST} are taken in")
        try:
            text = payload.decode("utf-8")
        except UnicodeDecodeError as error:
            raise RefusedError("not_utf8", str(error)) from error
        if text.count("{") + text.count("[") > DEEPEST and _depth(text) > DEEPEST:
            raise RefusedError("not_json", f"nested deeper than {DEEPEST}")
        self._doubled.clear()
        try:
            document = self._decoder.decode(text)
        except (ValueError, RecursionError) as error:
            raise RefusedError("not_json", str(error)) from error
        if "\\u" in text:
            _refuse_lone_surrogates(text)
        if self._doubled:
            raise RefusedError("duplicate_key", f"twice in one object: {self._doubled[:3]}")
        if not isinstance(document, dict):
            raise RefusedError("not_an_object", f"a JSON {type(document).__name__}")
        return document

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            self._doubled.extend(sorted({name for name in names if names.count(name) > 1}))
        return found


def _fraction(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"number outside the double range: {text[:40]}")
    return value


def _whole(text: str) -> int:
    if len(text) > 300:
        _fraction(text)
    return int(text)


def _constant(text: str) -> float:
    raise ValueError(f"{text} is no JSON number")


def _depth(text: str) -> int:
    """How deep a valid document nests; of anything else the decoder says the rest."""
    depth = deepest = 0
    for character in _STRING.sub("", text):
        if character in "{[":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "}]":
            depth -= 1
    return deepest


def _refuse_lone_surrogates(text: str) -> None:
    """Escapes of UTF-16 halves must come in pairs, high then low, side by side. The text is valid JSON already."""
    high_ends = -1
    for escape in _ESCAPE.finditer(text):
        unit = int(escape.group(1), 16) if escape.group(1) else 0
        low = 0xDC00 <= unit <= 0xDFFF
        if low != (high_ends == escape.start()) or (high_ends >= 0 and not low):
            raise RefusedError("not_json", f"lone surrogate escape before character {escape.end()}")
        high_ends = escape.end() if 0xD800 <= unit <= 0xDBFF else -1
    if high_ends >= 0:
        raise RefusedError("not_json", "lone surrogate escape at the end")


def canonical(value: Any) -> str:
    """JSON with sorted keys, no spaces, and doubles in their shortest form without padding in the exponent."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{canonical(name)}:{canonical(value[name])}" for name in sorted(value)) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(canonical(held) for held in value) + "]"
    if isinstance(value, float):
        return _shortest(value)
    return json.dumps(value, ensure_ascii=False)


def _shortest(value: float) -> str:
    """A double as JSON writers with the shortest form spell it: 1e16, 0.00001, 1e-6."""
    digits, _, exponent = repr(value).partition("e")
    if not exponent:
        return digits
    power = int(exponent)
    if power == -5:
        sign, plain = ("-", digits[1:]) if digits.startswith("-") else ("", digits)
        return f"{sign}0.0000{plain.replace('.', '')}"
    return f"{digits}e{power}"
