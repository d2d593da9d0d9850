"""What one outcome says, term by term, and where it counts: the plain arithmetic under every metric."""

from __future__ import annotations

import json
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.definition import RESOLVES, Definition, Policy
from pipelines.exact import AMOUNTS, amount, from_units, units
from pipelines.gold.expose import EDGES, bucket
from pipelines.gold.placing import Known, Units, increments
from pipelines.gold.quality import Term, score_bucket, silence, terms
from pipelines.verify import quality as plain
from pipelines.verify.beliefs import Belief
from pipelines.verify.definitions import definition as read_by_the_verifier
from tests.outcomes import NEGATIVE, Value, amounts_of, column, outcome, shown

HOUR, DAY = 3_600_000_000, 86_400_000_000
NOON = 1_772_366_400_000_000
"""2026-03-01T12:00:00Z."""


def labelled(kind: str = "binary", **changed: Any) -> Definition:
    of_policy = {name: changed.pop(name) for name in ("unit", "absent", "low", "high") if name in changed}
    policy = Policy(**{"type": kind, "unit": "request", "resolve": "latest", "window": 3600, **of_policy})
    about = {"judges": "prediction", **({"positive": 1.0} if kind == "binary" else {}), **changed}
    return Definition("m", "l", ((),), ("1 hour",), policy=policy, **about)


def said(definition: Definition, value: Value, **seen: Any) -> dict[Any, Decimal]:
    """Amount by statistic, or by (statistic, bucket) where there is one; `n` left out."""
    found = amounts_of(terms(definition, shown(**seen), outcome(value)))
    assert found.pop(("n", "")) == 1
    return {(name, place) if place else name: each for (name, place), each in found.items()}


def test_an_undecided_outcome_is_answered_and_says_no_more() -> None:
    assert said(labelled(threshold=0.5), None, score=0.7) == {"undecided": 1}


def test_silence_that_is_missing_counts_only() -> None:
    found = terms(labelled(threshold=0.5), shown(score=0.7), silence(labelled(), 1))
    assert amounts_of(found) == {("n", ""): 1}


@pytest.mark.parametrize("absent", [0.0, 0, -2.5])
def test_silence_may_mean_a_number(absent: float) -> None:
    found = silence(labelled("number", absent=absent), 2)
    assert found.number.tolist() == [absent, absent]
    assert found.decided.all()


@pytest.mark.parametrize(
    ("score", "value", "cell"),
    [(0.5, 1.0, "tp"), (0.5, 0.0, "fp"), (0.4999999999999999, 1.0, "fn"), (0.1, 7.0, "tn"), (0.5, NEGATIVE, "fp")],
)
def test_a_score_at_the_threshold_predicts_the_positive_class(score: float, value: Value, cell: str) -> None:
    found = said(labelled(threshold=0.5), value, score=score)
    assert {name for name in ("tp", "fp", "fn", "tn") if name in found} == {cell}
    assert ("positive" in found) == (value == 1.0)


def test_without_a_score_the_prediction_itself_counts() -> None:
    assert said(labelled(threshold=0.5), 1.0, prediction=1.0) == {"positive": 1, "tp": 1}
    assert said(labelled(threshold=0.5), 1.0, prediction=0.0) == {"positive": 1, "fn": 1}
    assert said(labelled(), 0.0, prediction=1.0, score=0.1)["fp"] == 1


def test_a_prediction_of_the_other_kind_is_not_the_positive_class() -> None:
    assert said(labelled(positive="late"), "late", prediction=1.0) == {"positive": 1, "fn": 1}
    assert said(labelled(), 0.0, prediction_text="late") == {"tn": 1}


def test_of_an_item_only_its_own_score_counts() -> None:
    assert said(labelled(unit="item"), 1.0, prediction=1.0) == {"positive": 1}
    assert said(labelled(unit="item", threshold=0.5), 1.0, score=0.75)["tp"] == 1
    assert said(labelled("number", unit="item"), 1.0, prediction=5.0, score=0.75)["error"] == Decimal("-0.25")


