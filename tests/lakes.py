"""Real lakes in tests: filling a log, draining it, reading what is there, and asking the verifier."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark.sql import SparkSession

from pipelines import settings as configuration
from pipelines.app import TABLES, Application
from pipelines.contract import Table
from pipelines.gold.tables import EXAMPLES, OUTCOME_LEDGER, STATISTICS
from pipelines.lake import Lake
from pipelines.settings import Settings
from pipelines.silver import tables as silver
from pipelines.verify import Report, verify
from tests.generator import Record, history

CONF = Path(__file__).parent.parent / "conf"
INTERPRETED = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}
"""Plans are not compiled: over a few rows that takes longer than to run them."""
COMPARED = (
    *(silver.INFERENCES, silver.FEEDBACK, silver.CONTROLS, silver.QUARANTINE, silver.DUPLICATES),
    *(silver.LABELLED, silver.ORPHANS, OUTCOME_LEDGER, STATISTICS, EXAMPLES),
)
"""The tables whose rows follow from the log alone."""
HISTORY = history(11, 240)
"""What most tests of a whole lake rest on."""
FREE = ("recorded_at", "appended_at", "via")
"""Columns that say how and when a row came to be, which no number depends on."""


def settings_for(lake: Path, **options: Any) -> Settings:
    """The product's own settings, for a lake in a test's folder."""
    return configuration.load(CONF, lake_path=lake, log_fsync=False, **options)


def append(app: Application, records: Sequence[Record], *, most: int = 50) -> None:
    """Append history, in appends of at most so many records: a batch takes whole appends."""
    for start in range(0, len(records), most):
        payloads, received = zip(*records[start : start + most], strict=True)
        app.log.append(payloads, received)


def run(
    settings: Settings, spark: SparkSession, pieces: Iterable[Sequence[Record]], *, most: int = 50
) -> Application:
    """Append each piece and drain, by a new application for each."""
    for piece in pieces:
        with Application(settings, spark) as app:
            append(app, piece, most=most)
            app.drain()
    return app


def pieces_of(records: Sequence[Record], sizes: Sequence[int]) -> list[Sequence[Record]]:
    """The records in pieces of these sizes, the rest last."""
    bounds = [0, *(sum(sizes[: number + 1]) for number in range(len(sizes))), len(records)]
    return [records[start:end] for start, end in pairwise(bounds)]


def rows_of(lake: Path, table: Table) -> pa.Table:
    return Lake(lake).read(table)


def net(lake: Path, table: Table) -> Counter[str]:
    """What a table says: rows without FREE columns, signed ones summed; zeros dropped."""
    return net_of(rows_of(lake, table).to_pylist())


def net_of(rows: Iterable[dict[str, Any]]) -> Counter[str]:
    """The same of rows."""
    found: Counter[str] = Counter()
    for row in rows:
        carried = ("features",) if "sign" in row else ()  # what takes back repeats none
        said = {name: plain(value) for name, value in row.items() if name not in (*FREE, *carried)}
        amount = said.pop("sign", None) or said.pop("amount", None) or 1
        found[repr(said)] += amount
    return Counter({key: amount for key, amount in found.items() if amount})


def count(lake: Path) -> dict[str, int]:
    """Rows by table: what a replay must not change."""
    return {table.name: rows_of(lake, table).num_rows for table in TABLES}


def proven(lake: Path, as_of: Sequence[datetime] | None = None) -> Report:
    """The report of a verification that found no difference."""
    report = verify(lake, as_of=as_of)
    told = "\n".join(f"{d.table} {d.key}: expected {d.expected}, found {d.found}" for d in report.examples)
    assert report.differences == 0, f"{report.differences} differences\n{told}"
    assert report.pending == 0
    return report


def plain(value: Any) -> Any:
    """A value whose text is the same however it was read: UTC times, maps in order, 0.0 for -0.0."""
    as_plain: Callable[[Any], Any] | None = _BY_TYPE.get(type(value))
    return as_plain(value) if as_plain else value


_BY_TYPE: dict[type, Callable[[Any], Any]] = {
    datetime: lambda at: at.astimezone(UTC),
    float: lambda number: number + 0.0,
    list: lambda values: (sorted if values and isinstance(values[0], tuple) else list)(map(plain, values)),
    tuple: lambda pair: tuple(map(plain, pair)),
    dict: lambda struct: {name: plain(value) for name, value in sorted(struct.items())},
}
