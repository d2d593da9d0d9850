"""The fields of an event, checked one by one, and brought to one spelling: equal values, equal results."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from pipelines.verify.document import RefusedError

FIELD_REASONS = ("unknown_field", "missing_field", "wrong_type", "bad_time", "out_of_range")
"""One group: which of them is reported when several apply is not fixed."""

Check = Callable[[str, Any], Any]
"""(where, value) to the value in its one spelling; raises RefusedError."""
Fields = dict[str, tuple[bool, Check]]
"""By name: whether the field must be there, and its check."""

_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)
_EPOCH = datetime(1970, 1, 1)
_SECOND = timedelta(seconds=1)
_FIRST, _LAST = -62_135_596_800_000_000, 253_402_300_799_999_999
"""The instants that a timestamp can hold, in microseconds."""


def read_fields(where: str, document: dict[str, Any], fields: Fields) -> dict[str, Any]:
    """The fields that are there, in one spelling; null is the same as absent."""
    found: dict[str, Any] = {}
    for name, value in document.items():
        known = fields.get(name)
        if known is None:
            raise RefusedError("unknown_field", f"{where}{name}")
        if value is not None:
            found[name] = known[1](where + name, value)
        elif known[0]:
            raise RefusedError("wrong_type", f"{where}{name}: null")
    for name, (required, _) in fields.items():
        if required and name not in found:
            raise RefusedError("missing_field", f"{where}{name}")
    return found


def text(most: int, least: int = 1) -> Check:
    """Text of so many characters."""

    def check(where: str, value: Any) -> str:
        if type(value) is not str:
            raise RefusedError("wrong_type", f"{where}: {value!r:.80} is no text")
        if not least <= len(value) <= most:
            raise RefusedError("out_of_range", f"{where}: {len(value)} characters; expected {least} to {most}")
        return value

    return check


def number(low: float, high: float) -> Check:
    """A number in a range, as a double; minus zero is zero."""

    def check(where: str, value: Any) -> float:
        if type(value) is not float and type(value) is not int:
            raise RefusedError("wrong_type", f"{where}: {value!r:.80} is no number")
        if not low <= value <= high:
            raise RefusedError("out_of_range", f"{where}: {value!r:.80}; expected {low} to {high}")
        return float(value) + 0.0

    return check


def whole(low: int, high: int) -> Check:
    """A whole number in a range, written as one."""

    def check(where: str, value: Any) -> int:
        if type(value) is not int:
            raise RefusedError("wrong_type", f"{where}: {value!r:.80} is no whole number")
        if not low <= value <= high:
            raise RefusedError("out_of_range", f"{where}: {value!r:.80}; expected {low} to {high}")
        return value

    return check


def one_of(*choices: str) -> Check:
    """One of a few words."""

    def check(where: str, value: Any) -> str:
        if type(value) is not str:
            raise RefusedError("wrong_type", f"{where}: {value!r:.80} is no text")
        if value not in choices:
            raise RefusedError("out_of_range", f"{where}: {value!r:.80}; expected one of {list(choices)}")
        return value

    return check


def either(numeric: Check, textual: Check) -> Check:
    """A number or a text."""

    def check(where: str, value: Any) -> Any:
        return textual(where, value) if type(value) is str else numeric(where, value)

    return check


def scalar(numeric: Check, textual: Check) -> Check:
    """A number, a text or a truth value."""

    def check(where: str, value: Any) -> Any:
        if type(value) is bool:
            return value
        return textual(where, value) if type(value) is str else numeric(where, value)

    return check


def mapping(key: Check, value: Check, *, nullable: bool = False) -> Check:
    """An object with free keys; with `nullable` a key may hold null, which is then a value of its own."""

    def check(where: str, found: Any) -> dict[str, Any]:
        if type(found) is not dict:
            raise RefusedError("wrong_type", f"{where}: {found!r:.80} is no object")
        return {
            key(where, name): None if nullable and held is None else value(f"{where}.{name}", held)
            for name, held in found.items()
        }

    return check


def listing(value: Check) -> Check:
    """An array."""

    def check(where: str, found: Any) -> list[Any]:
        if type(found) is not list:
            raise RefusedError("wrong_type", f"{where}: {found!r:.80} is no array")
        return [value(where, held) for held in found]

    return check


def record(fields: Fields) -> Check:
    """An object with known fields."""

    def check(where: str, found: Any) -> dict[str, Any]:
        if type(found) is not dict:
            raise RefusedError("wrong_type", f"{where}: {found!r:.80} is no object")
        return read_fields(f"{where}.", found, fields)

    return check


def truth(where: str, found: Any) -> bool:
    """True or false."""
    if type(found) is not bool:
        raise RefusedError("wrong_type", f"{where}: {found!r:.80} is neither true nor false")
    return found


def obj(where: str, found: Any) -> dict[str, Any]:
    """Any object, as it is."""
    if type(found) is not dict:
        raise RefusedError("wrong_type", f"{where}: {found!r:.80} is no object")
    return found


def anything(_where: str, value: Any) -> Any:
    """Any JSON value, its numbers by value: 1 and 1.0 are the same."""
    if type(value) is float:
        return int(value) if value.is_integer() else value
    if type(value) is list:
        return [anything("", held) for held in value]
    if type(value) is dict:
        return {name: anything("", held) for name, held in value.items()}
    return value


def time(where: str, value: Any) -> int:
    """An RFC 3339 time with an offset, as microseconds since the epoch; finer fractions are rounded half up."""
    if type(value) is not str:
        raise RefusedError("wrong_type", f"{where}: {value!r:.80} is no text")
    match = _TIME.fullmatch(value)
    if match is None:
        raise RefusedError("bad_time", f"{where}: {value!r:.80}; expected RFC 3339 with an offset")
    year, month, day, hour, minute, second, fraction, sign, hours, minutes = match.groups()
    try:
        local = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second))
    except ValueError as error:
        raise RefusedError("bad_time", f"{where}: {value!r:.80}: {error}") from error
    instant = ((local - _EPOCH) // _SECOND) * 1_000_000
    if fraction:
        instant += int(fraction[:6].ljust(6, "0")) + (fraction[6:7] >= "5")
    if sign:
        if int(hours) > 23 or int(minutes) > 59:
            raise RefusedError("bad_time", f"{where}: {value!r:.80}: an offset has at most 23:59")
        ahead = (int(hours) * 60 + int(minutes)) * 60_000_000
        instant += ahead if sign == "-" else -ahead
    if not _FIRST <= instant <= _LAST:
        raise RefusedError("bad_time", f"{where}: {value!r:.80} is not within the years 1 to 9999 in UTC")
    return instant
