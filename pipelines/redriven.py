"""What has been redriven: which records of the log repeat a quarantined one, as its control events say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow.dataset as ds

from pipelines.lake import Lake
from pipelines.silver.tables import CONTROLS


def redriven(lake: Lake) -> dict[int, int]:
    """The position of the copy by that of the original, of all that has landed."""
    if not lake.exists(CONTROLS):
        return {}
    return copies(lake.read(CONTROLS, ["offset", "offsets"], ds.field("action") == "redrive").to_pylist())


def copies(controls: Iterable[Mapping[str, Any]]) -> dict[int, int]:
    """The same of rows of silver.controls. The copies stand right behind their control, in the same append."""
    return {
        original: row["offset"] + 1 + place for row in controls for place, original in enumerate(row["offsets"])
    }
