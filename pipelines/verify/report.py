"""What a verification found: how much was compared, what differed, and why the expected value is what it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

EXAMPLES = 20
"""At most so many differences are explained; all are counted."""
PER_COMPARISON = 6
"""At most so many examples of one comparison, so that one broken table does not hide the others."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE, DAY = 60_000_000, 86_400_000_000
"""In microseconds, the unit of every time inside the verifier."""


def micros(at: datetime) -> int:
    """Microseconds since the epoch of an aware time."""
    return (at - EPOCH) // timedelta(microseconds=1)


def moment(at: int) -> datetime:
    """The time that lies so many microseconds after the epoch."""
    return EPOCH + timedelta(microseconds=at)


def spoken(at: int | None) -> str:
    """A time as RFC 3339 text, for keys and explanations."""
    return "null" if at is None else moment(at).isoformat().replace("+00:00", "Z")


@dataclass(frozen=True)
class Difference:
    """One key at which the lake does not hold what the log says.

    `as_of` is None when the whole log was compared. `explanation` names the events and log positions that lead to the
    expected value, `positions` the latter alone. `entries`: those of the ledger behind it, with what the log says of each.
    `held`: the rows that the lake holds under the key.
    """

    table: str
    key: dict[str, object]
    expected: object
    found: object
    as_of: datetime | None
    explanation: str
    positions: tuple[int, ...] = ()
    entries: tuple[str, ...] = ()
    held: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """JSON-able."""
        return {
            "table": self.table,
            "key": {name: _plain(value) for name, value in self.key.items()},
            "expected": _plain(self.expected),
            "found": _plain(self.found),
            "as_of": _plain(self.as_of),
            "explanation": self.explanation,
            "positions": list(self.positions),
            "entries": list(self.entries),
            "held": list(self.held),
        }


@dataclass(frozen=True)
class Report:
    """The result of one verification.

    `cells_compared`: keys of statistics, over all moments; `outcomes_compared`: ledger keys and outcomes, likewise;
    `examples_compared`: keys of gold.examples, likewise. `examples`: some of the differences.
    `accounting`: where the records went. `pending`: records of the log that gold has not gone through yet. `since`: cells
    that start earlier, and outcomes of what was served earlier, were left out.
    """

    cells_compared: int
    outcomes_compared: int
    examples_compared: int
    differences: int
    examples: tuple[Difference, ...]
    accounting: dict[str, int]
    frontier: datetime | None
    as_of: tuple[datetime, ...]
    seconds: float
    pending: int
    since: datetime | None = None

    @property
    def ok(self) -> bool:
        """Whether the lake holds exactly what the log says."""
        return self.differences == 0

    def to_dict(self) -> dict[str, object]:
        """JSON-able."""
        return {
            "ok": self.ok,
            "cells_compared": self.cells_compared,
            "outcomes_compared": self.outcomes_compared,
            "examples_compared": self.examples_compared,
            "differences": self.differences,
            "examples": [example.to_dict() for example in self.examples],
            "accounting": dict(self.accounting),
            "frontier": _plain(self.frontier),
            "as_of": [_plain(at) for at in self.as_of],
            "seconds": round(self.seconds, 3),
            "pending": self.pending,
            "since": _plain(self.since),
        }


class Findings:
    """Collects differences: counts all, keeps a few of each comparison. `suspects`: some requests whose entries differ."""

    def __init__(self) -> None:
        self.count = 0
        self.examples: list[Difference] = []
        self.suspects: set[str] = set()
        self._kept: dict[tuple[str, datetime | None], int] = {}

    def room(self, table: str, as_of: datetime | None) -> int:
        """How many more examples of this comparison are wanted."""
        return max(0, min(EXAMPLES - len(self.examples), PER_COMPARISON - self._kept.get((table, as_of), 0)))

    def counted(self, number: int) -> None:
        """So many keys differed."""
        self.count += number

    def keep(self, difference: Difference) -> None:
        """Keep an example, if there is room."""
        if self.room(difference.table, difference.as_of):
            place = (difference.table, difference.as_of)
            self._kept[place] = self._kept.get(place, 0) + 1
            self.examples.append(difference)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, Decimal):
        return format(value, "f")
    return value if isinstance(value, (str, int, float)) or value is None else str(value)
