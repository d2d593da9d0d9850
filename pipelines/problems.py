"""All that is wrong with one thing, gathered and then raised at once, so that nobody mends a file one run at a time."""

from __future__ import annotations

from collections.abc import Iterable

from pipelines.errors import HindsightError, nearest


class Problems:
    """What was found wrong in `where`. `close` raises it as one error, counted, with the code of the first problem."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.found: list[tuple[str, str]] = []

    def add(self, code: str, text: str) -> None:
        self.found.append((code, text))

    def unknown(self, where: str, key: str, known: Iterable[str]) -> None:
        """A key that nobody reads."""
        names = list(known)
        self.add("unknown_key", f"{where}: unknown key{nearest(key, names)}; expected one of {', '.join(names)}")

    def missing(self, where: str, expected: str) -> None:
        self.add("missing_key", f"{where}: missing; expected {expected}")

    def wrong_type(self, where: str, found: object, expected: str) -> None:
        self.add("wrong_type", f"{where}: expected {expected}, found {toml_name(found)} {found!r}")

    def bad_value(self, where: str, found: object, expected: str) -> None:
        self.add("bad_value", f"{where}: expected {expected}, found {found!r}")

    def close(self, error: type[HindsightError], advice: str = "") -> None:
        """Raises `error` where anything was found."""
        if not self.found:
            return
        count = "1 problem" if len(self.found) == 1 else f"{len(self.found)} problems"
        lines = "".join(f"\n  - {text}" for _, text in self.found)
        raise error(self.found[0][0], f"{self.where}: {count}{lines}" + (f"\n{advice}" if advice else ""))


def toml_name(value: object) -> str:
    """What TOML calls a value's type."""
    names = {bool: "boolean", int: "integer", float: "float", str: "string", list: "array", dict: "table"}
    return f"the {names.get(type(value), type(value).__name__)}"
