"""Orphans as the verifier sees them: who is one, from when on, and until when."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from pipelines.gold.tables import FRONTIERS
from pipelines.silver.tables import ORPHANS
from pipelines.verify import Report, verify
from tests import trace
from tests.test_verify import BODIES, Change, Record, Rows, alter, double, lose, right, write_lake, write_log


def at(clock: str) -> datetime:
    return trace.instant(f"2026-03-01T{clock}Z")


def said(name: str, received: str) -> Record:
    event = {"kind": "feedback", "feedback_id": name, "request_id": f"r-{name}", "label": "late", "action": "assert"}
    return json.dumps({**event, "given_at": "2026-03-01T10:00:00Z", "value": 1}).encode(), at(received)


def served(name: str, received: str) -> Record:
    event = {"kind": "inference", "request_id": f"r-{name}", "model": "m", "version": "1", "status": "ok"}
    return json.dumps({**event, "served_at": "2026-03-01T09:50:00Z", "prediction": 1}).encode(), at(received)


def frontier(until: str) -> Record:
    event = {"kind": "control", "action": "frontier", "at": f"2026-03-01T{until}Z"}
    return json.dumps(event).encode(), at(until)


LOG = [
    said("alone", "10:00:00"),
    said("in time", "10:01:00"),
    said("late", "10:02:00"),
    served("in time", "11:01:00"),
    frontier("11:01:30"),
    served("late", "11:30:00"),
    frontier("12:00:00"),
]
"""An hour after its receipt "alone" has no inference, "in time" has just got one, and "late" gets one after that."""
LATE = {"feedback_id": "late"}


def report(lake: Path, change: Change | None = None, **how: Any) -> Report:
    """A lake that holds what the log says, but for a change."""
    write_log(lake, LOG)
    rows = right(LOG, BODIES)
    rows[ORPHANS].sort(key=lambda row: (row["feedback_id"], row["known_at"]))
    if change:
        change(rows)
    write_lake(lake, rows)
    return verify(lake, definitions=BODIES, as_of=[], **how)


def keep(*orphans: tuple[str, int, str], end: int, until: str | None, open_from: int = 0) -> Change:
    """A lake that has gone so far and holds these orphans: feedback, sign, known_at."""

    def change(rows: Rows) -> None:
        offsets = {"alone": 0, "in time": 1, "late": 2}
        rows[ORPHANS] = [
            ORPHANS.row(tenant="default", feedback_id=name, sign=sign, known_at=at(clock), offset=offsets[name])
            for name, sign, clock in orphans
        ]
        reached = None if until is None else at(until)
        rows[FRONTIERS][0].update(frontier=reached, end_offset=end, open_from=open_from)

    return change


def test_an_orphan_is_known_an_hour_after_its_receipt_and_taken_back_when_its_inference_is_known(
    tmp_path: Path,
) -> None:
    found = report(tmp_path)
    assert found.ok
    assert [found.accounting[name] for name in ("labelled", "waiting", "orphaned")] == [2, 0, 1]


def later(index: int) -> Change:
    """One orphan is known a microsecond later than it was."""

    def change(rows: Rows) -> None:
        row = rows[ORPHANS][index]
        row["known_at"] = row["known_at"].replace(microsecond=1)

    return change


@pytest.mark.parametrize(("index", "name"), [(0, "alone"), (1, "late"), (2, "late")])
def test_a_known_at_that_is_wrong_is_found_at_both_times(tmp_path: Path, index: int, name: str) -> None:
    found = report(tmp_path, later(index))
    assert found.differences == 2
    assert {(e.table, e.key["feedback_id"]) for e in found.examples} == {("silver.orphans", name)}
    assert len({e.key["known_at"] for e in found.examples}) == 2
    assert f"feedback {name} (assert 1.0" in found.examples[0].explanation


@pytest.mark.parametrize(
    ("change", "key", "expected", "stored"),
    [
        (lose(ORPHANS), {"feedback_id": "alone", "known_at": "2026-03-01T11:00:00Z"}, 1, 0),
        (lose(ORPHANS, 2), LATE | {"known_at": "2026-03-01T11:30:00Z"}, -1, 0),
        (double(ORPHANS), {"feedback_id": "alone", "known_at": "2026-03-01T11:00:00Z"}, 1, 2),
        (alter(ORPHANS, feedback_id="x"), {"feedback_id": "alone", "known_at": "2026-03-01T11:00:00Z"}, 1, 0),
        (alter(ORPHANS, sign=-1), {"feedback_id": "alone", "known_at": "2026-03-01T11:00:00Z"}, 1, -1),
    ],
)
def test_a_wrong_orphan_is_found(
    tmp_path: Path, change: Change, key: dict[str, Any], expected: int, stored: int
) -> None:
    first = report(tmp_path, change).examples[0]
    assert (first.table, first.key) == ("silver.orphans", key)
    assert (first.expected, first.found) == (f"net sign {expected}", f"net sign {stored}")


def test_both_signs_left_out_are_found_although_they_cancel(tmp_path: Path) -> None:
    change = keep(("alone", 1, "11:00:00"), end=7, until="12:00:00")
    assert [e.key for e in report(tmp_path, change).examples] == [
        LATE | {"known_at": "2026-03-01T11:02:00Z"},
        LATE | {"known_at": "2026-03-01T11:30:00Z"},
    ]


ALONE, LATE_THEN, LATE_NOW = ("alone", 1, "11:00:00"), ("late", 1, "11:02:00"), ("late", -1, "11:30:00")


@pytest.mark.parametrize(
    ("orphans", "end", "until"),
    [
        ([], 0, None),
        ([], 4, None),
        ([ALONE], 4, None),
        ([ALONE], 5, "11:01:30"),
        ([ALONE, LATE_THEN, LATE_NOW], 5, "11:01:30"),
        ([ALONE, LATE_THEN, LATE_NOW], 6, "11:01:30"),
    ],
)
def test_what_gold_has_not_gone_through_may_be_there_or_not(
    tmp_path: Path, orphans: list[tuple[str, int, str]], end: int, until: str | None
) -> None:
    assert report(tmp_path, keep(*orphans, end=end, until=until)).ok


@pytest.mark.parametrize(
    ("orphans", "end", "until", "open_from"),
    [
        ([], 5, "11:01:30", 0),
        ([], 4, None, 1),
        ([ALONE], 6, "11:01:30", 0),
        ([ALONE, ("in time", 1, "11:01:00")], 3, None, 0),
        ([ALONE, LATE_THEN, ("late", -1, "11:31:00")], 5, "11:01:30", 0),
    ],
)
def test_what_lies_below_the_end_of_gold_must_be_there_and_nothing_else(
    tmp_path: Path, orphans: list[tuple[str, int, str]], end: int, until: str | None, open_from: int
) -> None:
    found = report(tmp_path, keep(*orphans, end=end, until=until, open_from=open_from))
    assert {example.table for example in found.examples} == {"silver.orphans"}


def test_of_a_lake_that_has_gone_beyond_what_is_read_only_what_is_certain_is_compared(tmp_path: Path) -> None:
    write_log(tmp_path, LOG)
    write_lake(tmp_path, right(LOG, BODIES))
    found = verify(tmp_path, definitions=BODIES, as_of=[], end_offset=5)
    assert not [example for example in found.examples if example.table in ("silver.orphans", "gold.frontiers")]
