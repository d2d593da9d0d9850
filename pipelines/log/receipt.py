"""When a record counts as received: what every log stamps, wherever its appends lie. Times are microseconds since 1970."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from pipelines.errors import InputError
from pipelines.silver.frontier import AHEAD, from_the_future
from pipelines.silver.wire import Refused, decode

MICROSECOND = timedelta(microseconds=1)
BEYOND = 2200
"""A receipt that is claimed for this year or later is a mistake: what follows from it would lie where no clock can say it."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(NamedTuple):
    """The least receipt of what comes, and whether the last data came in by the log's own clock, not as history with its own."""

    floor: int
    live: bool


@dataclass(frozen=True)
class Stamped:
    """The records of one append, as they will stand; `after`: the log's clock then."""

    payloads: Sequence[bytes]
    received_at: Sequence[int]
    clock: str
    appended_at: int
    after: Clock


def stamped(payloads: Sequence[bytes], received_at: Sequence[datetime] | None, now: int, before: Clock) -> Stamped:
    """Data: received now, or when history claims, and never below the floor, which each asserted frontier lifts.

    Raises InputError `empty_append` or `received_at_invalid`.
    """
    if not payloads:
        raise InputError("empty_append", "append: no records; expected at least one")
    if received_at is not None and (
        len(received_at) != len(payloads) or any(at.tzinfo is None or at.year >= BEYOND for at in received_at)
    ):
        raise InputError(
            "received_at_invalid",
            f"append: {len(received_at)} receipt times for {len(payloads)} records; expected one each, with a time "
            f"zone, before the year {BEYOND}",
        )
    floor, claimed = before.floor, received_at is not None
    own = max(now, floor)
    times = [micros(at) for at in received_at] if received_at is not None else [own] * len(payloads)
    for i, payload in enumerate(payloads):
        times[i] = max(times[i], floor)
        if b"frontier" in payload or b"\\u00" in payload:
            floor = max(floor, asserted(payload, now))
    after = Clock(max(floor, 0 if claimed else own), not claimed)
    return Stamped(payloads, times, "claimed" if claimed else "log", now, after)


def declared(payloads: Sequence[bytes], now: int, before: Clock) -> Stamped:
    """Control events by the log's clock, which they leave as it is: they say nothing about the data's time."""
    return Stamped(payloads, [now] * len(payloads), "log", now, before)


def ticked(now: int, before: Clock) -> Stamped | None:
    """The present asserted as the frontier, where the last data came in by the log's own clock; else nothing.

    Time passes for a live log even when nothing happens; in a replay of history only the replay knows the time. A wall
    clock that was set back waits until it has caught up with the floor.
    """
    at = max(now, before.floor) + 1
    if not before.live or from_the_future(at, now):
        return None
    return Stamped([_control(moment(at))], [at], "log", now, Clock(at, live=True))


def frontier(at: datetime) -> bytes:
    """The control event that says: everything known before `at` has been logged. Raises InputError `frontier_from_the_future`."""
    now = datetime.now(UTC)
    if from_the_future(micros(at.astimezone(UTC)), micros(now)):
        raise InputError(
            "frontier_from_the_future",
            f"frontier {at.isoformat()}: it is {now.isoformat(timespec='seconds')} now; expected at most "
            f"{AHEAD // timedelta(minutes=1)} minutes later, since nobody knows what will have been logged by then. "
            "Assert a time that has passed; if receipts claim to be later, mend them, or this machine's clock.",
        )
    return _control(at.astimezone(UTC))


def asserted(payload: bytes, now: int) -> int:
    """The frontier that a record asserts, in microseconds; 0 for any other record, one that will be refused included."""
    decoded = decode(payload)
    event = None if isinstance(decoded, Refused) else decoded[0]
    at = getattr(event, "at", None) if getattr(event, "action", None) == "frontier" else None
    return micros(at) if at is not None and not from_the_future(micros(at), now) else 0


def micros(at: datetime) -> int:
    return (at - _EPOCH) // MICROSECOND


def moment(at: int) -> datetime:
    return _EPOCH + at * MICROSECOND


def _control(at: datetime) -> bytes:
    return msgspec.json.encode({"kind": "control", "action": "frontier", "at": at.isoformat().replace("+00:00", "Z")})
