"""Where one field of an event comes from in a row of somebody's own file, as a mapping file says it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import inspect

from pipelines.definition import WIDEST
from pipelines.keys import Keys
from pipelines.moments import EPOCHS

_FORMS: dict[type, str] = {
    inspect.FloatType: "number",
    inspect.StrType: "text",
    inspect.LiteralType: "text",
    inspect.DictType: "table",
}
_OPTIONS = {"format": "time", "zone": "time", "at_least": "scalar"}
"""What more may be said of a column, and of which form it has to be."""
ZONE = 'the time zone of times without an offset, such as "UTC"'
_FORMAT = 'the format of a time as strptime has it, such as "%d.%m.%Y %H:%M"'
_READINGS = {"time": tuple(EPOCHS), "scalar": ("number", "text")}


@dataclass(frozen=True)
class Field:
    """Where one field of an event comes from: a column, or the same value for every row.

    `form` is what the contract says of it: time, number, text, scalar (number or text), cell (anything flat) or raw.
    `reading` is how to take it: the unit of a time that is counted, or whether a scalar is a number or a text.
    `format` and `zone` are those of a time, where it is no ISO 8601 or has a zone of its own. `at_least`: the value is 1
    from there on and 0 below, so that a score becomes a prediction.
    """

    form: str
    column: str = ""
    value: Any = None
    reading: str | None = None
    format: str | None = None
    zone: tzinfo | None = None
    at_least: float | None = None


def field_of(keys: Keys, key: str, form: str) -> Field:
    found = keys.body[key]
    expected = 'a column name, {column = "name"}, or {value = "the same for every row"}'
    if isinstance(found, str) and found:
        return Field(form, column=found)
    if not isinstance(found, dict) or ("column" in found) == ("value" in found):
        keys.bad_value(key, found, expected)
        return Field(form)
    inner = Keys(found, f"{keys.prefix}{key}.", ("column", "value", "as", *_OPTIONS), keys.problems)
    allowed = _READINGS.get(form, ())
    reading = inner.choice("as", allowed, "") if "as" in found and allowed else None
    if "as" in found and not allowed:
        inner.bad_value("as", found["as"], f"no `as` for a {form}")
    for option, of in _OPTIONS.items():
        if option in found and form != of:
            inner.bad_value(option, found[option], f"no `{option}` for a {form}")
    return Field(
        form,
        inner.text("column", "") if "column" in found else "",
        found.get("value"),
        reading,
        inner.read("format", _format, None, _FORMAT) if "format" in found else None,
        inner.read("zone", zone, None, ZONE) if "zone" in found else None,
        inner.number("at_least", -WIDEST, WIDEST),
    )


def form_of(wire: inspect.Type) -> str:
    """What the contract says of a field."""
    kinds = {type(part) for part in _parts(wire)} - {inspect.NoneType}
    if inspect.DateTimeType in kinds:
        return "time"
    if kinds in ({inspect.FloatType, inspect.StrType}, {inspect.FloatType, inspect.StrType, inspect.BoolType}):
        return "cell" if inspect.BoolType in kinds else "scalar"
    return _FORMS.get(next(iter(kinds)), "raw") if len(kinds) == 1 else "raw"


def _parts(wire: inspect.Type) -> tuple[inspect.Type, ...]:
    return wire.types if isinstance(wire, inspect.UnionType) else (wire,)


def entry_of(wire: inspect.Type) -> inspect.Type:
    """The type of the values of a field that holds several by name."""
    return next(part.value_type for part in _parts(wire) if isinstance(part, inspect.DictType))


def zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:
        raise ValueError('the name of a time zone, such as "UTC" or "America/New_York"') from error


def _format(form: str) -> str:
    try:
        datetime.strptime(datetime(2000, 1, 2).strftime(form), form)
    except ValueError as error:
        raise ValueError(_FORMAT) from error
    return form
