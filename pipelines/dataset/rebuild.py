"""A release cut again from the examples of a lake, the one that it was cut from or one that was made of the same log elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from pipelines.dataset.difference import definition_of
from pipelines.dataset.manifest import Manifest, refuse_superseded
from pipelines.dataset.release import cut
from pipelines.explain.sources import Sources
from pipelines.lake import Lake


@dataclass(frozen=True)
class Recut:
    """Rows and content as they come out now; `same`: they are those of the manifest."""

    name: str
    rows: int
    content: str
    same: bool


def rebuild(lake: Lake, manifest: Manifest, progress: Callable[[int, int], None] = lambda _done, _of: None) -> Recut:
    """Cut the rows that a manifest speaks of again, and compare; nothing is written.

    Of a release that an erasure has left, by the cuts that were made before it: who is left fares as before. Where such a release
    leaves out repetitions, a row that repeated an erased one stands for itself by now, and they differ by it.
    Raises InputError `release_superseded`, `unknown_definition`, and as `release` does.
    """
    refuse_superseded(lake, manifest)
    definition = definition_of(Sources(lake.root), manifest)
    drawn = manifest.drawn if manifest.supersedes else None
    found, _ = cut(lake, manifest.asked, definition, datetime.fromisoformat(manifest.as_of), drawn=drawn, progress=progress)
    return Recut(manifest.name, found.rows, found.content, found.content == manifest.content)
