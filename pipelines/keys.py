"""One table of a file, read key by key: what is wrong becomes a problem, and something harmless is read instead."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from pipelines.errors import nearest
from pipelines.problems import Problems

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\- ]{0,127}")
"""A model, a label, a score."""
FIELD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_\-]{0,127}")
"""A segment or a measure: it becomes part of other names."""


Value = TypeVar("Value")


def either(choices: Iterable[str]) -> str:
    return ", ".join(f'"{choice}"' for choice in choices)


class Keys:
    """The keys of a table; `prefix` is how the file names it, `known` are all that may be in it."""

    def __init__(self, body: dict[str, Any], prefix: str, known: Iterable[str], problems: Problems) -> None:
        self.body, self.prefix, self.problems = body, prefix, problems
        names = tuple(known)
        for key in body:
            if key not in names:
                problems.unknown(prefix + key, key, names)

    def bad_value(self, key: str, found: object, expected: str) -> None:
        self.problems.bad_value(self.prefix + key, found, expected)

    def table(self, key: str) -> dict[str, Any]:
        found = self._typed(key, (dict,), "a table", {})
        return dict(found)

    def text(self, key: str, default: str | None) -> str:
        """A string that is not empty; required where there is no default."""
        found = self._typed(key, (str,), "a string", default)
        if found == "":
            self.bad_value(key, found, "a string that is not empty")
        return str(found or "")

    def name(self, key: str) -> str:
        """A required name."""
        found = self.text(key, None)
        if found and not NAME.fullmatch(found):
            self.bad_value(key, found, "letters, digits, _, -, . and spaces, at most 128")
        return found

    def choice(self, key: str, choices: Iterable[str], default: str | None) -> str:
        names = tuple(choices)
        found = self._typed(key, (str,), f"one of {either(names)}", default)
        if found is not None and found not in names:
            self.bad_value(key, found, f"one of {either(names)}{nearest(found, names)}")
        return str(found or "")

    def flag(self, key: str, *, default: bool) -> bool:
        return bool(self._typed(key, (bool,), "true or false", default))

    def count(self, key: str, default: int) -> int:
        found = self._typed(key, (int,), "an integer of at least 1", default)
        if found < 1:
            self.bad_value(key, found, "an integer of at least 1")
        return int(found)

    def number(self, key: str, low: float, high: float) -> float | None:
        """A number within [low, high], as a float; None where the key is absent."""
        found = self._typed(key, (int, float), "a number", None) if key in self.body else None
        if found is not None and not low <= found <= high:
            self.bad_value(key, found, f"a number from {low:g} to {high:g}")
            return None
        return None if found is None else float(found) + 0.0

    def scalar(self, key: str, limit: float) -> float | str:
        """A required number (of at most this magnitude) or string; as a float, so that 1 and 1.0 are one value."""
        found = self._typed(key, (int, float, str), "a number or a string", None)
        if found == "" or (isinstance(found, int | float) and not abs(found) <= limit):
            self.bad_value(key, found, f"a number of at most {limit:g}, or a string that is not empty")
            return 0.0
        return found if isinstance(found, str) else float(found or 0) + 0.0

    def strings(
        self, key: str, default: list[str], choices: Iterable[str] = (), expected: str = "an array of strings"
    ) -> list[str]:
        """Strings, each once and none empty; of `choices` where there are any. Only good ones are returned."""
        found = self._typed(key, (list,), expected, default)
        allowed = tuple(choices)
        good: list[str] = []
        for entry in found:
            if type(entry) is not str:
                self.problems.wrong_type(self.prefix + key, entry, "strings")
            elif not entry or entry in good:
                self.bad_value(key, entry, "strings that are not empty, each once")
            elif allowed and entry not in allowed:
                self.bad_value(key, entry, f"any of {either(allowed)}{nearest(entry, allowed)}")
            else:
                good.append(entry)
        return good

    def pair(self, key: str, low: float, high: float) -> tuple[float, float]:
        """[least, greatest], within [low, high], which is the default."""
        found = self._typed(key, (list,), "[least, greatest]", [low, high])
        if len(found) != 2 or any(type(end) not in (int, float) for end in found):
            self.problems.wrong_type(self.prefix + key, found, "[least, greatest], two numbers")
            return low, high
        if not low <= found[0] < found[1] <= high:
            self.bad_value(key, found, f"[least, greatest] with least < greatest, within {low:g} to {high:g}")
            return low, high
        return float(found[0]) + 0.0, float(found[1]) + 0.0

    def read(self, key: str, reader: Callable[[str], Value], default: Value, example: str) -> Value:
        """A required string that `reader` understands (ValueError: what was expected)."""
        found = self._typed(key, (str,), example, None)
        try:
            return reader(found) if found is not None else default
        except ValueError as error:
            self.bad_value(key, found, str(error))
            return default

    def _typed(self, key: str, forms: tuple[type, ...], expected: str, default: Any) -> Any:
        """The value of a key where its type is one of `forms`; a key without default must be there."""
        if key not in self.body:
            if default is None:
                self.problems.missing(self.prefix + key, expected)
            return default
        if type(self.body[key]) not in forms:
            self.problems.wrong_type(self.prefix + key, self.body[key], expected)
            return default
        return self.body[key]
