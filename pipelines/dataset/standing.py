"""The examples of a lake as of a time: signed rows of gold.examples, netted, one date of serving after the other."""

from __future__ import annotations

from datetime import date, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines import files
from pipelines.definition import Definition
from pipelines.gold.tables import EXAMPLES
from pipelines.lake import Lake

ORDER = ("served_at", "tenant", "unit", "unit_id", "item")
"""The total order of examples: of one label under one policy a unit has one."""
_STATED = ("tenant", "unit", "unit_id", "item", "basis", "number", "text")


def standing(rows: pa.Table) -> pa.Table:
    """The rows that stand when all of these are added up, in order; each as it was stated last.

    Signs cancel at their own known_at first: an example that was moved to an earlier time is known since then. Every row of a key
    lies in one partition of gold.examples, so partitions can be netted one by one.
    """
    rows = rows.sort_by([("known_at", "ascending")])
    stated = pc.if_else(pc.greater(rows["sign"], 0), pa.array(np.arange(rows.num_rows)), -1)
    moments = (
        rows.append_column("stated", stated)
        .group_by([*_STATED, "known_at"], use_threads=False)
        .aggregate([("sign", "sum"), ("stated", "max")])
    )
    moments = moments.filter(pc.not_equal(moments["sign_sum"], 0))
    beliefs = moments.group_by(list(_STATED), use_threads=False).aggregate([("sign_sum", "sum"), ("stated_max", "max")])
    live = beliefs.filter(pc.greater(beliefs["sign_sum_sum"], 0))
    found = rows.take(live["stated_max_max"]).drop_columns(["sign"])
    return found.sort_by([(name, "ascending") for name in ORDER])


def plain(rows: pa.Table, definition: Definition) -> pa.Table:
    """The outcomes of a binary label as numbers, 1 where it is the positive value and 0 where it is any other, or silence."""
    if definition.policy is None or definition.policy.type != "binary":
        return rows
    column = "text" if isinstance(definition.positive, str) else "number"
    yes = pc.and_(pc.fill_null(pc.equal(rows[column], definition.positive), False), pc.equal(rows["basis"], "answered"))
    rows = rows.set_column(rows.column_names.index("number"), "number", yes.cast(pa.float64()))
    return rows.set_column(rows.column_names.index("text"), "text", pa.nulls(rows.num_rows, pa.string()))


class Examples:
    """The examples under one definition as of a time, in one version of gold.examples, whatever is appended meanwhile."""

    def __init__(self, lake: Lake, definition: Definition, as_of: datetime) -> None:
        table = lake.open(EXAMPLES)
        self.version, self._definition = int(table.version()), definition
        self._files: dict[date, list[str]] = {}
        for file in sorted(files.sizes(lake.path(EXAMPLES), table)):
            self._files.setdefault(date.fromisoformat(file.parent.name.partition("=")[2]), []).append(str(file))
        self._where = pc.field("known_at") < pa.scalar(as_of, pa.timestamp("us", "UTC"))
        policy = definition.policy.hash if definition.policy else ""
        for name, value in {"model": definition.model, "label": definition.label, "policy": policy}.items():
            self._where &= pc.field(name) == value

    def dates(self, since: datetime | None = None) -> list[date]:
        """The dates of serving that have rows, from that of `since` on."""
        return [one for one in sorted(self._files) if since is None or one >= since.date()]

    def of(self, served: date, columns: list[str]) -> pa.Table:
        """What stands of one date, in order, with these columns and those that are needed to tell."""
        wanted = list(dict.fromkeys([*columns, *_STATED, "served_at", "known_at", "sign"]))
        return plain(standing(files.read_files(self._files[served], EXAMPLES, self._where, wanted)), self._definition)
