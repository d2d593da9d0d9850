"""gold.retrainings: read as histories, written step by step, each step once."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from pipelines import kept
from pipelines.contract import Table
from pipelines.lake import Lake, Mark
from pipelines.retrain.tables import RETRAININGS, STEPS
from pipelines.watch.steps import APPROVED, FIRED, FORCED, last, of_each, paused, said
from pipelines.watch.tables import TRIGGERS

Row = dict[str, Any]
LAUNCHED = (FIRED, APPROVED, FORCED)
"""States of a trigger that are acted on."""
ENDED = ("refused", "settled", "rolled_back", "failed")
"""Steps after which nothing follows."""
CLOSED = (*ENDED, "promoted")
"""Steps after which the model may be trained for the next trigger."""
CARRIED = ("tenant", "model", "label", "trigger", "trigger_id", "attempt", "release", "digest", "run_id", "version", "champion", "known_at")
_ORDER = {step: place for place, step in enumerate(STEPS)}


def histories(lake: Lake) -> dict[str, list[Row]]:
    """The steps of every trigger that was claimed, in their order."""
    rows = lake.read(RETRAININGS).to_pylist() if lake.exists(RETRAININGS) else []
    found: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: (row["known_at"], row["trigger_id"], row["attempt"], _ORDER[row["step"]])):
        found[row["trigger_id"]].append(row)
    return {name: sorted(steps, key=lambda row: (row["attempt"], _ORDER[row["step"]])) for name, steps in found.items()}


def triggers(lake: Lake) -> list[Row]:
    """Every trigger that is to be acted on, in the order in which they were known: fired, approved or forced last, and not paused."""
    rows = lake.read(TRIGGERS).to_pylist() if lake.exists(TRIGGERS) else []
    of_trigger: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        of_trigger[row["model"], row["trigger"]].append(row)
    standing = [last(steps) for own in of_trigger.values() if not paused(own) for steps in of_each(own).values()]
    return sorted((row for row in standing if row["state"] in LAUNCHED), key=lambda row: (row["known_at"], row["trigger_id"]))


def first(trigger: Row, attempt: int) -> Row:
    """What the steps of an attempt have in common."""
    same = {name: trigger[name] for name in ("tenant", "model", "label", "trigger", "trigger_id", "known_at")}
    return dict.fromkeys(CARRIED) | same | {"attempt": attempt}


def append(lake: Lake, step: str, before: Row, **changed: Any) -> Row:
    """Append a step, which carries on what those before it found. Once: who crashed after it finds it, and appends nothing."""
    evidence = changed.pop("evidence", None)
    row = dict.fromkeys(name for name in RETRAININGS.names if name != "recorded_at")
    row |= {name: before[name] for name in CARRIED} | {"step": step} | changed
    row["evidence"] = None if evidence is None else said(evidence)
    mark = Mark(f"retrain:{row['trigger_id']}:{row['attempt']}:{step}", 0)
    kept.append(lake, RETRAININGS, _rows(RETRAININGS, row), mark, {"job": "launch", "query": "launch", "step": step})
    return row


def _rows(table: Table, row: Row) -> Any:
    frame = table.frame([row])
    return frame.drop_columns(["recorded_at"])
