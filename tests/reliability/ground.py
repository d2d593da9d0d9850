"""What a lake says, in the terms of the truth; and the figures of the difference."""

from __future__ import annotations

import tempfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from pipelines.app import Application
from pipelines.bronze.tables import EVENTS
from pipelines.gold.tables import OUTCOME_LEDGER
from pipelines.models import load_model
from pipelines.settings import Settings
from pipelines.silver import tables as silver
from pipelines.verify import verify
from tests import lakes
from tests.reliability.check import Figures, Wanted, exactly
from tests.reliability.world import Record, Truth

HOMES = {
    "inference": silver.INFERENCES,
    "feedback": silver.FEEDBACK,
    "control": silver.CONTROLS,
    "duplicate": silver.DUPLICATES,
    "quarantined": silver.QUARANTINE,
}
MOST_EXAMPLES = 5

Found = Counter[tuple[Any, ...]]


def declared(model: str) -> list[bytes]:
    """The control events that declare a model file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.toml"
        path.write_text(model)
        return [definition.control() for definition in load_model(path)]


def process(settings: Settings, spark: SparkSession, records: list[Record], *, most: int = 500) -> Application:
    """Append the records and drain, by an application of its own."""
    return lakes.run(settings, spark, [[(record.payload, record.received_at) for record in records]], most=most)


def parts(records: list[Any], count: int) -> list[list[Any]]:
    """A list in so many pieces of about one length."""
    bounds = [len(records) * number // count for number in range(count + 1)]
    return [records[start:end] for start, end in pairwise(bounds)]


def homes(lake: Path) -> Found:
    """Offset, home and reason of every record."""
    found: Found = Counter()
    for home, table in HOMES.items():
        rows = lakes.rows_of(lake, table)
        reasons = rows["reason"].to_pylist() if home == "quarantined" else [None] * rows.num_rows
        found.update((offset, home, reason) for offset, reason in zip(rows["offset"].to_pylist(), reasons, strict=True))
    return found


def pairs(lake: Path) -> Found:
    """Feedback and request of every labelled row."""
    rows = lakes.rows_of(lake, silver.LABELLED)
    return Counter(zip(rows["feedback_id"].to_pylist(), rows["unit_id"].to_pylist(), strict=True))


def orphans(lake: Path) -> Found:
    rows = lakes.rows_of(lake, silver.ORPHANS).to_pylist()
    return Counter((row["feedback_id"], row["sign"], row["known_at"].astimezone(UTC)) for row in rows)


def beliefs(lake: Path) -> Found:
    """Request, label and value of every belief that stands at the end, by its net sign."""
    net: Found = Counter()
    for row in lakes.rows_of(lake, OUTCOME_LEDGER).select(["unit_id", "label", "number", "text", "sign"]).to_pylist():
        net[row["unit_id"], row["label"], row["number"] if row["text"] is None else row["text"]] += row["sign"]
    return Counter({key: sign for key, sign in net.items() if sign})


def bytes_changed(lake: Path, records: list[Record]) -> int:
    """Records whose bytes or receipt bronze does not hold as they were logged."""
    rows = lakes.rows_of(lake, EVENTS).select(["offset", "payload", "received_at"]).to_pylist()
    found = Counter((row["offset"], row["payload"], row["received_at"].astimezone(UTC)) for row in rows)
    return apart(Counter((n, r.payload, r.received_at) for n, r in enumerate(records)), found)[0]


def apart(expected: Counter[Any], found: Counter[Any]) -> tuple[int, list[str]]:
    """How many entries differ, and a few of them."""
    missing, wrong = expected.copy(), found.copy()
    missing.subtract(found)
    wrong.subtract(expected)
    lacking = [f"missing {key}" for key, count in missing.items() if count > 0]
    extra = [f"not expected {key}" for key, count in wrong.items() if count > 0]
    return len(lacking) + len(extra), [*lacking[:MOST_EXAMPLES], *extra[:MOST_EXAMPLES]]


AGREES: dict[str, Wanted] = {
    "records_without_their_home": exactly(0),
    "records_changed": exactly(0),
    "accounting_difference": exactly(0),
    "pairs_apart": exactly(0),
    "orphans_apart": exactly(0),
    "outcomes_apart": exactly(0),
    "verifier_differences": exactly(0),
}


def compared(lake: Path, truth: Truth, window: timedelta) -> Figures:
    """The figures of AGREES: a lake beside the truth, and the product's own verifier as a second opinion."""
    expected = Counter((request, label, float(v)) for (request, label), v in truth.latest(window).items())
    different = {
        "records_without_their_home": apart(truth.homes(), homes(lake)),
        "pairs_apart": apart(Counter(truth.pairs()), pairs(lake)),
        "orphans_apart": apart(Counter(truth.orphans()), orphans(lake)),
        "outcomes_apart": apart(expected, beliefs(lake)),
    }
    report = verify(lake)
    return {
        "records": len(truth.records),
        "pairs": len(truth.pairs()),
        "outcomes": len(expected),
        **{name: count for name, (count, _) in different.items()},
        "records_changed": bytes_changed(lake, truth.records),
        "accounting_difference": accounting(lake, truth),
        "verifier_differences": report.differences + report.pending,
        "examples": [f"{name}: {text}" for name, (_, texts) in different.items() for text in texts],
    }


def accounting(lake: Path, truth: Truth) -> int:
    """By how many rows the two equations are open, counted from the tables alone; distinct ids in the second."""
    rows = {home: lakes.rows_of(lake, table).num_rows for home, table in HOMES.items()}
    open_homes: int = abs(lakes.rows_of(lake, EVENTS).num_rows - sum(rows.values()))
    labelled = {name for name, _ in pairs(lake)}
    net: Counter[str] = Counter()
    for (name, sign, _), count in orphans(lake).items():
        net[name] += sign * count
    orphaned = {name for name, sign in net.items() if sign > 0}
    waiting = {name for name, fate in truth.fates().items() if fate == "waiting"}
    taken_in: set[str] = set(lakes.rows_of(lake, silver.FEEDBACK)["feedback_id"].to_pylist())
    open_fates = len(taken_in ^ (labelled | orphaned | waiting))
    twice = len(labelled & orphaned) + len(waiting & (labelled | orphaned))
    return open_homes + open_fates + twice


def latest_receipt(records: list[Record]) -> datetime:
    return max(record.received_at for record in records)
