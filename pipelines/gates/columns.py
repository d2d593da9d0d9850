"""The columns of a suite out of a table: what lies within JSON objects and maps beside what is a column already."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa

from pipelines.silver.rules import MAPS


def columns(rows: pa.Table, names: Iterable[str]) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """The columns of these names, and of those that no row has: the names that there are instead.

    Numbers are doubles, and minus zero is zero; what is mixed in one column stays as it is; null is null.
    """
    found: dict[str, pd.Series] = {}
    absent: dict[str, list[str]] = {}
    objects: dict[str, list[dict[str, Any]]] = {}
    for name in dict.fromkeys(names):
        held, dot, key = name.partition(".")
        if not dot or held not in MAPS or held not in rows.column_names:
            found[name] = _plain(rows[name])
            continue
        if held not in objects:
            objects[held] = _objects(rows[held])
        values = [one.get(key) for one in objects[held]]
        if rows.num_rows and all(value is None for value in values):
            there = sorted({other for one in objects[held] for other in one})
            if key not in there:
                absent[name] = [f"{held}.{other}" for other in there]
        found[name] = _mixed(values)
    return pd.DataFrame(found, index=pd.RangeIndex(rows.num_rows)), absent


def _plain(column: pa.ChunkedArray) -> pd.Series:
    if pa.types.is_decimal(column.type):
        return pd.Series([None if value is None else float(value) for value in column.to_pylist()], dtype="float64")
    if pa.types.is_integer(column.type) and column.null_count:
        return column.cast(pa.float64()).to_pandas()
    if pa.types.is_floating(column.type):
        return column.to_pandas() + 0.0
    return column.to_pandas()


def _objects(column: pa.ChunkedArray) -> list[dict[str, Any]]:
    """Each row's JSON object or map; an empty one where there is none."""
    if pa.types.is_string(column.type):
        decode = msgspec.json.Decoder(dict[str, Any]).decode
        return [{} if text is None else decode(text) for text in column.to_pylist()]
    if pa.types.is_map(column.type) and pa.types.is_decimal(column.type.item_type):
        return [{} if pairs is None else {key: float(value) for key, value in pairs} for pairs in column.to_pylist()]
    return [dict(pairs) if pairs else {} for pairs in column.to_pylist()]


def _mixed(values: list[Any]) -> pd.Series:
    kinds = {type(value) for value in values}
    if kinds - {type(None)} and kinds <= {float, int, type(None)}:
        return pd.Series(np.array(values, dtype="float64") + 0.0)
    return pd.Series([value + 0.0 if type(value) is float else value for value in values], dtype="object")
