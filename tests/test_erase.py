"""Erasing people from a real lake: as if their records had never been there, for numbers, streams and bytes alike."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
from pyspark.sql import SparkSession

from pipelines import cli, files
from pipelines.app import Application
from pipelines.content import content_of
from pipelines.dataset.manifest import manifests, rows_of
from pipelines.erasure import erase as order
from pipelines.erasure import journal, purge, rewrite, state
from pipelines.erasure.erase import Erased, erase, finish
from pipelines.erasure.plan import plan
from pipelines.erasure.returned import refuse_returned
from pipelines.errors import StateError
from pipelines.gold.tables import EXAMPLES, OUTCOME_LEDGER, STATISTICS
from pipelines.health.checks import checks
from pipelines.jobs import TABLES
from pipelines.lake import Lake
from pipelines.log import erase as log
from pipelines.paths import checkpoints, erasing, log_path
from pipelines.rebuild import FOLLOWING, rebuild
from pipelines.repair import repair
from pipelines.retrain.ledger import append, first, histories
from pipelines.retrain.tables import RETRAININGS
from pipelines.settings import Settings
from pipelines.silver import tables as silver
from tests import examples, lakes, people
from tests.retraining import trigger

PEOPLE = 12
HISTORY = people.history(11, 240, PEOPLE)
GONE = {people.person(1), people.person(5)}
THEIRS = people.about(HISTORY, GONE)
LEFTOVERS = ("_log/log.damaged.sqlite", "_rebuild/_log.sqlite", "gold/statistics/part-0.parquet", "_logs/spark.log")
"""What other commands may leave behind."""
LANDED = 150
"""Records that are in the lake; the others come later."""


@pytest.fixture(scope="module")
def whole(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake that has gone through the first of the records, in two runs, and has released what came of them."""
    root = tmp_path_factory.mktemp("erase") / "lake"
    lakes.run(lakes.settings_for(root, log_batch_records=100), spark, lakes.pieces_of(HISTORY[:LANDED], [80]))
    examples.released(root)
    Lake(root).create(RETRAININGS)
    append(Lake(root), "failed", first(trigger(), 1), reason=f"run r ended as FAILED [training_failed]\nno column in {sorted(THEIRS)[0]}")
    return root


@pytest.fixture
def settings(whole: Path, tmp_path: Path) -> Settings:
    shutil.copytree(whole, tmp_path / "lake")
    return lakes.settings_for(tmp_path / "lake", log_batch_records=100)


def erased(settings: Settings, spark: SparkSession, subjects: set[str] = GONE) -> Erased | None:
    with Application(settings, spark) as app:
        return erase(app, sorted(subjects))


def others(root: Path) -> object:
    """The rows of what was sent that name nobody who is gone."""
    sent = (silver.INFERENCES, silver.FEEDBACK, silver.LABELLED, OUTCOME_LEDGER, EXAMPLES)
    ids = [next(name for name in ("feedback_id", "unit_id", "request_id") if name in table.names) for table in sent]
    rows = {table.name: (lakes.rows_of(root, table).to_pylist(), name) for table, name in zip(sent, ids, strict=True)}
    return {table: lakes.net_of(row for row in found if row[name] not in THEIRS) for table, (found, name) in rows.items()}


def left_of_release(root: Path) -> bool:
    """Whether the release has one successor, which says what it stands for and has the rows of everybody else."""
    first, second = manifests(Lake(root))
    left = [row["unit_id"] for row in rows_of(Lake(root), second).to_pylist()]
    served = lakes.rows_of(root, silver.INFERENCES)["request_id"].to_pylist()
    return (second.supersedes, second.rows, sorted(left)) == (first.name, first.rows - second.exclusions["erased"], sorted(served))


@pytest.fixture(scope="module")
def after(spark: SparkSession, whole: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Erased]:
    """A lake from which they are erased, to be read or copied, and what was said of it; other commands had left files in it."""
    root = Path(shutil.copytree(whole, tmp_path_factory.mktemp("erased") / "lake"))
    for name in LEFTOVERS:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"row of {min(GONE)}")
    done = erased(lakes.settings_for(root, log_batch_records=100), spark)
    assert done is not None
    return root, done


