"""Lakes with examples and nothing to process: rows of gold.examples as the jobs would have written them, and what else a question needs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.bronze.tables import EVENTS
from pipelines.contract import Table
from pipelines.dataset.manifest import Manifest, content, keep
from pipelines.dataset.spec import Spec
from pipelines.dataset.tables import RELEASED
from pipelines.definition import Definition, Policy
from pipelines.gold.tables import EXAMPLES, FRONTIERS
from pipelines.lake import Lake, Mark
from pipelines.moments import rfc3339
from pipelines.silver.tables import CONTROLS, INFERENCES

START = datetime(2026, 3, 1, tzinfo=UTC)
FRONTIER = START + timedelta(days=60)
DAY = timedelta(days=1)
LATE = Definition(
    "m", "late", ((),), ("1 day",), (("origin", ()),), positive=1.0,
    policy=Policy("binary", "request", "latest", 86_400, absent="negative"),
)  # fmt: skip
KIND = Definition("m", "kind", ((),), ("1 day",), (("origin", ()),), policy=Policy("category", "item", "latest", 86_400))
SIZE = Definition("m", "size", ((),), ("1 day",), (("origin", ()),), policy=Policy("number", "request", "latest", 86_400))


def example(nth: int, /, definition: Definition = LATE, **changed: Any) -> dict[str, Any]:
    """The example of request number N, an hour after the one before it; known when its window of a day has passed."""
    served = changed.pop("served_at", START + timedelta(hours=nth))
    assert definition.policy is not None
    told: dict[str, Any] = {
        "model": definition.model,
        "label": definition.label,
        "policy": definition.policy.hash,
        "unit": definition.policy.unit,
        "unit_id": f"r{nth:05}",
        "item": "",
        "basis": "answered",
        "number": float(nth % 4 == 0),
        "weight": 1.0,
        "sign": 1,
        "known_at": served + DAY,
        "matures_at": served + DAY,
        "score": nth % 10 / 10,
        "version": "1",
        "features": json.dumps({"distance": 100.0 + nth, "carrier": "AA" if nth % 3 else "UA", "night": nth % 2 == 0}),
        "segments": {"origin": "JFK" if nth % 5 else "LGA"},
        "subject": f"s{nth % 7}",
        "offset": nth,
    }
    return EXAMPLES.row(**{**told, **changed}, served_at=served, served_date=served.date())


def back(row: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """What takes an example back."""
    return {**row, "sign": -1, "features": None, **changed}


def lake_with(root: Path, rows: Sequence[dict[str, Any]], definitions: Sequence[Definition] = (LATE, KIND, SIZE)) -> Path:
    """A lake that has come to FRONTIER, with these examples."""
    (root / "_log").mkdir(parents=True)
    (root / "_log" / "log.sqlite").write_bytes(b"a log")
    controls = [
        CONTROLS.row(action="define", offset=at, body=json.dumps(json.loads(one.control())["body"]), backfill=True)
        for at, one in enumerate(definitions)
    ]
    for table, found in ((EVENTS, [EVENTS.row()]), (FRONTIERS, [FRONTIERS.row(frontier=FRONTIER)]), (CONTROLS, controls)):
        append(root, table, found)
    append(root, EXAMPLES, rows)
    return root


def released(root: Path) -> Manifest:
    """A release of every inference of a lake, whether or not it has an example."""
    columns = ["tenant", "served_at", "version", "features", "offset"]
    found = Lake(root).read(INFERENCES, ["request_id", *columns]).to_pylist()
    told = [{**{name: row[name] for name in columns}, "unit_id": row["request_id"], "known_at": row["served_at"]} for row in found]
    rows = RELEASED.frame([RELEASED.row(unit="request", item="", basis="answered", number=1.0, weight=1.0, split="train", **one)
                           for one in told]).drop_columns(["recorded_at"])  # fmt: skip
    said = {"as_of": rfc3339(START), "spec": Spec("m", "late").body(), "inputs": {}, "drawn": {}, "exclusions": {}}
    made = Manifest("m/late/1", "", "m", "late", "p", rows=len(rows), splits={"train": len(rows)}, classes={"1": len(rows)},
                    schema={"label": "number", "features": {}}, content=content(rows), **said).sealed()  # fmt: skip
    keep(Lake(root), made, rows.set_column(0, "release", pa.array([made.digest] * len(rows))))
    return made


def append(root: Path, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    lake = Lake(root)
    lake.create(table)
    lake.append(table, table.frame(list(rows)), Mark(f"test {lake.open(table).version()}", 0), {"job": "test"})
