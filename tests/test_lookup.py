"""Lookups by id: exactly the rows of the keys, whatever has been appended, compacted or deleted since."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from pipelines import files as data
from pipelines import lookup
from pipelines.contract import Table
from pipelines.lake import Lake, Mark
from pipelines.lookup import KeyIndex
from pipelines.silver.tables import FEEDBACK, INFERENCES, LABELLED, ORPHANS


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "a lake=1, 100% ours")
    lake.create(FEEDBACK, INFERENCES, LABELLED, ORPHANS)
    return lake


BATCHES = count()


def append(lake: Lake, *names: str, day: int = 1) -> None:
    at = datetime(2026, 3, day, tzinfo=UTC)
    rows = [FEEDBACK.row(feedback_id=name, received_at=at, received_date=at.date()) for name in names]
    lake.append(FEEDBACK, FEEDBACK.frame(rows), Mark("test", next(BATCHES)), {})


def found(lake: Lake, *names: str) -> list[str]:
    return sorted(lake.lookup(FEEDBACK, pa.array(names, pa.string()))["feedback_id"].to_pylist())


def files(index: KeyIndex, *names: str) -> int:
    return len(index.groups_of(pa.array(names, pa.string())))


def test_an_empty_table_has_no_rows(lake: Lake) -> None:
    assert lake.lookup(FEEDBACK, pa.array(["a"])).schema == FEEDBACK.arrow
    assert found(lake, "a") == []


def test_rows_of_the_keys_and_of_no_other(lake: Lake) -> None:
    append(lake, "a", "b", "c")
    append(lake, "a", "d")
    assert found(lake, "a", "d", "nope") == ["a", "a", "d"]


def test_no_keys_no_rows(lake: Lake) -> None:
    append(lake, "a")
    assert found(lake) == []
    assert lake.lookup(FEEDBACK, pa.array([None], pa.string())).num_rows == 0
    assert lake.lookup(FEEDBACK, pa.chunked_array([], pa.string())).num_rows == 0


def test_keys_may_come_twice_and_in_chunks(lake: Lake) -> None:
    append(lake, "a", "b")
    keys = pa.chunked_array([["a"], [], ["a", None]], pa.string())
    assert lake.lookup(FEEDBACK, keys)["feedback_id"].to_pylist() == ["a"]


def test_what_is_appended_later_is_found(lake: Lake) -> None:
    append(lake, "a")
    assert found(lake, "a", "b") == ["a"]
    append(lake, "b")
    assert found(lake, "a", "b") == ["a", "b"]


def test_what_another_process_appends_is_found(lake: Lake) -> None:
    append(lake, "a")
    assert found(lake, "b") == []
    append(Lake(lake.root), "b")
    assert found(lake, "b") == ["b"]


def test_compaction_and_the_deletion_of_what_it_replaced_change_nothing(lake: Lake) -> None:
    for name in "abcdef":
        append(lake, name)
    assert found(lake, *"abcdef") == list("abcdef")
    table = DeltaTable(lake.path(FEEDBACK))
    table.optimize.compact()
    table.vacuum(0, dry_run=False, enforce_retention_duration=False)
    append(lake, "g")
    assert found(lake, *"abcdefg") == list("abcdefg")


def test_a_compaction_before_the_first_look_is_no_different(lake: Lake) -> None:
    for name in "abc":
        append(lake, name)
    DeltaTable(lake.path(FEEDBACK)).optimize.compact()
    assert found(lake, *"abc") == list("abc")


def test_only_files_that_hold_a_key_are_read(lake: Lake) -> None:
    for name in "abcdef":
        append(lake, name)
    index = KeyIndex(lake.path(FEEDBACK), "feedback_id")
    assert [files(index, "a"), files(index, "a", "f"), files(index, "z")] == [1, 2, 0]
    DeltaTable(lake.path(FEEDBACK)).optimize.compact()
    assert files(index, "a", "f") == 1


def test_only_row_groups_that_hold_a_key_are_read(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "_GROUP", 2)
    append(lake, *"abcde")
    append(lake, *"ef")
    index = KeyIndex(lake.path(FEEDBACK), "feedback_id")
    (first,) = index.groups_of(pa.array(["a", "b"])).values()
    (both,) = index.groups_of(pa.array(["d", "a"])).values()
    assert (first, both) == ([0], [0, 1])
    assert sorted(index.groups_of(pa.array(["e"])).values()) == [[0], [2]]
    assert found(lake, "a", "e", "f") == ["a", "e", "e", "f"]


def test_hashes_that_collide_cost_a_read_and_never_an_answer(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "_hashes", lambda keys: np.full(len(keys.drop_null()), 7, "uint64"))
    append(lake, "a", "b")
    append(lake, "c")
    assert files(KeyIndex(lake.path(FEEDBACK), "feedback_id"), "a") == 2
    assert found(lake, "a") == ["a"]
    assert found(lake, "nope") == []


def test_the_index_stays_in_few_runs_however_many_files_there_are(lake: Lake) -> None:
    index = KeyIndex(lake.path(FEEDBACK), "feedback_id")
    for name in range(20):
        append(lake, str(name))
        assert files(index, str(name)) == 1
    assert len(index._runs) <= 3
    assert sum(len(hashes) for hashes, _ in index._runs) == 20


DAY = date(2026, 3, 5)


@pytest.mark.parametrize(
    ("table", "key", "row"),
    [
        (FEEDBACK, "f", {"feedback_id": "f", "received_date": DAY, "value": 1.5, "rater": None}),
        (INFERENCES, "r", {"request_id": "r", "served_date": DAY, "segments": [("origin", "JFK")]}),
        (LABELLED, "r", {"unit_id": "r", "served_date": DAY}),
        (ORPHANS, "r", {"request_id": "r", "received_date": DAY, "sign": 1}),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_row_comes_back_as_it_was_written_its_partition_included(
    lake: Lake, table: Table, key: str, row: dict[str, Any]
) -> None:
    written = table.frame([table.row(**row)])
    lake.append(table, written, Mark("test", 0), {})
    read = lake.lookup(table, pa.array([key]))
    assert read.schema == table.arrow
    assert read.to_pylist() == written.to_pylist()


def test_rows_of_several_partitions_come_together(lake: Lake) -> None:
    append(lake, "a", day=1)
    append(lake, "a", day=2)
    rows: Sequence[dict[str, Any]] = lake.lookup(FEEDBACK, pa.array(["a"])).to_pylist()
    assert sorted(row["received_date"] for row in rows) == [date(2026, 3, 1), date(2026, 3, 2)]
