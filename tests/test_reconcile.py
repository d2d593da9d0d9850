"""What the join let go: pairs that came too late for it, and feedback that finds no inference."""

from __future__ import annotations

import json
from argparse import Namespace
from collections import defaultdict
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from pipelines import repairs
from pipelines.app import Application
from pipelines.bronze.tables import EVENTS
from pipelines.jobs import NAMES, RECONCILE
from pipelines.lake import Lake
from pipelines.silver.reconcile import ORPHAN_AFTER, reconcile
from pipelines.silver.tables import FEEDBACK, INFERENCES, LABELLED, ORPHANS, RECONCILED
from tests import generator, lakes
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


SCENES: dict[str, tuple[dict[str, Any] | None, list[dict[str, Any]], list[dict[str, Any]]]] = {
    "alone": (None, [], []),
    "missed by the join": (served("missed by the join", 5), [], []),
    "joined": (served("joined", 5), [known("joined", 5)], []),
    "joined, and found twice": (served("joined, and found twice", 5), [known("joined, and found twice", 5)] * 2, []),
    "joined at the last moment": (None, [known("joined at the last moment", HOUR)], []),
    "an orphan already": (None, [], [orphan("an orphan already", 1, HOUR)]),
    "an orphan found": (served("an orphan found", 90), [], [orphan("an orphan found", 1, HOUR)]),
    "joined too late": (served("joined too late", 90), [known("joined too late", 90)], []),
    "all done": (
        served("all done", 90),
        [known("all done", 90)],
        [orphan("all done", 1, HOUR), orphan("all done", -1, 90)],
    ),
}
"""By feedback, which was received at noon: its inference, the pairs that are known, the orphans that are posted."""

Found = tuple[dict[str, dict[str, Any]], dict[str, list[tuple[int, datetime]]]]
"""The pairs that are handed on, and sign and known_at of the orphans that are posted, by feedback."""


def settled(spark: SparkSession, frontier: datetime | None) -> Found:
    inferences, labelled, orphans = zip(*SCENES.values(), strict=True)
    found = rows(
        reconcile(
            frame(spark, FEEDBACK, [given(name) for name in SCENES]),
            frame(spark, INFERENCES, [row for row in inferences if row]),
            frame(spark, LABELLED, chain.from_iterable(labelled)),
            frame(spark, ORPHANS, chain.from_iterable(orphans)),
            frontier=frontier,
        )
    )
    pairs = [row[RECONCILED.noun] for row in found if row["to"] == RECONCILED.noun]
    posted = [row[ORPHANS.noun] for row in found if row["to"] == ORPHANS.noun]
    assert len(pairs) + len(posted) == len(found)
    assert all(tuple(row) == RECONCILED.names for row in pairs)
    assert all(tuple(row) == ORPHANS.names and row["received_date"] == at(0).date() for row in posted)
    by_feedback: dict[str, list[tuple[int, datetime]]] = defaultdict(list)
    for row in sorted(posted, key=lambda row: row["known_at"]):
        by_feedback[row["feedback_id"]].append((row["sign"], row["known_at"]))
    return {row["feedback_id"]: row for row in pairs}, by_feedback


@pytest.fixture(scope="module")
def found(spark: SparkSession) -> Found:
    return settled(spark, at(HOUR))


@pytest.mark.parametrize("frontier", [None, at(HOUR - 0.001)])
def test_before_the_hour_has_passed_nobody_is_an_orphan(spark: SparkSession, frontier: datetime | None) -> None:
    assert "alone" not in settled(spark, frontier)[1]


def test_feedback_is_an_orphan_once_an_hour_has_passed_without_its_inference(found: Found) -> None:
    assert found[1]["alone"] == [(1, at(HOUR))]


def test_only_what_the_join_missed_is_handed_on(found: Found) -> None:
    assert found[0].keys() == {"missed by the join", "an orphan found"}
    pair = found[0]["missed by the join"]
    assert (pair["unit_id"], pair["known_at"], pair["via"]) == ("r-missed by the join", at(5), "reconcile")


def test_an_orphan_is_posted_once(found: Found) -> None:
    assert found[1]["an orphan already"] == []


def test_an_inference_that_comes_after_all_takes_the_orphan_back(found: Found) -> None:
    assert found[1]["an orphan found"] == [(-1, at(90))]


def test_an_orphan_that_nobody_posted_in_time_is_posted_with_its_end(found: Found) -> None:
    assert found[1]["joined too late"] == [(1, at(HOUR)), (-1, at(90))]


@pytest.mark.parametrize(
    "name", ["joined", "joined, and found twice", "joined at the last moment", "missed by the join", "all done"]
)
def test_what_was_found_within_the_hour_or_is_settled_posts_nothing(found: Found, name: str) -> None:
    assert found[1][name] == []


def test_a_dry_run_says_what_the_reconcile_behind_it_finds(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = lakes.settings_for(tmp_path / "lake", run_join_horizon="1 minute")
    others = [name for name in NAMES if name != RECONCILE]
    for piece in lakes.pieces_of(generator.history(11, 150), [80]):
        with Application(settings, spark, jobs=others) as app:
            lakes.append(app, piece)
            app.drain()
    before = lakes.count(tmp_path / "lake")
    assert repairs._foreseen(Namespace(json=True), Lake(tmp_path / "lake", spark=spark)) == 1
    said = json.loads(capsys.readouterr().out)
    assert lakes.count(tmp_path / "lake") == before
    assert said["pairs"] > 0
    with Application(settings, spark, jobs=[RECONCILE]) as app:
        app.drain()
    signs = lakes.rows_of(tmp_path / "lake", ORPHANS)["sign"].to_pylist()
    found = {"pairs": lakes.rows_of(tmp_path / "lake", RECONCILED).num_rows, "orphans": signs.count(1)}
    assert {name: said[name] for name in found} == found
    assert (said["found_again"], said["settled"], said["landed"]) == (signs.count(-1), before[EVENTS.name], before[EVENTS.name])
