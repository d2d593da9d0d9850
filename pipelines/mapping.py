"""Column mappings: how a row of somebody's own file becomes an inference, a judgement, or both.

A mapping file stands beside the model file, as NAME.import.toml; `hindsight model init` writes one to start from.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping as Rows
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import inspect

from pipelines.cells import number, plain, text
from pipelines.errors import ConfigError
from pipelines.keys import Keys
from pipelines.moments import EPOCHS, instant, rfc3339
from pipelines.problems import Problems
from pipelines.quantities import read_toml
from pipelines.silver.wire import KINDS

Row = Rows[str, Any]
_OWN_TIME = {"inference": "served_at", "feedback": "given_at"}
_ID = {"inference": "request_id", "feedback": "feedback_id"}
_FORMS: dict[type, str] = {
    inspect.FloatType: "number",
    inspect.StrType: "text",
    inspect.LiteralType: "text",
    inspect.DictType: "table",
}
_READINGS = {"time": tuple(EPOCHS), "scalar": ("number", "text")}


@dataclass(frozen=True)
class Field:
    """Where one field of an event comes from: a column, or the same value for every row.

    `form` is what the contract says of it: time, number, text, scalar (number or text), cell (anything flat) or raw.
    `reading` is how to take it: the unit of a time that is counted, or whether a scalar is a number or a text.
    """

    form: str
    column: str = ""
    value: Any = None
    reading: str | None = None


@dataclass(frozen=True)
class Section:
    """One event per row. `tables` are the fields that hold several columns by name, such as segments.

    `received` says when the event was known, for an import of history: the first of these that is a time.
    """

    kind: str
    fields: Rows[str, Field]
    tables: Rows[str, Rows[str, Field]]
    received: tuple[Field, ...]


@dataclass(frozen=True)
class Mapping:
    """A mapping file as read; `digest` changes with its content."""

    sections: tuple[Section, ...]
    zone: tzinfo | None
    null: frozenset[str]
    delimiter: str
    digest: str

    @property
    def columns(self) -> list[str]:
        """Every column it names."""
        found: dict[str, None] = {}
        for section in self.sections:
            fields = [*section.fields.values(), *(f for table in section.tables.values() for f in table.values())]
            found.update({field.column: None for field in [*fields, *section.received] if field.column})
        return list(found)

    def events(self, row: Row) -> list[tuple[bytes, datetime | None]]:
        """The events of a row, and when each was received; feedback only where there is a value.

        Where no column is the id, the content is: the same row is the same event. Feedback that names no request,
        session or subject is about the row's own inference.
        """
        found: list[tuple[bytes, datetime | None]] = []
        request: str | None = None
        for section in self.sections:
            if not self._speaks(section, row):
                continue
            event = self._event(section, row)
            if (
                section.kind == "feedback"
                and request
                and not {"request_id", "session", "subject"} & set(section.fields)
            ):
                event["request_id"] = request
            if _ID[section.kind] not in section.fields:
                event[_ID[section.kind]] = "row-" + hashlib.sha256(encoded(event)).hexdigest()[:32]
            request = request or event.get("request_id")
            found.append((encoded(event), self._received(section, row)))
        return found

    def _speaks(self, section: Section, row: Row) -> bool:
        value = section.fields.get("value")
        return section.kind != "feedback" or value is None or self._read(value, row) is not None

    def _event(self, section: Section, row: Row) -> dict[str, Any]:
        event: dict[str, Any] = {"kind": section.kind}
        for name, field in section.fields.items():
            event[name] = self._read(field, row)
        for name, table in section.tables.items():
            values = {key: self._read(field, row) for key, field in table.items()}
            event[name] = {key: value for key, value in values.items() if value is not None} or None
        return {name: value for name, value in event.items() if value is not None}

    def _received(self, section: Section, row: Row) -> datetime | None:
        times = (instant(self._found(field, row), self.zone, field.reading) for field in section.received)
        return next((at for at in times if at is not None), None)

    def _found(self, field: Field, row: Row) -> Any:
        """What a row holds for a field; None for an empty cell."""
        value = row.get(field.column) if field.column else field.value
        empty = (isinstance(value, float) and math.isnan(value)) or (isinstance(value, str) and value in self.null)
        return None if empty else value

    def _read(self, field: Field, row: Row) -> Any:
        value = self._found(field, row)
        if value is None:
            return None
        if field.form == "time":
            at = instant(value, self.zone, field.reading)
            return plain(value) if at is None else rfc3339(at)
        if field.form == "text" or field.reading == "text":
            return text(value)
        if field.form in ("number", "scalar") or (field.form == "cell" and isinstance(value, str)):
            return number(value)
        return plain(value)


def load_mapping(path: Path) -> Mapping:
    """A mapping file. Raises ConfigError as `models.load_model` does."""
    body = read_toml(path)
    problems = Problems(str(path))
    top = Keys(body, "", ("source", *_ID), problems)
    source = Keys(top.table("source"), "source.", ("time_zone", "null", "delimiter"), problems)
    sections = tuple(_section(kind, top.table(kind), problems) for kind in _ID if kind in body)
    if not sections:
        problems.missing("[inference] or [feedback]", "at least one of the two")
    mapping = Mapping(
        sections,
        source.read("time_zone", _zone, None, 'the time zone of times without an offset, such as "UTC"'),
        frozenset(["", *(source.strings("null", []))]),
        source.text("delimiter", ","),
        hashlib.sha256(path.read_bytes()).hexdigest()[:16],
    )
    if len(mapping.delimiter) != 1:
        source.bad_value("delimiter", mapping.delimiter, "one character")
    problems.close(ConfigError)
    return mapping


def encoded(event: Any) -> bytes:
    """An event as JSON. Bytes that were not UTF-8 in the file are what they were, so that refine can say so."""
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogateescape")


def _section(kind: str, body: dict[str, Any], problems: Problems) -> Section:
    known = {column.name: inspect.type_info(column.wire) for column in KINDS[kind].sent}
    keys = Keys(body, f"{kind}.", (*known, "received_at"), problems)
    fields: dict[str, Field] = {}
    tables: dict[str, dict[str, Field]] = {}
    for name, wire in known.items():
        if name in body and _form(wire) == "table" and isinstance(body[name], dict) and "column" not in body[name]:
            entries = Keys(body[name], f"{kind}.{name}.", body[name], problems)
            form = _form(_entry(wire))
            tables[name] = {key: _field(entries, key, form) for key in body[name]}
        elif name in body:
            fields[name] = _field(keys, name, _form(wire))
    for column in KINDS[kind].sent:
        if not column.nullable and column.name not in (*body, _ID[kind]):
            problems.missing(f"{kind}.{column.name}", 'a column, or {value = "the same for every row"}')
    received = [_field(keys, "received_at", "time")] if "received_at" in body else []
    received += [fields[_OWN_TIME[kind]]] if _OWN_TIME[kind] in fields else []
    return Section(kind, fields, tables, tuple(received))


def _field(keys: Keys, key: str, form: str) -> Field:
    found = keys.body[key]
    expected = 'a column name, {column = "name"}, or {value = "the same for every row"}'
    if isinstance(found, str) and found:
        return Field(form, column=found)
    if not isinstance(found, dict) or ("column" in found) == ("value" in found):
        keys.bad_value(key, found, expected)
        return Field(form)
    inner = Keys(found, f"{keys.prefix}{key}.", ("column", "value", "as"), keys.problems)
    allowed = _READINGS.get(form, ())
    reading = inner.choice("as", allowed, "") if "as" in found and allowed else None
    if "as" in found and not allowed:
        inner.bad_value("as", found["as"], f"no `as` for a {form}")
    return Field(form, inner.text("column", "") if "column" in found else "", found.get("value"), reading)


def _form(wire: inspect.Type) -> str:
    """What the contract says of a field."""
    kinds = {type(part) for part in _parts(wire)} - {inspect.NoneType}
    if inspect.DateTimeType in kinds:
        return "time"
    if kinds in ({inspect.FloatType, inspect.StrType}, {inspect.FloatType, inspect.StrType, inspect.BoolType}):
        return "cell" if inspect.BoolType in kinds else "scalar"
    return _FORMS.get(next(iter(kinds)), "raw") if len(kinds) == 1 else "raw"


def _parts(wire: inspect.Type) -> tuple[inspect.Type, ...]:
    return wire.types if isinstance(wire, inspect.UnionType) else (wire,)


def _entry(wire: inspect.Type) -> inspect.Type:
    """The type of the values of a field that holds several by name."""
    return next(part.value_type for part in _parts(wire) if isinstance(part, inspect.DictType))


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:
        raise ValueError('the name of a time zone, such as "UTC" or "America/New_York"') from error
