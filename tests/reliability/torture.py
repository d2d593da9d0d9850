"""The torture corpus through a real lake: every verdict as written down, every byte kept, and no poison in gold or in the speed."""

from __future__ import annotations

import math
import random
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark.sql import SparkSession

from pipelines.bronze.tables import EVENTS
from pipelines.gold.tables import OUTCOME_LEDGER, STATISTICS
from pipelines.jobs import TABLES
from pipelines.metrics import metrics
from pipelines.models import load_model
from pipelines.silver.parse import parse
from pipelines.verify import verify
from tests import lakes
from tests.reliability import corpus
from tests.reliability.check import Check, Figures, at_least, exactly
from tests.reliability.ground import apart, bytes_changed, declared, homes, process
from tests.reliability.world import DAY, Record, spelled, written

AT = datetime.fromisoformat(corpus.RECEIVED)
ROUNDS = 7
"""Measurements of the speed, clean and poisoned in turn; the median of their ratios counts."""
SHARE = 100
"""One record in so many is poison, where speed is measured."""
USUAL = 8_192
"""Bytes: poison that is larger is left out there, since records per second would then count its bytes."""


def run(seed: int, size: int, folder: Path, spark: SparkSession) -> Figures:
    lake = folder / "lake"
    cases = corpus.read()
    records = log(seed, cases)
    settings = lakes.settings_for(lake)
    half = len(records) // 2
    process(settings, spark, records[:half], most=40)
    process(settings, spark, records[half:], most=40)
    expected = Counter((offset, record.home, record.reason) for offset, record in enumerate(records))
    wrong, examples = apart(expected, homes(lake))
    report = verify(lake)
    ratios = [_speed(seed + number, size, folder, cases) for number in range(ROUNDS)]
    return {
        "payloads": len(cases),
        "wrong_verdicts": wrong,
        "records_changed_in_bronze": bytes_changed(lake, records),
        "gold_rows": lakes.rows_of(lake, OUTCOME_LEDGER).num_rows + lakes.rows_of(lake, STATISTICS).num_rows,
        "gold_cells_not_finite": sum(1 for value in _gold(lake, spark) if not _finite(value)),
        "verifier_differences": report.differences + report.pending,
        "speed_with_poison": round(statistics.median(ratios), 3),
        "examples": examples,
    }


CHECK = Check(
    "torture",
    "Whatever bytes come: each record is taken in or refused for its reason, kept, and holds nobody up",
    run,
    short=20_000,
    full=200_000,
    wanted={
        "payloads": at_least(300),
        "wrong_verdicts": exactly(0),
        "records_changed_in_bronze": exactly(0),
        "gold_rows": at_least(100),
        "gold_cells_not_finite": exactly(0),
        "verifier_differences": exactly(0),
        "speed_with_poison": at_least(0.8),
    },
)


def log(seed: int, cases: list[corpus.Case]) -> list[Record]:
    """The declarations, the inference that feedback is on, the cases in any order, and a closing frontier."""
    cases = random.Random(f"torture {seed}").sample(cases, len(cases))
    records = [Record(payload, AT - DAY, "control") for payload in declared(corpus.MODEL)]
    records.append(Record(corpus.BASE, AT, "inference"))
    for case in cases:
        if case.verdict == corpus.ACCEPTED:
            home = "feedback" if b'"feedback_id"' in case.payload else "inference"
            records.append(Record(case.payload, AT, home))
        else:
            records.append(Record(case.payload, AT, "quarantined", case.verdict))
    closing = AT + 2 * DAY
    frontier = {"kind": "control", "action": "frontier", "at": spelled(closing)}
    return [*records, Record(written(frontier), closing, "control")]


def _gold(lake: Path, spark: SparkSession) -> Iterator[Any]:
    """Every value of every row of gold, and of the metrics over it."""
    for table in TABLES:
        if table.name.startswith("gold."):
            for row in lakes.rows_of(lake, table).to_pylist():
                yield from _values(row)
    for label in (None, ""):
        found = metrics(spark, lake=lake, model="m", label=label, every="1 day")
        for row in found.collect():
            yield from _values(row.asDict(recursive=True))


def _values(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for entry in value:
            yield from _values(entry)
    else:
        yield value


def _finite(value: Any) -> bool:
    return math.isfinite(value) if isinstance(value, float | Decimal) else True


def _speed(seed: int, size: int, folder: Path, cases: list[corpus.Case]) -> float:
    """Records per CPU second of `parse` with poison among them, as a share of those without."""
    model = folder / "model.toml"
    model.write_text(corpus.MODEL)
    definitions = load_model(model)
    clean = [corpus.BASE.replace(b'"base"', b'"%d"' % number) for number in range(size)]
    rng = random.Random(f"speed {seed}")
    poison = [case.payload for case in cases if case.verdict != corpus.ACCEPTED and len(case.payload) <= USUAL]
    mixed = [rng.choice(poison) if number % SHARE == 0 else payload for number, payload in enumerate(clean)]
    seconds = []
    for payloads in (clean, mixed) if seed % 2 else (mixed, clean):
        rows = _bronze(payloads)
        started = time.thread_time()  # of this thread: other checks have theirs
        parse(rows, definitions=definitions)
        seconds.append(time.thread_time() - started)
    return seconds[0] / seconds[1] if seed % 2 else seconds[1] / seconds[0]


def _bronze(payloads: list[bytes]) -> pa.Table:
    place = {"tenant": "default", "source": "test", "partition": 0, "clock": "claimed"}
    place |= {"received_at": AT, "appended_at": AT + timedelta(seconds=1), "received_date": AT.date()}
    return pa.Table.from_pylist(
        [{**place, "offset": offset, "payload": payload} for offset, payload in enumerate(payloads)], EVENTS.arrow
    )