def test_a_named_score_is_judged_where_the_definition_says_so() -> None:
    definition = labelled(judges="scores.churn", threshold=0.5)
    assert said(definition, 1.0, scores={"churn": 0.9}, score=0.1, prediction=0.0)["tp"] == 1
    assert said(definition, 1.0, scores={"other": 0.9}, score=0.1, prediction=0.0) == {"positive": 1}
    assert said(labelled(judges="scores.scores.a", threshold=0.5), 1.0, scores={"scores.a": 0.9})["tp"] == 1


def test_nothing_is_judged_where_the_definition_says_none() -> None:
    assert said(labelled(judges="none"), 1.0, prediction=1.0, score=0.9) == {"positive": 1}


def test_a_brier_term_is_the_exact_square_of_the_shortest_decimals_rounded_once() -> None:
    assert said(labelled(), 1.0, score=0.1)["brier"] == Decimal("0.81")
    assert said(labelled(), 0.0, score=0.1)["brier"] == Decimal("0.01")
    assert said(labelled(), 0.0, score=0.00002236067978)["brier"] == Decimal("0.000000001")
    assert "brier" not in said(labelled(), 0.0, score=0.00002)


@pytest.mark.parametrize(
    ("score", "buckets", "place"),
    [
        (0.0, 1000, 0),
        (-0.0, 10, 0),
        (0.29, 100, 29),
        (0.57, 100, 57),
        (0.9999999999, 1000, 999),
        (1.0, 1000, 999),
        (0.7, 10, 7),
    ],
)
def test_a_score_falls_into_the_bucket_of_its_decimals(score: float, buckets: int, place: int) -> None:
    assert score_bucket(score, buckets) == place
    assert said(labelled(score_buckets=buckets), 0.0, score=score)[("score.negative", str(place))] == 1


def test_a_number_adds_its_value_and_its_error() -> None:
    assert said(labelled("number"), 2.5, prediction=2.2) == {
        "value": Decimal("2.5"),
        "squared_value": Decimal("6.25"),
        "judged": 1,
        "error": Decimal("-0.3"),
        "absolute_error": Decimal("0.3"),
        "squared_error": Decimal("0.09"),
    }


def test_a_number_that_nothing_was_predicted_of_adds_its_value_alone() -> None:
    assert said(labelled("number"), 2.0, prediction_text="x", score=0.4) == {"value": 2, "squared_value": 4}


def test_a_difference_of_very_unequal_numbers_is_exact() -> None:
    assert "error" not in said(labelled("number"), 1e-300, prediction=5e-10)
    assert said(labelled("number"), -1e-300, prediction=5e-10)["error"] == Decimal("0.000000001")


def test_the_largest_numbers_fit() -> None:
    assert said(labelled("number"), 1e9, prediction=-1e12)["squared_error"] == Decimal(10**9 + 10**12) ** 2


def test_a_number_has_classes_where_the_definition_says_from_where_on_it_is_positive() -> None:
    definition = labelled("number", positive_at=15.0)
    assert said(definition, 15.0, prediction=14.9)["fn"] == 1
    assert said(definition, 14.9, prediction=15.0)["fp"] == 1
    assert not {"tp", "fp", "fn", "tn"} & said(definition, 15.0).keys()


def test_a_category_counts_by_class() -> None:
    both = {"judged": 1, ("class.predicted", "a"): 1, ("class.actual", "a"): 1, "correct": 1, ("class.correct", "a"): 1}
    assert said(labelled("category"), "a", prediction_text="a") == both
    assert said(labelled("category"), "a", prediction_text="b") == {
        "judged": 1,
        ("class.actual", "a"): 1,
        ("class.predicted", "b"): 1,
    }
    assert said(labelled("category"), "a", prediction=1.0) == {("class.actual", "a"): 1}


def test_classes_beyond_the_declared_ones_are_one_class() -> None:
    found = said(labelled("category", classes=("a", "b")), "x", prediction_text="y")
    assert found[("class.correct", "__other__")] == 1


FLOATS = st.sampled_from([0.0, -0.0, 1.0, 0.5, 0.1, 0.3, 0.29, 1e-9, 5e-10, 4.9e-10, 0.999999999, 2 / 3, 1e-300])
VALUES = FLOATS | st.sampled_from([15.0, -15.0, 1e9, -1e9, 123456.789])
TEXTS = st.sampled_from(["a", "b", "x"])


