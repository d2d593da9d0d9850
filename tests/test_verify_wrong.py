"""Each way in which a lake can be wrong is found, counted and explained."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pipelines.bronze.tables import EVENTS
from pipelines.contract import Table
from pipelines.gold.tables import EXAMPLES, FRONTIERS, OUTCOME_LEDGER, STATISTICS
from pipelines.silver.tables import CONTROLS, DUPLICATES, FEEDBACK, INFERENCES, LABELLED, QUARANTINE
from tests import trace
from tests.test_verify import AS_OF, Change, Rows, alter, double, lose, verified


def late_answer(row: dict[str, Any]) -> bool:
    return (row["label"], row["basis"], row["statistic"], row["known_at"].hour) == ("late", "answered", "tp", 10)


def raise_amount(rows: Rows) -> None:
    next(row for row in rows[STATISTICS] if late_answer(row))["amount"] += Decimal("0.000000001")


def drop_amount(rows: Rows) -> None:
    rows[STATISTICS] = [row for row in rows[STATISTICS] if not late_answer(row)]


def test_a_changed_amount_is_found_and_explained(tmp_path: Path) -> None:
    report = verified(tmp_path, raise_amount)
    first = report.examples[0]
    assert (first.table, first.expected, first.found) == ("gold.statistics", Decimal(1), Decimal("1.000000001"))
    assert first.key["known_at"] == "2026-03-01T10:40:00Z"
    assert "request r1 (inference of model m at log offset 0" in first.explanation
    assert "f1 (assert 1.0 by a" in first.explanation
    assert "log offset 2)" in first.explanation
    assert {example.as_of for example in report.examples} == {None, *AS_OF}


def test_a_missing_amount_is_found(tmp_path: Path) -> None:
    first = verified(tmp_path, drop_amount).examples[0]
    assert (first.table, first.expected, first.found) == ("gold.statistics", Decimal(1), Decimal(0))


def test_an_extra_amount_is_found(tmp_path: Path) -> None:
    report = verified(tmp_path, lambda rows: rows[STATISTICS].append({**rows[STATISTICS][0], "version": "9"}))
    first = report.examples[0]
    assert (first.key["version"], first.expected) == ("9", Decimal(0))
    assert first.explanation == "no accepted event of the log leads to this key"


def test_an_amount_in_another_dates_partition_is_found(tmp_path: Path) -> None:
    def move(rows: Rows) -> None:
        rows[STATISTICS][0]["cell_date"] += timedelta(days=1)

    assert verified(tmp_path, move, as_of=[]).differences == 2


def test_amounts_that_cancel_are_no_difference(tmp_path: Path) -> None:
    def detour(rows: Rows) -> None:
        row = {**rows[STATISTICS][0], "bucket": "detour"}
        rows[STATISTICS] += [row, {**row, "amount": row["amount"].copy_negate()}]

    assert verified(tmp_path, detour).ok


def test_an_entry_known_at_another_time_is_found_as_of_then(tmp_path: Path) -> None:
    def delay(rows: Rows) -> None:
        row = next(row for row in rows[OUTCOME_LEDGER] if row["unit_id"] == "r2")
        row["known_at"] = trace.instant("2026-03-01T10:55:00Z")

    report = verified(tmp_path, delay)
    assert {(example.table, example.as_of) for example in report.examples} == {
        ("gold.outcome_ledger", None),
        ("gold.outcomes", AS_OF[0]),
    }
    assert "f2 (assert 1.0" in report.examples[0].explanation


def test_a_missing_belief_is_found_among_entries_and_outcomes(tmp_path: Path) -> None:
    def forget(rows: Rows) -> None:
        rows[OUTCOME_LEDGER] = [row for row in rows[OUTCOME_LEDGER] if row["unit_id"] != "r3"]

    report = verified(tmp_path, forget, as_of=[])
    assert [(e.table, e.key["unit_id"], e.expected, e.found) for e in report.examples] == [
        ("gold.outcome_ledger", "r3", 1, 0),
        ("gold.outcomes", "r3", 1, 0),
    ]


def test_an_example_known_before_its_window_has_passed_is_found(tmp_path: Path) -> None:
    def hasten(rows: Rows) -> None:
        row = next(row for row in rows[EXAMPLES] if (row["unit_id"], row["label"], row["sign"]) == ("r3", "late", 1))
        row["known_at"] = trace.instant("2026-03-01T11:12:00Z")

    report = verified(tmp_path, hasten, as_of=[trace.instant("2026-03-01T12:00:00Z")])
    assert {(example.table, example.as_of) for example in report.examples} == {
        ("gold.examples", None),
        ("gold.examples", trace.instant("2026-03-01T12:00:00Z")),
    }
    assert report.examples[0].key["unit_id"] == "r3"
    assert "f5 (assert 1.0" in report.examples[0].explanation
    assert "as the log says" in report.examples[0].entries[0]


def test_an_absent_example_that_is_not_taken_back_is_found(tmp_path: Path) -> None:
    def keep(rows: Rows) -> None:
        rows[EXAMPLES] = [row for row in rows[EXAMPLES] if (row["basis"], row["sign"]) != ("absent", -1)]

    report = verified(tmp_path, keep, as_of=[])
    assert [(e.table, e.key["basis"], e.key["unit_id"], e.expected, e.found) for e in report.examples] == [
        ("gold.examples", "absent", "r1", -1, 0)
    ]


@pytest.mark.parametrize(
    "changed",
    [{"weight": 2.0}, {"features": "{}"}, {"subject": "s"}, {"scores": [("x", 0.5)]}, {"segments": [("x", "y")]}, {"version": "9"},
     {"offset": 9}, {"experiments": [("x", {"arm": "a", "unit_id": None, "propensity": None})]}, {"prediction": None}],
    ids=lambda changed: next(iter(changed)),
)  # fmt: skip
def test_an_example_that_holds_what_its_inference_did_not_say_is_found(tmp_path: Path, changed: dict[str, Any]) -> None:
    report = verified(tmp_path, alter(EXAMPLES, **changed), as_of=[])
    assert report.differences == 1
    assert (report.examples[0].table, report.examples[0].key["columns"]) == ("gold.examples", next(iter(changed)))
    assert "inference of model m" in report.examples[0].explanation


@pytest.mark.parametrize(
    ("change", "table", "expected_text", "found_text"),
    [
        (lose(EVENTS, 3), "bronze.events", "one row, as in the log", "0 rows"),
        (double(EVENTS), "bronze.events", "one row, as in the log", "2 rows"),
        (alter(EVENTS, payload=b"{}"), "bronze.events", "one row, as in the log", "1 row with another payload"),
        (alter(EVENTS, clock="log"), "bronze.events", "one row, as in the log", "1 row with another clock"),
        (lose(INFERENCES), "silver", "inference", "nowhere"),
        (double(FEEDBACK), "silver", "feedback", "feedback, feedback"),
        (alter(CONTROLS, offset=3), "silver", "duplicate of offset 2", "control, duplicate of offset 2"),
        (alter(DUPLICATES, first_offset=1), "silver", "duplicate of offset 2", "duplicate of offset 1"),
        (alter(QUARANTINE, reason="not_json"), "silver", "quarantined: id_conflict", "quarantined: not_json"),
        (double(QUARANTINE), "silver", "quarantined: id_conflict", "quarantined: id_conflict, quarantined: id_conflict"),
    ],
)
def test_a_record_in_a_wrong_home_is_found(
    tmp_path: Path, change: Change, table: str, expected_text: str, found_text: str
) -> None:
    first = verified(tmp_path, change, as_of=[]).examples[0]
    assert (first.table, first.expected) == (table, expected_text)
    assert first.found == found_text
    assert "log offset" in first.explanation


@pytest.mark.parametrize(
    ("table", "changed"),
    [
        *((INFERENCES, one) for one in ({"score": 0.5}, {"prediction": None}, {"version": "9"}, {"features": "{}"},
        {"segments": [("x", "y")]}, {"measures": [("x", Decimal(1))]}, {"items": [{"item": "i"}]},
        {"served_at": datetime(2026, 3, 1, tzinfo=UTC)})),
        *((FEEDBACK, one) for one in ({"value": 0.0}, {"feedback_id": "f9"}, {"target_feedback_id": "f9"}, {"item": "i"},
        {"received_at": datetime(2026, 3, 1, tzinfo=UTC)})),
    ],
    ids=lambda changed: next(iter(changed)) if isinstance(changed, dict) else changed.name,
)  # fmt: skip
def test_a_row_of_silver_that_holds_what_its_record_did_not_say_is_found(
    tmp_path: Path, table: Table, changed: dict[str, Any]
) -> None:
    report = verified(tmp_path, alter(table, **changed), as_of=[])
    assert report.differences == 1
    assert (report.examples[0].table, report.examples[0].key["columns"]) == (table.name, next(iter(changed)))
    assert report.examples[0].explanation.startswith("log offset ")


@pytest.mark.parametrize(
    ("change", "table", "feedback"),
    [
        (lose(LABELLED), "silver.labelled", "f1"),
        (alter(LABELLED, number=0.0), "silver.labelled", "f1"),
        (alter(LABELLED, known_at=datetime(2026, 3, 1, tzinfo=UTC)), "silver.labelled", "f1"),
        (alter(LABELLED, feedback_id="f9"), "silver.labelled", "f1"),
    ],
)
def test_a_wrong_pair_is_found(tmp_path: Path, change: Change, table: str, feedback: str) -> None:
    report = verified(tmp_path, change, as_of=[])
    assert (report.examples[0].table, report.examples[0].key) == (table, {"feedback_id": feedback})


@pytest.mark.parametrize(
    "frontier", [None, trace.instant("2026-03-01T15:59:00Z"), trace.instant("2999-01-01T00:00:00Z")]
)
def test_a_frontier_that_the_log_does_not_assert_is_found(tmp_path: Path, frontier: datetime | None) -> None:
    first = verified(tmp_path, alter(FRONTIERS, frontier=frontier), as_of=[]).examples[0]
    assert (first.table, first.key, first.expected) == ("gold.frontiers", {"end_offset": 15}, "2026-03-01T16:00:00Z")
