"""Commit-window replay: a batch is done, and Spark does not know. After every batch of every query; nothing moves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest import mock

import duckdb
from pyspark.sql import DataFrame, SparkSession

from pipelines import app, checkpoint
from pipelines.errors import StateError
from pipelines.job import Chain, run_batch
from pipelines.jobs import TABLES
from pipelines.lake import COMMITTERS
from pipelines.log import EmbeddedLog
from pipelines.paths import checkpoints, log_path
from pipelines.settings import Settings
from pipelines.verify import verify
from tests import lakes
from tests.crashes import forget_last
from tests.reliability.check import Check, Figures, at_least, exactly
from tests.reliability.ground import MOST_EXAMPLES
from tests.reliability.lateness import late
from tests.reliability.world import Record

BATCHES = 12
"""The landing query takes about so many; fewer where each would hold less than LEAST records."""
LEAST = 150

Reached = dict[str, int]
"""The last committed batch, by query."""


def run(seed: int, size: int, folder: Path, spark: SparkSession) -> Figures:
    records = late(seed, size).records
    found: Counter[str] = Counter()
    examples: list[str] = []
    for committer in COMMITTERS:
        settings = lakes.settings_for(
            folder / committer,
            lake_committer=committer,
            run_join_horizon="10 minutes",
            log_batch_records=max(LEAST, len(records) // BATCHES),
        )
        fill(settings, records)
        again, changed = replayed(settings, spark)
        report = verify(settings.lake.path)
        found["batches"] += sum(reached(settings).values()) + len(reached(settings))
        found["batches_done_again"] += again
        found["tables_changed"] += len(changed)
        found["verifier_differences"] += report.differences + report.pending
        examples += [f"{committer}: {change}" for change in changed[:MOST_EXAMPLES]]
    return {
        "records": len(records),
        "batches_not_done_again": found["batches"] - found["batches_done_again"],
        **found,
        "examples": examples,
    }


CHECK = Check(
    "replay",
    "A batch that is done again, any batch of any query, by either committer, changes no row",
    run,
    short=60,
    full=6_000,
    wanted={
        "batches_done_again": at_least(8),
        "batches_not_done_again": exactly(0),
        "tables_changed": exactly(0),
        "verifier_differences": exactly(0),
    },
)


def fill(settings: Settings, records: list[Record]) -> None:
    with closing(EmbeddedLog(log_path(settings.lake.path), durable=False)) as log:
        for start in range(0, len(records), 50):
            part = records[start : start + 50]
            log.append([record.payload for record in part], [record.received_at for record in part])


def replayed(settings: Settings, spark: SparkSession) -> tuple[int, list[str]]:
    """Drain a lake batch by batch, each done twice; how many were, and which tables changed when."""
    again, changed = 0, []
    while True:
        before = reached(settings)
        drain(settings, spark, {query: batch + 1 for query, batch in before.items()})
        after = reached(settings)
        moved = [query for query in after if after[query] != before.get(query)]
        if not moved:
            return again, changed
        held = contents(settings.lake.path)
        for query in moved:
            forget_last(checkpoints(settings.lake.path) / query)
        drain(settings, spark, after)
        assert reached(settings) == after, "a batch was not done again"
        again += len(moved)
        found = contents(settings.lake.path)
        changed += [f"{name} by batch {after} done again" for name in held if held[name] != found[name]]


def drain(settings: Settings, spark: SparkSession, allowed: Mapping[str, int]) -> None:
    """Process what is there, but break off before a batch of a query that is not allowed yet; the first one is."""
    broken_off = []

    def run_allowed(chain: Chain, batch: DataFrame, *, covers: Mapping[str, Any], **given: Any) -> Any:
        if covers["batch"] > allowed.get(covers["query"], 0):
            broken_off.append(covers)
            raise InterruptedError
        return run_batch(chain, batch, covers=covers, **given)

    with app.Application(settings, spark) as application, mock.patch.object(app, "run_batch", run_allowed):
        try:
            application.drain()
        except StateError:
            if not broken_off:
                raise


def reached(settings: Settings) -> Reached:
    found = {folder.name: checkpoint.committed(folder) for folder in checkpoints(settings.lake.path).glob("*")}
    return {query: progress.batch for query, progress in found.items() if progress is not None}


def contents(lake: Path) -> dict[str, Any]:
    """Count and hash of the rows of every table, in whatever order they lie there; all columns, times of writing included."""
    with closing(duckdb.connect()) as db:
        found = {}
        for table in TABLES:
            rows = lakes.rows_of(lake, table)  # noqa: F841 (DuckDB finds it by its name)
            found[table.name] = db.execute("SELECT count(*), sum(hash(rows)::HUGEINT) FROM rows").fetchone()
        return found
