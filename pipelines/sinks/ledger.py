"""A ledger as sinks are told of it: what stands now of each thing that an entry was added about."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from pipelines import files
from pipelines.bronze.tables import EVENTS
from pipelines.contract import Table
from pipelines.explain.sources import Sources
from pipelines.lake import Lake
from pipelines.silver.tables import FEEDBACK, INFERENCES, QUARANTINE
from pipelines.sinks.told import Reached, added, now
from pipelines.watch.incidents import incidents
from pipelines.watch.steps import last
from pipelines.watch.tables import ALERTS, TRIGGERS
from pipelines.watch.view import plain

AT_ONCE = 1_000
"""Entries of one part."""
Row = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """What stands of a thing. `about`: which it is; `said`: None where nothing stands any more."""

    about: Row
    said: Row | None


@dataclass(frozen=True)
class Ledger:
    """One ledger of a lake."""

    lake: Lake
    table: Table
    TOLD: ClassVar[dict[Table, tuple[str, ...]]] = {
        ALERTS: ("model", "label", "rule", "cut", "segment", "version", "incident"),
        TRIGGERS: ("model", "label", "trigger", "trigger_id"),
        QUARANTINE: ("tenant", "source", "partition", "offset"),
    }
    """By ledger, what its entries are about."""

    def now(self) -> Reached | None:
        """As far as it is; None where there is no such table yet."""
        return now(self.lake, self.table)

    def since(self, since: Reached | None, until: Reached) -> Iterator[list[Entry]]:
        """What stands of all that entries were added about, each once; of everything, where that is not known any more."""
        names = list(self.TOLD[self.table])
        paths = None if since is None or since.table != until.table else added(self.lake, self.table, since.version, until.version)
        rows = self.lake.read(self.table, names) if paths is None else files.read_files(paths, self.table, None, names)
        touched = rows.group_by(names).aggregate([]).sort_by([(name, "ascending") for name in names])
        for start in range(0, touched.num_rows, AT_ONCE):
            part = touched.slice(start, AT_ONCE)
            held = self._held(part, names[-1])
            of_each: dict[tuple[Any, ...], list[Row]] = {tuple(about.values()): [] for about in part.to_pylist()}
            for row in held:
                of_each.get(tuple(row[name] for name in names), []).append(row)
            told = _SAID[self.table](self.lake, [row for of_one in of_each.values() for row in of_one])
            yield [Entry(dict(zip(names, about, strict=True)), told(of_one)) for about, of_one in of_each.items()]

    def _held(self, part: pa.Table, name: str) -> list[Row]:
        """All entries about some things."""
        return list(self.lake.read(self.table, None, _among(name, part[name])).to_pylist())


def _among(name: str, values: pa.Array | pa.ChunkedArray) -> pc.Expression:
    """Rows where a column has one of these values; between the ends too, by which files are pruned."""
    ends = pc.min_max(values).as_py()
    return pc.field(name).isin(pc.unique(values)) & (pc.field(name) >= ends["min"]) & (pc.field(name) <= ends["max"])


Say = Callable[[Sequence[Row]], Row | None]
"""What stands, of the entries about one thing."""


def _alerts(_: Lake, __: Sequence[Row]) -> Say:
    def said(rows: Sequence[Row]) -> Row | None:
        found = [asdict(one) for one in incidents(rows)]
        return {name: value for name, value in plain(found[0]).items() if name not in Ledger.TOLD[ALERTS]} if found else None

    return said


def _triggers(_: Lake, __: Sequence[Row]) -> Say:
    def said(rows: Sequence[Row]) -> Row | None:
        row = last(rows)
        return dict(plain({name: row[name] for name in ("state", "known_at", "incident", "policy", "evidence")})) if row else None

    return said


def _quarantine(lake: Lake, rows: Sequence[Row]) -> Say:
    models = _models(lake, [row["offset"] for row in rows])

    def said(rows: Sequence[Row]) -> Row | None:
        # the event's id, and what was found, may be about a person: they stay in the lake
        row = rows[0]
        return dict(plain({name: row[name] for name in ("reason", "kind", "received_at")})) | {
            "model": models.get(row["offset"]), "column": column(row["reason"], row["detail"])
        }  # fmt: skip

    return said


_SAID: dict[Table, Callable[[Lake, Sequence[Row]], Say]] = {ALERTS: _alerts, TRIGGERS: _triggers, QUARANTINE: _quarantine}


class _Named(msgspec.Struct):
    model: str | None = None


def _models(lake: Lake, offsets: Sequence[int]) -> dict[int, str]:
    """The models that records name, where they are declared: other words are whatever was sent."""
    if not lake.exists(EVENTS) or not offsets:
        return {}
    declared, found = {one.model for one in Sources(lake.root).definitions}, dict[int, str]()
    for row in lake.read(EVENTS, ["offset", "payload"], _among("offset", pa.array(offsets))).to_pylist():
        try:
            name = msgspec.json.decode(row["payload"], type=_Named).model
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if name in declared:
            found[row["offset"]] = str(name)
    return found


_COLUMN = re.compile(r"\A(?P<first>[\w.]+) is |missing required field `(?P<missing>\w+)`|at `\$\.(?P<at>\w+)")
_FIELDS = {one.name for table in (INFERENCES, FEEDBACK) for one in table.sent}


def column(reason: str, detail: str) -> str | None:
    """Which declared column a record was refused for; None where it is about none, or about one that nobody declared."""
    found = _COLUMN.search(detail)
    name = found[found.lastgroup or 0] if found else ""
    # a row rule names a column of the model file, such as features.distance
    return name if name in _FIELDS or (reason == "expectation_failed" and name.partition(".")[0] in _FIELDS) else None
