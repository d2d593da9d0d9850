"""Decoded events as Arrow columns: what each kind of event says, as its table's columns hold it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, chain
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contract import Table
from pipelines.exact import amounts, whole
from pipelines.silver.tables import CONTROLS, FEEDBACK, INFERENCES


def _said(table: Table, *more: str) -> pa.DataType:
    """What an event says: the columns of its table that are made from the payload, all nullable."""
    names = {c.name for c in table.sent} | set(more)
    return pa.struct([pa.field(c.name, c.type) for c in table.columns if c.name in names])


SAID = {
    "inference": _said(INFERENCES, "prediction_text"),
    "feedback": _said(FEEDBACK, "value_text"),
    "control": _said(CONTROLS),
}
"""What an event of each kind says, as a row inside another row."""


def said(kind: str, events: Sequence[Any]) -> pa.StructArray:
    """What these events of one kind say."""
    type_ = SAID[kind]
    arrays = []
    for field in type_:
        source, make = _MADE_FROM.get(field.name, (field.name, None))
        values = [getattr(event, source) for event in events]
        if values.count(None) == len(values):
            arrays.append(pa.nulls(len(values), field.type))
        elif make is not None:
            arrays.append(make(values))
        elif pa.types.is_map(field.type):
            arrays.append(_maps(values, field.type))
        else:
            arrays.append(pa.array(values, field.type))
    return pa.StructArray.from_arrays(arrays, fields=list(type_))


def _numbers(values: list[Any]) -> pa.Array:
    """Minus zero is zero: no belief may depend on which of two equal votes came first."""
    return pc.add(pa.array([None if isinstance(value, str) else value for value in values], pa.float64()), 0.0)


def _texts(values: list[Any]) -> pa.Array:
    return pa.array([value if isinstance(value, str) else None for value in values], pa.string())


def _json(values: list[Any]) -> pa.Array:
    encode = msgspec.json.Encoder(order="sorted").encode
    return pa.array([None if value is None else encode(value) for value in values], pa.binary()).cast(pa.string())


def _slates(values: list[Any]) -> pa.Array:
    rows = [None if items is None else [msgspec.structs.asdict(item) for item in items] for items in values]
    return pa.array(rows, _type("items"))


def _arms(values: list[Any]) -> pa.Array:
    type_ = _type("experiments")
    return _maps(values, type_, lambda arms: pa.array([msgspec.structs.asdict(arm) for arm in arms], type_.item_type))


def _amounts(values: list[Any]) -> pa.Array:
    return _maps(values, _type("measures"), lambda numbers: amounts([whole(number) for number in numbers]))


def _maps(values: list[Any], type_: pa.MapType, items: Callable[[list[Any]], pa.Array] | None = None) -> pa.Array:
    """Objects as maps: all keys and all values each in one array, and where each object starts."""
    given = [value or {} for value in values]
    keys = list(chain.from_iterable(given))
    entries = list(chain.from_iterable(value.values() for value in given))
    starts: list[int | None] = [0, *accumulate(map(len, given))]
    for at, value in enumerate(values):
        if value is None:
            starts[at] = None
    return pa.MapArray.from_arrays(
        pa.array(starts, pa.int32()),
        pa.array(keys, pa.string()),
        items(entries) if items else pa.array(entries, type_.item_type),
        type=type_,
    )


def _type(column: str) -> Any:
    return SAID["inference"].field(column).type


_MADE_FROM: dict[str, tuple[str, Callable[[list[Any]], pa.Array]]] = {
    "prediction": ("prediction", _numbers),
    "prediction_text": ("prediction", _texts),
    "value": ("value", _numbers),
    "value_text": ("value", _texts),
    "features": ("features", _json),
    "inputs": ("inputs", _json),
    "output": ("output", _json),
    "body": ("body", _json),
    "measures": ("measures", _amounts),
    "experiments": ("experiments", _arms),
    "items": ("items", _slates),
}
"""Columns that are not their field as it stands: the field, and how the column is made of it."""
