"""The two committers mean the same: every table, row by row, whether the driver or the executors wrote it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipelines.app import TABLES
from pipelines.contract import Table
from pipelines.lake import COMMITTERS
from tests import generator, lakes

PIECES = lakes.pieces_of(generator.history(5, 150), [120])
CHANGED = "changed"
"""A lake that takes its committers in turn."""
more = pytest.mark.reliability


@pytest.fixture(scope="module")
def lake_of(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A lake with the same history as the others, by a committer of its own; made once."""

    @cache
    def made(name: str) -> Path:
        root = tmp_path_factory.mktemp("conformance") / "lake"
        for number, piece in enumerate(PIECES):
            committer = COMMITTERS[number % 2] if name == CHANGED else name
            lakes.run(lakes.settings_for(root, lake_committer=committer), spark, [piece])
        return root

    return made


@pytest.mark.parametrize("committer", [*COMMITTERS, pytest.param(CHANGED, marks=more)])
def test_the_lake_is_as_the_verifier_says(lake_of: Callable[[str], Path], committer: str) -> None:
    lakes.proven(lake_of(committer))


@pytest.mark.parametrize("other", ["spark", pytest.param(CHANGED, marks=more)])
@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_both_write_the_same_rows(lake_of: Callable[[str], Path], table: Table, other: str) -> None:
    rows, others = (written(lake_of(name), table) for name in ("arrow", other))
    assert rows
    assert rows == others


def written(lake: Path, table: Table) -> Counter[str]:
    """The rows as they stand, nothing netted, without when they were written."""
    names = [name for name in table.names if name not in ("recorded_at", "appended_at")]
    return Counter(repr(lakes.plain(row)) for row in lakes.rows_of(lake, table).select(names).to_pylist())
