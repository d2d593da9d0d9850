"""Gold does not depend on order: not on that of the log, and not on how the log was split into batches."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyspark.sql import SparkSession

from pipelines.bronze.tables import EVENTS
from pipelines.contract import Table
from pipelines.gold.expose import expose
from pipelines.gold.resolve import resolve
from pipelines.gold.tables import OUTCOME_LEDGER
from pipelines.gold.tally import tally
from pipelines.lake import Lake
from pipelines.silver import tables as silver
from pipelines.silver.attribute import pair
from pipelines.silver.parse import parse
from pipelines.silver.refine import refine
from pipelines.verify.oracle import expected
from tests import generator, lakes

ORDERS = 20
EVENTS_EACH = 150


def shuffled(seed: int) -> pa.Table:
    """The same events in ORDERS random orders, as rows of bronze: each order is a tenant of its own."""
    records = generator.events(seed, EVENTS_EACH)
    rows = []
    for order in range(ORDERS):
        random.Random(order).shuffle(records)
        place = {"tenant": f"order {order}", "source": "test", "partition": 0, "clock": "claimed"}
        for offset, (payload, received) in enumerate(records):
            times = {"received_at": received, "appended_at": received, "received_date": received.date()}
            rows.append({**place, **times, "offset": offset, "payload": payload})
    return pa.Table.from_pylist(rows, EVENTS.arrow)


def through_the_transforms(spark: SparkSession, bronze: pa.Table) -> dict[str, pa.Table]:
    """Ledger and statistics of all orders, by the pure transforms, votes in pieces that differ from order to order."""
    definitions = generator.definitions()

    parsed = parse(bronze, definitions=definitions)
    made = refine(parsed, silver.INFERENCES.frame([]), silver.FEEDBACK.frame([]))
    inferences, feedback = made["inferences"], made["feedback"]
    labelled = pair(spark.createDataFrame(inferences), spark.createDataFrame(feedback)).toArrow()
    ledger = OUTCOME_LEDGER.computed.empty_table()
    seen = labelled.slice(0, 0)
    answered = []
    for piece in in_pieces(labelled):
        found = resolve(piece, seen, ledger, definitions=definitions)
        answered.append(tally(found, definitions=definitions))
        ledger, seen = pa.concat_tables([ledger, found]), pa.concat_tables([seen, piece])
    statistics = pa.concat_tables([expose(inferences, definitions=definitions), *answered])
    return {"ledger": ledger, "statistics": statistics}


def in_pieces(labelled: pa.Table) -> Iterator[pa.Table]:
    """A third of the rows each, whichever: each vote comes early in some orders and late in others."""
    draw = random.Random(0)
    piece = pa.array([draw.randrange(3) for _ in range(labelled.num_rows)])
    for number in range(3):
        yield labelled.filter(pc.equal(piece, number))


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 6))])
def test_any_order_of_events_gives_the_same_gold(spark: SparkSession, seed: int) -> None:
    found = through_the_transforms(spark, shuffled(seed))
    for rows in found.values():
        by_order = []
        for order in range(ORDERS):
            one = rows.filter(pc.equal(rows["tenant"], f"order {order}"))
            by_order.append(lakes.net_of({**row, "tenant": ""} for row in without_offsets(one).to_pylist()))
        assert by_order[0]
        assert all(other == by_order[0] for other in by_order[1:])
    said = expected(generator.events(seed, EVENTS_EACH), [d.body() for d in generator.definitions()])
    net = lakes.net_of(found["statistics"].filter(pc.equal(found["statistics"]["tenant"], "order 0")).to_pylist())
    assert len(net) == len(said.statistics)
    assert sum(net.values()) == said.net()


def without_offsets(rows: pa.Table) -> pa.Table:
    """Rows without the context, which names the inference's offset: the one thing that an order does change."""
    return rows.drop_columns([name for name in ("context",) if name in rows.column_names])


SPLITS = {"one batch": ([], 1000), "batches of 60": ([], 60), "three runs": ([90, 130], 1000)}


@pytest.fixture(scope="module")
def runs(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One history through real lakes, split in different ways."""
    made = {}
    for name, (sizes, batch) in SPLITS.items():
        made[name] = tmp_path_factory.mktemp("orders") / "lake"
        settings = lakes.settings_for(made[name], log_batch_records=batch)
        lakes.run(settings, spark, lakes.pieces_of(generator.history(7, 200), sizes), most=30)
    return made


@pytest.mark.parametrize("split", SPLITS)
def test_a_lake_holds_what_the_verifier_says_as_of_any_minute(runs: dict[str, Path], split: str) -> None:
    draw = random.Random(split)
    start = generator.START.astimezone(UTC)
    moments = [start + timedelta(minutes=draw.randrange(1, 600)) for _ in range(8)]
    report = lakes.proven(runs[split], [*moments, datetime(2026, 4, 1, tzinfo=UTC)])
    said = report.accounting
    homes = ("inferences", "feedback", "controls", "quarantined", "duplicates")
    assert said["records"] == sum(said[home] for home in homes)
    assert said["feedback"] == said["labelled"] + said["orphaned"]
    assert said["orphaned"] > 0
    assert said["waiting"] == 0


@pytest.mark.parametrize("table", lakes.COMPARED, ids=lambda table: table.name)
def test_every_split_gives_the_same_rows(runs: dict[str, Path], table: Table) -> None:
    one, *others = (lakes.net(lake, table) for lake in runs.values())
    assert one
    assert all(other == one for other in others)


def test_what_the_join_let_go_came_through_reconcile(runs: dict[str, Path]) -> None:
    assert Lake(runs["three runs"]).read(silver.RECONCILED).num_rows > 0
