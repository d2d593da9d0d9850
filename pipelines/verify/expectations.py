"""Row rules as the log's control events declare them: the verifier's own reading, and its own judgement, value by value."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from pipelines.verify.definitions import digest
from pipelines.verify.document import RefusedError

_MAPS = {"features", "segments", "scores", "measures"}
_FIELDS = {"prediction", "prediction_text", "score", "asked", "version", "subject", "session"}
_BOUNDS = {"min_value", "max_value", "strict_min", "strict_max"}
_NULL = "expect_column_values_to_not_be_null"
_BETWEEN = "expect_column_values_to_be_between"
_LENGTHS = "expect_column_value_lengths_to_be_between"
_AMONG = "expect_column_values_to_be_in_set"
_NOT_AMONG = "expect_column_values_to_not_be_in_set"
_MATCH = "expect_column_values_to_match_regex"
_NO_MATCH = "expect_column_values_to_not_match_regex"
_NINE = Decimal("1e-9")

Rules = list[dict[str, Any]]


class Expectations:
    """The row rules of each model: of those declared so far the last."""

    def __init__(self) -> None:
        self._of: dict[str, Rules] = {}

    def take(self, model: str, stated: str, body: dict[str, Any]) -> None:
        """Take in what a control event declares. Raises RefusedError `expectation_invalid`."""
        wrong = _problem(body)
        if not wrong and digest(body) != stated:
            wrong = f"the body's hash is {digest(body)}, not {stated}"
        if wrong:
            raise RefusedError("expectation_invalid", wrong)
        self._of[model] = body["rules"]

    def refuse(self, found: dict[str, Any]) -> None:
        """Refuse an inference that breaks a rule of its model. Raises RefusedError `expectation_failed`."""
        if found["status"] != "ok":
            return
        for rule in self._of.get(found["model"], ()):
            value = _value(found, rule["column"])
            if not (rule["type"] != _NULL if value is None else _holds(rule["type"], rule["kwargs"], value)):
                raise RefusedError("expectation_failed", f"{rule['column']} is {value!r:.80}; expected {rule}")


def _value(found: dict[str, Any], column: str) -> Any:
    name, dot, key = column.partition(".")
    if dot:
        value = found.get(name, {}).get(key)
        if name == "measures" and value is not None:
            return float(Decimal(repr(value)).quantize(_NINE, ROUND_HALF_UP))
        return value
    if name in ("prediction", "prediction_text"):
        value = found.get("prediction")
        return value if isinstance(value, str) == (name == "prediction_text") else None
    return found.get(name)


def _holds(type_: str, kwargs: dict[str, Any], value: Any) -> bool:
    """Whether a value that is there keeps a rule."""
    if type_ == _BETWEEN:
        return not isinstance(value, str) and _within(value, kwargs)
    if type_ == _LENGTHS:
        return _within(len(str(value)), kwargs)
    if type_ in (_AMONG, _NOT_AMONG):
        return (value in kwargs["value_set"]) == (type_ == _AMONG)
    if type_ in (_MATCH, _NO_MATCH):
        return (re.search(kwargs["regex"], str(value)) is not None) == (type_ == _MATCH)
    return True


def _within(value: float, kwargs: dict[str, Any]) -> bool:
    low, high = kwargs["min_value"], kwargs["max_value"]
    above = low is None or (value > low if kwargs["strict_min"] else value >= low)
    return above and (high is None or (value < high if kwargs["strict_max"] else value <= high))


def _problem(body: dict[str, Any]) -> str:
    """What keeps a body from being row rules; an empty string where nothing does."""
    rules = body.get("rules")
    if set(body) != {"rules"} or type(rules) is not list or len(rules) > 1000:
        return "the body holds no list of at most 1000 rules, or more than that"
    for number, rule in enumerate(rules):
        if type(rule) is not dict or set(rule) != {"type", "column", "kwargs"}:
            return f"rule {number} has not a type, a column and kwargs alone"
        wrong = _rule_problem(rule["type"], rule["column"], rule["kwargs"])
        if wrong:
            return f"rule {number}: {wrong}"
    return ""


def _rule_problem(type_: Any, column: Any, kwargs: Any) -> str:
    if type(column) is not str or type(type_) is not str or type(kwargs) is not dict:
        return "type and column are texts, kwargs are an object"
    name, dot, key = column.partition(".")
    if (name not in _MAPS or not 1 <= len(key) <= 128) if dot else name not in _FIELDS:
        return f"no column {column}"
    test = _TESTS.get(type_)
    return f"no row rule {type_}" if test is None else "" if test(kwargs) else f"kwargs {kwargs!r:.80}"


def _nothing(kwargs: dict[str, Any]) -> bool:
    return not kwargs


def _bounds(ends: Callable[[Any], bool]) -> Callable[[dict[str, Any]], bool]:
    def test(kwargs: dict[str, Any]) -> bool:
        if set(kwargs) != _BOUNDS or type(kwargs["strict_min"]) is not bool or type(kwargs["strict_max"]) is not bool:
            return False
        low, high = kwargs["min_value"], kwargs["max_value"]
        if not all(end is None or ends(end) for end in (low, high)) or (low is None and high is None):
            return False
        if low is None or high is None:
            return True
        strict = kwargs["strict_min"] or kwargs["strict_max"]
        return bool(low < high or (low == high and not strict))

    return test


def _number(value: Any) -> bool:
    return type(value) in (int, float) and -1e12 <= value <= 1e12


def _values(kwargs: dict[str, Any]) -> bool:
    found = kwargs.get("value_set")
    if set(kwargs) != {"value_set"} or type(found) is not list or not 1 <= len(found) <= 10_000:
        return False
    return all(type(value) in (str, bool) or _number(value) for value in found)


def _pattern(kwargs: dict[str, Any]) -> bool:
    regex = kwargs.get("regex")
    if set(kwargs) != {"regex"} or type(regex) is not str or not 1 <= len(regex) <= 10_000:
        return False
    try:
        re.compile(regex)
    except (re.error, RecursionError, OverflowError):
        return False
    return True


_TESTS: dict[str, Callable[[dict[str, Any]], bool]] = {
    _NULL: _nothing,
    _BETWEEN: _bounds(_number),
    _LENGTHS: _bounds(lambda end: type(end) is int and 0 <= end <= 1_000_000),
    _AMONG: _values,
    _NOT_AMONG: _values,
    _MATCH: _pattern,
    _NO_MATCH: _pattern,
}
