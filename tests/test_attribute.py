"""Which inference a feedback is about, and what is carried along."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pyspark.sql import SparkSession

from pipelines.silver.attribute import attribute, pair
from pipelines.silver.tables import FEEDBACK, INFERENCES, LABELLED, RECONCILED
from tests.frames import at, frame, rows

SLATE = [
    {"item": "a", "position": 0, "score": 0.7, "propensity": None},
    {"item": "b", "position": 1, "score": None, "propensity": None},
]
INFERRED = [
    INFERENCES.row(
        request_id="plain",
        model="m",
        version="1",
        status="ok",
        served_at=at(0),
        received_at=at(1),
        offset=3,
        score=0.9,
        scores=[("s", 0.2)],
        segments=[("origin", "JFK")],
        subject="the inference's",
        session="also",
        prediction=1.0,
        watermark_at=at(0),
    ),
    INFERENCES.row(
        request_id="slate", status="ok", items=SLATE, score=0.1, served_at=at(0), received_at=at(1), watermark_at=at(0)
    ),
    INFERENCES.row(request_id="failed", status="timeout", served_at=at(0), received_at=at(1), watermark_at=at(0)),
    INFERENCES.row(
        request_id="text", status="ok", prediction_text="x", served_at=at(-780), received_at=at(9), watermark_at=at(0)
    ),
    INFERENCES.row(tenant="other", request_id="plain", served_at=at(0), watermark_at=at(0)),
]


def judged(name: str, request: str, **changed: Any) -> dict[str, Any]:
    plain = {
        "feedback_id": name,
        "request_id": request,
        "label": "l",
        "action": "assert",
        "value": 1.0,
        "given_at": at(5),
    }
    return FEEDBACK.row(**{**plain, "received_at": at(6), "watermark_at": at(5), "offset": 8, **changed})


GIVEN = [
    judged(
        "of a request",
        "plain",
        subject="the feedback's",
        session="its own",
        rater="x",
        role="user",
        target_feedback_id="t",
    ),
    judged("of an item", "slate", item="a"),
    judged("of an item without score", "slate", item="b"),
    judged("of an item not shown", "slate", item="z"),
    judged("of an item of no slate", "plain", item="a"),
    judged("of the whole slate", "slate"),
    judged("of a failure", "failed"),
    judged("of an inference that came later", "text", value=None, value_text="y"),
    judged("of nothing", "nope"),
    judged("of no request", "plain", request_id=None),
]


@pytest.fixture(scope="module")
def found(spark: SparkSession) -> dict[str, dict[str, Any]]:
    made = rows(pair(frame(spark, INFERENCES, INFERRED), frame(spark, FEEDBACK, GIVEN)))
    assert all(tuple(row) == LABELLED.names for row in made)
    assert len({row["feedback_id"] for row in made}) == len(made)
    return {row["feedback_id"]: row for row in made}


def test_every_feedback_with_an_inference_is_paired_once(found: dict[str, dict[str, Any]]) -> None:
    assert {row["feedback_id"] for row in GIVEN} - found.keys() == {"of nothing", "of no request"}


def test_a_pair_says_what_the_feedback_said(found: dict[str, dict[str, Any]]) -> None:
    row = found["of a request"]
    said = (
        "tenant",
        "unit",
        "unit_id",
        "item",
        "label",
        "number",
        "text",
        "action",
        "rater",
        "role",
        "target_feedback_id",
    )
    assert tuple(row[name] for name in said) == (
        "x",
        "request",
        "plain",
        "",
        "l",
        1.0,
        None,
        "assert",
        "x",
        "user",
        "t",
    )
    assert (row["given_at"], row["offset"], row["served_date"]) == (at(5), 8, at(0).date())


def test_subject_and_session_are_those_of_the_inference(found: dict[str, dict[str, Any]]) -> None:
    context = found["of a request"]["context"]
    assert (context["subject"], context["session"]) == ("the inference's", "also")


def test_the_context_is_all_that_a_number_needs_of_the_inference(found: dict[str, dict[str, Any]]) -> None:
    context = found["of a request"]["context"]
    assert (context["model"], context["version"], context["served_at"], context["received_at"]) == (
        "m",
        "1",
        at(0),
        at(1),
    )
    assert (context["offset"], context["prediction"], context["score"], context["judged"]) == (3, 1.0, 0.9, True)
    assert (context["scores"], context["segments"]) == ([("s", 0.2)], [("origin", "JFK")])


@pytest.mark.parametrize(
    ("name", "judged_as"),
    [
        ("of a request", ("request", "", 0.9, True)),
        ("of the whole slate", ("request", "", 0.1, True)),
        ("of an item", ("item", "a", 0.7, True)),
        ("of an item without score", ("item", "b", None, True)),
        ("of an item not shown", ("item", "z", None, False)),
        ("of an item of no slate", ("item", "a", None, False)),
        ("of a failure", ("request", "", None, False)),
    ],
)
def test_what_is_judged_is_the_request_or_an_item_that_was_shown(
    found: dict[str, dict[str, Any]], name: str, judged_as: tuple[Any, ...]
) -> None:
    row = found[name]
    assert (row["unit"], row["item"], row["context"]["score"], row["context"]["judged"]) == judged_as


def test_a_pair_is_known_once_both_are(found: dict[str, dict[str, Any]]) -> None:
    assert found["of a request"]["known_at"] == at(6)
    assert found["of an inference that came later"]["known_at"] == at(9)


def test_a_category_travels_as_text_on_the_day_it_was_served(found: dict[str, dict[str, Any]]) -> None:
    row = found["of an inference that came later"]
    assert (row["number"], row["text"], row["context"]["prediction_text"]) == (None, "y", "x")
    assert row["served_date"] == at(-780).date() != at(0).date()


def test_the_join_finds_the_same_pairs_and_passes_on_what_reconcile_found(
    spark: SparkSession, found: dict[str, dict[str, Any]]
) -> None:
    handed = LABELLED.row(feedback_id="handed on", via="reconcile", context=found["of a request"]["context"])
    joined = attribute(
        frame(spark, INFERENCES, INFERRED),
        frame(spark, FEEDBACK, GIVEN),
        frame(spark, RECONCILED, [handed]),
        horizon=timedelta(hours=1),
    )
    made = {row["feedback_id"]: row for row in rows(joined)}
    assert made.pop("handed on") == handed
    assert {name: {**row, "via": "reconcile"} for name, row in made.items()} == found


@pytest.mark.parametrize(("mark", "joins"), [(-11, False), (-10, True), (60, True), (61, False)])
def test_the_join_looks_ten_minutes_back_and_the_horizon_ahead(spark: SparkSession, mark: float, joins: bool) -> None:
    joined = attribute(
        frame(spark, INFERENCES, INFERRED[:1]),
        frame(spark, FEEDBACK, [judged("f", "plain", watermark_at=at(mark))]),
        frame(spark, RECONCILED),
        horizon=timedelta(hours=1),
    )
    assert [row["feedback_id"] for row in rows(joined)] == ["f"] * joins
