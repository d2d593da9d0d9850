"""A changed model file as a revision: what it changes, and the same numbers again under it, for all that was ever served."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.dataset as ds
from pyspark.sql import SparkSession

from pipelines import backfill
from pipelines.app import Application
from pipelines.backfill import Backfill, Part
from pipelines.contract import Table
from pipelines.definition import Definition
from pipelines.definitions import DefinitionBook
from pipelines.errors import InputError, nearest
from pipelines.gold.tables import OUTCOME_LEDGER
from pipelines.lake import Lake
from pipelines.models import load_models
from pipelines.opened import newest
from pipelines.settings import Settings
from pipelines.silver.tables import CONTROLS, INFERENCES, LABELLED


@dataclass(frozen=True)
class Change:
    """One definition that the lake does not have for all inferences of its model.

    `before`: hash of the newest other one of its label, None for a new label. `differs`: its field, in the old one and in the new
    one. `upto`: the last log offset that it lacks. `inferences`, `votes`, `entries`: what it is computed from there: inferences
    served, answers about them, and entries that the ledger has under its policy already.
    """

    definition: Definition
    before: str | None
    differs: dict[str, tuple[Any, Any]]
    upto: int
    inferences: int
    votes: int
    entries: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "model": self.definition.model,
            "label": self.definition.label,
            "definition": self.definition.hash,
            "before": self.before,
            "differs": {name: list(values) for name, values in self.differs.items()},
            "inferences": self.inferences,
            "votes": self.votes,
            "entries": self.entries,
        }


def declared_by(settings: Settings, model: str) -> list[Definition]:
    """What the model files declare of one model. Raises InputError `unknown_model`."""
    declared = load_models(settings.models_path)
    found = [one for one in declared if one.model == model]
    if not found:
        known = sorted({one.model for one in declared})
        raise InputError(
            "unknown_model",
            f'{settings.models_path}: no model file declares "{model}"{nearest(model, known)}; they declare '
            f"{', '.join(known) or 'none'}.",
        )
    return found


def changes(lake: Lake, wanted: Sequence[Definition], end: int) -> list[Change]:
    """What the lake lacks of these definitions for the inferences at log offsets below `end`."""
    known = DefinitionBook(lake).definitions() if lake.exists(CONTROLS) else []
    found = []
    for definition in wanted:
        own = next((one for one in known if one == definition), None)
        upto = own.above if own else end - 1
        served = _count(lake, INFERENCES, (ds.field("model") == definition.model) & (ds.field("offset") <= upto))
        if own is None or served:
            found.append(_change(lake, definition, known, upto, served))
    return found


def _change(lake: Lake, definition: Definition, known: Sequence[Definition], upto: int, served: int) -> Change:
    place = (definition.model, definition.label)
    others = [one for one in known if (one.model, one.label) == place and one != definition]
    before = newest(others)[0] if others else None
    votes = entries = 0
    if definition.policy is not None:
        context = (ds.field("context", "model") == place[0]) & (ds.field("context", "offset") <= upto)
        about = context & (ds.field("label") == place[1])
        votes = _count(lake, LABELLED, about)
        entries = _count(lake, OUTCOME_LEDGER, about & (ds.field("policy") == definition.policy.hash))
    differs = {name: (old, new) for name, old, new in _compared(before, definition) if old != new} if before else {}
    return Change(definition, before.hash if before else None, differs, upto, served, votes, entries)


def _compared(before: Definition, now: Definition) -> list[tuple[str, Any, Any]]:
    """Field by field, the policy's too."""
    old, new = _fields(before), _fields(now)
    return [(name, old.get(name), new.get(name)) for name in {**old, **new}]


def _fields(definition: Definition) -> dict[str, Any]:
    body = definition.body()
    policy = body.pop("policy") or {}
    return body | {f"policy.{name}": value for name, value in policy.items()}


def _count(lake: Lake, table: Table, where: Any) -> int:
    return lake.read(table, [], where).num_rows if lake.exists(table) else 0


def revise(
    settings: Settings,
    spark: SparkSession,
    wanted: Sequence[Definition],
    *,
    progress: Callable[[Application], None] = lambda _: None,
) -> list[Change]:
    """Process what the log holds, fill these definitions beside the old ones, and declare them; what was lacking.

    Holds the leases of all jobs; producers may go on. What was interrupted is finished first. Raises StateError `lease_held`.
    """
    with Application(settings, spark) as app:
        end = app.drain_whole(lambda: progress(app))
        found = changes(app.lake, wanted, end)
        if found:
            parts = (Part(one.definition, one.upto) for one in found)
            backfill.begin(app.root, Backfill(end, tuple(parts)))
            app.drain_whole(lambda: progress(app))
    return found
