"""What the conditions of triggers are about, as it comes to be known: incidents that open and close, and counts that grow."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from pipelines.definition import digest
from pipelines.watch.windows import micros

OPENED, CLOSED, OVERTURNED = "opened", "closed", "overturned"
_SHOWN = ("cut", "segment", "version", "window_start", "window_end", "value")


@dataclass(frozen=True)
class Event:
    """From `at` on (microseconds) an incident of an alert, or of the drift of a distribution, is open, closed, or never was."""

    at: int
    name: str
    what: str
    incident: str
    row: dict[str, Any] = field(compare=False, hash=False)


@dataclass(frozen=True)
class Growing:
    """A count over time: `at` ascending, and what it has come to from then on."""

    at: Sequence[int]
    total: Sequence[int]

    def before(self, time: int) -> int:
        """What it was with what was known before a time."""
        number = bisect_left(self.at, time)
        return self.total[number - 1] if number else 0


NONE = Growing((), ())


def of_alerts(entries: Iterable[dict[str, Any]]) -> list[Event]:
    """Events of rows of gold.alerts."""
    found = []
    for row in entries:
        stated, back = (CLOSED, OPENED) if row["state"] == "cleared" else (OPENED, OVERTURNED)
        what, shown = stated if row["sign"] > 0 else back, _shown(row, "support", "low", "high")
        found.append((_order(row), Event(micros(row["known_at"]), row["rule"], what, row["incident"], shown)))
    return [event for _, event in sorted(found, key=lambda pair: pair[0])]


Standing = dict[tuple[str, ...], tuple[str, Any]]
"""The open incident of drift of each group and distribution, and the window that opened it."""


def of_drift(entries: Iterable[dict[str, Any]], standing: Standing | None = None) -> list[Event]:
    """Events of rows of gold.drift: an incident lasts from the first window whose stability index is reached to the next that is not.

    `standing`: what rows of earlier times have left open; it is brought up to date.
    """
    found: list[Event] = []
    open_now: Standing = {} if standing is None else standing
    for row in sorted((row for row in entries if row["measure"] == "psi"), key=_order):
        group = (row["tenant"], row["feature"], row["cut"], row["segment"], row["version"])
        name, at, opened = f"drift.{row['feature']}", micros(row["known_at"]), open_now.get(group)
        shown = _shown(row, "feature", "measure", "reference", "support")
        if row["sign"] > 0 and row["reached"] and opened is None:
            incident = digest([row["policy"], *group, row["window_start"].isoformat()])
            open_now[group] = incident, row["window_start"]
            found.append(Event(at, name, OPENED, incident, shown))
        elif opened and row["sign"] > 0 and not row["reached"] and row["window_start"] > opened[1]:
            found.append(Event(at, name, CLOSED, open_now.pop(group)[0], shown))
        elif opened and row["sign"] < 0 and row["reached"] and row["window_start"] == opened[1]:
            found.append(Event(at, name, OVERTURNED, open_now.pop(group)[0], shown))
    both = {(e.at, e.incident) for e in found if e.what == OPENED} & {
        (e.at, e.incident) for e in found if e.what == OVERTURNED
    }
    # a distance that has changed and is reached all the same is the same incident
    return [event for event in found if (event.at, event.incident) not in both]


def growing(rows: pa.Table, before: Growing = NONE) -> Growing:
    """The count of answered units over time, of rows of gold.statistics, all known after what was counted `before`."""
    sums = rows.group_by("known_at", use_threads=False).aggregate([("amount", "sum")]).sort_by("known_at")
    total, totals = (before.total[-1] if before.total else 0), []
    for amount in sums["amount_sum"].to_pylist():
        total += int(amount)
        totals.append(total)
    return Growing([*before.at, *sums["known_at"].cast(pa.int64()).to_pylist()], [*before.total, *totals])


def _order(row: dict[str, Any]) -> tuple[Any, ...]:
    """What is taken back comes before what is stated at the same time, and then in the opposite order of windows."""
    at = micros(row["window_start"])
    later = row.get("state") == "cleared"
    return (
        micros(row["known_at"]),
        row["sign"],
        row["sign"] * at,
        row["sign"] * later,
        row.get("incident", ""),
        row.get("feature", ""),
    )


def _shown(row: dict[str, Any], *more: str) -> dict[str, Any]:
    """What of a row is evidence."""
    return {name: row[name] for name in (*_SHOWN, *more)} | ({"said": row["evidence"]} if "evidence" in row else {})