@pytest.fixture
def without(after: tuple[Path, Erased], tmp_path: Path) -> Settings:
    """A copy of it."""
    shutil.copytree(after[0], tmp_path / "lake")
    return lakes.settings_for(tmp_path / "lake", log_batch_records=100)


def test_nothing_of_them_is_left_and_nobody_else_moves(whole: Path, after: tuple[Path, Erased]) -> None:
    assert {Path(trace).parts[0] for trace in people.traces(whole, THEIRS)} >= {"_log", "_checkpoints", "bronze", "silver", "gold"}
    root, _ = after
    assert people.traces(root, THEIRS) == []
    assert others(root) == others(whole)
    assert left_of_release(root)
    assert histories(Lake(root))["t1"][0]["reason"] == rewrite.SILENCED
    lakes.proven(root)
    assert [check for check in checks(root) if not check.ok] == []


@pytest.mark.long
def test_what_comes_afterwards_is_counted_and_who_comes_again_is_refused(spark: SparkSession, settings: Settings) -> None:
    erased(settings, spark)
    lakes.run(settings, spark, [HISTORY[LANDED:]])
    root = settings.lake.path
    lakes.proven(root)
    assert lakes.rows_of(root, silver.QUARANTINE)["reason"].to_pylist().count("subject_erased") > 0
    assert not GONE & set(lakes.rows_of(root, silver.INFERENCES)["subject"].to_pylist())
    again = erased(settings, spark)
    assert again is not None
    assert again.said["records"]["quarantined"] > 0
    assert not {Path(trace).name for trace in people.traces(root, GONE)}
    lakes.proven(root)
    assert all(one.same for one in rebuild(settings, spark))
    assert people.traces(root, GONE) == []


def test_feedback_after_the_state_of_the_join_is_forgotten_finds_its_inference(spark: SparkSession, without: Settings) -> None:
    root = without.lake.path
    known = lakes.rows_of(root, silver.INFERENCES).select(["request_id", "served_at", "model"]).to_pylist()
    last = max(at for _, at in HISTORY[:LANDED])
    late = [
        (json.dumps({"kind": "feedback", "feedback_id": f"late~{n}~", "request_id": row["request_id"], "label": "late", "value": 1,
                     "action": "assert", "given_at": row["served_at"].isoformat()}).encode(), last)
        for n, row in enumerate(known)
    ]  # fmt: skip
    lakes.run(without, spark, [[*late, *HISTORY[LANDED:]]])
    labelled = {name for name in lakes.rows_of(root, silver.LABELLED)["feedback_id"].to_pylist() if name.startswith("late~")}
    assert len(labelled) == len(known)
    lakes.proven(root)


