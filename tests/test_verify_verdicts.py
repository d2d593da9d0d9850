"""The verifier's own strict reading of records: which are taken in, and why the others are not."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from pipelines.definition import Definition, Policy
from pipelines.definition import digest as pipeline_digest
from pipelines.verify.definitions import digest
from pipelines.verify.fields import FIELD_REASONS, time
from pipelines.verify.report import micros
from pipelines.verify.verdicts import Verdicts

RECEIVED = datetime(2026, 3, 1, 12, tzinfo=UTC)
CLICK = Policy("binary", "request", "latest", 3600)
RATING = Policy("number", "item", "mean", 3600, low=0, high=5)
TOPIC = Policy("category", "request", "majority", 3600)


def body(label: str = "", policy: Policy | None = None, **more: Any) -> dict[str, Any]:
    return Definition("m", label, ((),), ("1 hour",), policy=policy, **more).body()


GIVEN = [
    body(segments=(("origin", ("JFK",)),), measures=("latency_ms",)),
    body("click", CLICK, positive=1),
    body("rating", RATING),
    body("topic", TOPIC),
]


def inference(**changed: Any) -> dict[str, Any]:
    event = {"kind": "inference", "request_id": "r", "model": "m", "version": "1", "status": "ok", "prediction": 1}
    return {**event, "served_at": "2026-03-01T11:00:00Z", **changed}


def feedback(**changed: Any) -> dict[str, Any]:
    event = {"kind": "feedback", "feedback_id": "f", "request_id": "r", "label": "click", "value": 1}
    return {**event, "action": "assert", "given_at": "2026-03-01T11:30:00Z", **changed}


def without(event: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name not in names}


def verdicts(*records: dict[str, Any] | bytes) -> Verdicts:
    found = Verdicts(GIVEN)
    for record in records:
        found.take(record if isinstance(record, bytes) else json.dumps(record).encode(), micros(RECEIVED))
    return found


def reason(record: dict[str, Any] | bytes) -> str | None:
    found = verdicts(record).reasons.get(0)
    return "field" if found in FIELD_REASONS else found


OK = json.dumps(inference()).encode()


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b" " * (1_048_577 - len(OK)) + OK, "too_large"),
        (b" " * (1_048_576 - len(OK)) + OK, None),
        (OK.replace(b'"r"', b'"\xff"'), "not_utf8"),
        (OK.replace(b'"r"', b'"\xed\xa0\x80"'), "not_utf8"),
        (b"", "not_json"),
        (b"\xef\xbb\xbf" + OK, "not_json"),
        (OK + b" {}", "not_json"),
        (OK + b",", "not_json"),
        (OK.replace(b'"prediction": 1', b'"prediction": NaN'), "not_json"),
        (OK.replace(b'"prediction": 1', b'"prediction": 01'), "not_json"),
        (OK.replace(b'"prediction": 1', b'"prediction": +1'), "not_json"),
        (OK.replace(b'"prediction": 1', b'"prediction": 1e400'), "not_json"),
        (OK.replace(b'"prediction": 1', b'"prediction": ' + b"1" * 400), "not_json"),
        (OK.replace(b'"prediction": 1', b'"prediction": ' + b"1" * 5000), "not_json"),
        (OK.replace(b'"', b"'"), "not_json"),
        (OK.replace(b'"r"', b'"\\ud800"'), "not_json"),
        (OK.replace(b'"r"', b'"\\udc00"'), "not_json"),
        (OK.replace(b'"r"', b'"\\ud800 \\n"'), "not_json"),
        (OK.replace(b'"r"', b'"\\ud83d\\ude00"'), None),
        (OK.replace(b'"r"', b'"\\\\ud800"'), None),
        (OK.replace(b'"r"', b'"a\nb"'), "not_json"),
        (OK.replace(b"}", b', "inputs": ' + b"[" * 99 + b"]" * 99 + b"}"), None),
        (OK.replace(b"}", b', "inputs": ' + b"[" * 100 + b"]" * 100 + b"}"), "not_json"),
        (OK.replace(b"}", b', "inputs": "' + b"[" * 200 + b'"}'), None),
        (b"[" * 100_000, "not_json"),
        (OK.replace(b"}", b', "inputs": {"a": 1, "a": 1}}'), "duplicate_key"),
        (b'[{"a": 1, "a": 2}]', "duplicate_key"),
        (b"[]", "not_an_object"),
        (b"3", "not_an_object"),
    ],
)
def test_a_record_is_one_strict_json_object(payload: bytes, expected: str | None) -> None:
    assert reason(payload) == expected


@pytest.mark.parametrize("kind", [None, "click", 3, [], {}])
def test_an_unknown_kind_is_refused(kind: object) -> None:
    assert reason({"kind": kind, "request_id": "r"}) == "unknown_kind"


@pytest.mark.parametrize(
    "changed",
    [
        {"colour": "red"},
        {"request_id": ""},
        {"request_id": "x" * 257},
        {"request_id": None},
        {"request_id": 7},
        {"version": "x" * 129},
        {"prediction": True},
        {"prediction": 1e13},
        {"prediction": ""},
        {"score": 1.5},
        {"score": "0.5"},
        {"asked": 0},
        {"served_at": "2026-03-01T11:00:00"},
        {"served_at": "2026-02-30T11:00:00Z"},
        {"served_at": 1772362800},
        {"served_at": "2026-03-01T11:00:00+0000"},
        {"served_at": "9999-12-31T23:59:59-23:59"},
        {"items": [{"item": "a", "colour": "red"}]},
        {"items": [{"item": "a", "position": 1.5}]},
        {"items": {"item": "a"}},
        {"features": {"": 1}},
        {"features": {"a": [1]}},
        {"embedding": [1, "2"]},
        {"experiments": {"e": {}}},
    ],
)
def test_a_field_that_breaks_the_contract_is_refused(changed: dict[str, Any]) -> None:
    assert reason(inference(**changed)) == "field"


def test_a_missing_field_is_refused() -> None:
    assert reason(without(inference(), "version")) == "field"


def test_null_in_an_optional_field_is_absent() -> None:
    assert reason(inference(score=None, items=None, features={"a": None, "b": "", "c": True})) is None


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (without(inference(), "prediction"), "prediction_required"),
        (without(inference(items=[{"item": "a"}]), "prediction"), None),
        (without(inference(status="timeout"), "prediction"), None),
        (inference(model="other"), "unknown_model"),
        (inference(segments={"carrier": "AA"}), "undeclared_segment"),
        (inference(segments={"origin": "ANY"}), None),
        (inference(measures={"cost": 1}), "undeclared_measure"),
        (inference(measures={"latency_ms": 1}), None),
        (inference(served_at="2026-03-01T12:05:00Z"), None),
        (inference(served_at="2026-03-01T12:05:00.000001Z"), "from_the_future"),
        (inference(served_at="1999-12-31T23:59:59.999999Z"), "absurd_time"),
        (inference(items=[{"item": "a"}, {"item": "a"}]), "duplicate_item"),
        (without(inference(model="other"), "prediction"), "prediction_required"),
    ],
)
def test_the_rules_over_an_inference(event: dict[str, Any], expected: str | None) -> None:
    assert reason(event) == expected


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (feedback(), None),
        (without(feedback(), "request_id"), "target_ambiguous"),
        (feedback(session="s"), "target_ambiguous"),
        (without(feedback(session="s"), "request_id"), "unit_not_enabled"),
        (feedback(label="other"), "unknown_label"),
        (feedback(item="a"), "unit_mismatch"),
        (feedback(label="rating"), "unit_mismatch"),
        (feedback(label="rating", item="a", value=5), None),
        (without(feedback(), "value"), "value_required"),
        (feedback(action="withdraw", rater="x"), "value_not_allowed"),
        (without(feedback(action="withdraw", rater="x"), "value"), None),
        (feedback(value="yes"), "wrong_value_type"),
        (feedback(label="topic", value=1), "wrong_value_type"),
        (feedback(label="topic", value="news"), None),
        (feedback(label="rating", item="a", value="5"), "wrong_value_type"),
        (feedback(label="rating", item="a", value=5.5), "value_out_of_range"),
        (feedback(action="correct"), "target_required"),
        (feedback(action="correct", target_feedback_id="g"), None),
        (feedback(given_at="2026-03-01T12:06:00Z"), "from_the_future"),
        (feedback(given_at="1999-03-01T12:06:00Z"), "absurd_time"),
    ],
)
def test_the_rules_over_a_judgement(event: dict[str, Any], expected: str | None) -> None:
    assert reason(event) == expected


def control(found: dict[str, Any], **changed: Any) -> dict[str, Any]:
    event = {"kind": "control", "action": "define", "model": found.get("model"), "definition": pipeline_digest(found)}
    return {**event, "body": found, **changed}


def test_a_definition_applies_to_what_stands_after_it_only() -> None:
    found = body() | {"model": "n"}
    judged = verdicts(inference(model="n"), control(found), inference(model="n", request_id="s"))
    assert judged.homes == ["quarantined", "control", "inference"]
    assert [d.offset for d in judged.definitions.applicable("n", 2)] == [1]


def test_of_a_definition_declared_twice_the_first_counts() -> None:
    judged = verdicts(control(body() | {"model": "n"}), control(body() | {"model": "n"}))
    assert [d.offset for d in judged.definitions.applicable("n", 9)] == [0]


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (control(body(), definition="0" * 16), "definition_invalid"),
        (control({"model": "n"}), "definition_invalid"),
        (control(body(), model="other"), "definition_invalid"),
        (control(body() | {"extra": 1}), "definition_invalid"),
        (without(control(body()), "body"), "field"),
        ({"kind": "control", "action": "frontier"}, "field"),
        ({"kind": "control", "action": "frontier", "at": "2026-03-01T11:00:00Z"}, None),
        ({"kind": "control", "action": "redrive"}, "field"),
        ({"kind": "control", "action": "redrive", "offsets": []}, "field"),
        ({"kind": "control", "action": "redrive", "offsets": [3, 1]}, None),
    ],
)
def test_the_rules_over_a_control(event: dict[str, Any], expected: str | None) -> None:
    assert reason(event) == expected


@pytest.mark.parametrize(
    "value",
    [0.5, 1e9, 1e15, 1e16, 1.5e16, 1e22, 1e-4, 1e-5, -1.5e-5, 1e-6, 1e-7, 5e-324, -0.0, 0, -7, 'é\x00"\u2028', None],
)
def test_the_hash_of_a_definition_is_the_pipelines(value: object) -> None:
    found = {"b": [value], "a": {"z": True, "y": value}}
    assert digest(found) == pipeline_digest(found)


@pytest.mark.parametrize(
    "again",
    [
        inference(),
        dict(reversed(inference().items())),
        inference(features=None, prediction=1e0),
        inference(prediction=1.0),
        inference(score=None),
        inference(served_at="2026-03-01T12:00:00.000000+01:00"),
    ],
)
def test_the_same_event_in_another_spelling_is_a_duplicate(again: dict[str, Any]) -> None:
    judged = verdicts(inference(), again)
    assert judged.homes == ["inference", "duplicate"]
    assert judged.firsts == {1: 0}


def test_numbers_are_equal_by_value_wherever_they_stand() -> None:
    spellings = [{"inputs": {"a": [1, 0]}, "score": 0}, {"inputs": {"a": [1.0, -0.0]}, "score": -0.0}]
    assert verdicts(*(inference(**said) for said in spellings)).homes == ["inference", "duplicate"]


@pytest.mark.parametrize(
    "changed", [{"prediction": 2}, {"prediction": "1"}, {"score": 0.5}, {"inputs": {"a": 1}}, {"features": {}}]
)
def test_the_same_id_with_another_content_is_a_conflict_and_the_first_stands(changed: dict[str, Any]) -> None:
    judged = verdicts(inference(), inference(**changed), inference())
    assert judged.homes == ["inference", "quarantined", "duplicate"]
    assert judged.reasons == {1: "id_conflict"}


def test_an_invalid_event_does_not_compete_for_its_id() -> None:
    assert verdicts(inference(model="other"), inference()).homes == ["quarantined", "inference"]


def test_ids_of_another_kind_do_not_compete() -> None:
    assert verdicts(inference(), feedback(feedback_id="r")).homes == ["inference", "feedback"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000),
        ("1970-01-01t01:00:00.5+01:00", 500_000),
        ("1969-12-31T23:59:59.999999-00:00", -1),
        ("1970-01-01T00:00:00.0000005Z", 1),
        ("1970-01-01T00:00:00.00000049Z", 0),
    ],
)
def test_a_time_is_an_instant_in_microseconds(text: str, expected: int) -> None:
    assert time("at", text) == expected
