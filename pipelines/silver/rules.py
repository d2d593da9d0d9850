"""Row rules: what a model expects of each inference, in the words of Great Expectations, as the log declares it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from pipelines.definition import canonical, digest
from pipelines.errors import ConfigError
from pipelines.silver.sent import LIMIT

MAPS = ("features", "segments", "scores", "measures")
"""Columns of a rule are `features.NAME` and the like …"""
FIELDS = ("prediction", "prediction_text", "score", "asked", "version", "subject", "session")
"""… and these."""
MOST = 1000
"""Rules of one model."""

_Number = Annotated[float, Meta(ge=-LIMIT, le=LIMIT)]
_Count = Annotated[int, Meta(ge=0, le=1_000_000)]


class _Nothing(Struct, forbid_unknown_fields=True):
    pass


class _Between(Struct, forbid_unknown_fields=True):
    min_value: _Number | None
    max_value: _Number | None
    strict_min: bool
    strict_max: bool


class _Lengths(Struct, forbid_unknown_fields=True):
    min_value: _Count | None
    max_value: _Count | None
    strict_min: bool
    strict_max: bool


class _Set(Struct, forbid_unknown_fields=True):
    value_set: Annotated[list[_Number | str | bool], Meta(min_length=1, max_length=10_000)]


class _Regex(Struct, forbid_unknown_fields=True):
    regex: Annotated[str, Meta(min_length=1, max_length=10_000)]


class Rule(Struct, forbid_unknown_fields=True):
    """One rule: a type of expectation, the column it is about, and every argument of it."""

    type: str
    column: str
    kwargs: dict[str, Any]

    def told(self) -> str:
        """The rule as it reads in a suite, without the arguments that say nothing."""
        said = {name: value for name, value in self.kwargs.items() if value is not None and value is not False}
        return f"{self.type}{msgspec.json.encode(said).decode() if said else ''}"


class _Body(Struct, forbid_unknown_fields=True):
    rules: Annotated[list[Rule], Meta(max_length=MOST)]


@dataclass(frozen=True)
class RowRules:
    """The row rules of a model: they hold for inferences at log offsets above `offset`, until others of the model are declared.

    None of them: whatever was expected before is not any more.
    """

    model: str
    rules: tuple[Rule, ...]
    offset: int = -1

    @property
    def hash(self) -> str:
        return digest(self.body())

    def body(self) -> dict[str, Any]:
        """The value that a control event carries and the hash is made of."""
        return {"rules": [msgspec.structs.asdict(rule) for rule in self.rules]}

    @classmethod
    def of(cls, model: str, body: dict[str, Any], offset: int = -1) -> RowRules:
        """The rules that a control event carries, declared at this offset. Raises ConfigError `expectation_invalid`."""
        try:
            rules = msgspec.convert(body, _Body).rules
            for rule in rules:
                check(rule)
        except ValueError as error:
            raise ConfigError(
                "expectation_invalid",
                f"log offset {offset}: the control event holds no row rules ({error}); expected the body that `hindsight run` writes",
            ) from error
        return cls(model, tuple(rules), offset)

    def control(self) -> bytes:
        """The control event that declares them."""
        event = {"kind": "control", "action": "expect", "model": self.model, "definition": self.hash, "body": self.body()}
        return canonical(event)


def check(rule: Rule) -> None:
    """Raises ValueError where a rule says nothing that could hold: of no known type or column, without bounds, against itself."""
    if rule.type not in ARGUMENTS:
        raise ValueError(f"{rule.type} is no row rule")
    name, dot, key = rule.column.partition(".")
    if not (name in MAPS and 0 < len(key) <= 128 if dot else name in FIELDS):
        raise ValueError(f"{rule.column} is no column of inferences")
    check_arguments(rule.type, rule.kwargs)


def check_arguments(type_: str, given: dict[str, Any]) -> None:
    """Raises ValueError where the arguments of a type of rules are not its own, or contradict each other."""
    kwargs = msgspec.convert(given, ARGUMENTS[type_])
    if isinstance(kwargs, _Between | _Lengths):
        _check_bounds(kwargs)
    if isinstance(kwargs, _Regex):
        try:
            re.compile(kwargs.regex)
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(f"regex {kwargs.regex!r:.80} does not compile: {error}") from error


def _check_bounds(kwargs: _Between | _Lengths) -> None:
    low, high = kwargs.min_value, kwargs.max_value
    if low is None and high is None:
        raise ValueError("min_value and max_value are both null")
    if low is None or high is None:
        return
    if low > high or (low == high and (kwargs.strict_min or kwargs.strict_max)):
        raise ValueError(f"nothing lies between min_value {low!r} and max_value {high!r}")


_VALUES = "expect_column_values_to_"
NOT_NULL = f"{_VALUES}not_be_null"
ARGUMENTS: dict[str, type[Struct]] = {
    NOT_NULL: _Nothing,
    f"{_VALUES}be_between": _Between,
    f"{_VALUES}be_in_set": _Set,
    f"{_VALUES}not_be_in_set": _Set,
    f"{_VALUES}match_regex": _Regex,
    f"{_VALUES}not_match_regex": _Regex,
    "expect_column_value_lengths_to_be_between": _Lengths,
}
"""The types of expectations that are exact on single rows, and the arguments of each."""
