"""Which candidates are drawn, and how many examples each of them stands for.

A draw goes by the hash of seed and unit alone, and writes down where it cut: drawn again by what is written down, of fewer
candidates, each of those that are left fares as before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.dataset.candidates import KEPT, Numbers, fate
from pipelines.dataset.spec import Spec

_LEAST = 0.05
"""The importance of what is of none, of that of the most: nothing has no chance, or weights could not make up for it."""
_STEPS = 1_000_000
"""Importances are whole numbers of so many steps, so that their sum is exact."""
Drawn = dict[str, Any]


def deduplicate(found: pa.Table, fates: Numbers) -> None:
    """Leave out what repeats features and label of an earlier candidate."""
    live = np.flatnonzero(fates == KEPT)
    prints = found["print"].combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)[live]
    first = np.unique(prints, return_index=True)[1]
    fates[np.delete(live, first)] = fate("duplicate")


def draw(found: pa.Table, fates: Numbers, spec: Spec, said: Drawn | None = None) -> tuple[Numbers, Drawn]:
    """Leave out what is not drawn; the factor by which the weight of each candidate grows, and where the draw has cut.

    With `said`, a draw that was made before, by that: the factors of what is left do not move.
    """
    factors = np.ones(len(fates))
    live = np.flatnonzero(fates == KEPT)
    if spec.sampling == "all" or not len(live):
        return factors, said or {}
    chance = found["chance"].to_numpy()[live]
    if spec.sampling in ("uncertainty", "disagreement"):
        kept, factors[live], said = _by_importance(found["doubt"].to_numpy()[live], chance, spec.size or 1, said)
    else:
        encoded = found["stratum"].combine_chunks().take(pa.array(live)).dictionary_encode()
        names, codes = encoded.dictionary.to_pylist(), encoded.indices.to_numpy()
        said = said or _cuts(names, codes, chance, spec)
        kept, factors[live] = _by_stratum(names, codes, chance, said)
    fates[live[~kept]] = fate("not_drawn")
    return factors, said


def _cuts(names: Sequence[str], codes: Numbers, chance: Numbers, spec: Spec) -> Drawn:
    """Per stratum: how many there are, how many are drawn, and the greatest hash of these."""
    counts = np.bincount(codes, minlength=len(names))
    cuts: Drawn = {}
    for code in np.argsort(np.array(names), kind="stable").tolist():
        quota = min(_quotas(names, counts, spec)[names[code]], int(counts[code]))
        cut = np.partition(chance[codes == code], quota - 1)[quota - 1]
        cuts[names[code]] = {"of": int(counts[code]), "drawn": int((chance[codes == code] <= cut).sum()), "cut": f"{int(cut):016x}"}
    return cuts


def _quotas(names: Sequence[str], counts: Numbers, spec: Spec) -> dict[str, int]:
    """How many are wanted of each stratum: as many of each, or in proportion, by largest remainder, at least one."""
    sizes = dict(zip(names, counts.tolist(), strict=True))
    if spec.sampling == "balanced":
        each = min(sizes.values()) if spec.size is None else max(spec.size // len(sizes), 1)
        return dict.fromkeys(names, each)
    total, size = sum(sizes.values()), spec.size or 1
    quotas = {name: max(size * count // total, 1) for name, count in sizes.items()}
    by_remainder = sorted(names, key=lambda name: (-(size * sizes[name] % total), name))
    for name in by_remainder[: max(size - sum(quotas.values()), 0)]:
        quotas[name] += 1
    return quotas


def _by_stratum(names: Sequence[str], codes: Numbers, chance: Numbers, cuts: Mapping[str, Any]) -> tuple[Numbers, Numbers]:
    none = {"of": 1, "drawn": 1, "cut": "0"}
    told = [cuts.get(name, none) for name in names]
    limits = np.array([int(one["cut"], 16) for one in told], "uint64")
    return chance <= limits[codes], np.array([one["of"] / one["drawn"] for one in told])[codes]


def _by_importance(
    doubt: Numbers, chance: Numbers, size: int, said: Drawn | None
) -> tuple[Numbers, Numbers, Drawn]:
    """Each with a probability in proportion to its importance, at most 1; about `size` in all (Poisson sampling).

    Weighted by the inverse of that probability sums are unbiased: Horvitz and Thompson, "A Generalization of Sampling Without
    Replacement From a Finite Universe", 1952.
    """
    greatest = said["greatest"] if said else float(doubt.max())
    scaled = doubt / greatest if greatest else np.zeros(len(doubt))
    steps = np.maximum(np.rint(scaled * _STEPS), _LEAST * _STEPS).astype("int64")
    scale = said["scale"] if said else _scale(steps, size)
    odds = np.minimum(steps * scale, 1.0)
    return chance < odds * 2.0**64, 1 / odds, {"greatest": greatest, "scale": scale}


def _scale(steps: Numbers, size: int) -> float:
    """What makes probabilities of importances, so that they add up to `size` though none is above 1."""
    if size >= len(steps):
        return 1.0
    falling = np.sort(steps)[::-1]
    rest = int(falling.sum()) - np.concatenate(([0], np.cumsum(falling)[:-1]))
    certain = int(np.argmax((size - np.arange(len(falling))) * falling <= rest))
    return float((size - certain) / rest[certain])
