"""Three weeks of the demo with the loop on, for real: what follows what, and that the same again is the same."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from pyspark.sql import SparkSession

from pipelines import settings as configuration
from pipelines.dataset.manifest import manifests
from pipelines.demo import model
from pipelines.demo.loop import Week, turned
from pipelines.demo.picture import draw, events
from pipelines.demo.show import patient, prepare
from pipelines.demo.story import Curves, Document, curves, story
from pipelines.gold.tables import EXAMPLES
from pipelines.lake import Lake
from pipelines.retrain.ledger import histories
from pipelines.silver.tables import INFERENCES
from pipelines.watch.tables import ALERTS
from tests import lakes

pytestmark = [
    pytest.mark.long,
    *(pytest.mark.filterwarnings(f"ignore::{kind}") for kind in ("DeprecationWarning", "FutureWarning", "UserWarning", "ResourceWarning")),
]
DAYS = 21
EAGER = {
    "every 56 days": "every 7 days",
    'cooldown = "21 days"': 'cooldown = "1 day"',
    "10 per 365 days": "2 per 365 days",
    "margin = 0.0": "margin = 0.5",
    "origin = 0.02": "origin = 0.9",
}
"""What of the model file is otherwise: a trigger a week, two in all, and a challenger that is not hopeless is good enough."""


def settings(folder: Path) -> Any:
    conf = folder / "conf"
    copytree(lakes.CONF, conf, dirs_exist_ok=True)
    path = conf / "models" / f"{model.NAME}.toml"
    text = path.read_text()
    for before, after in EAGER.items():
        assert text.count(before) == 1
        text = text.replace(before, after)
    path.write_text(text)
    found = configuration.load(conf, lake_path=folder / "lake", log_fsync=False, run_reconcile_every="1 second")
    prepare(found.lake.path)
    return patient(found)


class Ran:
    """A replay that is over, and what is told of it."""

    def __init__(self, folder: Path, spark: SparkSession, days: int) -> None:
        self.settings = settings(folder)
        self.weeks: list[Week] = list(turned(self.settings, spark, days=days))
        self.lake = Lake(self.settings.lake.path.resolve())
        self.curves: Curves = curves(spark, self.settings, days)
        self.document: Document = story(spark, self.settings, self.weeks, self.curves)
        self.served = [row for row in self.lake.read(INFERENCES).to_pylist() if row["status"] == "ok"]


@pytest.fixture(scope="module")
def ran(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return Ran(tmp_path_factory.mktemp("whole"), spark, DAYS)


@pytest.fixture(scope="module")
def again(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The first two weeks once more, by a demo that was started again after one that broke off in its second week."""
    broken, folder = tmp_path_factory.mktemp("broken"), tmp_path_factory.mktemp("again")
    weeks = turned(settings(broken), spark, days=DAYS)
    next(weeks)
    weeks.close()  # type: ignore[attr-defined]
    # what it left, under another name: MLflow keeps a database open for as long as its process lives
    copytree(broken / "lake", folder / "lake")
    return Ran(folder, spark, DAYS - 7)


def test_each_retraining_takes_its_steps_in_their_order(ran: Ran) -> None:
    for steps in histories(ran.lake).values():
        found = [row["step"] for row in steps]
        assert found[:6] == ["claimed", "released", "started", "trained", "judged", "promoted"]
        assert found[6:] in ([], ["settled"])
    assert [one["version"] for one in ran.document["retrainings"]] == ["2", "3"]


def test_a_week_is_served_by_the_version_that_was_promoted_before_it(ran: Ran) -> None:
    promoted = {row["version"]: row["known_at"] for steps in histories(ran.lake).values() for row in steps if row["step"] == "promoted"}
    assert len(promoted) == 2
    for row in ran.served:
        before = [version for version, at in promoted.items() if at <= row["served_at"]]
        assert row["version"] == max(before, default="1")
    assert {row["version"] for row in ran.served} >= {"1", "2"}


def test_the_first_version_scores_every_flight_and_a_challenger_those_on_which_it_is_judged(ran: Ran) -> None:
    beside = [dict(row["scores"]) for row in ran.served]
    assert all("shadow.1" in scores for scores in beside)
    assert all(dict(row["scores"])["shadow.1"] == row["score"] for row in ran.served if row["version"] == "1")
    judged = next(steps for steps in histories(ran.lake).values())
    support = next(row["support"] for row in judged if row["step"] == "promoted")
    assert 500 <= support <= sum("shadow.2" in scores for scores in beside)


def test_no_release_holds_what_was_not_known_when_its_trigger_fired(ran: Ran) -> None:
    fired = {one["release"]: one["fired_at"] for one in ran.document["retrainings"]}
    found = {one.name: one for one in manifests(ran.lake)}
    assert {name: found[name].as_of.replace("Z", "+00:00") for name in fired} == fired


def test_without_the_loop_the_first_version_is_judged_on_the_same_flights(ran: Ran) -> None:
    year = ran.document["year"]
    assert year["on"]["n"] == year["off"]["n"] == len(lakes.net(ran.lake.root, EXAMPLES))
    first = ran.curves.on.iloc[0]
    assert (first["auc"], first["n"]) == (ran.curves.off.iloc[0]["auc"], ran.curves.off.iloc[0]["n"])
    assert year["on"]["auc"] != year["off"]["auc"]
    lakes.proven(ran.lake.root)


def test_the_picture_marks_what_happened(ran: Ran, tmp_path: Path) -> None:
    found = events(ran.document)
    assert (len(found["releases"]), len(found["takeovers"]), found["refusals"]) == (2, 2, [])
    assert draw(ran.curves, ran.document, tmp_path / "loop.png").stat().st_size > 10_000


def test_the_same_again_is_the_same_though_an_earlier_one_broke_off(ran: Ran, again: Ran) -> None:
    assert [plain(week) for week in again.weeks[:2]] == [plain(week) for week in ran.weeks[:2]]
    ends = ran.weeks[1].ends
    said = [Counter(repr(told(row)) for row in one.served if row["received_at"] < ends) for one in (ran, again)]
    assert said[0] == said[1]
    contents = [[one.content for one in manifests(of.lake)] for of in (ran, again)]
    assert contents[0] == contents[1][: len(contents[0])]
    assert lakes.net(again.lake.root, ALERTS) <= lakes.net(ran.lake.root, ALERTS)


def plain(week: Week) -> tuple[Any, ...]:
    """A week without what names a run or the time of writing."""
    steps = [{name: value for name, value in row.items() if name not in ("run_id", "recorded_at")} for row in week.steps]
    return week.ends, week.champion, week.shadows, steps


def told(row: dict[str, Any]) -> dict[str, Any]:
    return {name: lakes.plain(row[name]) for name in ("request_id", "version", "score", "scores", "served_at", "received_at")}
