"""What can go wrong, by whose fault it is; every error has a stable `code` that scripts and tests may rely on."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class HindsightError(Exception):
    """An error that a person can act on: where, what was found, what was expected, what to do."""

    exit_code = 1

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.message} [{self.code}]"


class ConfigError(HindsightError):
    """The settings or a model file say something that cannot be done. Mend the file."""

    exit_code = 3


class InputError(HindsightError):
    """What was handed in (a file, an argument, a record) is not what was asked for. Mend the input."""

    exit_code = 2


class MachineError(HindsightError):
    """The machine lacks something: Java, a port, a registry, disk. Mend the machine."""

    exit_code = 4


class StateError(HindsightError):
    """What lies on disk does not allow this now: a lease is held, a checkpoint is gone, a table was replaced."""

    exit_code = 5


class ContractError(HindsightError):
    """A declaration in this code base is wrong. A programmer's mistake, raised at import."""


def nearest(word: str, known: Iterable[str]) -> str:
    """` (did you mean "x"?)`, or an empty string where nothing is near."""
    match = get_close_matches(word, list(known), n=1)
    return f' (did you mean "{match[0]}"?)' if match else ""