@settings(max_examples=600, deadline=None)
@given(
    data=st.data(), kind=st.sampled_from(["binary", "number", "category"]), unit=st.sampled_from(["request", "item"])
)
def test_terms_are_those_of_the_verifier(data: st.DataObject, kind: str, unit: str) -> None:
    positive: float | str = data.draw(st.sampled_from([1.0, 0.0, "a"]))
    of_text = kind == "category" or (kind == "binary" and isinstance(positive, str))
    absent = {"binary": ["missing", "negative"], "number": ["missing", 0.0, 2.5], "category": ["missing"]}[kind]
    definition = labelled(
        kind,
        unit=unit,
        absent=data.draw(st.sampled_from(absent)),
        judges=data.draw(st.sampled_from(["prediction", "scores.s", "none"])),
        threshold=data.draw(st.sampled_from([None, 0.5, 0.3])),
        positive_at=data.draw(st.sampled_from([None, 0.5])) if kind == "number" else None,
        classes=data.draw(st.sampled_from([(), ("a", "b")])) if kind == "category" else (),
        score_buckets=data.draw(st.sampled_from([1, 10, 1000])),
        **({"positive": positive} if kind == "binary" else {}),
    )
    number = data.draw(st.none() | VALUES) if unit == "request" else None
    text = data.draw(st.none() | TEXTS) if unit == "request" and number is None else None
    score, scores = data.draw(st.none() | FLOATS), data.draw(st.none() | st.dictionaries(st.just("s"), FLOATS))
    value = data.draw(st.none() | (TEXTS if of_text else VALUES))

    seen = shown(number, text, score, scores)
    theirs = read_by_the_verifier(definition.body(), -1)
    on = plain.Judged(number if text is None else text, score, scores)
    belief = Belief(None, value) if isinstance(value, str) else Belief(value, None)
    assert amounts_of(terms(definition, seen, outcome(value))) == _exact(plain.answer(theirs, belief, on))
    assert amounts_of(terms(definition, seen, silence(definition, 1))) == _exact(plain.silence(theirs, on))


def _exact(found: list[plain.Term]) -> dict[tuple[str, str], Decimal]:
    return {(name, place): count for name, place, count in found if count}


def buckets(*values: Decimal) -> list[int]:
    return bucket(pa.array(values, AMOUNTS)).to_pylist()


def test_a_measure_at_an_edge_belongs_to_the_bucket_below() -> None:
    step = Decimal("0.000000001")
    for place, edge in enumerate(EDGES):
        assert buckets(edge, edge + step) == [place, place + 1]
    few = [Decimal(text) for text in ("-1e12", "-5", "0", "0.000999999", "0.001", "1e12")]
    assert buckets(*few) == [0, 0, 0, 0, 0, len(EDGES)]


def test_the_edges_are_two_per_cent_apart_and_rounded_to_nine_places() -> None:
    assert EDGES[:3] == (Decimal("0.001"), Decimal("0.00102"), Decimal("0.0010404"))
    assert len(EDGES) == 1400
    assert all(low < high for low, high in pairwise(EDGES))


@settings(max_examples=300, deadline=None)
@given(value=st.floats(0, 1e12))
def test_the_bucket_of_a_measure_is_the_number_of_edges_below_it(value: float) -> None:
    assert buckets(amount(value)) == [sum(edge < amount(value) for edge in EDGES)]


def counted(definition: Definition, *known: Known, served_at: int = NOON, **segments: str) -> list[dict[str, Any]]:
    """The increments of one unit."""
    units = Units(
        pa.array(["default"]), pa.array(["1"]), column("segments", list(segments.items())), np.array([served_at])
    )
    return increments(definition, units, known).to_pylist()


def one(*terms: Term, known_at: int = NOON, sign: int = 1) -> Known:
    return Known("answered", np.array([known_at]), terms or [Term("n", np.array([0]))], np.array([sign]))


