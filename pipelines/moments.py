"""Points in time as other people's files hold them, as RFC 3339 in UTC."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Any

EPOCHS = {
    "seconds": timedelta(seconds=1),
    "milliseconds": timedelta(milliseconds=1),
    "microseconds": timedelta(microseconds=1),
}
"""Units in which files count time since 1970-01-01T00:00:00Z."""

_ORIGIN = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_DIGITS = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?([eE]\+?[0-9]{1,2})?")


def instant(
    value: Any, zone: tzinfo | None = None, epoch: str | None = None, form: str | None = None
) -> datetime | None:
    """The point in time that a value means, in UTC; None where it means none.

    A time without offset is one of `zone` (the first, in an hour that occurs twice), and none without a zone. A number,
    or a text of digits, counts `epoch` (a name of EPOCHS) since 1970, and is no time without it. A date is a midnight.
    A text is ISO 8601, or of `form`, as strptime has it: "%d.%m.%Y %H:%M".
    """
    try:
        if form and isinstance(value, str):
            at = datetime.strptime(value.strip(), form)
        elif isinstance(value, str) and not (epoch and _DIGITS.fullmatch(value)):
            at = datetime.fromisoformat(value.strip())
        elif isinstance(value, datetime):
            at = value
        elif isinstance(value, date):
            at = datetime(value.year, value.month, value.day)
        else:
            return _counted(value, epoch)
        if at.tzinfo is None:
            if zone is None:
                return None
            at = at.replace(tzinfo=zone)
        return at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def rfc3339(at: datetime) -> str:
    """A point in time as events carry it."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _counted(value: Any, epoch: str | None) -> datetime | None:
    if epoch is None or isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        return None
    try:
        micros = int(Decimal(repr(value) if isinstance(value, float) else value) * (EPOCHS[epoch] // _MICROSECOND))
    except (InvalidOperation, ValueError, OverflowError):
        return None
    return _ORIGIN + micros * _MICROSECOND
