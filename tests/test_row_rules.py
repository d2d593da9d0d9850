"""Row rules: the same suite gives the same verdict to refine, to the verifier and to Great Expectations, row by row."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.definition import Definition, canonical, digest
from pipelines.gates.columns import columns
from pipelines.gates.suite import Suite, load_suite
from pipelines.gates.validate import built, context
from pipelines.silver.rules import ARGUMENTS, NOT_NULL, RowRules, Rule
from pipelines.silver.unexpected import unexpected
from pipelines.silver.wire import decode
from pipelines.verify.report import micros
from pipelines.verify.verdicts import Verdicts
from tests.frames import read

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SERVICE = Definition("m", "", ((),), ("1 hour",), segments=(("origin", ()),), measures=("cost",), offset=0)
VALUES = "expect_column_values_to_"
OPEN = {"min_value": None, "max_value": None, "strict_min": False, "strict_max": False}

DATES = st.dates(datetime(2012, 12, 1).date(), datetime(2013, 3, 1).date()).map(str)
TEXTS = st.one_of(st.sampled_from(["", "a", "A", "é", "e\u0301", "٣", "1", "1.0", "True", "ß", "a\n", "\U0001f6eb"]), DATES)
NUMBERS = st.one_of(st.integers(-3, 3).map(float), st.floats(-1e12, 1e12), st.sampled_from([0.1, -0.0, 1e-7, 1e11, 23.000000001]))
ANY = st.one_of(NUMBERS, TEXTS, st.booleans())
FEATURES = [st.lists(st.none() | kind, min_size=1, max_size=12) for kind in (NUMBERS, TEXTS, st.booleans(), ANY)]
BOUND = st.one_of(st.integers(-3, 3), NUMBERS)
REGEX = st.sampled_from([r"^\d", r"\d$", "(?i)A", r"^\w+$", "a$", r"(a)|(1)", ".", r"^2013-01-\d\d$", r"^(?!a)", r"\.0$", "True", r"\s"])


def between(low: Any, high: Any, strict: tuple[bool, bool]) -> dict[str, Any]:
    return {"min_value": low, "max_value": high, "strict_min": strict[0], "strict_max": strict[1]}


def bounds(ends: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    flags = st.tuples(st.booleans(), st.booleans())
    made = st.builds(lambda a, b, strict: between(min(a, b), max(a, b), strict), ends, ends, flags)
    one = st.builds(lambda a, upper, strict: between(None if upper else a, a if upper else None, strict), ends, st.booleans(), flags)
    return (made | one).filter(lambda k: k["min_value"] != k["max_value"] or not (k["strict_min"] or k["strict_max"]))


def rules(column: str = "features.x") -> st.SearchStrategy[Rule]:
    sets = st.lists(st.one_of(st.integers(-3, 3), NUMBERS, TEXTS, st.booleans()), min_size=1, max_size=4)
    kwargs: dict[str, st.SearchStrategy[dict[str, Any]]] = {
        NOT_NULL: st.just({}),
        f"{VALUES}be_between": bounds(BOUND),
        f"{VALUES}be_in_set": st.builds(lambda values: {"value_set": values}, sets),
        f"{VALUES}not_be_in_set": st.builds(lambda values: {"value_set": values}, sets),
        f"{VALUES}match_regex": st.builds(lambda regex: {"regex": regex}, REGEX),
        f"{VALUES}not_match_regex": st.builds(lambda regex: {"regex": regex}, REGEX),
        "expect_column_value_lengths_to_be_between": bounds(st.integers(0, 6)),
    }
    assert kwargs.keys() == ARGUMENTS.keys()
    return st.one_of([st.builds(Rule, st.just(name), st.just(column), made) for name, made in kwargs.items()])


@cache
def batches() -> Any:
    """Where Great Expectations takes its frames from."""
    return context().data_sources.add_pandas("p").add_dataframe_asset("rows").add_batch_definition_whole_dataframe("all")


def by_great_expectations(rule: Rule, values: list[Any]) -> set[int] | None:
    """The rows that it does not expect; None where it cannot compare them."""
    rows = pa.table({"features": pa.array([json.dumps({"x": value}) for value in values])})
    frame, _ = columns(rows, [rule.column])
    body = {"name": "m", "expectations": [{"type": rule.type, "kwargs": {"column": rule.column, **rule.kwargs}}]}
    (expectation,) = built(suite_of(body))
    result = batches().get_batch(batch_parameters={"dataframe": frame}).validate(expectation, result_format="COMPLETE")
    if not result.result:
        assert not result.success
        return None
    return {int(place) for place in result.result.get("unexpected_index_list") or ()}


def suite_of(body: dict[str, Any]) -> Suite:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "expectations").mkdir()
        (Path(folder) / "expectations" / "m.json").write_text(json.dumps(body))
        return load_suite(Path(folder), "m")


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
@settings(max_examples=60, deadline=None)
@given(rules(), st.one_of(FEATURES))
def test_the_same_rows_break_a_rule_as_great_expectations_says(rule: Rule, values: list[Any]) -> None:
    expected = by_great_expectations(rule, values)
    sent = [decode(inference(0, features={"x": value}))[0] for value in values]
    found = {place for place, _ in unexpected(sent, [rule])}
    assert found if expected is None else found == expected


def inference(at: int, **said: Any) -> bytes:
    event = {"kind": "inference", "request_id": f"r{at}", "model": "m", "version": "1", "served_at": NOON.isoformat()}
    return json.dumps({**event, "status": "ok", "prediction": 1, **said}).encode()


def reasons(payloads: list[bytes], expected: list[RowRules]) -> list[str | None]:
    """Why each record is refused, behind the definition of its model at offset 0; by refine."""
    return [read(payload, NOON, at + 1, [SERVICE, *expected])["reason"] for at, payload in enumerate(payloads)]


def by_the_verifier(payloads: list[bytes]) -> list[str | None]:
    verdicts = Verdicts()
    for payload in (SERVICE.control(), *payloads):
        verdicts.take(payload, micros(NOON))
    return [verdicts.reasons.get(at + 1) for at in range(len(payloads))]


SAID = st.fixed_dictionaries(
    {},
    optional={
        "features": st.dictionaries(st.just("x"), st.none() | ANY, max_size=1),
        "measures": st.dictionaries(st.just("cost"), NUMBERS, max_size=1),
        "segments": st.dictionaries(st.just("origin"), TEXTS.filter(bool), max_size=1),
        "scores": st.dictionaries(st.just("x"), st.floats(0, 1), max_size=1),
        "score": st.floats(0, 1),
        "prediction": st.sampled_from([0, 1, "yes", "a"]),
        "status": st.sampled_from(["ok", "error"]),
        "subject": TEXTS.filter(bool),
    },
)
NAMES = ("features.x", "measures.cost", "segments.origin", "scores.x", "score", "prediction", "prediction_text", "subject")


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(NAMES).flatmap(rules), SAID)
def test_the_verifier_refuses_the_same_inferences(rule: Rule, said: dict[str, Any]) -> None:
    expected = RowRules("m", (rule,))
    payload = inference(0, **said)
    assert reasons([payload], [expected]) == by_the_verifier([expected.control(), payload])[1:]


HOUR = Rule(f"{VALUES}be_between", "features.hour", {**OPEN, "min_value": 0, "max_value": 23})
SCORED = Rule(NOT_NULL, "score", {})


def test_the_first_rule_that_breaks_is_named_with_its_column_and_the_value() -> None:
    row = read(inference(0, features={"hour": 31}), NOON, 1, [SERVICE, RowRules("m", (HOUR, SCORED))])
    assert (row["reason"], row["event_id"]) == ("expectation_failed", "r0")
    assert row["detail"] == 'features.hour is 31.0; expected expect_column_values_to_be_between{"min_value":0,"max_value":23}'
    row = read(inference(0), NOON, 1, [SERVICE, RowRules("m", (HOUR, SCORED))])
    assert row["detail"] == "score is missing; expected expect_column_values_to_not_be_null"


def test_null_breaks_nothing_but_not_null() -> None:
    for rule in (HOUR, replace_column(HOUR, "score")):
        assert reasons([inference(0), inference(1, features={"hour": None})], [RowRules("m", (rule,))]) == [None, None]
    assert reasons([inference(0)], [RowRules("m", (SCORED,))]) == ["expectation_failed"]


def replace_column(rule: Rule, column: str) -> Rule:
    return Rule(rule.type, column, rule.kwargs)


def test_rules_hold_above_their_offset_until_others_of_the_model_are_declared() -> None:
    declared = [RowRules("m", (SCORED,), 2), RowRules("m", (HOUR,), 4), RowRules("m", (), 6), RowRules("other", (SCORED,), 0)]
    late = inference(0, features={"hour": 24})
    expected = [None, None, *["expectation_failed"] * 4, None]
    payloads = [inference(0)] * 4 + [late] * 3
    assert reasons(payloads, declared) == expected


def test_the_verifier_applies_them_where_they_stand() -> None:
    def late(at: int) -> bytes:
        return inference(at, features={"hour": 24})

    controls = [RowRules("m", some).control() for some in ((SCORED,), (HOUR,), ())]
    payloads = [inference(1), controls[0], inference(2), controls[1], inference(3), late(4), controls[2], late(5)]
    refused = "expectation_failed"
    assert by_the_verifier(payloads) == [None, None, refused, None, None, refused, None, None]


def test_an_inference_that_failed_has_nothing_to_be_held_against() -> None:
    failed = inference(0, status="timeout")
    assert reasons([failed], [RowRules("m", (SCORED,))]) == [None]


def test_what_is_refused_leaves_its_id_to_who_comes_after() -> None:
    verdicts = Verdicts()
    for payload in (SERVICE.control(), RowRules("m", (SCORED,)).control(), inference(0), inference(0, score=0.5)):
        verdicts.take(payload, micros(NOON + timedelta(minutes=1)))
    assert verdicts.homes[2:] == ["quarantined", "inference"]


def expect(said: Any, **changed: Any) -> bytes:
    event = {"kind": "control", "action": "expect", "model": "m", "definition": digest(said), "body": said}
    return canonical({**event, **changed})


BODY = RowRules("m", (HOUR, SCORED)).body()


def of_rule(**changed: Any) -> dict[str, Any]:
    return {"rules": [{**BODY["rules"][0], **changed}]}


def of_kwargs(type_: str, **kwargs: Any) -> dict[str, Any]:
    return of_rule(type=f"{VALUES}{type_}" if type_ != "lengths" else "expect_column_value_lengths_to_be_between", kwargs=kwargs)


NO_BODIES = [
    {}, {"rules": {}}, {"rules": [], "more": 1}, {"rules": [1]}, {"rules": [BODY["rules"][1]] * 1001},
    of_rule(type="expect_column_values_to_be_unique"), of_rule(type=1), of_rule(column="hour"), of_rule(column="features."),
    of_rule(column="number"), of_rule(column="score.x"), of_rule(column=None), of_rule(kwargs=None), of_rule(more=1),
    of_kwargs("not_be_null", mostly=0.9),
    of_kwargs("be_between"), of_kwargs("be_between", **OPEN), of_kwargs("be_between", **{**OPEN, "min_value": True}),
    of_kwargs("be_between", **{**OPEN, "min_value": 2, "max_value": 1}), of_kwargs("be_between", **{**OPEN, "min_value": 1e13}),
    of_kwargs("be_between", **{**OPEN, "min_value": "2013-01-01"}), of_kwargs("be_between", **{**OPEN, "min_value": 1, "max_value": "a"}),
    of_kwargs("be_between", **{**OPEN, "strict_min": 1}),
    of_kwargs("be_between", **{**OPEN, "min_value": 1, "max_value": 1.0, "strict_max": True}),
    of_kwargs("be_in_set", value_set=[]), of_kwargs("be_in_set", value_set=[None]), of_kwargs("be_in_set", value_set="a"),
    of_kwargs("not_be_in_set", value_set=[[1]]), of_kwargs("match_regex", regex="["), of_kwargs("match_regex", regex=""),
    of_kwargs("not_match_regex", regex=1), of_kwargs("lengths", **{**OPEN, "min_value": -1}),
    of_kwargs("lengths", **{**OPEN, "max_value": 1.5}), of_kwargs("lengths", **{**OPEN, "max_value": "a"}),
]  # fmt: skip


@pytest.mark.parametrize("body", NO_BODIES, ids=lambda body: json.dumps(body)[:90])
def test_what_is_no_row_rules_is_refused_by_both(body: dict[str, Any]) -> None:
    assert reasons([expect(body)], []) == by_the_verifier([expect(body)]) == ["expectation_invalid"]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({}, None),
        ({"definition": "0" * 16}, "expectation_invalid"),
        ({"model": None}, "missing_field"),
        ({"body": None}, "missing_field"),
        ({"definition": None}, "missing_field"),
    ],
)
def test_an_expect_states_its_model_and_its_hash(changed: dict[str, Any], reason: str | None) -> None:
    payload = expect(BODY, **changed)
    assert reasons([payload], []) == by_the_verifier([payload]) == [reason]


def test_rules_come_back_from_the_log_as_they_were_declared() -> None:
    rules_ = RowRules("m", (HOUR, SCORED))
    row = read(rules_.control(), NOON, 3, [])["control"]
    assert RowRules.of(row["model"], json.loads(row["body"]), 3) == replace(rules_, offset=3)
    assert row["definition"] == rules_.hash
