"""What can go wrong, by whose fault it is; every error has a stable `code` that scripts and tests may rely on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

_FULL = ("No space left on device", "Disk quota exceeded", "database or disk is full")
"""How the operating system, and SQLite, say that a disk is full, through whatever library."""


class HindsightError(Exception):
    """An error that a person can act on: where, what was found, what was expected, what to do."""

    exit_code = 1

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.message} [{self.code}]"


class CheckError(HindsightError):
    """What was to be checked does not hold. Mend what was checked."""


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


def disk_full(error: BaseException) -> MachineError | None:
    """MachineError `disk_full` where a full disk is what led to an error; None where it is not."""
    for cause in causes(error):
        said = next((text for text in _FULL if text in str(cause) and not isinstance(cause, HindsightError)), None)
        if said or getattr(cause, "sqlite_errorname", "") == "SQLITE_IOERR_SHMSIZE":
            where = getattr(cause, "filename", None)
            return MachineError(
                "disk_full",
                f"{where or 'a disk is full'}: {said or cause}. Free some room and do it again: whatever was acknowledged is there, "
                "and nothing has to be mended by hand.",
            )
    return None


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error, and those that it came of."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__


def first_line(error: BaseException) -> str:
    """What an error says first: libraries add the stack of their own calls below it."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def nearest(word: str, known: Iterable[str]) -> str:
    """` (did you mean "x"?)`, or an empty string where nothing is near."""
    match = get_close_matches(word, list(known), n=1)
    return f' (did you mean "{match[0]}"?)' if match else ""