def test_it_is_taken_back_by_signed_entries_at_the_times_of_what_they_cancel(
    spark: SparkSession, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = settings.lake.path
    monkeypatch.setattr(order, "STEPS", order.STEPS[:1])
    before = {table: lakes.rows_of(root, table).num_rows for table in (OUTCOME_LEDGER, EXAMPLES, STATISTICS)}
    done = erased(settings, spark)
    assert done is not None
    rows = {table: lakes.rows_of(root, table) for table in before}
    said = ((OUTCOME_LEDGER, "entries_posted"), (EXAMPLES, "examples_posted"), (STATISTICS, "increments_posted"))
    for table, posted in said:
        assert rows[table].num_rows - before[table] == done.said[posted] > 0
    assert not pc.any(rows[EXAMPLES].filter(pc.less(rows[EXAMPLES]["sign"], 0))["features"].is_valid()).as_py()
    for table in (OUTCOME_LEDGER, EXAMPLES):
        assert not [row for row in lakes.net_of(rows[table].to_pylist()) if any(name in row for name in THEIRS)]


def test_a_backup_of_the_log_that_brings_them_back_is_noticed_and_mended(whole: Path, without: Settings, tmp_path: Path) -> None:
    root, before = without.lake.path, Path(shutil.copytree(whole, tmp_path / "before"))
    with sqlite3.connect(log_path(before)) as live, sqlite3.connect(root / "backup") as kept:
        live.backup(kept)
    shutil.move(root / "backup", log_path(root))
    for suffix in ("-wal", "-shm"):
        log_path(root).with_name(f"log.sqlite{suffix}").unlink(missing_ok=True)
    assert "erased_record_returned" in [check.code for check in checks(root) if not check.ok]
    with pytest.raises(StateError) as refused:
        refuse_returned(root)
    assert refused.value.code == "erased_record_returned"
    mended = repair(root)
    assert any("erased records replaced again" in line for line in mended.done)
    assert not mended.left
    assert not people.traces(root, THEIRS)


def test_what_was_taken_back_is_added_up(whole: Path, after: tuple[Path, Erased]) -> None:
    posted = plan(Lake(whole), sorted(GONE)).statistics
    keys = {tuple(row[name] for name in STATISTICS.key) for row in posted.to_pylist()}
    root, _ = after
    left = [row for row in lakes.rows_of(root, STATISTICS).to_pylist() if tuple(row[name] for name in STATISTICS.key) in keys]
    assert len({tuple(row[name] for name in STATISTICS.key) for row in left}) == len(left) < len(keys)
    assert all(row["amount"] for row in left)


@pytest.fixture(scope="module")
def noted(spark: SparkSession, whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It is written down what is to go, and nothing of it is done."""
    root = tmp_path_factory.mktemp("noted") / "lake"
    shutil.copytree(whole, root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(order, "carry_out", lambda *_: None)
        erased(lakes.settings_for(root), spark)
    return root


@pytest.fixture
def begun(noted: Path, tmp_path: Path) -> Settings:
    shutil.copytree(noted, tmp_path / "lake")
    return lakes.settings_for(tmp_path / "lake", log_batch_records=100)


def test_until_all_is_done_every_start_refuses(spark: SparkSession, begun: Settings) -> None:
    with pytest.raises(StateError) as refused, Application(begun, spark):
        pass
    with pytest.raises(StateError) as no_rebuild:
        rebuild(begun, spark)
    assert {refused.value.code, no_rebuild.value.code} == {"erasure_unfinished"}
    for words in (["maintain"], ["status"], ["metrics"]):
        assert cli.main([*words, "--lake", str(begun.lake.path), "--conf", str(lakes.CONF)]) == 5
    assert cli.main(["erase", "--lake", str(begun.lake.path), "--conf", str(lakes.CONF)]) == 0
    lakes.proven(begun.lake.path)


class CrashError(Exception):
    """The process is gone."""


POINTS: tuple[tuple[Any, str], ...] = (
    *((Lake, "append"), (files, "write"), (rewrite, "commit"), (log, "_replace"), (log, "_empty_journal"), (state, "_write")),
    *((journal, "_write"), (purge, "purge"), (order, "_certify"), (Path, "unlink"), (Path, "replace")),
)


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point[1])
def test_a_crash_at_any_point_is_mended_by_finishing(begun: Settings, monkeypatch: pytest.MonkeyPatch, point: tuple[Any, str]) -> None:
    root, (owner, name) = begun.lake.path, point
    original: Callable[..., Any] = getattr(owner, name)
    before, passes, crashes = others(root), 0, 0
    last = {number * (number + 1) // 2 for number in range(1, 100)}  # ever later, so that it comes to an end

    def crashing(*given: Any, **options: Any) -> Any:
        nonlocal passes
        passes += 1
        if passes in last:
            raise CrashError(name)
        return original(*given, **options)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, crashing)
        while erasing(root).exists():
            try:
                finish(root)
            except CrashError:
                crashes += 1
    assert crashes
    assert left_of_release(root)
    assert people.traces(root, THEIRS) == []
    assert others(root) == before
    lakes.proven(root)


def test_a_second_time_there_is_nothing_to_do(spark: SparkSession, without: Settings) -> None:
    before = {table.name: Lake(without.lake.path).open(table).version() for table in TABLES}
    assert erased(without, spark) is None
    assert {table.name: Lake(without.lake.path).open(table).version() for table in TABLES} == before


def test_who_is_not_there_is_refused_from_then_on_and_nothing_else_happens(spark: SparkSession, settings: Settings) -> None:
    before = lakes.count(settings.lake.path)
    done = erased(settings, spark, {people.person(99)})
    assert done is not None
    assert done.said["offsets"] == done.said["files_deleted"] == []
    after = lakes.count(settings.lake.path)
    assert {name for name in before if before[name] != after[name]} <= {"bronze.events", "silver.controls", "gold.frontiers"}


@pytest.mark.long
def test_a_rebuild_brings_nobody_back_and_says_the_same(spark: SparkSession, settings: Settings) -> None:
    root = settings.lake.path
    erased(settings, spark)
    before = {table.name: content_of(Lake(root), table).hash for table in FOLLOWING}
    assert all(one.same for one in rebuild(settings, spark))
    assert left_of_release(root)
    assert {table.name: content_of(Lake(root), table).hash for table in FOLLOWING} == before
    assert people.traces(root, THEIRS) == []


def test_leftovers_of_other_commands_go_too(after: tuple[Path, Erased]) -> None:
    root, _ = after
    assert not [name for name in LEFTOVERS if (root / name).exists() and min(GONE) in (root / name).read_text()]


def test_the_certificate_says_what_has_gone(after: tuple[Path, Erased]) -> None:
    _, done = after
    said = json.loads(done.certificate.read_text())
    assert said == done.said
    assert sum(last - first + 1 for first, last in said["offsets"]) == said["rows"]["bronze.events"] == sum(said["records"].values())
    assert len(said["subjects"]) == len(GONE)
    assert not [name for name in THEIRS if name in done.certificate.read_text()]
    assert {name for name, rows in said["rows"].items() if rows} <= {
        name for name, version in said["versions_after"].items() if version > said["versions_before"][name]
    }
    assert said["cells"]
    assert said["files_deleted"]


def test_a_state_of_another_kind_is_refused_before_anything_is_done(settings: Settings) -> None:
    (folder,) = checkpoints(settings.lake.path).glob("attribute*")
    offsets = folder / "offsets"
    newest = offsets / str(max(int(file.name) for file in offsets.iterdir() if file.name.isdigit()))
    newest.write_text(newest.read_text().replace("HDFSBackedStateStoreProvider", "RocksDBStateStoreProvider"))
    with pytest.raises(StateError) as refused:
        state.refuse_another_state(settings.lake.path)
    assert refused.value.code == "state_not_erasable"


def command(settings: Settings, *words: str) -> int:
    return cli.main(["erase", "--lake", str(settings.lake.path), "--conf", str(lakes.CONF), *words])


def test_a_dry_run_says_what_would_go_and_changes_nothing(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gone.txt").write_text("\n".join([*sorted(GONE), "", *sorted(GONE)]))
    before = lakes.count(settings.lake.path)
    assert command(settings, "--from", str(tmp_path / "gone.txt"), "--dry-run", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["subjects"] == 2
    assert said["rows"]["bronze.events"] == sum(said["records"].values()) > 0
    assert lakes.count(settings.lake.path) == before
    assert command(settings, "--subject", people.person(99), "--dry-run") == 0
    assert "0 records of the log would go: nothing" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code"),
    [([], "no_subject"), (["--from", "nowhere.txt"], "file_not_found"), (["--subject", ""], "subject_invalid"),
     (["--subject", "x" * 257], "subject_invalid")],
)  # fmt: skip
def test_whoever_is_not_named_well_is_refused(
    settings: Settings, capsys: pytest.CaptureFixture[str], words: list[str], code: str
) -> None:
    assert command(settings, *words, "--json") == 2
    assert json.loads(capsys.readouterr().out)["error"] == code


