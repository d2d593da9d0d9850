"""What the page shows beside metrics, as JSON has it. `as_of`: only what was known by then; without it, all that is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contract import Table
from pipelines.dataset.manifest import manifests
from pipelines.dataset.tables import RELEASES
from pipelines.definition import Definition
from pipelines.gold.metrics.catalogue import applicable
from pipelines.gold.metrics.plan import Windows, cut_name, target
from pipelines.gold.tables import FRONTIERS, STATISTICS
from pipelines.lake import Lake, stands
from pipelines.opened import newest
from pipelines.quantities import duration
from pipelines.redriven import redriven
from pipelines.retrain.ledger import histories
from pipelines.retrain.tables import RETRAININGS
from pipelines.silver.reasons import REASONS
from pipelines.silver.tables import CONTROLS, QUARANTINE
from pipelines.watch.incidents import incidents
from pipelines.watch.tables import ALERTS, DRIFT, TRIGGERS
from pipelines.watch.view import plain

Row = dict[str, Any]
SHOWN = 200
"""Rows of a section, the newest; it says how many there are."""
FIRST = {"binary": "auc", "number": "mae", "category": "accuracy", "": "throughput"}
"""The metric that is shown where none is named, by the type of the label."""


def models(definitions: Sequence[Definition]) -> list[Row]:
    """What can be asked: each model with its labels (the service, "", last), their metrics, cuts and grains."""
    found: dict[str, list[Row]] = {}
    for one in sorted(newest(list(definitions)), key=lambda one: (one.model, not one.label, one.label)):
        found.setdefault(one.model, []).append(_label(one, definitions))
    return [{"model": name, "labels": labels} for name, labels in found.items()]


def _label(one: Definition, definitions: Sequence[Definition]) -> Row:
    grain = duration(one.grains[0])
    services = [other for other in definitions if other.policy is None and other.model == one.model]
    asked = target(one, services, Windows(grain, grain), one.cuts[0])
    metrics = [
        {"name": metric.name.format(each=each), "meaning": metric.meaning, "better": metric.better}
        for metric in applicable(asked)
        if metric.each != "class"
        for each in (asked.measures if metric.each == "measure" else ("",))
    ]
    kind = one.policy.type if one.policy else ""
    first = [metric for metric in metrics if metric["name"] == FIRST[kind]] or metrics
    return {
        "label": one.label,
        "metric": first[0]["name"],
        "metrics": metrics,
        "grains": sorted(one.grains, key=duration, reverse=True),
        "cuts": [cut_name(cut) for cut in sorted(one.cuts, key=len)],
        "silence_counts": one.policy is not None and one.policy.absent != "missing",
    }


def alerts(lake: Lake, model: str | None, as_of: datetime | None) -> Row:
    """The incidents, the newest first."""
    found = incidents(_rows(lake, ALERTS, model, as_of))[::-1]
    return _shown([plain(asdict(one)) for one in found])


def drift(lake: Lake, model: str | None, as_of: datetime | None) -> Row:
    """The distances of windows from their baseline that stand, in the order of time."""
    net: Counter[tuple[Any, ...]] = Counter()
    said: dict[tuple[Any, ...], Row] = {}
    names = ("model", "feature", "cut", "segment", "version", "window_start", "window_end", "measure", "value", "reference",
             "reached", "support", "policy")  # fmt: skip
    for row in _rows(lake, DRIFT, model, as_of):
        key = tuple(row[name] for name in names)
        net[key] += row["sign"]
        said[key] = row
    standing = sorted((said[key] for key, count in net.items() if count > 0), key=lambda row: row["window_start"])
    return {"rows": [plain({name: row[name] for name in names}) for row in standing[-5_000:]], "of": len(standing)}


def triggers(lake: Lake, model: str | None, as_of: datetime | None) -> Row:
    """What became of triggers, step by step, the newest first."""
    names = ("known_at", "model", "label", "trigger", "state", "trigger_id", "evidence")
    rows = sorted(_rows(lake, TRIGGERS, model, as_of), key=lambda row: (row["known_at"], row["recorded_at"]), reverse=True)
    return _shown([plain({name: row[name] for name in names}) for row in rows])


def loop(lake: Lake, model: str | None, as_of: datetime | None) -> Row:
    """Each retraining with its steps, the newest first."""
    found = []
    for steps in histories(lake).values():
        known = [row for row in steps if model in (None, row["model"]) and (as_of is None or row["known_at"] <= as_of)]
        if known:
            found.append({"trigger_id": known[0]["trigger_id"], "steps": [plain(row) for row in known]})
    return _shown(found[::-1])


def releases(lake: Lake, model: str | None, as_of: datetime | None) -> Row:
    """The releases, the newest first; of a time those that hold what was known by then."""
    found = [one for one in manifests(lake, model) if as_of is None or datetime.fromisoformat(one.as_of) <= as_of]
    names = ("name", "digest", "model", "label", "as_of", "rows", "splits", "content", "supersedes", "exclusions")
    rows = [
        {name: getattr(one, name) for name in names}
        | {"sampling": one.spec["sampling"], "gates": len(one.gates), "kept": sum(gate["passed"] is True for gate in one.gates)}
        for one in sorted(found, key=lambda one: one.as_of, reverse=True)
    ]
    return _shown(rows)


def quarantine(lake: Lake, as_of: datetime | None) -> Row:
    """How many records are refused, by reason, and how many of them were sent again; nothing of what they say."""
    if not lake.exists(QUARANTINE):
        return {"rows": [], "of": 0}
    where = None if as_of is None else pc.field("received_at") < as_of
    rows = lake.read(QUARANTINE, ["reason", "received_at", "offset"], where)
    again = pc.is_in(rows["offset"], pa.array(sorted(redriven(lake)), pa.int64())).cast(pa.int64())
    made = rows.append_column("again", again).group_by("reason")
    sums = made.aggregate([("offset", "count"), ("again", "sum"), ("received_at", "min"), ("received_at", "max")]).to_pylist()
    found = [
        {
            "reason": row["reason"],
            "meaning": REASONS.get(row["reason"], ""),
            "records": row["offset_count"],
            "redriven": row["again_sum"],
            "first": plain(row["received_at_min"]),
            "last": plain(row["received_at_max"]),
        }
        for row in sums
    ]
    return {"rows": sorted(found, key=lambda row: (-row["records"], row["reason"])), "of": rows.num_rows}


def versions(lake: Lake) -> dict[str, int]:
    """The newest version of each table that the page reads: what moves when there is something new."""
    found = {}
    for table in (STATISTICS, FRONTIERS, CONTROLS, ALERTS, DRIFT, TRIGGERS, RETRAININGS, RELEASES, QUARANTINE):
        log = lake.path(table) / "_delta_log"
        found[table.name] = max((int(file.stem) for file in log.glob("*.json") if file.stem.isdigit()), default=-1)
    return found


def _rows(lake: Lake, table: Table, model: str | None, as_of: datetime | None) -> list[Row]:
    if not stands(lake.path(table)):
        return []
    of_model = pc.field("model") == model if model is not None else None
    known = pc.field("known_at") <= as_of if as_of is not None else None
    where = known if of_model is None else of_model if known is None else of_model & known
    return list(lake.read(table, None, where).to_pylist())


def _shown(rows: Sequence[Row]) -> Row:
    return {"rows": list(rows[:SHOWN]), "of": len(rows)}
