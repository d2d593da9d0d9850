"""From bytes to an event, or to the reason why not. Every payload here is also read by the verifier's own reader."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.definition import Definition, Policy, canonical, digest
from pipelines.silver.reasons import REASONS
from pipelines.silver.wire import MOST_BYTES, Refused, body_hash, decode
from pipelines.verify import events
from pipelines.verify.document import Reader
from pipelines.verify.fields import FIELD_REASONS
from pipelines.verify.verdicts import Verdicts
from tests.frames import read

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
RECEIVED = int(NOON.timestamp()) * 1_000_000
GRAINS = ("1 hour",)
DEFINITIONS = [
    Definition("m", "", ((),), GRAINS, segments=(("origin", ("JFK",)),), measures=("latency_ms",)),
    Definition("m", "click", ((),), GRAINS, policy=Policy("binary", "request", "latest", 3600), positive=1.0),
    Definition("m", "stars", ((),), GRAINS, policy=Policy("number", "item", "mean", 3600, low=0.0, high=5.0)),
    Definition("m", "delay", ((),), GRAINS, policy=Policy("number", "request", "mean", 3600)),
    Definition("m", "topic", ((),), GRAINS, policy=Policy("category", "request", "majority", 3600)),
]

INFERENCE = {
    "kind": "inference",
    "request_id": "r",
    "model": "m",
    "version": "1",
    "served_at": "2026-03-01T11:00:00Z",
    "status": "ok",
    "prediction": 1,
}
FEEDBACK = {
    "kind": "feedback",
    "feedback_id": "f",
    "request_id": "r",
    "label": "click",
    "value": 1,
    "action": "assert",
    "given_at": "2026-03-01T11:30:00Z",
}


def inference(*without: str, **changed: Any) -> bytes:
    return spelled({**INFERENCE, **changed}, without)


def feedback(*without: str, **changed: Any) -> bytes:
    return spelled({**FEEDBACK, **changed}, without)


def spelled(event: dict[str, Any], without: tuple[str, ...]) -> bytes:
    return json.dumps(
        {name: value for name, value in event.items() if name not in without}, ensure_ascii=False
    ).encode()


def written(more: str) -> bytes:
    """A good inference whose text ends with this."""
    return inference()[:-1] + b", " + more.encode() + b"}"


def given_on(time: str) -> bytes:
    return feedback(given_at=time)


def valued(text: str) -> bytes:
    """A judgement whose value is written like this."""
    return feedback().replace(b'"value": 1', b'"value": ' + text.encode())


def row(payload: bytes, offset: int = 5) -> dict[str, Any]:
    return read(payload, NOON, offset, DEFINITIONS)


def grouped(reason: str | None) -> str | None:
    """The five reasons of single fields are one group: which is said first is not fixed."""
    return "field" if reason in FIELD_REASONS else reason


def by_the_verifier(payload: bytes) -> str | None:
    verdicts = Verdicts([definition.body() for definition in DEFINITIONS])
    verdicts.take(payload, RECEIVED)
    return verdicts.reasons.get(0)


NOT_ONE_DOCUMENT = {
    "nothing": b"",
    "blanks": b" \n\t",
    "a byte order mark": b"\xef\xbb\xbf" + inference(),
    "UTF-16 of ASCII": "{}".encode("utf-16-be"),
    "cut off": inference()[:-1],
    "a second document": inference() + b" {}",
    "the same twice": inference() + inference(),
    "a line feed between two": inference() + b"\n" + inference(),
    "a comma after": inference() + b",",
    "a NUL after": inference() + b"\x00",
    "a no-break space after": inference() + b"\xc2\xa0",
    "a record separator before": b"\x1e" + inference(),
    "a form feed before": b"\x0c" + inference(),
    "a comment": inference() + b"// fine",
    "single quotes": inference().replace(b'"', b"'"),
    "a bare key": b"{kind: 1}",
    "a comma too many": written('"inputs": [1,]'),
    "a comma missing": written('"inputs": {"a": 1 "b": 2}'),
    "true cut off": written('"inputs": tru'),
    "NaN": valued("NaN"),
    "NaN deep inside": written('"inputs": {"a": [NaN]}'),
    "Infinity": valued("-Infinity"),
    "a leading zero": valued("01"),
    "a plus sign": valued("+1"),
    "no digit before the point": valued(".5"),
    "no digit after the point": valued("1."),
    "no digit in the exponent": valued("1e"),
    "hexadecimal": valued("0x10"),
    "an underscore in a number": valued("1_000"),
    "Arabic digits": valued("\N{ARABIC-INDIC DIGIT ONE}"),
    "beyond a double": valued("1e400"),
    "beyond a double, in free data": written('"inputs": {"a": -1e400}'),
    "beyond a double, in an unknown field": written('"colour": 1e400'),
    "just beyond a double": valued("1.7976931348623159e308"),
    "400 digits": valued("1" * 400),
    "400 digits in free data": written('"inputs": ' + "1" * 400),
    "5000 digits in free data": written('"inputs": [' + "9" * 5000 + "]"),
    "an exponent of 20 digits": valued("1e" + "9" * 20),
    "a raw tab in a text": inference(request_id="r").replace(b'"r"', b'"a\tb"'),
    "a raw line feed in a text": inference().replace(b'"r"', b'"a\nb"'),
    "a raw NUL in a text": inference().replace(b'"r"', b'"a\x00b"'),
    "an unknown escape": inference().replace(b'"r"', b'"\\x41"'),
    "a short escape": inference().replace(b'"r"', b'"\\u12"'),
    "an escape that is not hexadecimal": inference().replace(b'"r"', b'"\\u12G4"'),
    "a lone high surrogate": inference().replace(b'"r"', b'"\\ud800"'),
    "a lone low surrogate": inference().replace(b'"r"', b'"\\udc00"'),
    "two high surrogates": inference().replace(b'"r"', b'"\\ud800\\ud800"'),
    "a lone surrogate as a key": written('"inputs": {"\\ud800": 1}'),
    "a lone surrogate in an unknown field": written('"colour": "\\ud800"'),
    "101 deep, arrays": written('"inputs": ' + "[" * 100 + "]" * 100),
    "101 deep, objects": written('"inputs": ' + '{"a":' * 100 + "1" + "}" * 100),
    "2,000 deep": b'{"a":' * 2000 + b"1" + b"}" * 2000,
    "100,000 brackets": b"[" * 100_000,
    "100,000 braces": b"{" * 100_000,
}
SAID_TWICE = {
    "a key": written('"prediction": 1'),
    "a key hidden by an escape": written('"\\u0070rediction": 1'),
    "a key in free data": written('"inputs": {"a": 1, "a": 1}'),
    "a key in free data, hidden by an escape": written('"inputs": {"a": 1, "\\u0061": 1}'),
    "a key deep inside": written('"inputs": [[{"b": {"a": 1, "a": 2}}]]'),
    "a key in an item": written('"items": [{"item": "a", "item": "b"}]'),
    "a feature": written('"features": {"a": 1, "a": 1}'),
    "a key whose first value is null": written('"score": null, "score": 0.5'),
    "a key whose second value is null": written('"score": 0.5, "score": null'),
    "the kind": written('"kind": "inference"'),
    "a key beside a text that looks like one": written('"inputs": {"a": "\\":", "a": 1}'),
    "a key with a colon in it": written('"inputs": {"a\\":": 1, "a\\":": 1}'),
    "a key, in an array": b'[{"a": 1, "a": 2}]',
    "a key, of an unknown kind": b'{"kind": "x", "a": 1, "a": 1}',
}
NO_EVENT = {
    "not_utf8": [b"\xff", inference().replace(b'"r"', b'"\xed\xa0\x80"'), b"\xc0\xaf", b"\xff\xfe{\x00}\x00"],
    "too_large": [b" " * (MOST_BYTES + 1 - len(inference())) + inference(), b"\xff" * (MOST_BYTES + 1)],
    "not_an_object": [b"null", b"true", b"3", b'"x"', b"[]", b"[{}]", b" 1.5e3 "],
    "unknown_kind": [
        b"{}",
        *(
            json.dumps({"kind": kind}).encode()
            for kind in (None, 1, True, "", "click", "Inference", [], {}, ["inference"])
        ),
    ],
}
BAD_FIELDS = {
    "an unknown field": written('"colour": "red"'),
    "an unknown field that is null": written('"colour": null'),
    "a column that is ours": written('"tenant": "x"'),
    "received_at": written('"received_at": "2026-03-01T11:00:00Z"'),
    "an unknown field of an item": inference(items=[{"item": "a", "colour": "red"}]),
    "an unknown field that an escape hides": written('"\\u0063olour": 1'),
    "no version": inference("version"),
    "a null in a required field": inference(version=None),
    "an item without its id": inference(items=[{"score": 0.5}]),
    "an experiment without its arm": inference(experiments={"e": {}}),
    "an id that is a number": inference(request_id=7),
    "an empty id": inference(request_id=""),
    "an id of 257 characters": inference(request_id="é" * 257),
    "a name of 129 characters": inference(version="x" * 129),
    "an empty optional text": feedback(rater=""),
    "a prediction that is true": inference(prediction=True),
    "an empty prediction": inference(prediction=""),
    "a prediction that is an array": inference(prediction=[1]),
    "a prediction beyond 1e9": inference(prediction=1.1e9),
    "a whole number beyond 1e9": inference(prediction=-(10**9) - 1),
    "a number beyond 1e12": inference(measures={"latency_ms": 1e13}),
    "a whole number beyond 64 bits": inference(prediction=2**64),
    "a score above 1": inference(score=1.0000001),
    "a negative score": inference(score=-0.1),
    "a score in quotes": inference(score="0.5"),
    "a named score above 1": inference(scores={"a": 2}),
    "a score without a name": inference(scores={"": 0.5}),
    "a propensity of 0": inference(asked=0),
    "a propensity below 1e-6": inference(asked=9e-7),
    "a position that is a fraction": inference(items=[{"item": "a", "position": 1.5}]),
    "a position below 0": inference(items=[{"item": "a", "position": -1}]),
    "items that are no array": inference(items={"item": "a"}),
    "an item that is null": inference(items=[None]),
    "a feature that is an array": inference(features={"a": [1]}),
    "a segment that is a number": inference(segments={"origin": 1}),
    "a segment that is null": inference(segments={"origin": None}),
    "a measure in quotes": inference(measures={"latency_ms": "1"}),
    "an embedding with a null": inference(embedding=[1, None]),
    "an unknown action": feedback(action="like"),
    "a control that does something else": b'{"kind": "control", "action": "forget"}',
    "a frontier without a time": b'{"kind": "control", "action": "frontier"}',
    "a redrive without positions": b'{"kind": "control", "action": "redrive"}',
    "a redrive of nothing": b'{"kind": "control", "action": "redrive", "offsets": []}',
    "a redrive of a position below 0": b'{"kind": "control", "action": "redrive", "offsets": [-1]}',
    "a redrive of a position beyond 64 bits": b'{"kind": "control", "action": "redrive", "offsets": [9223372036854775808]}',
    "a redrive of a fraction": b'{"kind": "control", "action": "redrive", "offsets": [1.5]}',
    "a define without a body": b'{"kind": "control", "action": "define", "model": "m", "definition": "x"}',
    "a body that is an array": b'{"kind": "control", "action": "define", "model": "m", "definition": "x", "body": []}',
}
NO_TIME = [
    "",
    "1772362800",
    "2026-03-01",
    "2026-03-01T11:00Z",
    "2026-03-01T11:00:00",
    "2026-03-01T11:00:00+0100",
    "2026-03-01T11:00:00.5-0100",
    "2026-03-01T11:00:00+01",
    "2026-03-01T11:00:00+24:00",
    "2026-03-01T11:00:00+01:00:30",
    "2026-03-01T11:00:00.Z",
    "2026-03-01T11:00:00,5Z",
    "2026-03-01T11:00:60Z",
    "2026-03-01T24:00:00Z",
    "2026-02-29T00:00:00Z",
    "2026-13-01T00:00:00Z",
    "2026-060T11:00:00Z",
    "2026-W09-7T11:00:00Z",
    "26-03-01T00:00:00Z",
    "+2026-03-01T00:00:00Z",
    " 2026-03-01T11:00:00Z",
    "2026-03-01T11:00:00Z ",
    "2026-03-01T11:00:00\N{MINUS SIGN}01:00",
    "0000-01-01T00:00:00Z",
]
WELL_FORMED = {
    "as it should be": inference(),
    "blanks around": b" \r\n\t" + inference() + b"\n",
    "1 MiB exactly": b" " * (MOST_BYTES - len(inference())) + inference(),
    "nulls in optional fields": inference(score=None, items=None, session=None, inputs=None),
    "a pair of surrogate escapes": inference().replace(b'"r"', b'"\\ud83d\\ude00"'),
    "an escaped backslash before a u": inference().replace(b'"r"', b'"\\\\ud800"'),
    "an escaped NUL": inference().replace(b'"r"', b'"\\u0000"'),
    "an id of 256 characters beyond the basic plane": inference(request_id="😀" * 256),
    "every kind of feature": inference(features={"a": True, "b": None, "c": "", "d": "x", "e": 1.5, "f": 2}),
    "an empty slate beside a prediction": inference(items=[]),
    "100 deep": written('"inputs": ' + "[" * 99 + "]" * 99),
    "200 brackets in a text": written('"inputs": "' + "[" * 200 + '"'),
    "200 brackets side by side": written('"inputs": [' + "[]," * 200 + "[]]"),
    "keys that look like others": written('"inputs": {"a": 1, "a:": 2, "a\\":": 3, "": 4, " a": 5}'),
    "texts that look like keys": written('"inputs": ["\\":", "a\\" :", "\\"a\\": 1"]'),
    "an escape in a key": written('"inputs": {"\\u0061": 1, "b": 2}'),
    "308 digits in free data": written('"inputs": ' + "1" * 308),
    "the largest double": written('"inputs": 1.7976931348623157e308'),
    "less than the least double": valued("1e-400"),
    "zero with a huge exponent": valued("0e999999"),
    "5,000 decimals": valued("0." + "1" * 5000),
    "minus zero": valued("-0"),
    "a small t and z": given_on("2026-03-01t11:00:00z"),
    "an id like the end of a time": inference(request_id="11:00:00+0100"),
}
RULES: dict[str, list[bytes]] = {
    "prediction_required": [
        inference("prediction"),
        inference("prediction", items=[]),
        inference("prediction", model="x"),
    ],
    "unknown_model": [inference(model="other"), inference(model="other", segments={"x": "y"})],
    "undeclared_segment": [inference(segments={"carrier": "AA"}), inference(segments={"x": "y"}, measures={"x": 1})],
    "undeclared_measure": [inference(measures={"cost": 1})],
    "from_the_future": [
        inference(served_at="2026-03-01T12:05:00.000001Z"),
        inference(served_at="2026-03-01T13:05:00Z", items=[{"item": "a"}, {"item": "a"}]),
        feedback(given_at="2026-03-01T12:05:00.000001Z"),
    ],
    "absurd_time": [inference(served_at="1999-12-31T23:59:59.999999Z"), feedback(given_at="1970-01-01T00:00:00Z")],
    "duplicate_item": [inference(items=[{"item": "a"}, {"item": "b"}, {"item": "a", "score": 0.5}])],
    "target_ambiguous": [
        feedback("request_id"),
        feedback(session="s"),
        feedback("request_id", session="s", subject="u"),
    ],
    "unit_not_enabled": [feedback("request_id", session="s"), feedback("request_id", subject="u", label="nope")],
    "unknown_label": [feedback(label="nope"), feedback("value", label="nope", item="a")],
    "unit_mismatch": [feedback(item="a"), feedback(label="stars"), feedback("value", item="a")],
    "value_required": [feedback("value"), feedback("value", action="correct"), feedback("value", action="adjudicate")],
    "value_not_allowed": [feedback(action="withdraw", rater="x"), feedback(action="withdraw")],
    "wrong_value_type": [feedback(value="1"), feedback(label="topic"), feedback(label="stars", item="a", value="5")],
    "value_out_of_range": [
        feedback(label="stars", item="a", value=5.5),
        feedback(label="stars", item="a", value=-1, action="correct"),
        feedback(label="delay", value=1.1e9),
        feedback(label="delay", value=-1.1e9),
    ],
    "frontier_from_the_future": [
        b'{"kind": "control", "action": "frontier", "at": "2026-03-01T12:05:00.000001Z"}',
        b'{"kind": "control", "action": "frontier", "at": "2999-01-01T00:00:00Z", "model": "m"}',
    ],
    "target_required": [
        feedback(action="correct"),
        feedback("value", action="withdraw"),
        feedback(action="correct", given_at="2026-03-01T13:00:00Z"),
    ],
}
ACCEPTED = {
    "a slate without a prediction": inference("prediction", items=[{"item": "a", "position": 0, "score": 0.5}]),
    "a failure without a prediction": inference("prediction", status="timeout"),
    "a declared segment with another value": inference(segments={"origin": "ANY"}),
    "a declared measure": inference(measures={"latency_ms": -1.5}),
    "five minutes ahead": inference(served_at="2026-03-01T12:05:00Z"),
    "the first moment of 2000": inference(served_at="2000-01-01T00:00:00Z"),
    "a correction by a rater": feedback(action="correct", rater="x"),
    "a correction of a target": feedback(action="correct", target_feedback_id="g"),
    "a withdrawal": feedback("value", action="withdraw", rater="x"),
    "an adjudication": feedback(action="adjudicate"),
    "a rating at the end of its range": feedback(label="stars", item="a", value=5),
    "a number at the end of the widest range": feedback(label="delay", value=1e9),
    "a category": feedback(label="topic", value="news"),
    "a value that is not the positive one": feedback(value=17),
    "a frontier five minutes ahead": b'{"kind": "control", "action": "frontier", "at": "2026-03-01T12:05:00Z"}',
    "a frontier": b'{"kind": "control", "action": "frontier", "at": "2026-03-01T11:00:00+01:00"}',
    "a redrive": b'{"kind": "control", "action": "redrive", "offsets": [7, 3, 9223372036854775807]}',
}


@pytest.mark.parametrize("payload", NOT_ONE_DOCUMENT.values(), ids=NOT_ONE_DOCUMENT)
def test_what_is_not_exactly_one_document_is_not_json(payload: bytes) -> None:
    assert row(payload)["reason"] == by_the_verifier(payload) == "not_json"


@pytest.mark.parametrize("payload", SAID_TWICE.values(), ids=SAID_TWICE)
def test_what_says_one_thing_twice_is_refused(payload: bytes) -> None:
    assert row(payload)["reason"] == by_the_verifier(payload) == "duplicate_key"


@pytest.mark.parametrize(("reason", "payload"), [(reason, p) for reason, ps in NO_EVENT.items() for p in ps])
def test_what_is_no_event_says_why(reason: str, payload: bytes) -> None:
    assert row(payload)["reason"] == by_the_verifier(payload) == reason


@pytest.mark.parametrize("payload", BAD_FIELDS.values(), ids=BAD_FIELDS)
def test_a_field_that_breaks_the_contract_is_refused(payload: bytes) -> None:
    assert grouped(row(payload)["reason"]) == grouped(by_the_verifier(payload)) == "field"


@pytest.mark.parametrize("time", NO_TIME)
def test_a_time_is_rfc_3339_with_an_offset(time: str) -> None:
    assert row(given_on(time))["reason"] == by_the_verifier(given_on(time)) == "bad_time"


def test_an_offset_without_its_colon_is_seen_through_an_escape() -> None:
    assert row(given_on("@").replace(b"@", b"2026-03-01T11:00:00\\u002b0100"))["reason"] == "bad_time"


@pytest.mark.parametrize("payload", WELL_FORMED.values(), ids=WELL_FORMED)
def test_what_is_merely_unusual_is_taken_in(payload: bytes) -> None:
    assert row(payload)["reason"] is None
    assert by_the_verifier(payload) is None


@pytest.mark.parametrize(("reason", "payload"), [(reason, p) for reason, ps in RULES.items() for p in ps])
def test_the_first_rule_that_is_broken_is_the_reason(reason: str, payload: bytes) -> None:
    assert row(payload)["reason"] == by_the_verifier(payload) == reason


@pytest.mark.parametrize(("ahead", "reason"), [(300_000_000, None), (300_000_001, "frontier_from_the_future")])
@pytest.mark.parametrize("claimed", [RECEIVED, RECEIVED + 10**15, 0])
def test_a_frontier_is_held_against_the_append_and_not_against_a_claimed_receipt(
    claimed: int, ahead: int, reason: str | None
) -> None:
    at = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=RECEIVED + ahead)).isoformat()
    payload = json.dumps({"kind": "control", "action": "frontier", "at": at}).encode()
    verdicts = Verdicts()
    verdicts.take(payload, claimed, RECEIVED)
    received_at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=claimed)
    found = read(payload, received_at, 0, DEFINITIONS, appended_at=NOON)
    assert found["reason"] == verdicts.reasons.get(0) == reason
    assert verdicts.asserted(1) == (None if reason else RECEIVED + ahead)


@pytest.mark.parametrize("payload", ACCEPTED.values(), ids=ACCEPTED)
def test_what_keeps_all_rules_is_taken_in(payload: bytes) -> None:
    assert row(payload)["reason"] is None
    assert by_the_verifier(payload) is None


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b'{"a": 1, "a": 1} {}', "not_json"),
        (b'{"a": {"x": 1, "x": 1}, "b": NaN}', "not_json"),
        (b'{"a": 1, "a": "\\ud800"}', "not_json"),
        (b'{"a": "\\ud800", "a": 1}', "not_json"),
        (b'{"a": ' + b"[" * 100 + b"]" * 100 + b', "a": 1}', "not_json"),
        (b'{"kind": "click", "kind": "click"}', "duplicate_key"),
        (b'{"kind": "click", "colour": 1}', "unknown_kind"),
        (b'{"kind": "feedback", "colour": 1, "a": 1e400}', "not_json"),
        (b"\xff" + b'{"a": NaN}', "not_utf8"),
    ],
)
def test_of_several_faults_the_first_in_order_counts(payload: bytes, reason: str) -> None:
    assert row(payload)["reason"] == by_the_verifier(payload) == reason


@pytest.mark.parametrize("reason", [*NO_EVENT, *RULES, "not_json", "duplicate_key", *FIELD_REASONS])
def test_every_reason_has_a_meaning(reason: str) -> None:
    assert REASONS[reason]


def test_reasons_are_listed_in_the_order_of_the_checks() -> None:
    """A slate with an item twice, served in the future: RULES says which is first."""
    assert [*REASONS].index("from_the_future") < [*REASONS].index("duplicate_item")


def test_a_refusal_names_kind_and_id_where_they_can_be_read() -> None:
    assert {"kind": "inference", "event_id": "r"}.items() <= row(inference(colour=1)).items()
    assert {"kind": "inference", "event_id": "r"}.items() <= row(inference(model="other")).items()
    assert {"kind": "feedback", "event_id": None}.items() <= row(feedback(feedback_id=7)).items()
    assert {"kind": None, "event_id": None}.items() <= row(b"[]").items()


def test_a_model_is_unknown_at_and_before_the_offset_that_declares_it() -> None:
    late = [Definition("m", "", ((),), GRAINS, offset=5)]
    assert [read(inference(), NOON, at, late)["reason"] for at in (4, 5, 6)] == ["unknown_model"] * 2 + [None]


def test_segments_are_those_of_the_latest_definition_below() -> None:
    both = [
        Definition("m", "", ((),), GRAINS, segments=(("old", ()),), offset=1),
        Definition("m", "", ((),), GRAINS, segments=(("new", ()),), offset=5),
    ]
    reasons = [read(inference(segments={"new": "x"}), NOON, at, both)["reason"] for at in (5, 6)]
    assert reasons == ["undeclared_segment", None]


BODY = DEFINITIONS[1].body()
POLICY = BODY["policy"]


def define(body: dict[str, Any], model: str = "m", name: str | None = None) -> bytes:
    return canonical(
        {"kind": "control", "action": "define", "model": model, "definition": name or digest(body), "body": body}
    )


def test_a_definition_that_has_its_hash_is_taken_in() -> None:
    assert row(define(BODY))["reason"] is None
    assert json.loads(row(define(BODY))["control"]["body"]) == BODY


def test_a_definition_under_another_hash_is_refused() -> None:
    assert (
        row(define(BODY, name="0" * 16))["reason"]
        == by_the_verifier(define(BODY, name="0" * 16))
        == "definition_invalid"
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"grains": ["2 weeks"]},
        {"grains": ["1 hour", "1 hour"]},
        {"cuts": [[], []]},
        {"cuts": "all"},
        {"judges": "foo"},
        {"judges": 3},
        {"score_buckets": 0},
        {"score_buckets": 1.5},
        {"measures": [1]},
        {"label": ""},
        {"policy": None},
        {"policy": {}},
        {"threshold": "a"},
        {"classes": [1]},
        {"segments": {"a": [1]}},
        {"segments": []},
        {"positive": True},
        {"extra": 1},
        *(
            {"policy": {**POLICY, **changed}}
            for changed in (
                {"window": 0},
                {"window": 1.5},
                {"window": 10**15},
                {"type": "text"},
                {"unit": "session"},
                {"resolve": "best"},
                {"absent": "positive"},
                {"absent": 1e300},
                {"cap": 0},
                {"roles": [1]},
                {"low": "a"},
                {"type": "number", "absent": "negative"},
                {"type": "category", "resolve": "mean"},
                {"extra": 1},
            )
        ),
    ],
    ids=str,
)
def test_a_definition_that_no_job_could_work_with_is_refused_whatever_its_hash(changed: dict[str, Any]) -> None:
    assert row(define({**BODY, **changed}))["reason"] == "definition_invalid"


SAME = [
    (INFERENCE, dict(reversed(INFERENCE.items()))),
    (INFERENCE, {**INFERENCE, "prediction": 1.0}),
    (INFERENCE, {**INFERENCE, "score": None}),
    (INFERENCE, {**INFERENCE, "served_at": "2026-03-01T16:30:00.000000+05:30"}),
    (INFERENCE, {**INFERENCE, "served_at": "2026-03-01T11:00:00.0000004Z"}),
    ({**INFERENCE, "score": 0}, {**INFERENCE, "score": -0.0}),
    ({**INFERENCE, "inputs": {"a": [1, 100]}}, {**INFERENCE, "inputs": {"a": [1.0, 1e2]}}),
    ({**INFERENCE, "output": 0}, {**INFERENCE, "output": -0.0}),
    ({**INFERENCE, "items": [{"item": "a", "score": None}]}, {**INFERENCE, "items": [{"item": "a"}]}),
    ({**INFERENCE, "features": {"a": 1, "b": 2}}, {**INFERENCE, "features": {"b": 2.0, "a": 1.0}}),
]
DIFFERENT = [
    (INFERENCE, {**INFERENCE, "prediction": "1"}),
    (INFERENCE, {**INFERENCE, "score": 0}),
    (INFERENCE, {**INFERENCE, "served_at": "2026-03-01T11:00:00.000001Z"}),
    (INFERENCE, {**INFERENCE, "features": {}}),
    (INFERENCE, {**INFERENCE, "items": []}),
    ({**INFERENCE, "features": {"a": 1}}, {**INFERENCE, "features": {"a": True}}),
    ({**INFERENCE, "features": {"a": None}}, {**INFERENCE, "features": {}}),
    ({**INFERENCE, "inputs": {"a": None}}, {**INFERENCE, "inputs": {}}),
    ({**INFERENCE, "inputs": "1"}, {**INFERENCE, "inputs": 1}),
    ({**INFERENCE, "inputs": [1, 2]}, {**INFERENCE, "inputs": [2, 1]}),
]


def content(event: dict[str, Any]) -> tuple[str, bytes]:
    """The digests that the pipeline and the verifier make of an event."""
    payload = json.dumps(event).encode()
    decoded = decode(payload)
    assert not isinstance(decoded, Refused)
    return body_hash(decoded[1]), events.digest(events.content(Reader().read(payload)))


@pytest.mark.parametrize(("one", "other"), SAME)
def test_equal_content_has_one_digest_whatever_its_spelling(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert content(one) == content(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_another_content_has_another_digest(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert not set(content(one)) & set(content(other))


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("2026-03-01T11:00:00Z", 0),
        ("2026-03-01T12:00:00+01:00", 0),
        ("2026-03-01T05:15:00-05:45", 0),
        ("2026-03-01T11:00:00.5Z", 500_000),
        ("2026-03-01T11:00:00.000001Z", 1),
        ("2026-03-01T11:00:00.0000005Z", 1),
        ("2026-03-01T11:00:00.00000049Z", 0),
        ("2026-03-01T11:00:00.9999999Z", 1_000_000),
    ],
)
def test_a_time_is_an_instant_in_microseconds_rounded_half_up(text: str, micros: int) -> None:
    assert row(given_on(text))["feedback"]["given_at"] == NOON - timedelta(hours=1) + timedelta(microseconds=micros)


def test_no_client_clock_drags_the_watermark() -> None:
    assert row(inference(served_at="2026-03-01T11:00:00Z"))["watermark_at"] == NOON - timedelta(hours=1)
    assert row(inference(served_at="2026-03-01T12:05:00Z"))["watermark_at"] == NOON + timedelta(minutes=5)


def test_a_value_is_a_number_or_a_text_and_a_measure_is_exact() -> None:
    said = row(inference(prediction="late", measures={"latency_ms": 0.1234567895}))["inference"]
    assert (said["prediction"], said["prediction_text"]) == (None, "late")
    assert [(name, str(value)) for name, value in said["measures"]] == [("latency_ms", "0.123456790")]


def test_minus_zero_is_zero() -> None:
    assert str(row(feedback(value=-0.0))["feedback"]["value"]) == "0.0"
    assert str(row(inference(prediction=-0.0))["inference"]["prediction"]) == "0.0"


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from([*INFERENCE, "score", "items", "features", "inputs", "segments", "measures", "colour"]),
    value=PLAIN,
    ascii_only=st.booleans(),
)
def test_any_value_in_any_field_is_judged_as_the_verifier_does(name: str, value: Any, ascii_only: bool) -> None:
    payload = json.dumps({**INFERENCE, name: value}, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    assert grouped(row(payload)["reason"]) == grouped(by_the_verifier(payload))


@settings(max_examples=300, deadline=None)
@given(at=st.integers(0, len(inference()) - 1), bite=st.binary(min_size=0, max_size=2), length=st.integers(0, 3))
def test_a_damaged_record_is_judged_as_the_verifier_does(at: int, bite: bytes, length: int) -> None:
    whole = inference(inputs={"a": 1})
    payload = whole[:at] + bite + whole[at + length :]
    assert grouped(row(payload)["reason"]) == grouped(by_the_verifier(payload))


@settings(max_examples=300, deadline=None)
@given(payload=st.binary(max_size=30) | st.text(alphabet='{}[]",:\\u0e1-.nulkid ', max_size=20).map(str.encode))
def test_no_bytes_whatever_raise(payload: bytes) -> None:
    assert row(payload)["reason"] == by_the_verifier(payload)
