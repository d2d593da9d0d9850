"""Preference pairs: of two items of one request, which was preferred."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby, product
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.dataset.manifest import Manifest
from pipelines.errors import InputError
from pipelines.lake import Lake
from pipelines.silver.tables import FEEDBACK

Row = dict[str, Any]
PAIRS = pa.schema(
    {
        **dict.fromkeys(("unit_id", "features", "chosen", "rejected"), pa.string()),
        **dict.fromkeys(("chosen_label", "rejected_label", "weight"), pa.float64()),
        **dict.fromkeys(("source", "split"), pa.string()),
    }
)
"""`source`: items, whose outcomes differ, or over_item, where somebody said which is preferred."""


def pairs(lake: Lake, manifest: Manifest, rows: pa.Table) -> pa.Table:
    """The pairs that rows of a release give: items of a request with different outcomes, the higher one chosen, and what feedback
    known before the cut prefers over another item of a request. The pairs of one source and request weigh as much as one row.

    Raises InputError `no_pairs`.
    """
    found = rows.select(["tenant", "unit_id", "item", "number", "weight", "split", "features"]).sort_by("unit_id").to_pylist()
    requests = {row["unit_id"]: row for row in found}
    told = [*_of_items(found), *_of_feedback(_preferred(lake, manifest), requests)]
    if not told:
        raise InputError(
            "no_pairs",
            f"{manifest.name}: no request has two items with different outcomes, and no feedback names an over_item. Pairs come of labels "
            'with unit = "item".',
        )
    return pa.Table.from_pylist(told, schema=PAIRS)


def _of_items(rows: Sequence[Row]) -> Iterator[Row]:
    for _, group in groupby(rows, lambda row: row["unit_id"]):
        items = sorted((row for row in group if row["item"] and row["number"] is not None), key=lambda row: row["item"])
        differ = [(one, other) for one, other in product(items, items) if one["number"] > other["number"]]
        for one, other in differ:
            labels = {"chosen_label": one["number"], "rejected_label": other["number"]}
            weight = sum(row["weight"] for row in items) / len(items) / len(differ)
            yield _pair(one, one["item"], other["item"], weight) | labels | {"source": "items"}


def _of_feedback(preferred: Sequence[Row], requests: dict[str, Row]) -> Iterator[Row]:
    for request, group in groupby(preferred, lambda row: row["request_id"]):
        said = list(group)
        if request in requests:
            row = requests[request]
            for one in said:
                yield _pair(row, one["item"], one["over_item"], row["weight"] / len(said)) | {"source": "over_item"}


def _pair(row: Row, chosen: str, rejected: str, weight: float) -> Row:
    return {**{name: row[name] for name in ("unit_id", "features", "split")}, "chosen": chosen, "rejected": rejected, "weight": weight}


def _preferred(lake: Lake, manifest: Manifest) -> list[Row]:
    """The preferences that stood before the cut: the last word of each rater, or each word where nobody is named; none withdrawn."""
    if not lake.exists(FEEDBACK):
        return []
    cut = pa.scalar(datetime.fromisoformat(manifest.as_of), pa.timestamp("us", "UTC"))
    where = (pc.field("label") == manifest.label) & (pc.field("received_at") < cut) & pc.field("request_id").is_valid()
    columns = ["feedback_id", "request_id", "item", "over_item", "rater", "action", "target_feedback_id", "given_at"]
    said = lake.read(FEEDBACK, columns, where).sort_by([("given_at", "ascending"), ("feedback_id", "ascending")]).to_pylist()
    stand: dict[str, list[Row]] = {}
    for row in said:
        others = [one for one in stand.get(row["request_id"], []) if not _replaces(row, one)]
        stand[row["request_id"]] = [*others, *([row] if row["over_item"] and row["action"] != "withdraw" else [])]
    return [row for _, rows in sorted(stand.items()) for row in rows]


def _replaces(later: Row, one: Row) -> bool:
    """Whether a later word takes one back: the one it names, or that of the same rater on the same items."""
    if later["target_feedback_id"]:
        return bool(later["target_feedback_id"] == one["feedback_id"])
    same = all(later[name] == one[name] for name in ("request_id", "item", "rater"))
    return same and later["rater"] is not None and later["over_item"] in (None, one["over_item"])
