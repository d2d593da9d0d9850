"""The verifier's own quality statistics: one outcome in, exact terms out."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from pipelines.definition import Definition as Declared
from pipelines.definition import Policy
from pipelines.verify.beliefs import Belief
from pipelines.verify.definitions import Definition, definition
from pipelines.verify.events import Inference
from pipelines.verify.increments import items, segment
from pipelines.verify.quality import EDGES, Judged, answer, is_judged, judged, service, silence

Terms = dict[str, int | str]


def label(kind: str, *, unit: str = "request", absent: float | str = "missing", **more: Any) -> Definition:
    policy = Policy(kind, unit, "latest", 3600, absent)
    return definition(Declared("m", "label", ((),), ("1 hour",), policy=policy, **more).body(), -1)


def binary(**more: Any) -> Definition:
    return label("binary", **{"positive": 1, "judges": "prediction", **more})


def said(under: Definition, value: float | str | None, on: Judged) -> dict[str, str]:
    belief = Belief(value, None) if isinstance(value, float) else Belief(None, value)
    return plain(answer(under, belief, on))


def plain(terms: list[tuple[str, str, Decimal]]) -> dict[str, str]:
    """statistic (and bucket) to amount, zeros dropped."""
    return {
        f"{name}[{bucket}]" if bucket else name: f"{amount.normalize():f}" for name, bucket, amount in terms if amount
    }


def served(**changed: Any) -> Inference:
    fields: dict[str, Any] = {"request_id": "r", "model": "m", "version": "1", "served_at": 0, "status": "ok"}
    fields |= {"prediction": 1.0, "score": None, "scores": None, "items": None, "segments": (), "measures": ()}
    return Inference(**{**fields, "received_at": 0, "offset": 0, **changed})


SCORED = Judged(1.0, 0.25, {"other": 0.75})


def test_undecided_is_answered_and_nothing_else() -> None:
    assert said(binary(), None, SCORED) == {"n": "1", "undecided": "1"}


@pytest.mark.parametrize(
    ("prediction", "value", "cell"), [(1.0, 1.0, "tp"), (1.0, 0.0, "fp"), (0.0, 1.0, "fn"), (0.0, 0.0, "tn")]
)
def test_binary_without_a_threshold_compares_the_prediction(prediction: float, value: float, cell: str) -> None:
    found = said(binary(), value, Judged(prediction, None, None))
    assert found == {"n": "1", cell: "1"} | ({"positive": "1"} if value else {})


def test_binary_with_a_threshold_compares_the_score() -> None:
    assert said(binary(threshold=0.25), 1.0, SCORED) == {
        "n": "1", "positive": "1", "tp": "1", "score.positive[250]": "1", "brier": "0.5625",
    }  # fmt: skip
    assert "tn" in said(binary(threshold=0.26), 0.0, SCORED)


def test_binary_with_a_threshold_and_no_score_falls_back_on_the_prediction() -> None:
    assert "tp" in said(binary(threshold=0.5), 1.0, Judged(1.0, None, None))
    assert said(binary(threshold=0.5), 1.0, Judged(None, None, None)) == {"n": "1", "positive": "1"}


def test_a_named_score_is_judged_in_its_own_right() -> None:
    assert said(binary(judges="scores.other", threshold=0.5), 0.0, SCORED) == {
        "n": "1", "fp": "1", "score.negative[750]": "1", "brier": "0.5625",
    }  # fmt: skip
    assert said(binary(judges="scores.absent", threshold=0.5), 0.0, SCORED) == {"n": "1"}


def test_judging_nothing_counts_positives_only() -> None:
    assert said(binary(judges="none", threshold=0.5), 1.0, SCORED) == {"n": "1", "positive": "1"}


def test_a_positive_may_be_a_text() -> None:
    assert said(binary(positive="yes"), "yes", Judged("no", None, None)) == {"n": "1", "positive": "1", "fn": "1"}


@pytest.mark.parametrize(("score", "bucket"), [(0.0, 0), (0.29, 290), (0.999, 999), (1.0, 999), (0.0009999, 0)])
def test_a_score_falls_into_its_bucket_by_its_decimal_form(score: float, bucket: int) -> None:
    assert said(binary(), 0.0, Judged(None, score, None))[f"score.negative[{bucket}]"] == "1"


def test_an_item_is_judged_by_its_own_score() -> None:
    slate = served(items=(("a", 0.5), ("b", None)), score=0.9)
    under = binary(unit="item", threshold=0.5)
    assert items(under, slate) == ["a", "b"]
    assert "tp" in said(under, 1.0, judged(slate, "a"))
    assert said(under, 1.0, judged(slate, "b")) == {"n": "1", "positive": "1"}
    assert [is_judged(slate, item) for item in ("a", "b", "c", "")] == [True, True, False, True]
    assert not is_judged(served(status="timeout"), "")


def test_number_posts_the_error_and_the_value() -> None:
    assert said(label("number", judges="prediction"), 0.3, Judged(0.1, None, None)) == {
        "n": "1", "value": "0.3", "squared_value": "0.09", "judged": "1",
        "error": "-0.2", "absolute_error": "0.2", "squared_error": "0.04",
    }  # fmt: skip


def test_number_without_a_judged_number_posts_the_value() -> None:
    assert said(label("number", judges="prediction"), 2.0, Judged("a", 0.5, None)) == {
        "n": "1", "value": "2", "squared_value": "4",
    }  # fmt: skip


def test_each_term_is_rounded_once_half_up() -> None:
    found = said(label("number", judges="prediction"), 0.0000000005, Judged(0.00005, None, None))
    assert found["value"] == "0.000000001"
    assert found["error"] == "0.00005"
    assert found["squared_error"] == "0.000000002"


def test_the_greatest_numbers_are_still_exact() -> None:
    found = said(label("number", judges="prediction"), -1e12, Judged(1e12, None, None))
    assert found["squared_error"] == "4000000000000000000000000"


def test_number_has_a_confusion_matrix_where_positive_at_is_declared() -> None:
    assert "fn" in said(label("number", judges="prediction", positive_at=15), 15.0, Judged(14.9, None, None))


def test_category_compares_texts_and_names_what_is_not_declared() -> None:
    under = label("category", judges="prediction", classes=("a", "b"))
    assert said(under, "a", Judged("a", None, None)) == {
        "n": "1", "class.actual[a]": "1", "class.predicted[a]": "1", "judged": "1",
        "correct": "1", "class.correct[a]": "1",
    }  # fmt: skip
    assert said(under, "x", Judged("y", None, None))["class.correct[__other__]"] == "1"
    assert said(under, "a", Judged(1.0, None, None)) == {"n": "1", "class.actual[a]": "1"}


def test_silence_means_what_the_policy_says() -> None:
    on = Judged(1.0, None, None)
    assert plain(silence(binary(), on)) == {"n": "1"}
    assert plain(silence(binary(absent="negative"), on)) == {"n": "1", "fp": "1"}
    assert plain(silence(label("number", judges="prediction", absent=0), on))["squared_error"] == "1"


def test_an_inference_posts_what_it_served_and_its_declared_measures() -> None:
    under = definition(Declared("m", "", ((),), ("1 hour",), measures=("latency_ms",)).body(), -1)
    slate = served(items=(("a", None), ("b", None)), measures=(("latency_ms", 12.4), ("cost", 1.0)))
    latency = {"latency_ms": "12.4", "latency_ms.n": "1", "latency_ms.histogram[476]": "1"}
    assert plain(service(under, slate)) == {"n": "1", "items": "2"} | latency
    assert EDGES[475] < Decimal("12.4") <= EDGES[476]
    assert plain(service(under, served(status="error"))) == {"errors": "1"}


@pytest.mark.parametrize(
    ("number", "bucket"), [(-1.0, "0"), (0.0, "0"), (0.001, "0"), (0.0010000004, "0"), (0.00102, "1"), (1e12, "1400")]
)
def test_a_measure_falls_into_its_bucket(number: float, bucket: str) -> None:
    under = definition(Declared("m", "", ((),), ("1 hour",), measures=("x",)).body(), -1)
    assert ("x.histogram", bucket, Decimal(1)) in service(under, served(measures=(("x", number),)))


def test_a_segment_names_what_is_absent_and_what_is_not_declared() -> None:
    under = definition(Declared("m", "", ((),), (), segments=(("o", ("JFK",)), ("c", ()))).body(), -1)
    assert segment(under, (), {}) == "[]"
    assert segment(under, ("o", "c"), {"o": "LGA", "c": "é"}) == '["__other__","é"]'
    assert segment(under, ("c", "o"), {"o": "JFK"}) == '["__missing__","JFK"]'
