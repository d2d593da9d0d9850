"""What a hand-written `define` may say: refine and the verifier refuse the same bodies, and what is taken stops no job."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.definition import RESOLVES, Definition, digest
from pipelines.gold.placing import Known, Units, increments
from pipelines.gold.policy import Vote, sequence
from pipelines.gold.quality import silence, terms
from pipelines.verify.beliefs import Belief
from pipelines.verify.definitions import Definition as Independent
from pipelines.verify.definitions import definition as independent
from pipelines.verify.quality import Judged, answer
from pipelines.verify.quality import silence as independent_silence
from pipelines.verify.verdicts import Verdicts
from tests import generator
from tests.frames import read
from tests.outcomes import amounts_of, column, outcome, shown
from tests.test_parse import NOON, RECEIVED, grouped

BODIES = {definition.hash: definition.body() for definition in generator.definitions()}.values()
SERVICE = next(body for body in BODIES if body["label"] == "" and body["measures"])
BINARY, NUMBER, CATEGORY = (
    next(body for body in BODIES if body["label"] == label) for label in ("click", "delay", "kind")
)

Path = tuple[str | int, ...]


def changed(body: dict[str, Any], path: Path, value: Any) -> dict[str, Any]:
    """The body with another value at this path."""
    found = copy.deepcopy(body)
    inner: Any = found
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return found


def without(body: dict[str, Any], path: Path) -> dict[str, Any]:
    found = copy.deepcopy(body)
    inner: Any = found
    for step in path[:-1]:
        inner = inner[step]
    del inner[path[-1]]
    return found


def define(body: Any, **event: Any) -> bytes:
    """The event that declares a body, with the hash that it has unless said otherwise."""
    model = body.get("model") if isinstance(body, dict) else "shop"
    said = {"kind": "control", "action": "define", "model": model, "definition": digest(body), "body": body}
    return json.dumps({**said, **event}, ensure_ascii=False).encode()


def by_refine(payload: bytes) -> str | None:
    return grouped(read(payload, NOON, 0, [])["reason"])


def by_the_verifier(payload: bytes) -> str | None:
    verdicts = Verdicts()
    verdicts.take(payload, RECEIVED)
    return grouped(verdicts.reasons.get(0))


REFUSED: dict[str, tuple[dict[str, Any], Path, Any]] = {
    "judges something else": (BINARY, ("judges",), "foo"),
    "judges no score in particular": (BINARY, ("judges",), "scores."),
    "judges, and a line feed": (BINARY, ("judges",), "prediction\n"),
    "no bucket": (BINARY, ("score_buckets",), 0),
    "too many buckets": (BINARY, ("score_buckets",), 100_001),
    "a fractional count of buckets": (BINARY, ("score_buckets",), 10.0),
    "true as a number": (BINARY, ("threshold",), True),
    "an unknown type": (BINARY, ("policy", "type"), "ordinal"),
    "an unknown unit": (BINARY, ("policy", "unit"), "session"),
    "an unknown resolve": (BINARY, ("policy", "resolve"), "median"),
    "an unknown absent": (BINARY, ("policy", "absent"), "positive"),
    "silence that is nothing": (BINARY, ("policy", "absent"), None),
    "no window": (BINARY, ("policy", "window"), 0),
    "a negative window": (BINARY, ("policy", "window"), -1),
    "a window with a fraction": (BINARY, ("policy", "window"), 3600.0),
    "a window of more than ten years": (BINARY, ("policy", "window"), 3650 * 86_400 + 1),
    "no vote counts": (BINARY, ("policy", "cap"), 0),
    "a cap with a fraction": (BINARY, ("policy", "cap"), 1.0),
    "a role twice": (CATEGORY, ("policy", "roles"), ["user", "expert", "user"]),
    "roles that are no texts": (CATEGORY, ("policy", "roles"), [1]),
    "a role without a name": (CATEGORY, ("policy", "roles"), ["", "user"]),
    "more than 100 cuts": (
        changed(BINARY, ("segments",), {f"s{i}": [] for i in range(101)}),
        ("cuts",),
        [[f"s{i}"] for i in range(101)],
    ),
    "a grain twice": (BINARY, ("grains",), ["1 hour", "1 hour"]),
    "an unknown grain": (BINARY, ("grains",), ["1 week"]),
    "a cut twice": (BINARY, ("cuts",), [[], ["origin"], []]),
    "a cut over one field twice": (BINARY, ("cuts",), [["origin", "origin"]]),
    "a cut over a field that is not declared": (BINARY, ("cuts",), [["planet"]]),
    "a field with an asterisk in its name": (BINARY, ("segments",), {"origin": [], "device": [], "a*b": []}),
    "a field of the name all": (BINARY, ("segments",), {"origin": [], "device": [], "all": []}),
    "a field whose values are null": (BINARY, ("segments", "origin"), None),
    "a measure of the name of a statistic": (SERVICE, ("measures",), ["latency_ms", "n"]),
    "a measure with a dot in its name": (SERVICE, ("measures",), ["latency_ms", "latency_ms.n"]),
    "a label without policy": (BINARY, ("policy",), None),
    "a policy without label": (BINARY, ("label",), ""),
    "an empty policy": (BINARY, ("policy",), {}),
    "a number whose silence is negative": (NUMBER, ("policy", "absent"), "negative"),
    "a category whose silence is a number": (CATEGORY, ("policy", "absent"), 0),
    "silence that is too large a number": (NUMBER, ("policy", "absent"), 1.1e9),
    "the mean of categories": (CATEGORY, ("policy", "resolve"), "mean"),
    "the sum of a label whose positive value is a text": (NUMBER, ("positive",), "yes"),
    "a range that is empty": (NUMBER, ("policy", "low"), 1001),
    "a range of one point": (NUMBER, ("policy", "low"), 1000),
    "a range that is empty below the widest": (changed(NUMBER, ("policy", "high"), None), ("policy", "low"), 1e9),
    "a range whose squares do not fit": (NUMBER, ("policy", "high"), 1e12),
    "another field": (BINARY, ("colour",), "red"),
    "another field in the policy": (BINARY, ("policy", "colour"), "red"),
    "another model": (BINARY, ("model",), 7),
    "classes that are a text": (CATEGORY, ("classes",), "cat"),
}


@pytest.mark.parametrize("body", BODIES, ids=lambda body: f"{body['model']} {body['label']}")
def test_what_a_model_file_declares_is_taken(body: dict[str, Any]) -> None:
    assert by_refine(define(body)) is None
    assert by_the_verifier(define(body)) is None


@pytest.mark.parametrize(("body", "path", "value"), REFUSED.values(), ids=REFUSED)
def test_what_no_job_could_work_with_is_refused(body: dict[str, Any], path: Path, value: Any) -> None:
    payload = define(changed(body, path, value))
    assert by_refine(payload) == by_the_verifier(payload) == ("field" if path == ("model",) else "definition_invalid")


@pytest.mark.parametrize("path", [(name,) for name in BINARY] + [("policy", name) for name in BINARY["policy"]])
def test_no_part_may_be_left_out(path: Path) -> None:
    payload = define(without(BINARY, path), model="shop")
    assert by_refine(payload) == by_the_verifier(payload) == "definition_invalid"


@pytest.mark.parametrize("event", [{"definition": "0" * 16}, {"model": "ads"}], ids=["another hash", "another model"])
def test_a_body_must_be_what_its_event_says_it_is(event: dict[str, Any]) -> None:
    assert by_refine(define(BINARY, **event)) == by_the_verifier(define(BINARY, **event)) == "definition_invalid"


@pytest.mark.parametrize(
    ("said", "expected"), [(True, None), (False, None), (None, None), ("true", "field"), (1, "field"), ([], "field")], ids=repr
)
def test_whether_it_is_backfilled_is_true_or_false(said: Any, expected: str | None) -> None:
    assert by_refine(define(BINARY, backfill=said)) == by_the_verifier(define(BINARY, backfill=said)) == expected


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_what_is_no_number_is_no_body(number: str) -> None:
    payload = define(BINARY).replace(b'"threshold": 0.5', f'"threshold": {number}'.encode())
    assert by_refine(payload) == by_the_verifier(payload) == "not_json"


WORDS = [
    "",
    "all",
    "n",
    "origin",
    "device",
    "a*b",
    "prediction",
    "none",
    "scores.spam",
    "scores.",
    "x\n",
    "é",
    "negative",
]
WORDS += [
    "missing",
    "binary",
    "number",
    "category",
    "request",
    "item",
    "priority",
    "1 minute",
    "1 hour",
    "1 day",
    *RESOLVES,
]
NUMBERS = [
    0,
    1,
    -1,
    2,
    10.0,
    0.5,
    -0.0,
    1e-7,
    1e9,
    -1e9,
    10**9 + 1,
    1e16,
    1e300,
    100_000,
    315_360_000,
    2**63,
    2**64,
    10**300,
]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.sampled_from([*NUMBERS, *WORDS])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=3),
    max_leaves=5,
)
PATHS = [(name,) for name in BINARY] + [("policy", name) for name in BINARY["policy"]]


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    """A body of a model file with some parts changed, so that about half are still definitions."""
    body: dict[str, Any] = draw(st.sampled_from(list(BODIES)))
    for path in draw(st.lists(st.sampled_from(PATHS), min_size=1, max_size=3)):
        if len(path) == 1 or isinstance(body["policy"], dict):
            others = [other for other in BODIES if len(path) == 1 or other["policy"]]
            taken = st.sampled_from([other["policy"][path[1]] if len(path) > 1 else other[path[0]] for other in others])
            body = changed(body, path, draw(taken | VALUES | st.sampled_from([*NUMBERS, *WORDS])))
    return body


@settings(max_examples=400, deadline=None)
@given(body=bodies())
def test_any_body_is_judged_as_the_verifier_does_and_stops_no_job(body: dict[str, Any]) -> None:
    payload = define(body)
    reason = by_refine(payload)
    assert reason == by_the_verifier(payload)
    if reason is None:
        agree(Definition.of(body, 0), independent(body, 0))


SHOWN: list[dict[str, Any]] = [
    {"prediction": 12.5, "score": 0.3, "scores": {"spam": 0.29}},
    {"prediction_text": "yes", "score": 1.0},
    {"prediction": -1e12, "scores": {"x\n": 0.0}},
    {"score": 0.999, "scores": {"spam": 1.0}},
    {},
]
COLUMNS = [shown(**said) for said in SHOWN]
OUTCOMES: list[float | str | None] = [None, 0.0, 1.0, -1e9, 1e12, 0.1, "yes", "cat", ""]
UNITS = Units(pa.array(["default"]), pa.array(["1"]), column("segments", [("origin", "JFK")]), np.array([0]))
VOTES = [
    Vote("a", "assert", 1.0, 0, 1, "ann", "expert"),
    Vote("b", "assert", "yes", 1, 2, "bob", "user"),
    Vote("c", "correct", 1e9, 2, 3, "ann"),
    Vote("d", "assert", 0.1, 3, 3),
    Vote("e", "adjudicate", "cat", 4, 4, "zoe"),
    Vote("f", "withdraw", None, 5, 5, "zoe"),
]


def agree(ours: Definition, theirs: Independent) -> None:
    """That gold can work with a definition, and that the verifier reads the same out of it."""
    assert (ours.hash, ours.policy.hash if ours.policy else "") == (theirs.hash, theirs.policy_hash)
    for said, columns in zip(SHOWN, COLUMNS, strict=True):
        told = Judged(
            said.get("prediction", said.get("prediction_text")), said.get("score"), said.get("scores")
        )
        of_item = ours.policy is not None and ours.policy.unit == "item"
        if ours.policy is not None and not (of_item and told.prediction is not None):
            values = [silence(ours, 1), *map(outcome, OUTCOMES)]
            expected = [independent_silence(theirs, told), *(answer(theirs, stated(o), told) for o in OUTCOMES)]
            known = []
            for value, by_the_other in zip(values, expected, strict=True):
                found = list(terms(ours, columns, value))
                assert amounts_of(found) == {term[:2]: term[2] for term in by_the_other if term[2]}
                known.append(Known("answered", np.array([0]), found))
            increments(ours, UNITS, known)
    if ours.policy is not None:
        sequence(VOTES, ours.policy, 0)


def stated(value: float | str | None) -> Belief:
    return Belief(None, value) if isinstance(value, str) else Belief(value, None)


HISTOGRAMS = {"feature.distance": [1, 2.5], "feature.carrier": ["AA", "UA"], "request.score": [0.5], "scores.best": [0.1, 0.9]}


@pytest.mark.parametrize(
    ("good", "found"),
    [
        (True, HISTOGRAMS),
        (False, {}),
        (False, []),
        (False, {"distance": [1]}),
        (False, {"feature.": [1]}),
        (False, {"request.scores": [1]}),
        (False, {"feature.x": []}),
        (False, {"feature.x": [2, 1]}),
        (False, {"feature.x": [1, 1]}),
        (False, {"feature.x": [1, "a"]}),
        (False, {"feature.x": [True]}),
        (False, {"feature.x": ["a", "a"]}),
        (False, {"feature.x": [""]}),
        (False, {"feature.x": [1e13]}),
        (False, {"feature.x": 1}),
    ],
)
def test_distributions_are_judged_as_the_verifier_does(good: bool, found: Any) -> None:
    for body in (SERVICE | {"histograms": found}, BINARY | {"histograms": found}):
        expected = None if good and body["label"] == "" else "definition_invalid"
        assert (by_refine(define(body)), by_the_verifier(define(body))) == (expected, expected), body["histograms"]
