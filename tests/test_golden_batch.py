"""The golden trace through the transforms alone, as batch frames."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from pipelines.gold.absences import absences
from pipelines.gold.examples import examples
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
def frames(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> dict[str, pa.Table]:
    log = EmbeddedLog(tmp_path_factory.mktemp("golden") / "log.sqlite")
    payloads, received = zip(*trace.records(), strict=True)
    log.append(payloads, received)
    rows = pa.concat_tables([bronze(append, 0, log.end()) for append in log.read(0, log.end())])
    definitions = trace.definitions()

    made = refine(
        parse(rows, definitions=definitions), silver.INFERENCES.arrow.empty_table(), silver.FEEDBACK.arrow.empty_table()
    )
    made["exposed"] = expose(made["inferences"], definitions=definitions)
    inferences, feedback = spark.createDataFrame(made["inferences"]), spark.createDataFrame(made["feedback"])
    made["labelled"] = pair(inferences, feedback).toArrow()
    none, ledger = silver.LABELLED.arrow.empty_table(), OUTCOME_LEDGER.arrow.empty_table()
    made["ledger"] = resolve(made["labelled"], none, ledger, definitions=definitions)
    made["answered"] = tally(made["ledger"], definitions=definitions)
    taught = absences(made["inferences"], definitions=definitions), examples(made["ledger"], made["inferences"], definitions=definitions)
    made["examples"] = pa.concat_tables(taught)
    found = reconcile(
        feedback,
        inferences,
        spark.createDataFrame(made["labelled"]),
        spark.createDataFrame([], silver.ORPHANS.schema),
        frontier=trace.instant("2026-03-01T16:00:00Z"),
    )
    made["orphans"] = found.where("to = 'orphans'").select("orphans.*").toArrow()
    return made


def test_every_record_has_a_home(frames: dict[str, pa.Table]) -> None:
    homes = ("inferences", "feedback", "duplicates", "quarantine", "controls")
    assert [frames[name].num_rows for name in homes] == [3, 8, 1, 2, 1]


def test_broken_and_contradicting_records_say_why(frames: dict[str, pa.Table]) -> None:
    assert Counter(row["reason"] for row in frames["quarantine"].to_pylist()) == {"not_json": 1, "id_conflict": 1}


def test_every_feedback_is_labelled_or_an_orphan(frames: dict[str, pa.Table]) -> None:
    assert {row["feedback_id"] for row in frames["labelled"].to_pylist()} == {f"f{i}" for i in range(1, 8)}
    assert [(row["feedback_id"], row["sign"]) for row in frames["orphans"].to_pylist()] == [("f8", 1)]


def test_the_ledger_holds_every_entry(frames: dict[str, pa.Table]) -> None:
    assert trace.found_ledger(frames["ledger"].to_pylist()) == trace.expected_ledger()


def test_statistics_hold_every_increment(frames: dict[str, pa.Table]) -> None:
    both = frames["exposed"].to_pylist() + frames["answered"].to_pylist()
    assert trace.found_statistics(both) == trace.expected_statistics()


def test_examples_hold_what_was_known_at_maturity_and_what_changed_after_it(frames: dict[str, pa.Table]) -> None:
    assert trace.found_examples(frames["examples"].to_pylist()) == trace.expected_examples()


def test_resolving_twice_posts_nothing(frames: dict[str, pa.Table]) -> None:
    again = resolve(frames["labelled"], frames["labelled"], frames["ledger"], definitions=trace.definitions())
    assert again.num_rows == 0
