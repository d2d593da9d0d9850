"""What is left of releases when people are erased: the same rows without theirs, under a new name that says so."""

from __future__ import annotations

from dataclasses import replace

import pyarrow.compute as pc

from pipelines.dataset import manifest as manifests
from pipelines.dataset.candidates import label_of
from pipelines.dataset.manifest import Manifest
from pipelines.lake import Lake
from pipelines.retrain.tables import RETRAININGS


def succeed(lake: Lake, erasure: int) -> list[Manifest]:
    """Append a successor for each release that has fewer rows than its manifest says; those appended.

    Weights, splits and cuts stay what they were. Whoever does it again finds nothing left to do. The caller holds all leases.
    """
    known = manifests.manifests(lake)
    replaced = {one.supersedes for one in known}
    done = []
    for one in known:
        rows = manifests.stored(lake, one) if one.name not in replaced else None
        if rows is not None and rows.num_rows < one.rows:
            successor = replace(
                one,
                name=manifests.next_name(lake, one.model, one.label),
                rows=rows.num_rows,
                splits={name: int(pc.sum(pc.equal(rows["split"], name)).as_py() or 0) for name in one.splits},
                classes=classes(label_of(rows)) if one.classes else {},
                content=manifests.content(rows),
                exclusions={**one.exclusions, "erased": one.exclusions.get("erased", 0) + one.rows - rows.num_rows},
                supersedes=one.name,
                erased_by=erasure,
                runs=runs(lake, one),
            ).sealed()
            manifests.keep(lake, successor)
            done.append(successor)
    return done


def runs(lake: Lake, manifest: Manifest) -> list[str]:
    """The training runs that have used a release, with the versions that came of them, as gold.retrainings names them."""
    if not lake.exists(RETRAININGS):
        return []
    of_it = (pc.field("release") == manifest.name) & pc.field("run_id").is_valid()
    rows = lake.read(RETRAININGS, ["run_id", "version"], of_it).to_pylist()
    return sorted({f"run {row['run_id']}" for row in rows} | {f"version {row['version']}" for row in rows if row["version"]})


def classes(labels: object) -> dict[str, int]:
    """How many rows have each outcome."""
    return {one["values"]: one["counts"] for one in sorted(pc.value_counts(labels).to_pylist(), key=lambda one: one["values"])}
