"""Row rules as predicates over columns: which inferences break one, and how.

They mean what the same expectations mean to Great Expectations on pandas, row by row: null breaks `not_be_null` alone, a truth
value counts as 0 or 1 beside numbers, a pattern is searched in what Python's `str` makes of a value. A value of another type
than the bounds it is held against breaks the rule; there Great Expectations fails the expectation as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.exact import UNIT, whole
from pipelines.silver.rules import NOT_NULL, Rule


def unexpected(events: Sequence[Any], rules: Sequence[Rule]) -> Iterator[tuple[int, str]]:
    """The inferences that break a rule, by their place in `events`, with the first that they break and the value found."""
    first = np.full(len(events), -1)
    columns = {rule.column: Column(values_of(rule.column, events)) for rule in rules}
    for number, rule in enumerate(rules):
        first[(first < 0) & broken(rule, columns[rule.column])] = number
    for place in np.flatnonzero(first >= 0).tolist():
        rule = rules[first[place]]
        value = columns[rule.column].values[place]
        found = "missing" if value is None else f"{value!r:.80}"
        yield place, f"{rule.column} is {found}; expected {rule.told()}"


def values_of(column: str, events: Sequence[Any]) -> list[Any]:
    """One column of inferences, as their tables hold it."""
    name, dot, key = column.partition(".")
    if dot:
        held = [getattr(event, name) for event in events]
        found = [None if one is None else one.get(key) for one in held]
        if name == "measures":
            return [None if one is None else whole(one) / UNIT for one in found]
        return found
    if name in ("prediction", "prediction_text"):
        textual = name == "prediction_text"
        return [event.prediction if isinstance(event.prediction, str) == textual else None for event in events]
    return [getattr(event, name) for event in events]


@dataclass(frozen=True)
class Column:
    """Values, null among them, and what the rules compare: as numbers and as texts where they are such, and spelled out."""

    values: list[Any]

    @cached_property
    def plain(self) -> pa.Array | None:
        """The values as they are, where they are of one type."""
        try:
            return pa.array(self.values)
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            return None

    @cached_property
    def there(self) -> NDArray[np.bool_]:
        if self.plain is None:
            return np.array([value is not None for value in self.values], dtype=bool)
        found: NDArray[np.bool_] = self.plain.is_valid().to_numpy(zero_copy_only=False)
        return found

    @cached_property
    def numbers(self) -> pa.Array:
        """Truth values are 0 and 1, and minus zero is zero."""
        found = self.plain
        if found is None:
            found = pa.array([float(value) if isinstance(value, int | float) else None for value in self.values], pa.float64())
        elif pa.types.is_string(found.type):
            return pa.nulls(len(found), pa.float64())
        return pc.add(found.cast(pa.float64()), 0.0)

    @cached_property
    def texts(self) -> pa.Array:
        if self.plain is not None:
            return self.plain if pa.types.is_string(self.plain.type) else pa.nulls(len(self.plain), pa.string())
        return pa.array([value if isinstance(value, str) else None for value in self.values], pa.string())

    @cached_property
    def spelled(self) -> pa.DictionaryArray:
        """By distinct value: a pattern is searched in each once."""
        if self.plain is not None and pa.types.is_string(self.plain.type):
            return self.plain.dictionary_encode()
        return pa.array([_spelled(value) for value in self.values], pa.string()).dictionary_encode()


def _spelled(value: Any) -> str | None:
    return None if value is None else str(value + 0.0 if isinstance(value, float) else value)


def broken(rule: Rule, column: Column) -> NDArray[np.bool_]:
    """Which values break a rule."""
    if rule.type == NOT_NULL:
        return ~column.there
    holds = _HOLDS[rule.type](column, **rule.kwargs)
    kept: NDArray[np.bool_] = pc.fill_null(holds, False).to_numpy(zero_copy_only=False)
    return column.there & ~kept


def _between(column: Column, **bounds: Any) -> pa.Array:
    return _within(column.numbers, **bounds)


def _within(values: pa.Array, *, min_value: Any, max_value: Any, strict_min: bool, strict_max: bool) -> pa.Array:
    low = None if min_value is None else (pc.greater if strict_min else pc.greater_equal)(values, min_value)
    high = None if max_value is None else (pc.less if strict_max else pc.less_equal)(values, max_value)
    return high if low is None else low if high is None else pc.and_(low, high)


def _lengths(column: Column, **bounds: Any) -> pa.Array:
    spelled = column.spelled
    return _within(pc.utf8_length(spelled.dictionary), **bounds).take(spelled.indices)


def _in_set(column: Column, *, value_set: list[Any]) -> pa.Array:
    numbers = pa.array([float(value) + 0.0 for value in value_set if not isinstance(value, str)], pa.float64())  # to Arrow -0.0 is no 0.0
    texts = pa.array([value for value in value_set if isinstance(value, str)], pa.string())
    return pc.or_(pc.is_in(column.numbers, numbers), pc.is_in(column.texts, texts))


def _not_in_set(column: Column, *, value_set: list[Any]) -> pa.Array:
    return pc.invert(_in_set(column, value_set=value_set))


def _match(column: Column, *, regex: str) -> pa.Array:
    """By Python's own patterns: Arrow's know other classes of characters."""
    search = re.compile(regex).search
    spelled = column.spelled
    found = [search(text) is not None for text in spelled.dictionary.to_pylist()]
    return pa.array(found, pa.bool_()).take(spelled.indices)


def _not_match(column: Column, *, regex: str) -> pa.Array:
    return pc.invert(_match(column, regex=regex))


_VALUES = "expect_column_values_to_"
_HOLDS: dict[str, Callable[..., pa.Array]] = {
    f"{_VALUES}be_between": _between,
    f"{_VALUES}be_in_set": _in_set,
    f"{_VALUES}not_be_in_set": _not_in_set,
    f"{_VALUES}match_regex": _match,
    f"{_VALUES}not_match_regex": _not_match,
    "expect_column_value_lengths_to_be_between": _lengths,
}
"""Where a value holds; null: it is of another type."""
