"""Which event stands, which repeats one, which contradicts one: by ids, contents and positions alone."""

from __future__ import annotations

import random
from typing import Any

import pytest

from pipelines.silver.parse import PARSED
from pipelines.silver.refine import refine
from pipelines.silver.tables import CONTROLS, DUPLICATES, FEEDBACK, INFERENCES, QUARANTINE
from tests.frames import T0

TABLES = (INFERENCES, FEEDBACK, CONTROLS, QUARANTINE, DUPLICATES)


def parsed(offset: int, said: str, name: str | None, content: str = "same", **more: Any) -> dict[str, Any]:
    """A record that said something, or with `reason` one that did not."""
    row: dict[str, Any] = dict.fromkeys(PARSED.names)
    row |= {"tenant": "default", "source": "embedded", "partition": 0, "offset": offset, "received_at": T0}
    row |= {
        "clock": "log",
        "appended_at": T0,
        "kind": said,
        "event_id": name,
        "body_hash": content,
        "event_date": T0.date(),
    }
    if said == "inference":
        row["inference"] = {"request_id": name, "model": "m", "version": content, "served_at": T0, "status": "ok"}
    elif said == "feedback":
        row["feedback"] = {"feedback_id": name, "label": "click", "action": "assert", "given_at": T0, "value": 1.0}
    else:
        row["control"] = {"action": "frontier", "at": T0}
    if "reason" in more:
        row |= {"inference": None, "feedback": None, "control": None, "body_hash": None, "detail": "because"}
    return row | more


def refined(*events: dict[str, Any], seen: list[dict[str, Any]] | None = None) -> dict[str, list[dict[str, Any]]]:
    """The rows that each table gets."""
    found = refine(PARSED.frame(list(events)), INFERENCES.frame(seen or []), FEEDBACK.frame([]))
    assert {table.noun: table.arrow for table in TABLES} == {noun: rows.schema for noun, rows in found.items()}
    assert sum(rows.num_rows for rows in found.values()) == len(events)
    return {noun: sorted(rows.to_pylist(), key=_offset) for noun, rows in found.items()}


def _offset(row: dict[str, Any]) -> int:
    return int(row["offset"])


def offsets(found: dict[str, list[dict[str, Any]]]) -> dict[str, list[int]]:
    return {name: [row["offset"] for row in said] for name, said in found.items() if said}


@pytest.fixture(scope="module")
def found() -> dict[str, list[dict[str, Any]]]:
    events = [
        parsed(0, "inference", "r"),
        parsed(1, "inference", "r"),
        parsed(2, "inference", "r", "other"),
        parsed(3, "inference", "r"),
        parsed(4, "feedback", "r", "other"),
        parsed(5, "control", None),
        parsed(6, "control", None),
        parsed(7, "inference", "q", reason="unknown_model"),
        parsed(8, "inference", "q"),
        parsed(9, "inference", "z", reason="wrong_type"),
        parsed(10, "", None, reason="not_json", kind=None),
        parsed(11, "inference", "r", tenant="another"),
    ]
    return refined(*random.Random(7).sample(events, len(events)))


def test_every_record_has_one_home(found: dict[str, list[dict[str, Any]]]) -> None:
    assert offsets(found) == {
        "inferences": [0, 8, 11],
        "feedback": [4],
        "controls": [5, 6],
        "quarantine": [2, 7, 9, 10],
        "duplicates": [1, 3],
    }


def test_a_duplicate_says_where_the_event_stands(found: dict[str, list[dict[str, Any]]]) -> None:
    assert {
        (row["event_id"], row["kind"], row["first_source"], row["first_offset"]) for row in found["duplicates"]
    } == {("r", "inference", "embedded", 0)}


def test_a_quarantined_record_says_why(found: dict[str, list[dict[str, Any]]]) -> None:
    said = {row["offset"]: row["reason"] for row in found["quarantine"]}
    assert said == {2: "id_conflict", 7: "unknown_model", 9: "wrong_type", 10: "not_json"}
    assert "offset 0" in found["quarantine"][0]["detail"]


def test_an_event_keeps_its_position_and_what_it_says(found: dict[str, list[dict[str, Any]]]) -> None:
    first = found["inferences"][0]
    assert (first["request_id"], first["version"], first["received_at"], first["body_hash"]) == (
        "r",
        "same",
        T0,
        "same",
    )
    assert first["served_date"] == T0.date()
    assert found["feedback"][0]["received_date"] == T0.date()
    assert found["controls"][0]["at"] == T0


def test_an_event_that_stands_in_the_table_already_is_repeated_or_contradicted() -> None:
    seen = [INFERENCES.row(tenant="default", request_id="r", source="embedded", offset=2, body_hash="same")]
    again = refined(parsed(7, "inference", "r"), parsed(8, "inference", "r", "other"), seen=seen)
    assert offsets(again) == {"duplicates": [7], "quarantine": [8]}
    assert again["duplicates"][0]["first_offset"] == 2


def test_a_batch_that_is_replayed_half_written_decides_the_same() -> None:
    events = [parsed(2, "inference", "r"), parsed(3, "inference", "r"), parsed(4, "inference", "r", "other")]
    own = [INFERENCES.row(tenant="default", request_id="r", source="embedded", offset=2, body_hash="same")]
    assert offsets(refined(*events, seen=own)) == offsets(refined(*events))
