"""Backfill: a definition that is changed later gives the numbers that it would have given from the beginning, and stays exact."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipelines import backfill, cli
from pipelines.app import TABLES, Application
from pipelines.definition import Definition
from pipelines.definitions import DefinitionBook
from pipelines.errors import StateError
from pipelines.gold.tables import OUTCOME_LEDGER, STATISTICS
from pipelines.lake import Lake
from pipelines.models import load_model
from pipelines.paths import backfill_of
from pipelines.rebuild import rebuild
from pipelines.revision import Change, changes, revise
from pipelines.settings import Settings
from pipelines.verify import verify
from tests import generator, lakes
from tests.crashes import drained_with_crashes

HISTORY = lakes.HISTORY
SLICE = 100
"""Log offsets of a slice, so that there are several."""
Changed = Callable[[str], str]
"""A model file, changed."""


def cut(text: str) -> str:
    return text.replace('cuts = ["all", "origin*device"]', 'cuts = ["all", "device", "origin*device"]')


def threshold(text: str) -> str:
    return text.replace("threshold = 0.3", "threshold = 0.7")


def window(text: str) -> str:
    return text.replace('attribution_window = "2 hours"\nresolve = "latest"', 'attribution_window = "5 hours"\nresolve = "latest"')


def policy(text: str) -> str:
    return text.replace('resolve = "majority"', 'resolve = "first"')


def everything(text: str) -> str:
    return policy(window(threshold(cut(text))))


def declared(text: str, folder: Path) -> list[Definition]:
    (folder / "model.toml").write_text(text)
    return load_model(folder / "model.toml")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "SLICE", SLICE)


@pytest.fixture(scope="module")
def whole(history_lake: Path) -> Path:
    """A lake that has gone through the history under the old definitions."""
    return history_lake


@pytest.fixture
def settings(whole: Path, tmp_path: Path) -> Settings:
    shutil.copytree(whole, tmp_path / "lake")
    return lakes.settings_for(tmp_path / "lake", log_batch_records=60)


def always(wanted: Sequence[Definition], spark: SparkSession, folder: Path, more: Sequence[generator.Record] = ()) -> Path:
    """A lake over the same events in which these definitions stood from the beginning."""
    settings = lakes.settings_for(folder / "always")
    with Application(settings, spark, given=wanted) as app:
        lakes.append(app, [*HISTORY, *more])
        app.drain()
    return settings.lake.path


def net_of(root: Path, hashes: set[str]) -> object:
    rows = lakes.rows_of(root, STATISTICS).to_pylist()
    return lakes.net_of(row for row in rows if row["definition"] in hashes)


def hashes_of(found: Sequence[Change] | Sequence[Definition]) -> set[str]:
    return {one.definition.hash if isinstance(one, Change) else one.hash for one in found}


def moments() -> list[generator.datetime]:
    return [generator.START + timedelta(minutes=minutes) for minutes in (100, 170, 300)]


@pytest.mark.parametrize("change", [cut, *(pytest.param(one, marks=pytest.mark.long) for one in (policy, threshold, window))])
def test_it_is_as_if_the_definition_had_stood_from_the_beginning(
    spark: SparkSession, whole: Path, settings: Settings, tmp_path: Path, change: Changed
) -> None:
    root, wanted = settings.lake.path, declared(change(generator.SHOP), tmp_path)
    old = hashes_of(DefinitionBook(Lake(root))())
    found = revise(settings, spark, wanted)
    new = hashes_of(found)
    assert new == hashes_of(wanted) - old
    assert new
    assert net_of(root, new) == net_of(always(wanted, spark, tmp_path), new) != {}
    assert net_of(root, old) == net_of(whole, old)
    lakes.proven(root, moments())
    before = lakes.count(root)
    assert revise(settings, spark, wanted) == []  # a second time there is nothing to do
    after = lakes.count(root)
    assert {name for name in before if before[name] != after[name]} <= {"bronze.events", "silver.controls", "gold.frontiers"}


@pytest.mark.parametrize("change", [threshold, pytest.param(everything, marks=pytest.mark.long)])
def test_what_comes_afterwards_moves_the_old_and_the_new(
    spark: SparkSession, whole: Path, settings: Settings, tmp_path: Path, change: Changed
) -> None:
    root, wanted = settings.lake.path, declared(change(generator.SHOP), tmp_path)
    before = net_of(whole, hashes_of(generator.definitions()))
    new = hashes_of(revise(settings, spark, wanted))
    filled = net_of(root, new)
    more = answers()
    lakes.run(settings, spark, [more])
    assert net_of(root, new) != filled
    assert net_of(root, hashes_of(generator.definitions())) != before
    lakes.proven(root, moments())


def answers() -> list[generator.Record]:
    """New inferences, and feedback on old ones, later than everything."""
    last = max(at for _, at in HISTORY)
    served = json.loads(next(payload for payload, _ in HISTORY if b'"shop"' in payload and b'"ok"' in payload))
    said = {"kind": "feedback", "label": "late", "action": "adjudicate", "given_at": last.isoformat()}
    made = [{**served, "request_id": "new"}]
    made += [{**said, "feedback_id": f"more{n}", "request_id": f"r{n}", "value": n % 2} for n in range(20)]
    closing = {"kind": "control", "action": "frontier", "at": (last + timedelta(hours=2)).isoformat()}
    return [(json.dumps(event).encode(), last + timedelta(hours=1)) for event in [*made, closing]]


@pytest.mark.long
def test_what_was_declared_already_is_filled_below_its_declaration(
    spark: SparkSession, settings: Settings, tmp_path: Path
) -> None:
    root, wanted = settings.lake.path, declared(everything(generator.SHOP), tmp_path)
    more = answers()
    with Application(settings, spark, definitions=wanted) as app:
        lakes.append(app, more)
        app.drain()
    found = revise(settings, spark, wanted)
    new = hashes_of(found)
    assert {one.upto for one in found} <= {*range(len(HISTORY), len(HISTORY) + len(wanted))}
    assert net_of(root, new) == net_of(always(wanted, spark, tmp_path, more), new)
    lakes.proven(root)


@pytest.mark.long
def test_the_whole_log_says_the_same_again(spark: SparkSession, settings: Settings, tmp_path: Path) -> None:
    root = settings.lake.path
    new = hashes_of(revise(settings, spark, declared(everything(generator.SHOP), tmp_path)))
    lakes.run(settings, spark, [answers()])
    filled = net_of(root, new)
    assert all(one.same for one in rebuild(settings, spark))
    assert net_of(root, new) == filled
    lakes.proven(root)


@pytest.fixture
def begun(spark: SparkSession, settings: Settings, tmp_path: Path) -> list[Definition]:
    """Definitions that are to be filled, and nothing of it is done."""
    wanted = declared(everything(generator.SHOP), tmp_path)
    with Application(settings, spark) as app:
        end = app.drain_whole()
        parts = [backfill.Part(one.definition, one.upto) for one in changes(app.lake, wanted, end)]
        backfill.begin(app.root, backfill.Backfill(end, tuple(parts)))
        lakes.append(app, answers())
    return [part.definition for part in parts]


@pytest.mark.long
def test_a_crash_after_every_single_commit_changes_nothing(
    spark: SparkSession, settings: Settings, begun: list[Definition], tmp_path: Path
) -> None:
    crashes = drained_with_crashes(settings, spark, TABLES)
    assert crashes.count(STATISTICS.name) > len(HISTORY) // SLICE
    assert OUTCOME_LEDGER.name in crashes
    assert not backfill_of(settings.lake.path).exists()
    new = hashes_of(begun)
    assert net_of(settings.lake.path, new) == net_of(always(begun, spark, tmp_path, answers()), new)
    lakes.proven(settings.lake.path)


def test_what_is_unfinished_is_said_by_name(spark: SparkSession, settings: Settings, begun: list[Definition]) -> None:
    assert begun
    with pytest.raises(StateError) as partly, Application(settings, spark, jobs=["land"]):
        pass
    with pytest.raises(StateError) as proving:
        verify(settings.lake.path)
    assert partly.value.code == proving.value.code == "backfill_unfinished"


@pytest.mark.long
def test_a_whole_rebuild_forgets_what_was_not_yet_declared(
    spark: SparkSession, settings: Settings, begun: list[Definition]
) -> None:
    with pytest.raises(InterruptedError), Application(settings, spark) as app:
        app.drain(interrupted)
    assert net_of(settings.lake.path, hashes_of(begun))
    rebuild(settings, spark)
    assert not backfill_of(settings.lake.path).exists()
    assert not net_of(settings.lake.path, hashes_of(begun))
    lakes.proven(settings.lake.path)


def interrupted() -> None:
    """In the middle of a fill: a slice is written."""
    raise InterruptedError


def command(settings: Settings, folder: Path, text: str, *words: str) -> int:
    conf = folder / "conf"
    (conf / "models").mkdir(parents=True, exist_ok=True)
    shutil.copy(lakes.CONF / "settings.toml", conf)
    (conf / "models" / "shop.toml").write_text(text)
    return cli.main(["rebuild", "--lake", str(settings.lake.path), "--conf", str(conf), "--model", *words])


def test_a_dry_run_says_what_would_change_and_changes_nothing(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = lakes.count(settings.lake.path)
    assert command(settings, tmp_path, threshold(window(generator.SHOP)), "shop", "--dry-run", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    (late,) = said["changes"]
    changed = next(one for one in generator.definitions() if (one.model, one.label) == ("shop", "late"))
    assert late["label"] == "late"
    assert late["before"] == replace(changed, threshold=0.58).hash
    assert late["differs"] == {"threshold": [0.58, 0.7], "policy.window": [7200, 18000]}
    assert 0 < late["inferences"] < len(HISTORY)
    assert (late["votes"] > 0, late["entries"]) == (True, 0)
    assert said["verified"] is None
    assert lakes.count(settings.lake.path) == before

    assert command(settings, tmp_path, threshold(generator.SHOP), "shop", "--dry-run") == 0
    assert "threshold: 0.58 -> 0.7" in capsys.readouterr().out


def test_of_a_model_that_did_not_change_it_says_that_there_is_nothing_to_do(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(settings, tmp_path, generator.SHOP, "shop") == 0
    assert "Nothing to do" in capsys.readouterr().out
    assert command(settings, tmp_path, generator.SHOP, "shoop") == 2
    assert 'did you mean "shop"' in capsys.readouterr().err
