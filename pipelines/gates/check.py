"""What is in the lake now against a suite, before anything is released of it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds

from pipelines.gates.judge import judge
from pipelines.gates.suite import Suite
from pipelines.gates.verdict import Verdict
from pipelines.lake import Lake
from pipelines.paths import existing
from pipelines.silver.rules import MAPS
from pipelines.silver.tables import INFERENCES


def check(lake: Path, suite: Suite, *, since: datetime | None = None, docs: Path | None = None) -> Verdict:
    """The verdict on a model's inferences with status ok, served from `since` on; what needs the outcome is not judged.

    Raises StateError `no_lake`, and as `judge` does.
    """
    tables = Lake(existing(lake))
    named = {name.partition(".")[0] if name.partition(".")[0] in MAPS else name for one in suite.expectations for name in one.columns}
    where = (ds.field("model") == suite.model) & (ds.field("status") == "ok")
    if since is not None:
        where &= (ds.field("served_date") >= since.date()) & (ds.field("served_at") >= pa.scalar(since))
    columns = [name for name in INFERENCES.names if name in named] or ["request_id"]
    rows = tables.read(INFERENCES, columns, where) if tables.exists(INFERENCES) else INFERENCES.arrow.empty_table()
    return judge(rows, suite, docs)
