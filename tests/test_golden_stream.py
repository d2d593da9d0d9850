"""The golden trace through the running application."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from pipelines import settings as configuration
from pipelines.app import Application
from pipelines.contract import Table
from pipelines.gold.tables import EXAMPLES, OUTCOME_LEDGER, STATISTICS
from pipelines.settings import Settings
from pipelines.silver import tables as silver
from tests import trace

CONF = Path(__file__).parent.parent / "conf"


def settings_for(lake: Path, committer: str) -> Settings:
    return configuration.load(CONF, lake_path=lake, lake_committer=committer, log_batch_records=5)


def run(settings: Settings, spark: SparkSession, splits: list[int]) -> Application:
    """Append the trace in pieces of these sizes, draining after each."""
    records = trace.records()
    for size in splits:
        with Application(settings, spark, given=trace.definitions()) as app:
            for payload, received in records[:size]:
                app.log.append([payload], [received])
            app.drain()
        records = records[size:]
    assert not records
    return app


def rows(app: Application, table: Table) -> list[dict[str, Any]]:
    return app.lake.read(table).to_pylist()


@pytest.mark.parametrize(
    ("committer", "splits"),
    [("arrow", [3, 5, 1, 6]), *(pytest.param(*one, marks=pytest.mark.long) for one in (("arrow", [15]), ("spark", [7, 8])))],
    ids=str,
)
def test_gold_is_the_same_however_the_log_was_split(
    spark: SparkSession, tmp_path: Path, committer: str, splits: list[int]
) -> None:
    app = run(settings_for(tmp_path, committer), spark, splits)
    assert trace.found_ledger(rows(app, OUTCOME_LEDGER)) == trace.expected_ledger()
    assert trace.found_statistics(rows(app, STATISTICS)) == trace.expected_statistics()
    assert trace.found_examples(rows(app, EXAMPLES)) == trace.expected_examples()
    assert {row["feedback_id"] for row in rows(app, silver.LABELLED)} == {f"f{i}" for i in range(1, 8)}
    assert [row["feedback_id"] for row in rows(app, silver.ORPHANS)] == ["f8"]
    assert len(rows(app, silver.QUARANTINE)) == 2
    assert len(rows(app, silver.DUPLICATES)) == 1
    assert app.settled(15)
