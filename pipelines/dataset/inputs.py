"""What a model is given of a release, the same when it learns and when it is judged."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import pyarrow as pa

from pipelines.dataset.features import TAKEN

if TYPE_CHECKING:
    import pandas as pd


def inputs(rows: pa.Table, wanted: Mapping[str, pa.DataType] = MappingProxyType({})) -> pd.DataFrame:
    """The features of rows of a release: numbers and flags (1 and 0) as doubles, NaN where missing; texts, None where missing.

    A whole number is a double too, since JSON does not tell them apart; and a flag may be missing, which no column of flags can say.
    `wanted`: the types in which a model asks for some of them. Raises pyarrow.ArrowInvalid where a value is none of its type.
    """
    found = rows.select([name for name in rows.column_names if name not in TAKEN])
    for at, (name, kind) in enumerate(zip(found.column_names, found.schema.types, strict=True)):
        asked = wanted.get(name, pa.float64() if pa.types.is_boolean(kind) else kind)
        found = found.set_column(at, name, found[name].cast(asked))
    return found.to_pandas()
