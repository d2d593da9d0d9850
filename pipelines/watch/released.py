"""What a version was trained on and held against, as baselines: of drift its release's rows, of drops the slice that was held out."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.dataset.manifest import Manifest, manifests, stored
from pipelines.dataset.scores import with_scores
from pipelines.definition import Definition
from pipelines.exact import UNIT
from pipelines.gold.histograms import histograms
from pipelines.gold.placing import Known, Units, increments
from pipelines.lake import Lake
from pipelines.retrain.tables import RETRAININGS
from pipelines.watch.detectors import Seen
from pipelines.watch.windows import Amounts

_READ = ("tenant", "unit", "unit_id", "item", "served_at", "segments", "features", "score", "weight")


@dataclass(frozen=True)
class Retrained:
    """What gold.retrainings says of the versions of a model; of others nothing is known.

    `releases`: what each was trained on. `metrics`: by label's definition, version and metric, what it was on what that held out.
    """

    releases: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[tuple[str, str, str], Seen] = field(default_factory=dict)

    def held_out(self, definition: Definition, metric: str) -> dict[str, Seen]:
        """A metric by version."""
        return {version: seen for (of, version, name), seen in self.metrics.items() if (of, name) == (definition.hash, metric)}


def retrained(lake: Lake, model: str) -> Retrained:
    """As of all that was written: a version is judged before it serves."""
    if not lake.exists(RETRAININGS):
        return Retrained()
    where = (pc.field("model") == model) & pc.field("step").isin(["trained", "judged"])
    rows = lake.read(RETRAININGS, ["step", "version", "release", "evidence", "known_at", "attempt"], where).to_pylist()
    rows.sort(key=lambda row: (row["known_at"], row["attempt"]))
    metrics = {}
    for row in rows:
        told: dict[str, Any] = json.loads(row["evidence"] or "{}").get("held_out") or {}
        for name, seen in told.get("metrics", {}).items() if row["step"] == "judged" else ():
            metrics[told["definition"], row["version"], name] = Seen(**seen)
    return Retrained({row["version"]: row["release"] for row in rows if row["step"] == "trained"}, metrics)


@dataclass
class Released:
    """The releases that versions were trained on, as histograms; each is read when its version is first asked about.

    `releases`: by version.
    """

    lake: Lake
    definition: Definition
    cut: str
    releases: Mapping[str, str]
    _found: dict[str, dict[tuple[str, str], Amounts]] = field(default_factory=dict)

    def of(self, tenant: str, segment: str, version: str) -> tuple[str, Amounts] | None:
        """The release that a version was trained on, and how many of its rows lie in each bucket; None where there are none."""
        release = self.releases.get(version)
        if release is None:
            return None
        if release not in self._found:
            known = {one.name: one for one in manifests(self.lake, self.definition.model)}
            self._found[release] = self._read(known[release]) if release in known else {}
        amounts = self._found[release].get((tenant, segment))
        return None if amounts is None else (release, amounts)

    def _read(self, manifest: Manifest) -> dict[tuple[str, str], Amounts]:
        rows = stored(self.lake, manifest, _READ)
        rows = with_scores(self.lake, manifest.model, manifest.label, rows)
        return shares(rows, self.definition, self.cut)


def shares(rows: pa.Table, definition: Definition, cut: str) -> dict[tuple[str, str], Amounts]:
    """By tenant and segment of a cut, how many requests of a release lie in each bucket of the declared histograms.

    A row counts by its weight, times the one factor that makes all weights add up to the effective size of the release
    (Kish 1965, Survey Sampling: the square of the sum over the sum of squares), so that the references of distances hold.
    Of a release of items each request counts once, and has no score.
    """
    if pc.any(pc.equal(rows["unit"], "item")).as_py():
        first = rows.append_column("at", pa.array(np.arange(rows.num_rows)))
        first = first.sort_by("item").group_by(["tenant", "unit_id"], use_threads=False).aggregate([("at", "first")])
        rows = rows.take(first["at_first"])
        rows = rows.set_column(rows.column_names.index("score"), "score", pa.nulls(rows.num_rows, pa.float64()))
    weight = rows["weight"].to_numpy()
    if not len(weight):
        return {}
    factor = math.fsum(weight) / math.fsum(weight**2)
    amount = np.round(weight * factor * UNIT).astype("int64")
    terms = [term._replace(amount=amount[term.rows]) for term in histograms(definition, rows, np.arange(len(weight)))]
    same, zeros = pa.repeat("", len(weight)), np.zeros(len(weight), "int64")
    units = Units(rows["tenant"].combine_chunks(), same, rows["segments"].combine_chunks(), zeros)
    made = increments(definition, units, [Known("exposed", zeros, terms)])
    found: dict[tuple[str, str], Amounts] = {}
    grain = definition.grains[-1]
    for row in made.filter(pc.and_(pc.equal(made["cut"], cut), pc.equal(made["grain"], grain))).to_pylist():
        cell: Any = (row["basis"], row["statistic"], row["bucket"])
        found.setdefault((row["tenant"], row["segment"]), {})[cell] = row["amount"]
    return found
