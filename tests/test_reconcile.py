"""What the join let go: pairs that came too late for it, and feedback that finds no inference."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from pyspark.sql import SparkSession

from pipelines.silver.reconcile import ORPHAN_AFTER, reconcile
from pipelines.silver.tables import FEEDBACK, INFERENCES, LABELLED, ORPHANS, RECONCILED
from tests.frames import at, context, frame, rows

HOUR = ORPHAN_AFTER.total_seconds() / 60


def given(name: str, received: float = 0) -> dict[str, Any]:
    return FEEDBACK.row(
        feedback_id=name,
        request_id=f"r-{name}",
        label="l",
        received_at=at(received),
        received_date=at(received).date(),
        value=1.0,
    )


def served(name: str, received: float) -> dict[str, Any]:
    return INFERENCES.row(request_id=f"r-{name}", status="ok", received_at=at(received), served_at=at(0))


def known(name: str, minutes: float) -> dict[str, Any]:
    return LABELLED.row(feedback_id=name, known_at=at(minutes), context=context())


def orphan(name: str, sign: int, minutes: float) -> dict[str, Any]:
    return ORPHANS.row(
        feedback_id=name, request_id=f"r-{name}", label="l", sign=sign, known_at=at(minutes), received_date=at(0).date()
    )


def settled(
    spark: SparkSession,
    feedback: list[dict[str, Any]],
    inferences: list[dict[str, Any]] | None = None,
    labelled: list[dict[str, Any]] | None = None,
    orphans: list[dict[str, Any]] | None = None,
    frontier: datetime | None = at(HOUR),
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The pairs that are handed on, and the orphans that are posted."""
    found = rows(
        reconcile(
            frame(spark, FEEDBACK, feedback),
            frame(spark, INFERENCES, inferences or []),
            frame(spark, LABELLED, labelled or []),
            frame(spark, ORPHANS, orphans or []),
            frontier=frontier,
        )
    )
    assert {row["to"] for row in found} <= {RECONCILED.noun, ORPHANS.noun}
    pairs = [row[RECONCILED.noun] for row in found if row["to"] == RECONCILED.noun]
    posted = sorted((row[ORPHANS.noun] for row in found if row["to"] == ORPHANS.noun), key=lambda row: row["known_at"])
    return pairs, posted


def signs(posted: list[dict[str, Any]]) -> list[tuple[str, int, datetime]]:
    return [(row["feedback_id"], row["sign"], row["known_at"]) for row in posted]


@pytest.mark.parametrize(
    ("frontier", "posted"),
    [(None, []), (at(HOUR - 0.001), []), (at(HOUR), [("f", 1, at(HOUR))]), (at(900), [("f", 1, at(HOUR))])],
)
def test_feedback_is_an_orphan_once_an_hour_has_passed_without_its_inference(
    spark: SparkSession, frontier: datetime | None, posted: list[Any]
) -> None:
    pairs, found = settled(spark, [given("f")], frontier=frontier)
    assert (pairs, signs(found)) == ([], posted)
    assert all(tuple(row) == ORPHANS.names for row in found)


def test_a_pair_that_the_join_missed_is_handed_on(spark: SparkSession) -> None:
    (pair,), posted = settled(spark, [given("f")], [served("f", 5)])
    assert tuple(pair) == RECONCILED.names
    assert (pair["feedback_id"], pair["known_at"], pair["via"]) == ("f", at(5), "reconcile")
    assert posted == []


def test_a_pair_that_is_known_is_not_handed_on_again(spark: SparkSession) -> None:
    assert settled(spark, [given("f")], [served("f", 5)], [known("f", 5)]) == ([], [])


def test_an_orphan_is_posted_once(spark: SparkSession) -> None:
    assert settled(spark, [given("f")], orphans=[orphan("f", 1, HOUR)]) == ([], [])


def test_an_inference_that_comes_after_all_takes_the_orphan_back(spark: SparkSession) -> None:
    pairs, posted = settled(spark, [given("f")], [served("f", 90)], orphans=[orphan("f", 1, HOUR)])
    assert [pair["feedback_id"] for pair in pairs] == ["f"]
    assert signs(posted) == [("f", -1, at(90))]


def test_an_orphan_that_nobody_had_posted_in_time_is_posted_with_its_end(spark: SparkSession) -> None:
    _, posted = settled(spark, [given("f")], labelled=[known("f", 90)])
    assert signs(posted) == [("f", 1, at(HOUR)), ("f", -1, at(90))]


def test_a_second_run_posts_nothing(spark: SparkSession) -> None:
    done = [orphan("f", 1, HOUR), orphan("f", -1, 90)]
    assert settled(spark, [given("f")], [served("f", 90)], [known("f", 90)], done) == ([], [])


def test_a_pair_that_two_ways_have_found_counts_once(spark: SparkSession) -> None:
    assert settled(spark, [given("f")], [served("f", 5)], [known("f", 5), known("f", 5)]) == ([], [])


def test_an_inference_that_came_within_the_hour_leaves_no_trace(spark: SparkSession) -> None:
    assert settled(spark, [given("f")], labelled=[known("f", HOUR)], frontier=at(900)) == ([], [])
