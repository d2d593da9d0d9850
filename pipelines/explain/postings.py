"""What single rows post to a cell: the transforms themselves, asked with each row under a mark of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.definition import Definition
from pipelines.explain.sources import Row, Sources
from pipelines.gold.expose import READS, expose
from pipelines.gold.metrics.plan import Source
from pipelines.gold.tables import OUTCOME_LEDGER
from pipelines.gold.tally import tally
from pipelines.silver.tables import INFERENCES


@dataclass(frozen=True)
class Spot:
    """Where and as of when: cells of a source within [start, end), in one segment, of one version or all."""

    source: Source
    start: datetime
    end: datetime
    before: datetime
    held: Mapping[str, str]
    version: str | None

    @property
    def fields(self) -> tuple[str, ...]:
        return () if self.source.cut == "all" else tuple(self.source.cut.split("*"))

    @property
    def segment(self) -> str:
        """As gold.statistics spells it."""
        values = [self.held[field] for field in self.fields]
        return json.dumps(values, separators=(",", ":"), ensure_ascii=False)

    def of_statistics(self) -> Any:
        """Which rows of gold.statistics lie there; what files are pruned by comes first."""
        of_version = pc.field("version") == self.version if self.version is not None else True
        return (
            (pc.field("grain") == self.source.grain)
            & (pc.field("cell_date") >= self.start.date())
            & (pc.field("cell_date") <= self.end.date())
            & (pc.field("cell_at") >= self.start)
            & (pc.field("cell_at") < self.end)
            & (pc.field("definition") == self.source.definition)
            & (pc.field("cut") == self.source.cut)
            & (pc.field("segment") == self.segment)
            & (pc.field("experiment") == "")
            & (pc.field("known_at") < self.before)
            & of_version
        )

    def of_served(self, *place: str) -> Any:
        """Which rows are about what was served there; `place`: the struct that says so, none for the row itself."""
        of_version = pc.field(*place, "version") == self.version if self.version is not None else True
        return (
            (pc.field("served_date") >= self.start.date())
            & (pc.field("served_date") <= self.end.date())
            & (pc.field(*place, "served_at") >= self.start)
            & (pc.field(*place, "served_at") < self.end)
            & of_version
        )


@dataclass(frozen=True)
class Posting:
    """What one row adds to one sum. `row`: a ledger entry, or an inference."""

    definition: str
    basis: str
    statistic: str
    bucket: str
    amount: Decimal
    known_at: datetime
    is_entry: bool
    row: Row


def of_entries(sources: Sources, spot: Spot, definition: Definition) -> list[Posting]:
    """What the entries of the ledger post there."""
    assert definition.policy is not None
    where = (
        spot.of_served("context")
        & (pc.field("context", "model") == definition.model)
        & (pc.field("label") == definition.label)
        & (pc.field("policy") == definition.policy.hash)
        & (pc.field("known_at") < spot.before)
    )
    entries = sources.rows(OUTCOME_LEDGER, where)
    context = entries["context"].combine_chunks()
    marked = _with(context, "version", _marks(len(entries)))
    at = entries.column_names.index("context")
    made = tally(entries.set_column(at, "context", marked), definitions=[_only(spot, definition)])
    return list(_posted(made, spot, definition, entries, is_entry=True))


def of_inferences(sources: Sources, spot: Spot, definition: Definition) -> list[Posting]:
    """What the inferences post there: exposures under a service definition, silence under one of a label."""
    where = spot.of_served() & (pc.field("model") == definition.model)
    inferences = sources.rows(INFERENCES, where, list(READS))
    at = inferences.column_names.index("version")
    marked = inferences.set_column(at, "version", _marks(len(inferences)))
    made = expose(marked, definitions=[_only(spot, definition)])
    return list(_posted(made, spot, definition, inferences, is_entry=False))


def _only(spot: Spot, definition: Definition) -> Definition:
    """The definition as if it declared nothing but this cut and grain."""
    return replace(definition, cuts=(spot.fields,), grains=(spot.source.grain,))


def _marks(count: int) -> pa.Array:
    """The number of each row; in the place of its version, it keeps the increments of rows apart."""
    return pa.array(range(count), pa.int64()).cast(pa.string())


def _with(struct: pa.StructArray, name: str, values: pa.Array) -> pa.StructArray:
    """A struct with another value in one field."""
    fields: Sequence[pa.Field] = list(struct.type)
    return pa.StructArray.from_arrays(
        [values if field.name == name else pc.struct_field(struct, field.name) for field in fields], fields=fields
    )


def _posted(made: pa.Table, spot: Spot, definition: Definition, rows: pa.Table, *, is_entry: bool) -> Iterator[Posting]:
    here = made.filter((pc.field("segment") == spot.segment) & (pc.field("known_at") < spot.before))
    columns = ("version", "basis", "statistic", "bucket", "amount", "known_at")
    found = here.select(columns).to_pylist()
    at = sorted({int(each["version"]) for each in found})
    row_of = dict(zip(at, rows.take(pa.array(at, pa.int64())).to_pylist(), strict=True))
    for each in sorted(found, key=lambda each: (int(each["version"]), each["statistic"], each["bucket"])):
        yield Posting(
            definition.hash,
            *(each["basis"], each["statistic"], each["bucket"], each["amount"], each["known_at"]),
            is_entry,
            row_of[int(each["version"])],
        )
