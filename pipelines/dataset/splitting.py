"""Which split a row belongs to: by when it was served, by whom it is about, or by both at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.dataset.candidates import KEPT, Numbers, fate
from pipelines.dataset.spec import Spec


def split(found: pa.Table, fates: Numbers, spec: Spec, starts: list[int] | None = None) -> tuple[Numbers, list[int]]:
    """The split of each candidate as its place in SPLITS, and the microseconds since 1970 at which validation and test begin.

    By time a split begins where the share of the rows before it is reached; rows served at one time stay together, and what was
    served less than the embargo before a later split begins is left out. By group a hash of the seed and the group decides, so a
    group never is in two splits. By both a group of the test has its place in the time of the test alone, and so on: what
    lies elsewhere is left out. `starts`: those of an earlier split of the same rows, which hold then.
    """
    places = np.zeros(len(fates), "int8")
    if "time" in spec.split:
        served = found["served_at"].cast(pa.int64()).to_numpy()
        starts = _starts(served[fates == KEPT], spec) if starts is None else starts
        places = np.searchsorted(np.array(starts, "int64"), served, "right").astype("int8")
        length = spec.embargo.total_seconds() * 1e6
        for later, start in enumerate(starts, 1):
            early = (places < later) & (served >= start - length)
            fates[early & (fates == KEPT)] = fate("embargo")
    if spec.group:
        groups = _groups(found["group_chance"].to_numpy(), spec)
        if "time" in spec.split:
            fates[(groups != places) & (fates == KEPT)] = fate("other_split")
        places = groups
    return places, starts or []


def _groups(chance: Numbers, spec: Spec) -> Numbers:
    train, _, test = spec.shares
    bounds: Any = np.array([train, 1 - test]) * 2.0**64
    return np.searchsorted(bounds, chance.astype("float64"), "right").astype("int8")


def _starts(served: Numbers, spec: Spec) -> list[int]:
    """Of rows in the order of time: when validation begins, and when test does; never if it has no share."""
    never = np.iinfo("int64").max
    train, validation, test = spec.shares
    places = [int(len(served) * train), int(len(served) * (1 - test))]
    wanted = [validation + test, test]
    return [int(served[place]) if share and place < len(served) else never for place, share in zip(places, wanted, strict=True)]
