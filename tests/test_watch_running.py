"""What is watched while jobs run: posted when the frontier has moved, the same however the log was split, and once."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipelines import leases
from pipelines.app import Application
from pipelines.errors import StateError
from pipelines.jobs import WATCH
from pipelines.lake import Lake
from pipelines.models import load_model
from pipelines.watch.declared import watched_of
from pipelines.watch.rules import Watched
from pipelines.watch.tables import ALERTS, DRIFT, TRIGGERS
from pipelines.watch.watch import Watch
from tests import generator, lakes

RULES = """
baseline = 1
support = 5
[alerts.unanswered]
label = "late"
metric = "coverage"
every = "1 hour"
below = 0.9
support = 2
[triggers.retrain]
label = "late"
when = {any = ["unanswered", "new_examples >= 3"]}
"""
RECORDS = generator.history(7, 160)


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    path = tmp_path / "shop.toml"
    path.write_text(generator.SHOP.replace('[drift]\nevery = "1 hour"\n', f'[drift]\nevery = "1 hour"\n{RULES.partition("[alerts")[0]}'))
    with path.open("a") as file:
        file.write("[alerts" + RULES.partition("[alerts")[2])
    return watched_of(path, load_model(path))


def run(root: Path, spark: SparkSession, watched: Watched, *sizes: int) -> None:
    for piece in lakes.pieces_of(RECORDS, sizes):
        with Application(lakes.settings_for(root), spark, watched=[watched]) as app:
            lakes.append(app, piece)
            app.drain()


def test_a_running_lake_is_watched_the_same_however_its_log_was_split(spark: SparkSession, watched: Watched, tmp_path: Path) -> None:
    once, often = tmp_path / "once", tmp_path / "often"
    run(once, spark, watched)
    run(often, spark, watched, 150)
    for table in (ALERTS, DRIFT):
        assert lakes.net(once, table) == lakes.net(often, table)
        assert lakes.net(once, table)
    assert {row["state"] for row in lakes.rows_of(often, TRIGGERS).to_pylist()} >= {"declared"}
    lakes.proven(often)
    assert Watch(Lake(often), [watched])() == 0


def test_one_application_watches_at_a_time(spark: SparkSession, watched: Watched, tmp_path: Path) -> None:
    with (
        Application(lakes.settings_for(tmp_path), spark, watched=[watched]),
        pytest.raises(StateError) as held,
        leases.hold_by_process(tmp_path, [WATCH], "test"),
    ):
        pass
    assert held.value.code == "lease_held"
