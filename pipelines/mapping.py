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

from msgspec import inspect

from pipelines.cells import number, plain, pointed, text
from pipelines.errors import ConfigError
from pipelines.fields import ZONE, Field, entry_of, field_of, form_of, zone
from pipelines.keys import Keys
from pipelines.moments import instant, rfc3339
from pipelines.problems import Problems
from pipelines.quantities import read_toml
from pipelines.silver.wire import KINDS

Row = Rows[str, Any]
_OWN_TIME = {"inference": "served_at", "feedback": "given_at"}
_ID = {"inference": "request_id", "feedback": "feedback_id"}


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
    comma: bool
    digest: str

    @property
    def columns(self) -> list[str]:
        """Every column it names."""
        found: dict[str, None] = {}
        for section in self.sections:
            fields = [*section.fields.values(), *(f for table in section.tables.values() for f in table.values())]
            found.update({field.column: None for field in [*fields, *section.received] if field.column})
        return list(found)

    @property
    def models(self) -> set[str]:
        """The models that it names itself, instead of a column."""
        named = (section.fields.get("model") for section in self.sections)
        return {field.value for field in named if field and isinstance(field.value, str)}

    def events(self, row: Row) -> list[tuple[bytes, datetime | None]]:
        """The events of a row, and when each was received; feedback only where there is a value, or one is withdrawn.

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
        value, action = (section.fields.get(name) for name in ("value", "action"))
        if section.kind != "feedback" or value is None or self._read(value, row) is not None:
            return True
        return action is not None and self._read(action, row) == "withdraw"

    def _event(self, section: Section, row: Row) -> dict[str, Any]:
        event: dict[str, Any] = {"kind": section.kind}
        for name, field in section.fields.items():
            event[name] = self._read(field, row)
        for name, table in section.tables.items():
            values = {key: self._read(field, row) for key, field in table.items()}
            event[name] = {key: value for key, value in values.items() if value is not None} or None
        return {name: value for name, value in event.items() if value is not None}

    def _received(self, section: Section, row: Row) -> datetime | None:
        times = (self._instant(field, self._found(field, row)) for field in section.received)
        return next((at for at in times if at is not None), None)

    def _instant(self, field: Field, value: Any) -> datetime | None:
        return instant(value, field.zone or self.zone, field.reading, field.format)

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
            at = self._instant(field, value)
            return plain(value) if at is None else rfc3339(at)
        if field.form == "text" or field.reading == "text":
            return text(value)
        if field.form in ("number", "scalar") or (field.form == "cell" and isinstance(value, str)):
            found = number(pointed(value) if self.comma else value)
            if field.at_least is None or isinstance(found, str):
                return found
            return int(found >= field.at_least)
        return plain(value)


def load_mapping(path: Path) -> Mapping:
    """A mapping file. Raises ConfigError as `models.load_model` does."""
    body = read_toml(path)
    problems = Problems(str(path))
    top = Keys(body, "", ("source", *_ID), problems)
    source = Keys(top.table("source"), "source.", ("time_zone", "null", "delimiter", "decimal"), problems)
    sections = tuple(_section(kind, top.table(kind), problems) for kind in _ID if kind in body)
    if not sections:
        problems.missing("[inference] or [feedback]", "at least one of the two")
    mapping = Mapping(
        sections,
        source.read("time_zone", zone, None, ZONE),
        frozenset(["", *(source.strings("null", []))]),
        source.text("delimiter", ","),
        source.choice("decimal", (".", ","), ".") == ",",
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
        if name in body and form_of(wire) == "table" and isinstance(body[name], dict) and "column" not in body[name]:
            entries = Keys(body[name], f"{kind}.{name}.", body[name], problems)
            form = form_of(entry_of(wire))
            tables[name] = {key: field_of(entries, key, form) for key in body[name]}
        elif name in body:
            fields[name] = field_of(keys, name, form_of(wire))
    for column in KINDS[kind].sent:
        if not column.nullable and column.name not in (*body, _ID[kind]):
            problems.missing(f"{kind}.{column.name}", 'a column, or {value = "the same for every row"}')
    received = [field_of(keys, "received_at", "time")] if "received_at" in body else []
    received += [fields[_OWN_TIME[kind]]] if _OWN_TIME[kind] in fields else []
    return Section(kind, fields, tables, tuple(received))
