"""The path of a row of a release: the outcome that it states, the votes behind that, and their positions in the log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow.compute as pc

from pipelines.dataset.candidates import FATES
from pipelines.dataset.difference import definition_of
from pipelines.dataset.manifest import Manifest, refuse_superseded
from pipelines.dataset.release import decide
from pipelines.dataset.standing import Examples
from pipelines.dataset.tables import RELEASED
from pipelines.explain import Sources, outcome
from pipelines.explain.outcome import RequestPath
from pipelines.lake import Lake


@dataclass(frozen=True)
class RowPath:
    """One request in one release. `rows`: what the release holds of it; `left_out`: what of it was left out, by item, and why.

    `path`: what was known of the request at the cut of the release.
    """

    release: str
    rows: list[dict[str, Any]]
    left_out: dict[str, str]
    path: RequestPath


def explain(lake: Lake, manifest: Manifest, request: str) -> RowPath:
    """Where the rows of a request come from, or why they are not there.

    Raises InputError `unknown_request`, `release_superseded`, and what `explain outcome` raises.
    """
    refuse_superseded(lake, manifest)
    sources = Sources(lake.root)
    as_of = datetime.fromisoformat(manifest.as_of)
    path = outcome(sources, request=request, label=manifest.label, as_of=as_of)
    of_it = (pc.field("release") == manifest.root) & (pc.field("unit_id") == request)
    rows = lake.read(RELEASED, [name for name in RELEASED.names if name != "recorded_at"], of_it).sort_by("item").to_pylist()
    definition = definition_of(sources, manifest)
    decided = decide(Examples(lake, definition, as_of), manifest.asked, definition, as_of, drawn=manifest.drawn)
    asked = pc.equal(decided.found["unit_id"], request)
    items = decided.found["item"].filter(asked).to_pylist()
    fates = zip(items, decided.fates[asked.to_numpy()].tolist(), strict=True)
    return RowPath(manifest.name, rows, {item: FATES[fate] for item, fate in fates if fate}, path)
