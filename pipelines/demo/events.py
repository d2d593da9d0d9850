"""A year of real flights as a log of events: each is predicted at its scheduled departure, and judged when it lands.

Real are the flights, the weather, the instants, and the model that is fitted on the two weeks before. Drawn from the
seed are how long messages travel, how long a prediction takes, and the mischief of `mischief.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Any

import pandas as pd

from pipelines.demo import flights, model
from pipelines.demo.mischief import Mischief
from pipelines.demo.sender import Record, Said, Sender
from pipelines.errors import InputError
from pipelines.log import Log

START = datetime(2013, 1, 15, tzinfo=UTC)
"""When the model is fitted and begins to serve."""
WINDOW = timedelta(hours=48)
"""Attribution window of the label, as the model file declares it. The longest wait for a plane in 2013 was 33 hours."""
LONGEST = 351
"""Days from START to the end of 2013."""
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True)
class Batch:
    """What the log takes in during one hour of 2013.

    `payloads` in the order of receipt; `received_at` of each, which never falls, nor from one batch to the next. After
    the append `frontier` may be asserted: all that follows is received then or later. `sent` counts the payloads.
    """

    payloads: list[bytes]
    received_at: list[datetime]
    frontier: datetime
    sent: Mischief

    def append_to(self, log: Log) -> None:
        """Put it into a log."""
        if self.payloads:
            log.append(self.payloads, self.received_at)
        log.assert_frontier(self.frontier)


def replay(days: int = 28, seed: int = 0) -> Iterator[Batch]:
    """The flights that depart in the first `days` days from START, hour by hour; hours without a record are left out.

    The last batch has no payloads: its frontier lies where every label is mature. Equal arguments give equal bytes.
    Memory does not grow with `days`. Raises InputError days_out_of_range.
    """
    check(days)
    return _replay(days, seed)


def check(days: int) -> None:
    """Raises InputError days_out_of_range."""
    if not 1 <= days <= LONGEST:
        raise InputError("days_out_of_range", f"replay of {days} days: expected 1 to {LONGEST}, the rest of 2013")


def _replay(days: int, seed: int) -> Iterator[Batch]:
    rows = flights.load()
    fitted = model.fit(rows, pd.Timestamp(START))

    def january(departing: pd.DataFrame) -> list[Said]:
        return [Said(model.VERSION, score) for score in model.score(fitted, departing).tolist()]

    traffic = Traffic(rows, seed)
    for day in range(days):
        yield from traffic.day(day, january)
    yield from traffic.rest()


@dataclass
class Traffic:
    """Flights as events, one day of departures after the other; what a day leaves unsent comes with those after it."""

    rows: pd.DataFrame
    seed: int
    _until: datetime = START
    _pending: list[tuple[datetime, int, Record]] = field(default_factory=list)
    _order: Iterator[int] = field(default_factory=count)

    def day(self, number: int, says: Callable[[pd.DataFrame], Iterable[Said]]) -> Iterator[Batch]:
        """What is received on a day, UTC, counted from START, hour by hour; `says` scores the flights that depart on it."""
        begins = START + number * DAY
        first, end = self.rows.scheduled_at.searchsorted([pd.Timestamp(begins), pd.Timestamp(begins + DAY)])
        departing = self.rows[first:end]
        sender = Sender(Random(f"{self.seed} {number}"))
        for row, said in zip(departing.to_dict("records"), says(departing) if len(departing) else (), strict=True):
            for record in sender.flight(_plain(row), said):
                heappush(self._pending, (record.received_at, next(self._order), record))
        while self._until < begins + DAY:
            self._until += HOUR
            yield from _received_before(self._until, self._pending)

    def rest(self) -> Iterator[Batch]:
        """What comes after the last day, and a batch without payloads: its frontier lies where every label is mature."""
        ended = self._until
        while self._pending:
            self._until += HOUR
            yield from _received_before(self._until, self._pending)
        yield Batch([], [], max(self._until, ended + WINDOW), Mischief())


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row without its nulls, its times as plain ones."""
    known = {name: value for name, value in row.items() if pd.notna(value)}
    return {name: value.to_pydatetime() if isinstance(value, pd.Timestamp) else value for name, value in known.items()}


def _received_before(hour: datetime, pending: list[tuple[datetime, int, Record]]) -> Iterator[Batch]:
    """The batch of the records that are received before `hour`, if there are any; they leave `pending`."""
    taken: list[Record] = []
    while pending and pending[0][0] < hour:
        taken.append(heappop(pending)[2])
    if taken:
        marks = (mark for record in taken for mark in ("records", *record.marks))
        sent = Mischief.of(marks, (record.reason for record in taken if record.reason))
        yield Batch([record.payload for record in taken], [record.received_at for record in taken], hour, sent)
