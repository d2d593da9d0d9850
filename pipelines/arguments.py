"""What every command takes, and what an argument may be: a text becomes a value, or is refused with what was expected."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from textwrap import fill
from typing import NoReturn, TypeAlias

from pipelines.errors import InputError


class Parser(argparse.ArgumentParser):
    """One whose refusals are errors with a code, like all others."""

    def error(self, message: str) -> NoReturn:
        raise InputError("bad_usage", f"{message}. `{self.prog} --help` says what is expected.")


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


def command(known: Commands, name: str, run: object, meaning: str, example: str) -> Parser:
    """A command that asks or changes a lake."""
    made = grouped(known, name, meaning, example)
    made.set_defaults(run=run)
    made.add_argument("--lake", type=folder, metavar="DIR", help="folder of the lake (settings: lake.path)")
    made.add_argument("--conf", type=folder, metavar="DIR", help="folder of settings.toml and models/")
    made.add_argument("--json", action="store_true", help="print JSON")
    return made


def grouped(known: Commands, name: str, meaning: str, example: str) -> Parser:
    """A command without options of its own, such as one of several commands."""
    # raw: an example stays on one line, so that it can be copied
    return known.add_parser(
        name,
        help=meaning,
        description=fill(f"{meaning[0].upper()}{meaning[1:]}.", 100),
        epilog=f"example: {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def instant(text: str) -> datetime:
    """A time of ISO 8601; without an offset it is UTC, and a date alone is its midnight. Raises InputError not_a_time."""
    try:
        at = datetime.fromisoformat(text.replace("Z", "+00:00"))
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InputError(
            "not_a_time",
            f"{text!r} is no time; expected a date, such as 2013-01-25 (its midnight, UTC), or 2013-01-25T10:15Z",
        ) from error


def pair(text: str) -> tuple[str, str]:
    """FIELD=VALUE. Raises InputError not_a_segment."""
    field, sign, value = text.partition("=")
    if not field or not sign:
        raise InputError("not_a_segment", f"{text!r} is no segment; expected FIELD=VALUE, such as origin=JFK")
    return field, value


def segments(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """The value of each field. Raises InputError segment_twice: of two values of one field, neither is the one asked for."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise InputError("segment_twice", "--segment: a field has one value; ask again for another")
    return found


def count(text: str) -> int:
    """A whole number above 0. Raises InputError not_a_count."""
    if not text.isdecimal() or not 0 < int(text) < 2**31 - 1:
        raise InputError("not_a_count", f"{text!r} is no count; expected a whole number above 0, such as 50")
    return int(text)


def offset(text: str) -> int:
    """A position of the log. Raises InputError not_an_offset."""
    if not text.isdecimal() or int(text) >= 2**63:
        raise InputError("not_an_offset", f"{text!r} is no position of the log; expected a whole number from 0 on, such as 296")
    return int(text)


def folder(text: str) -> Path:
    """A folder. Raises InputError no_folder_named: an empty text would be the current one."""
    if not text.strip():
        raise InputError("no_folder_named", "the name of a folder is empty; expected one (--lake, --conf …). Is a variable not set?")
    return Path(text)


def utf8(text: str) -> str:
    """Any argument. Raises InputError not_utf8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError("not_utf8", f"{text!r} is not UTF-8, as all names and paths are expected to be") from error
    return text


def positive(text: str) -> float:
    """A pace. Raises InputError not_a_pace."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise InputError(
            "not_a_pace", f"{text!r} is no pace; expected a number above 0, such as 3600 for an hour a second"
        )
    return value
