"""What an inference says before anybody answers: exposure, silence to come, latency, cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.definition import Definition
from pipelines.exact import UNIT, amount, clipped, units
from pipelines.gold.histograms import histograms
from pipelines.gold.placing import Known, Units, increments, micros
from pipelines.gold.quality import Shown, Term, floats, silence, terms
from pipelines.gold.tables import STATISTICS

EDGES: tuple[Decimal, ...] = tuple(amount(0.001 * 1.02**i) for i in range(1400))
"""Upper edges of the buckets of a measure, 2 % apart: bucket k holds EDGES[k - 1] < value <= EDGES[k]."""
READS = (
    *("tenant", "partition", "offset", "received_at", "request_id", "model", "version", "served_at", "status"),
    *("prediction", "prediction_text", "score", "scores", "items", "segments", "measures", "features"),
)
"""What of an inference a number may depend on."""
_EDGES = np.array([units(edge) for edge in EDGES], "int64")


def expose(inferences: pa.Table, *, definitions: Sequence[Definition]) -> pa.Table:
    """Increments of gold.statistics: basis `exposed` under the service definitions, and per label one post-dated silence.

    Silence is posted for inferences with status ok, at maturity: max(served_at + attribution window, received_at).
    """
    found = [STATISTICS.computed.empty_table()]
    models = set(pc.unique(inferences["model"]).to_pylist())
    for definition in definitions:
        if definition.model not in models:
            continue
        applies = pc.and_(
            pc.equal(inferences["model"], definition.model), pc.greater(inferences["offset"], definition.above)
        )
        rows = inferences.filter(applies)
        if rows.num_rows:
            found.append(_service(definition, rows) if definition.policy is None else _silence(definition, rows))
    return pa.concat_tables(found)


def _service(definition: Definition, rows: pa.Table) -> pa.Table:
    known = Known("exposed", micros(rows["received_at"].combine_chunks()), service_terms(definition, rows))
    return increments(definition, Units.of(rows), [known])


def _silence(definition: Definition, rows: pa.Table) -> pa.Table:
    assert definition.policy is not None
    rows = rows.filter(pc.equal(rows["status"], "ok"))
    at, shown = _shown(definition.policy.unit, rows)
    where = Units.of(rows).take(at)
    received = micros(rows["received_at"].combine_chunks())[at]
    matures_at = np.maximum(where.served_at + definition.policy.window * 1_000_000, received)
    said = terms(definition, shown, silence(definition, len(at)))
    return increments(definition, where, [Known("silent", matures_at, said)])


def _shown(unit: str, rows: pa.Table) -> tuple[pa.Array, Shown]:
    """What was shown, the requests or the items of their slates: each one's row, and what the model said of it."""
    scores = rows["scores"].combine_chunks()
    if unit == "request":
        prediction, text, score = (rows[name].combine_chunks() for name in ("prediction", "prediction_text", "score"))
        return pa.array(np.arange(rows.num_rows)), Shown(floats(prediction), text, floats(score), scores)
    items = rows["items"].combine_chunks()
    at = pc.list_parent_indices(items)
    none = pa.nulls(len(at), pa.float64())
    score = pc.struct_field(pc.list_flatten(items), "score")
    return at, Shown(floats(none), none.cast(pa.string()), floats(score), scores.take(at))


def service_terms(definition: Definition, rows: pa.Table) -> Iterator[Term]:
    """Counts of inferences, errors and items, of each declared measure its sum, count and histogram, and declared histograms."""
    ok = pc.equal(rows["status"], "ok").to_numpy()
    yield Term("n", np.flatnonzero(ok))
    yield Term("errors", np.flatnonzero(~ok))
    items = pc.fill_null(pc.list_value_length(rows["items"]), 0).to_numpy()
    slates = np.flatnonzero(ok & (items > 0))
    yield Term("items", slates, amount=items[slates].astype("int64") * UNIT)
    measures = rows["measures"].combine_chunks()
    for name in definition.measures:
        values = pc.map_lookup(measures, name, "first")
        there = np.flatnonzero(values.is_valid())
        values = values.drop_null()
        yield Term(f"{name}.n", there)
        yield Term(f"{name}.histogram", there, bucket(values).cast(pa.string()))
        yield Term(name, there, amount=values)
    yield from histograms(definition, rows, np.flatnonzero(ok))


def bucket(values: pa.Array) -> pa.Array:
    """The number of EDGES below each amount."""
    return pa.array(np.searchsorted(_EDGES, clipped(values), "left"))
