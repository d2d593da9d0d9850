"""The golden trace through the transforms alone, as batch frames."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from pipelines.bronze.land import land
from pipelines.contract import Table
from pipelines.gold.expose import expose
from pipelines.gold.resolve import resolve
from pipelines.gold.tables import OUTCOME_LEDGER
from pipelines.gold.tally import tally
from pipelines.log import EmbeddedLog
from pipelines.log.source import bronze
from pipelines.silver import tables as silver
from pipelines.silver.attribute import pair
from pipelines.silver.parse import parse
from pipelines.silver.reconcile import reconcile
from pipelines.silver.refine import refine
from tests import trace


@pytest.fixture(scope="module")
def frames(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> dict[str, DataFrame]:
    log = EmbeddedLog(tmp_path_factory.mktemp("golden") / "log.sqlite")
    payloads, received = zip(*trace.records(), strict=True)
    log.append(payloads, received)
    rows = pa.concat_tables([bronze(append, 0, log.end()) for append in log.read(0, log.end())])
    definitions = trace.definitions()

    def none(table: Table) -> DataFrame:
        return spark.createDataFrame([], table.schema)

    def held(frame: DataFrame) -> DataFrame:
        return spark.createDataFrame(frame.toArrow())

    parsed = held(parse(land(spark.createDataFrame(rows)), definitions=definitions))
    routed = held(refine(parsed, none(silver.INFERENCES), none(silver.FEEDBACK)))
    made = {
        t.noun: routed.where(routed["to"] == t.noun).select(f"{t.noun}.*")
        for t in (silver.INFERENCES, silver.FEEDBACK, silver.QUARANTINE, silver.DUPLICATES, silver.CONTROLS)
    }
    made["exposed"] = held(expose(made["inferences"], definitions=definitions))
    made["labelled"] = held(pair(made["inferences"], made["feedback"]))
    empty_ledger = none(OUTCOME_LEDGER)
    made["ledger"] = held(resolve(made["labelled"], none(silver.LABELLED), empty_ledger, definitions=definitions))
    made["answered"] = held(tally(made["ledger"], definitions=definitions))
    found = reconcile(
        made["feedback"],
        made["inferences"],
        made["labelled"],
        none(silver.ORPHANS),
        frontier=trace.instant("2026-03-01T16:00:00Z"),
    )
    made["orphans"] = held(found.where("to = 'orphans'").select("orphans.*"))
    return made


def rows(frame: DataFrame) -> list[dict[str, Any]]:
    return frame.toArrow().to_pylist()


def test_every_record_has_a_home(frames: dict[str, DataFrame]) -> None:
    homes = ("inferences", "feedback", "duplicates", "quarantine", "controls")
    assert [frames[name].count() for name in homes] == [3, 8, 1, 2, 1]


def test_broken_and_contradicting_records_say_why(frames: dict[str, DataFrame]) -> None:
    assert Counter(row["reason"] for row in rows(frames["quarantine"])) == {"not_json": 1, "id_conflict": 1}


def test_every_feedback_is_labelled_or_an_orphan(frames: dict[str, DataFrame]) -> None:
    assert {row["feedback_id"] for row in rows(frames["labelled"])} == {f"f{i}" for i in range(1, 8)}
    assert [(row["feedback_id"], row["sign"]) for row in rows(frames["orphans"])] == [("f8", 1)]


def test_the_ledger_holds_every_entry(frames: dict[str, DataFrame]) -> None:
    assert trace.found_ledger(rows(frames["ledger"])) == trace.expected_ledger()


def test_statistics_hold_every_increment(frames: dict[str, DataFrame]) -> None:
    both = rows(frames["exposed"]) + rows(frames["answered"])
    assert trace.found_statistics(both) == trace.expected_statistics()


def test_resolving_twice_posts_nothing(frames: dict[str, DataFrame]) -> None:
    again = resolve(frames["labelled"], frames["labelled"], frames["ledger"], definitions=trace.definitions())
    assert again.count() == 0
