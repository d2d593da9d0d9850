"""What an argument of a command may be: a text becomes a value, or is refused with what was expected."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime


def instant(text: str) -> datetime:
    """A time of ISO 8601; without an offset it is UTC."""
    try:
        at = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time; expected ISO 8601, such as 2013-01-25T00:00Z"
        ) from error
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def pair(text: str) -> tuple[str, str]:
    """FIELD=VALUE."""
    field, sign, value = text.partition("=")
    if not field or not sign:
        raise argparse.ArgumentTypeError(f"{text!r} is no segment; expected FIELD=VALUE, such as origin=JFK")
    return field, value


def count(text: str) -> int:
    """A whole number above 0."""
    if not text.isdecimal() or not 0 < int(text) < 2**31 - 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no count; expected a whole number above 0, such as 50")
    return int(text)


def positive(text: str) -> float:
    """A pace."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no pace; expected a number above 0, such as 3600 for an hour a second"
        )
    return value
