"""How a mistake is told, also one that no command foresaw: in a paragraph, with a code, and what to do."""

from __future__ import annotations

import errno
import json
import os
import re
import sqlite3
import sys
import tempfile
import traceback

from pipelines.errors import HindsightError, InputError, MachineError, StateError, causes, disk_full

_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_NO_FOLDER = (errno.ENOTDIR, errno.EEXIST)


def tell(error: Exception, *, as_json: bool) -> int:
    """Say what went wrong; the exit code."""
    if isinstance(error, BrokenPipeError):
        # whoever reads the answer has seen enough, as `head` has; the interpreter's own last flush shall not fail
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    found = named(error)
    if as_json:
        print(json.dumps({"error": found.code, "message": found.message}))
    print(f"hindsight: {found}", file=sys.stderr)
    return found.exit_code


def named(error: Exception) -> HindsightError:
    """The error that a person can act on.

    MachineError no_permission, disk_full, java_ended, InputError not_a_folder or name_too_long, StateError log_busy, else unexpected.
    """
    full = disk_full(error)
    if full is not None:
        return full
    for one in causes(error):
        if isinstance(one, HindsightError):
            return one
        if (refused := _refused(one)) is not None:
            return refused
        if isinstance(one, sqlite3.OperationalError) and "locked" in str(one):
            return StateError("log_busy", "another process has been writing to the log for a minute. Try again when it is done.")
    if java_ended(error):
        return MachineError(
            "java_ended",
            "the Java process in which Spark runs has ended: it was killed, or had no memory left (spark.memory of settings.toml). "
            "Start the same again: it goes on where it was. What Java said last is in _logs/spark.log of the lake.",
        )
    return _unexpected(error)


def _refused(error: BaseException) -> HindsightError | None:
    """What the system did not let happen, where a person can."""
    number = _number(error)
    if number in _FORBIDDEN:
        advice = "give this user the right to it, or name another folder with --lake or --conf."
        return MachineError("no_permission", f"{_said(error)}: {advice}")
    if number == errno.ENAMETOOLONG:
        return InputError("name_too_long", "a file or folder was named in more letters than the file system takes; name a shorter one.")
    if number in _NO_FOLDER:
        return InputError("not_a_folder", f"{_said(error)}: a file stands where a folder is expected; name another.")
    return None


def java_ended(error: BaseException) -> bool:
    """Whether this came of a JVM that is no more."""
    return any(
        type(one).__name__ == "Py4JNetworkError" or (isinstance(one, ConnectionError) and not isinstance(one, BrokenPipeError))
        for one in causes(error)
    )


def _unexpected(error: Exception) -> HindsightError:
    with tempfile.NamedTemporaryFile("w", prefix="hindsight-", suffix=".txt", delete=False, encoding="utf-8") as file:
        traceback.print_exception(error, file=file)
    return HindsightError("unexpected", f"{_said(error)}. That should not happen; please report it with the trace in {file.name}.")


def _said(error: BaseException) -> str:
    """The first line of what it says of itself."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _number(error: BaseException) -> int | None:
    """Which error of the system it is, also where a library put it into words."""
    found = re.search(r"\(os error (\d+)\)", str(error)) if isinstance(error, Exception) else None
    return int(found[1]) if found else getattr(error, "errno", None) if isinstance(error, OSError) else None
