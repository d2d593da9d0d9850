"""Loading a release in a training job: no Spark, no session."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.dataset.features import typed
from pipelines.dataset.manifest import Manifest, lake_of, manifests, named, rows_of
from pipelines.dataset.spec import SPLITS
from pipelines.errors import InputError, nearest


def load(lake_path: Path | str, name: str, split: str | None = None) -> pa.Table:
    """The rows of a release, or of one split of it, always in the same order: a column per feature, label, weight and ids.

    `name`: MODEL/LABEL/N, or MODEL/LABEL for the newest, or a digest. Raises InputError `unknown_release`, `unknown_split`,
    `release_superseded`, StateError `release_damaged`.
    """
    if split is not None and split not in SPLITS:
        raise InputError("unknown_split", f'there is no split "{split}"{nearest(split, SPLITS)}; expected {", ".join(SPLITS)}')
    lake = lake_of(lake_path)
    manifest = named(lake, name)
    rows = rows_of(lake, manifest)
    if split is not None:
        rows = rows.filter(pc.equal(rows["split"], split))
    return typed(rows, manifest.schema["features"], manifest.schema["label"])


def releases(lake_path: Path | str, model: str | None = None, label: str | None = None) -> list[Manifest]:
    """The releases that stand, by model and label, the first first; of one that rows were erased of, what is left of it in its place.

    A training job that keeps the digests it has learnt from finds what is new. Raises StateError as `paths.existing` does.
    """
    found = manifests(lake_of(lake_path), model, label)
    superseded = {one.supersedes for one in found}
    return [one for one in found if one.name not in superseded]