def placed(definition: Definition, segments: dict[str, str], *, served_at: int = NOON) -> list[Any]:
    """(grain, cell's start in hours after noon, cut, segment) of one term."""
    found = counted(definition, one(), served_at=served_at, **segments)
    assert all(row["amount"] == 1 and row["cell_at"].date() == row["cell_date"] for row in found)
    return sorted(
        (r["grain"], (int(r["cell_at"].timestamp() * 1_000_000) - NOON) // HOUR, r["cut"], r["segment"]) for r in found
    )


def shaped(
    cuts: tuple[tuple[str, ...], ...] = ((),), grains: tuple[str, ...] = ("1 hour",), **segments: tuple[str, ...]
) -> Definition:
    return Definition("m", "", cuts, grains, segments=tuple(sorted(segments.items())))


def test_a_term_counts_once_in_every_grain() -> None:
    assert placed(shaped(grains=("1 minute", "1 hour", "1 day")), {}) == [
        ("1 day", -12, "all", "[]"),
        ("1 hour", 0, "all", "[]"),
        ("1 minute", 0, "all", "[]"),
    ]


@pytest.mark.parametrize(("micros", "hour"), [(0, 0), (HOUR - 1, 0), (HOUR, 1), (-1, -1)])
def test_a_cell_begins_with_its_first_moment(micros: int, hour: int) -> None:
    assert placed(shaped(), {}, served_at=NOON + micros) == [("1 hour", hour, "all", "[]")]


def test_a_term_counts_once_in_every_cut() -> None:
    definition = shaped(((), ("origin",), ("carrier", "origin")), carrier=(), origin=("JFK",))
    found = [row[2:] for row in placed(definition, {"origin": "JFK", "carrier": "AA"})]
    assert found == [("all", "[]"), ("carrier*origin", '["AA","JFK"]'), ("origin", '["JFK"]')]


def test_a_cut_names_its_fields_in_its_own_order() -> None:
    definition = shaped((("origin", "carrier"),), carrier=(), origin=())
    assert placed(definition, {"origin": "JFK", "carrier": "AA"})[0][2:] == ("origin*carrier", '["JFK","AA"]')


@pytest.mark.parametrize(
    ("sent", "segment"),
    [
        ({}, '["__missing__"]'),
        ({"origin": "JFK"}, '["JFK"]'),
        ({"origin": "ORD"}, '["__other__"]'),
        ({"carrier": "AA"}, '["__missing__"]'),
    ],
)
def test_a_segment_is_as_sent_missing_or_beyond_the_declared_values(sent: dict[str, str], segment: str) -> None:
    assert placed(shaped((("origin",),), carrier=(), origin=("JFK",)), sent)[0][3] == segment


@pytest.mark.parametrize("value", ['a"b\\c', "é 😀", "a/b", "\x1f", "\u2028", "__other__"])
def test_any_text_is_a_segment_written_as_json(value: str) -> None:
    written = placed(shaped((("origin",),), origin=()), {"origin": value})[0][3]
    assert json.loads(written) == [value]
    assert written == json.dumps([value], ensure_ascii=False)


def test_a_cut_of_an_undeclared_field_holds_what_is_missing() -> None:
    assert placed(shaped((("origin",),)), {})[0][2:] == ("origin", '["__missing__"]')


def test_known_at_is_floored_to_the_minute() -> None:
    times = (NOON, NOON + 59_999_999, NOON + 60_000_000)
    found = counted(shaped(), *(one(known_at=known_at) for known_at in times))
    assert sorted((int(row["known_at"].timestamp()) - NOON // 10**6, row["amount"]) for row in found) == [
        (0, 2),
        (60, 1),
    ]


def test_increments_that_cancel_leave_no_row() -> None:
    said = Term("n", np.array([0])), Term("value", np.array([0]), amount=[5])
    assert counted(shaped(), one(*said), one(*said, sign=-1)) == []
    assert [row["amount"] for row in counted(shaped(), one(*said), one(*said, sign=-1), one())] == [1]


def test_amounts_beyond_64_bits_are_exact() -> None:
    great = 2 * 10**27 + 1
    found = counted(
        shaped(), one(Term("value", np.array([0]), amount=[great])), one(Term("value", np.array([0]), amount=[-1]))
    )
    assert [units(row["amount"]) for row in found] == [great - 1]


def test_amounts_are_exact_to_nine_places() -> None:
    assert from_units(units(Decimal("12345678901234567890.123456789"))) == Decimal("12345678901234567890.123456789")


def test_every_resolve_has_a_name_that_definitions_accept() -> None:
    for resolve in RESOLVES:
        policy = Policy("number", "request", resolve, 60, roles=("a",) if resolve == "priority" else ())
        assert Definition.of(Definition("m", "l", ((),), ("1 hour",), policy=policy).body()).policy == policy
