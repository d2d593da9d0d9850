"""The two committers mean the same: every table, row by row, whether the driver or the executors wrote it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipelines.contract import Table
from pipelines.gold.tables import STATISTICS
from pipelines.jobs import TABLES
from pipelines.lake import COMMITTERS
from pipelines.silver.tables import RECONCILED
from pipelines.watch import tables as watch
from tests import generator, lakes

HISTORY = generator.history(5, 100)
SPLITS = [(), pytest.param((120,), marks=pytest.mark.long)]
"""The history in one run; and in two, where reconcile has something to do."""
CHANGED = "changed"
"""A lake that takes its committers in turn."""


@pytest.fixture(scope="module")
def lake_of(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A lake by committer and split; made once."""

    @cache
    def made(name: str, split: tuple[int, ...]) -> Path:
        root = tmp_path_factory.mktemp("conformance") / "lake"
        for number, piece in enumerate(lakes.pieces_of(HISTORY, split)):
            committer = COMMITTERS[number % 2] if name == CHANGED else name
            lakes.run(lakes.settings_for(root, lake_committer=committer), spark, [piece])
        return root

    return made


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("committer", COMMITTERS)
def test_the_lake_is_as_the_verifier_says(lake_of: Callable[..., Path], committer: str, split: tuple[int, ...]) -> None:
    lakes.proven(lake_of(committer, split))


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("table", [table for table in TABLES if table not in watch.TABLES], ids=lambda table: table.name)
def test_both_write_the_same_rows(lake_of: Callable[..., Path], table: Table, split: tuple[int, ...]) -> None:
    rows, others = (written(lake_of(name, split), table) for name in COMMITTERS)
    assert rows or (table is RECONCILED and not split)
    assert rows == others


@pytest.mark.long
def test_a_lake_may_change_its_committer(lake_of: Callable[..., Path]) -> None:
    lakes.proven(lake_of(CHANGED, (80, 60)))


def written(lake: Path, table: Table) -> Counter[str]:
    """The rows as they stand, without when they were written. Only increments are summed: each partition writes its own."""
    if table is STATISTICS:
        return lakes.net(lake, table)
    names = [name for name in table.names if name not in ("recorded_at", "appended_at")]
    return Counter(repr(lakes.plain(row)) for row in lakes.rows_of(lake, table).select(names).to_pylist())
