"""The two committers mean the same: every table, row by row, whether the driver or the executors wrote it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipelines.app import TABLES
from pipelines.contract import Table
from pipelines.lake import COMMITTERS
from tests import generator, lakes

HISTORY = generator.history(5, 150)
PIECES = lakes.pieces_of(HISTORY, [90])


@pytest.fixture(scope="module")
def lake_of(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same history through each committer, and one lake that changes its committer on the way."""
    made = {}
    for name in (*COMMITTERS, "changed"):
        made[name] = root = tmp_path_factory.mktemp("conformance") / "lake"
        for number, piece in enumerate(PIECES):
            committer = name if name in COMMITTERS else COMMITTERS[number % 2]
            lakes.run(lakes.settings_for(root, lake_committer=committer), spark, [piece])
    return made


@pytest.mark.parametrize("committer", [*COMMITTERS, "changed"])
def test_the_lake_is_as_the_verifier_says(lake_of: dict[str, Path], committer: str) -> None:
    lakes.proven(lake_of[committer])


@pytest.mark.parametrize("other", ["spark", "changed"])
@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_both_write_the_same_rows(lake_of: dict[str, Path], table: Table, other: str) -> None:
    rows, others = (written(lake_of[name], table) for name in ("arrow", other))
    assert rows
    assert rows == others


def written(lake: Path, table: Table) -> Counter[str]:
    """The rows as they stand, nothing netted, without when they were written."""
    names = [name for name in table.names if name not in ("recorded_at", "appended_at")]
    return Counter(repr(lakes.plain(row)) for row in lakes.rows_of(lake, table).select(names).to_pylist())
