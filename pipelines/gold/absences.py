"""What silence will teach: a training example for whatever nobody answers, post-dated to the end of the attribution window."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.definition import Definition, Policy
from pipelines.gold.placing import micros
from pipelines.gold.tables import EXAMPLES

READS = (
    *("tenant", "request_id", "model", "version", "served_at", "received_at", "status", "prediction", "prediction_text"),
    *("score", "scores", "items", "segments", "features", "experiments", "subject", "session", "asked"),
    *("offset", "served_date"),
)
"""What of an inference an example may hold."""
_TIME = pa.timestamp("us", "UTC")


def absences(inferences: pa.Table, *, definitions: Sequence[Definition]) -> pa.Table:
    """Rows of gold.examples with basis `absent`: one per unit of an inference with status ok, and policy that gives silence a value.

    It is known at maturity, max(served_at + attribution window, received_at). An answer takes it back: see `examples`.
    """
    served = inferences.filter(pc.equal(inferences["status"], "ok"))
    found = [EXAMPLES.computed.empty_table()]
    for definition in _presuming(definitions):
        of_model = pc.equal(served["model"], definition.model)
        rows = served.filter(pc.and_(of_model, pc.greater(served["offset"], definition.above)))
        if rows.num_rows and definition.policy is not None:
            found.append(_absent(definition.label, definition.policy, rows))
    return pa.concat_tables(found)


def weights(asked: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """What an example counts for: one over the probability with which its label was asked for."""
    return pc.divide(1.0, pc.fill_null(asked, 1.0))


def _presuming(definitions: Sequence[Definition]) -> list[Definition]:
    """Definitions whose policies give silence a value; of those that share label and policy the one that applies from the earliest on."""
    found: dict[tuple[str, str, str], Definition] = {}
    for definition in sorted(definitions, key=lambda one: one.above):
        if definition.policy is not None and definition.policy.presumed is not None:
            found.setdefault((definition.model, definition.label, definition.policy.hash), definition)
    return list(found.values())


def _absent(label: str, policy: Policy, rows: pa.Table) -> pa.Table:
    """The examples of one policy, one per request or one per item of its slate."""
    if policy.unit == "request":
        items, scores = pa.repeat("", rows.num_rows), rows["score"]
    else:
        slates = rows["items"].combine_chunks()
        rows, places = rows.take(pc.list_parent_indices(slates)), pc.list_flatten(slates)
        items, scores = pc.struct_field(places, "item"), pc.struct_field(places, "score")
    served, received = (micros(rows[name].combine_chunks()) for name in ("served_at", "received_at"))
    matures_at = pa.array(np.maximum(served + policy.window * 1_000_000, received)).cast(_TIME)
    alike = {"label": label, "policy": policy.hash, "unit": policy.unit, "basis": "absent", "number": policy.presumed}
    made = {
        **{name: pa.repeat(value, rows.num_rows) for name, value in alike.items()},
        "text": pa.nulls(rows.num_rows, pa.string()),
        "sign": pa.repeat(pa.scalar(1, pa.int32()), rows.num_rows),
        **{"unit_id": rows["request_id"], "item": items, "score": scores, "weight": weights(rows["asked"])},
        **{"known_at": matures_at, "matures_at": matures_at},
    }
    schema = EXAMPLES.computed
    return pa.table([made[name] if name in made else rows[name] for name in schema.names], schema=schema)
