"""What differs between two releases of one label, row by row, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.dataset.candidates import FATES, label_of
from pipelines.dataset.manifest import Manifest, rows_of, stored
from pipelines.dataset.release import decide
from pipelines.dataset.standing import ORDER, Examples
from pipelines.definition import Definition
from pipelines.errors import InputError
from pipelines.explain.sources import Sources, utc
from pipelines.lake import Lake
from pipelines.silver.tables import INFERENCES

KEY = list(ORDER[1:])
_WENT = {
    "kept": "backfilled",
    "outside_window": "left the window",
    "duplicate": "repeats another",
    "not_drawn": "sampled out",
    "embargo": "left out by the split",
    "other_split": "left out by the split",
}
_CAME = {
    "kept": "backfilled",
    "outside_window": "entered the window",
    "duplicate": "repeated another",
    "not_drawn": "sampled in",
    "embargo": "let in by the split",
    "other_split": "let in by the split",
}
_FILTERED = {"came": "let in by a filter", "went": "left out by a filter"}


@dataclass(frozen=True)
class Change:
    """One row that is in one release alone (`came`, `went`) or in both with other outcomes (`changed`), and why."""

    change: str
    reason: str
    unit_id: str
    item: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class Difference:
    """The rows that differ, how many are the same, and how many of the first an erasure has left no trace of."""

    before: str
    after: str
    same: int
    erased: int
    changes: list[Change]

    @property
    def counts(self) -> dict[str, int]:
        """By change and reason."""
        found = Counter(f"{one.change}: {one.reason}" for one in self.changes)
        if self.erased:
            found["went: erased"] += self.erased
        return dict(sorted(found.items()))


def diff(lake: Lake, before: Manifest, after: Manifest) -> Difference:
    """What of the rows of the first is another in the second. Reasons are computed from the examples as they stand.

    Raises InputError `other_label`, StateError `release_damaged`.
    """
    if (before.model, before.label) != (after.model, after.label):
        told = f"{before.name} and {after.name} are not of one label; expected two releases of the same"
        raise InputError("other_label", told)
    sources = Sources(lake.root)
    old, new = _rows(lake, before), _rows(lake, after)
    both = old.join(new, KEY, join_type="full outer", left_suffix=" before", right_suffix=" after", use_threads=False)
    same = pc.fill_null(pc.equal(both["outcome before"], both["outcome after"]), False)
    other = both.filter(pc.invert(same)).sort_by([(name, "ascending") for name in KEY])
    rows = other.to_pylist()
    went = _fates(lake, sources, after, other.filter(other["outcome after"].is_null()))
    came = _fates(lake, sources, before, other.filter(other["outcome before"].is_null()))
    changes = [
        Change(change, reason, row["unit_id"], row["item"], row["outcome before"], row["outcome after"])
        for row in rows
        for change, reason in [_change(row, before, after, went, came)]
    ]
    known = sources.of(INFERENCES, *(one.unit_id for one in changes if one.reason == "withdrawn")) if lake.exists(INFERENCES) else []
    served = {row["request_id"] for row in known}
    changes = [
        Change(one.change, "erased", *_of(one)) if one.reason == "withdrawn" and one.change == "went" and one.unit_id not in served else one
        for one in changes
    ]
    return Difference(before.name, after.name, int(pc.sum(same).as_py() or 0), before.rows - old.num_rows, changes)


def _rows(lake: Lake, manifest: Manifest) -> pa.Table:
    """The rows of a release, or what an erasure has left of them: key, outcome, and what reasons are told by."""
    try:
        rows = rows_of(lake, manifest)
    except InputError:
        rows = stored(lake, manifest)
    found = rows.select([*KEY, "served_at", "known_at", "basis"])
    return found.append_column("outcome", label_of(rows).combine_chunks())


def _of(change: Change) -> tuple[str, str, str | None, str | None]:
    return change.unit_id, change.item, change.before, change.after


def _change(
    row: dict[str, Any], before: Manifest, after: Manifest, went: dict[Any, str], came: dict[Any, str]
) -> tuple[str, str]:
    key = tuple(row[name] for name in KEY)
    if row["outcome before"] is not None and row["outcome after"] is not None:
        bases = row["basis before"], row["basis after"]
        return "changed", {("absent", "answered"): "answered", ("answered", "absent"): "withdrawn"}.get(bases, "corrected")
    change = "went" if row["outcome after"] is None else "came"
    fate = (went if change == "went" else came).get(key)
    if fate is not None:
        return change, (_WENT if change == "went" else _CAME).get(fate, _FILTERED[change])
    if before.policy != after.policy:
        return change, "another policy"
    if change == "came":
        earlier = utc(row["known_at after"]) < datetime.fromisoformat(before.as_of)
        if _outside(row["served_at after"], before):
            return change, "entered the window"
        return change, "backfilled" if earlier else "newly mature"
    return change, "left the window" if _outside(row["served_at before"], after) else "withdrawn"


def _outside(served_at: datetime, manifest: Manifest) -> bool:
    """Whether the window of a release does not reach back so far."""
    window = manifest.asked.window
    return window is not None and utc(served_at) < datetime.fromisoformat(manifest.as_of) - window


def _fates(lake: Lake, sources: Sources, manifest: Manifest, wanted: pa.Table) -> dict[Any, str]:
    """What became of these units when the release was cut, or would become of them now; those that stand."""
    if not wanted.num_rows:
        return {}
    definition, as_of = definition_of(sources, manifest), datetime.fromisoformat(manifest.as_of)
    examples = Examples(lake, definition, as_of)
    decided = decide(examples, manifest.asked, definition, as_of, drawn=manifest.drawn)
    return dict(_named(decided.found, decided.fates, wanted))


def _named(found: pa.Table, fates: Any, wanted: pa.Table) -> Iterator[tuple[Any, str]]:
    mask = pc.is_in(found["unit_id"], value_set=pc.unique(wanted["unit_id"]))
    rows = found.select(KEY).filter(mask).to_pylist()
    for row, fate in zip(rows, fates[mask.to_numpy()].tolist(), strict=True):
        yield tuple(row[name] for name in KEY), FATES[fate]


def definition_of(sources: Sources, manifest: Manifest) -> Definition:
    """What the outcomes of a release were judged by. Raises InputError `unknown_definition`."""
    for one in reversed(sources.definitions):
        if (one.model, one.label) == (manifest.model, manifest.label) and one.policy and one.policy.hash == manifest.policy:
            return one
    raise InputError(
        "unknown_definition",
        f"{manifest.name}: this lake declares no policy {manifest.policy} of label {manifest.label} of model {manifest.model}. "
        "Is it the lake, or a lake of the log, that the release was cut from?",
    )
