"""Writing tables: a batch once, whoever commits it, and nothing personal left in the log of a table."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from threading import Timer
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession

from pipelines.app import TABLES
from pipelines.bronze.tables import EVENTS
from pipelines.contract import STRING, Column, Table
from pipelines.errors import MachineError, StateError
from pipelines.gold.tables import EXAMPLES, OUTCOME_LEDGER, STATISTICS
from pipelines.guards import refuse_an_earlier_lake
from pipelines.handles import FOLLOWED, Handle
from pipelines.lake import COMMITTERS, Lake, Mark, data_version
from pipelines.silver.tables import FEEDBACK, INFERENCES, LABELLED, ORPHANS
from pipelines.status import rows_of
from tests.frames import context

NAMES = count()
Committed = Callable[..., int]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path)
    lake.create(FEEDBACK, OUTCOME_LEDGER, ORPHANS)
    return lake


def made(*names: str) -> pa.Table:
    return FEEDBACK.frame([FEEDBACK.row(feedback_id=name) for name in names])


@pytest.fixture(params=COMMITTERS)
def committed(request: pytest.FixtureRequest, lake: Lake) -> Committed:
    """Appends feedback of these names by one of the two committers; the rows written."""

    def append(*names: str, batch: int = 0, app: str = "generation:feedback", by: Lake = lake) -> int:
        rows: pa.Table | DataFrame = made(*names)
        if request.param == "spark":
            spark: SparkSession = request.getfixturevalue("spark")
            rows = spark.createDataFrame(rows)
        return by.append(FEEDBACK, rows, Mark(app, batch), {"job": "refine", "batch": batch})

    return append


def there(lake: Lake) -> list[str]:
    return sorted(lake.read(FEEDBACK, ["feedback_id"])["feedback_id"].to_pylist())


def test_a_batch_is_written_once_however_often_it_is_replayed(lake: Lake, committed: Committed) -> None:
    assert committed("a", "b") == 2
    assert committed("a", "b") == 0
    assert committed("a", "b", by=Lake(lake.root)) == 0
    assert there(lake) == ["a", "b"]


def test_an_earlier_batch_is_not_written_after_a_later_one(lake: Lake, committed: Committed) -> None:
    committed("b", batch=7)
    assert committed("a", batch=6) == 0
    assert committed("c", batch=8) == 1
    assert there(lake) == ["b", "c"]


def test_another_checkpoint_never_meets_the_marks_of_the_old_one(lake: Lake, committed: Committed) -> None:
    committed("a", batch=7)
    assert committed("b", batch=0, app="another:feedback") == 1
    assert there(lake) == ["a", "b"]


def test_an_empty_batch_leaves_no_commit(lake: Lake, committed: Committed) -> None:
    assert committed() == 0
    assert lake.open(FEEDBACK).version() == 0


def test_a_commit_says_what_it_covers(lake: Lake, committed: Committed) -> None:
    committed("a", batch=3)
    (commit, *_) = lake.open(FEEDBACK).history()
    assert "job=refine,batch=3" in str(commit.get("covers") or commit.get("userMetadata"))


def test_a_table_can_move_from_one_committer_to_the_other(spark: SparkSession, lake: Lake) -> None:
    rows = made("a"), spark.createDataFrame(made("b"))
    mark = Mark("generation:feedback", 0)
    assert lake.append(FEEDBACK, rows[0], mark, {}) == 1
    assert lake.append(FEEDBACK, rows[1], mark, {}) == 0
    assert lake.append(FEEDBACK, rows[1], Mark(mark.app, 1), {}) == 1
    assert lake.append(FEEDBACK, rows[0], Mark(mark.app, 1), {}) == 0
    assert there(lake) == ["a", "b"]


def test_both_committers_write_the_same_row(spark: SparkSession, lake: Lake) -> None:
    row = OUTCOME_LEDGER.frame([OUTCOME_LEDGER.row(unit_id="r", number=0.1)]).drop_columns(["recorded_at"])
    lake.append(OUTCOME_LEDGER, row, Mark("a", 0), {})
    lake.append(OUTCOME_LEDGER, spark.createDataFrame(row), Mark("s", 0), {})
    one, other = lake.read(OUTCOME_LEDGER).drop_columns(["recorded_at"]).to_pylist()
    assert one == other


def test_the_time_of_writing_is_set_by_the_lake(lake: Lake) -> None:
    row = OUTCOME_LEDGER.frame([OUTCOME_LEDGER.row(unit_id="r")]).drop_columns(["recorded_at"])
    before = datetime.now(UTC)
    lake.append(OUTCOME_LEDGER, row, Mark("a", 0), {})
    assert before <= lake.read(OUTCOME_LEDGER)["recorded_at"].to_pylist()[0] <= datetime.now(UTC)


def test_creating_what_is_there_changes_nothing(lake: Lake) -> None:
    lake.append(FEEDBACK, made("a"), Mark("a", 0), {})
    lake.create(FEEDBACK)
    assert there(lake) == ["a"]


def test_a_table_that_a_crash_left_half_made_is_made(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    log = lake.path(FEEDBACK) / "_delta_log"
    log.mkdir(parents=True)
    (log / "_commit_1.json.tmp").touch()
    assert not lake.exists(FEEDBACK)
    assert rows_of(tmp_path, FEEDBACK) == 0
    lake.create(FEEDBACK)
    lake.append(FEEDBACK, made("a"), Mark("a", 0), {})
    assert there(lake) == ["a"]


def test_a_table_that_is_not_there_is_refused(lake: Lake) -> None:
    with pytest.raises(StateError) as refused:
        lake.open(INFERENCES)
    assert refused.value.code == "table_missing"


def test_a_table_that_cannot_be_read_is_refused(lake: Lake) -> None:
    (lake.path(FEEDBACK) / "_delta_log" / f"{0:020d}.json").write_text("{")
    with pytest.raises(StateError) as refused:
        Lake(lake.root).open(FEEDBACK)
    assert refused.value.code == "table_unreadable"


def test_a_lake_without_a_session_makes_no_frames(lake: Lake) -> None:
    with pytest.raises(StateError) as refused:
        lake.frame(made("a"))
    assert refused.value.code == "no_session"


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = Lake(tmp_path_factory.mktemp("every"))
    lake.create(*TABLES)
    return lake


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_table_is_append_only_and_partitioned_as_declared(every: Lake, table: Table) -> None:
    metadata = every.open(table).metadata()
    assert metadata.configuration["delta.appendOnly"] == "true"
    assert tuple(metadata.partition_columns) == table.partition_by
    assert metadata.description == table.meaning


def actions(lake: Lake, table: Table, kind: str) -> list[dict[str, Any]]:
    files = sorted((lake.path(table) / "_delta_log").glob("*.json"))
    found = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return [action[kind] for action in found if kind in action]


@pytest.mark.parametrize("table", [FEEDBACK, OUTCOME_LEDGER, STATISTICS, ORPHANS], ids=lambda table: table.name)
def test_the_log_of_a_table_holds_no_value_of_an_id(every: Lake, table: Table) -> None:
    secret = {
        name: f"secret {name}"
        for name in ("feedback_id", "request_id", "unit_id", "item", "rater", "segment", "subject")
    }
    row = table.row(**{name: value for name, value in secret.items() if name in table.names})
    every.append(table, table.frame([row]), Mark(f"secret {next(NAMES)}", 0), {})
    (added,) = actions(every, table, "add")
    stats = json.loads(added["stats"])
    assert stats["numRecords"] == 1
    assert set(stats["minValues"]) == set(table.skipping)
    assert "secret" not in json.dumps(added)


def test_the_data_version_passes_over_compaction(lake: Lake) -> None:
    assert data_version(lake.path(FEEDBACK)) == -1
    for batch in range(3):
        lake.append(FEEDBACK, made(str(batch)), Mark("a", batch), {})
    assert data_version(lake.path(FEEDBACK)) == 3
    DeltaTable(lake.path(FEEDBACK)).optimize.compact()
    assert lake.open(FEEDBACK).version() == 4
    assert data_version(lake.path(FEEDBACK)) == 3


def test_a_lake_that_cannot_be_made_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MachineError) as raised:
        Lake(tmp_path / "file").create(EVENTS)
    assert raised.value.code == "lake_unwritable"
    assert str(tmp_path / "file") in raised.value.message


def test_a_table_of_an_earlier_version_is_refused_by_the_name_of_what_it_lacks(lake: Lake) -> None:
    more = Column("colour", STRING, "Of the sky.", nullable=True)
    later = replace(FEEDBACK, columns=(*FEEDBACK.columns, more))
    with pytest.raises(StateError) as raised:
        lake.create(later)
    assert raised.value.code == "table_outdated"
    assert "columns colour" in raised.value.message


def test_a_lake_whose_gold_was_filled_without_examples_is_refused(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.create(STATISTICS)
    refuse_an_earlier_lake(lake)
    lake.append(STATISTICS, STATISTICS.frame([STATISTICS.row()]), Mark("flow", 0), {})
    with pytest.raises(StateError) as refused:
        refuse_an_earlier_lake(lake)
    assert refused.value.code == "table_outdated"
    assert f"hindsight rebuild --lake {tmp_path}" in str(refused.value)
    lake.create(EXAMPLES)
    refuse_an_earlier_lake(lake)


def test_a_lookup_may_read_some_columns_only(lake: Lake) -> None:
    lake.append(FEEDBACK, made("a", "b"), Mark("flow", 0), {})
    for keys, rows in ((["b"], [{"feedback_id": "b", "label": "x"}]), (["c"], []), ([], [])):
        assert lake.lookup(FEEDBACK, pa.array(keys, pa.string()), ("feedback_id", "label")).to_pylist() == rows


def test_a_handle_is_opened_anew_when_it_has_followed_many_versions(lake: Lake) -> None:
    opened: list[int] = []

    def opening() -> DeltaTable:
        found = lake.open(FEEDBACK)
        opened.append(found.version())
        return found

    handle, seen = Handle(opening), []
    for number in range(2 * FOLLOWED):
        seen.append(handle().version())
        lake.append(FEEDBACK, made(str(number)), Mark("app", number), {})
    assert seen == [*range(2 * FOLLOWED)]
    assert opened == [0, FOLLOWED + 1]


@pytest.mark.parametrize("one", [INFERENCES.row(request_id="a"), LABELLED.row(feedback_id="a", context=context())], ids=["flat", "nested"])
def test_rows_that_a_filter_took_away_make_a_frame(spark: SparkSession, tmp_path: Path, one: dict[str, Any]) -> None:
    table = LABELLED if "context" in one else INFERENCES
    none = table.frame([one]).filter(pa.array([False]))
    assert Lake(tmp_path, spark=spark).frame(none).count() == 0


@pytest.mark.parametrize("back", [True, False])
def test_a_commit_that_shows_later_than_the_next_is_waited_for(lake: Lake, back: bool) -> None:
    handle = Handle(lambda: lake.open(FEEDBACK))
    handle()
    for number, name in enumerate("ab"):
        lake.append(FEEDBACK, made(name), Mark("query", number), {})
    first = lake.path(FEEDBACK) / "_delta_log" / f"{1:020d}.json"
    hidden = first.rename(lake.root / "hidden")
    if back:
        Timer(0.06, hidden.rename, [first]).start()
        assert lake.open(FEEDBACK).version() == handle().version() == 2
    else:
        with pytest.raises(StateError) as refused:
            lake.open(FEEDBACK)
        assert refused.value.code == "table_unreadable"
