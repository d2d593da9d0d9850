"""The golden trace: reading it, and reading gold in its terms. Worked out by hand; `tests/golden/` holds the rows."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from pipelines.definition import Definition
from pipelines.models import load_model

FOLDER = Path(__file__).parent / "golden"
STATISTICS = ("n", "tp", "fp", "fn", "tn")


def definitions() -> list[Definition]:
    """The definitions of the trace's model, declared before everything."""
    return load_model(FOLDER / "m.toml")


def records() -> list[tuple[bytes, datetime]]:
    """Payload and receipt of each record."""
    lines = [json.loads(line) for line in (FOLDER / "log.ndjson").read_text().splitlines()]
    return [(line["payload"].encode(), instant(line["received_at"])) for line in lines]


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)


def expected_ledger() -> Counter[tuple[Any, ...]]:
    """unit_id, label, number, known_at -> net sign."""
    net: Counter[tuple[Any, ...]] = Counter()
    for row in _rows("outcome_ledger.csv"):
        net[row["unit_id"], row["label"], float(row["number"]), instant(row["known_at"])] += int(row["sign"])
    return net


def found_ledger(rows: Iterable[dict[str, Any]]) -> Counter[tuple[Any, ...]]:
    net: Counter[tuple[Any, ...]] = Counter()
    for row in rows:
        net[row["unit_id"], row["label"], row["number"], row["known_at"].astimezone(UTC)] += row["sign"]
    return _without_zeros(net)


def expected_examples() -> Counter[tuple[Any, ...]]:
    """unit_id, label, basis, number, known_at -> net sign."""
    return Counter(
        {
            (row["unit_id"], row["label"], row["basis"], float(row["number"]), instant(row["known_at"])): int(row["sign"])
            for row in _rows("examples.csv")
        }
    )


def found_examples(rows: Iterable[dict[str, Any]]) -> Counter[tuple[Any, ...]]:
    net: Counter[tuple[Any, ...]] = Counter()
    for row in rows:
        net[row["unit_id"], row["label"], row["basis"], row["number"], row["known_at"].astimezone(UTC)] += row["sign"]
    return _without_zeros(net)


def expected_statistics() -> Counter[tuple[Any, ...]]:
    """label, basis, cell_at, known_at, statistic -> net amount, of the hour and the cut `all`."""
    return Counter(
        {
            (r["label"], r["basis"], instant(r["cell_at"]), instant(r["known_at"]), r["statistic"]): Decimal(
                r["amount"]
            )
            for r in _rows("statistics.csv")
        }
    )


def found_statistics(rows: Iterable[dict[str, Any]]) -> Counter[tuple[Any, ...]]:
    net: Counter[tuple[Any, ...]] = Counter()
    for r in rows:
        if r["grain"] == "1 hour" and r["cut"] == "all" and r["statistic"] in STATISTICS:
            times = r["cell_at"].astimezone(UTC), r["known_at"].astimezone(UTC)
            net[r["label"], r["basis"], *times, r["statistic"]] += r["amount"]
    return _without_zeros(net)


def _without_zeros(net: Counter[tuple[Any, ...]]) -> Counter[tuple[Any, ...]]:
    return Counter({key: amount for key, amount in net.items() if amount})


def _rows(name: str) -> list[dict[str, str]]:
    with (FOLDER / name).open(newline="") as file:
        return list(csv.DictReader(file))
