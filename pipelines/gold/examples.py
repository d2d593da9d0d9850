"""From outcomes to training examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.definition import Definition
from pipelines.gold.absences import weights
from pipelines.gold.tables import EXAMPLES

SERVED = ("tenant", "request_id", "features", "asked")
"""What of an inference a ledger entry does not carry."""
_OF_CONTEXT = (
    *("model", "version", "served_at", "prediction", "prediction_text", "score", "scores", "segments", "experiments"),
    *("subject", "session", "offset"),
)


def examples(entries: pa.Table, inferences: pa.Table, *, definitions: Sequence[Definition]) -> pa.Table:
    """Rows of gold.examples: what each ledger entry states, and the absent example that it takes back.

    An entry with sign s and known_at K posts its outcome with s at max(matures_at, K), and takes the absent one back with -s
    then, where its policy gives silence a value. One that is undecided states nothing; one that is not judged posts nothing.
    What was believed and given up before maturity comes to nothing, since all of it is known at maturity.
    """
    judged = entries.filter(pc.struct_field(entries["context"], "judged"))
    place = pc.index_in(_identity(judged, "unit_id"), value_set=_identity(inferences, "request_id"))
    served = inferences.take(place)
    of = {name: pc.struct_field(judged["context"], name) for name in _OF_CONTEXT}
    of |= {name: judged[name] for name in EXAMPLES.names if name in judged.column_names and name != "recorded_at"}
    late = pc.greater(judged["known_at"], judged["matures_at"])
    of["known_at"] = pc.if_else(late, judged["known_at"], judged["matures_at"])
    of |= {"weight": weights(served["asked"]), "features": served["features"]}
    rows = pa.table(of)
    stated = rows.filter(pc.or_(rows["number"].is_valid(), rows["text"].is_valid()))
    return pa.concat_tables([_signed(stated, "answered"), _signed(_absent(rows, definitions), "absent")])


def _absent(rows: pa.Table, definitions: Sequence[Definition]) -> pa.Table:
    """What takes the absent examples of these units back."""
    presumed = {one.policy.hash: one.policy.presumed for one in definitions if one.policy}
    values = pa.array(presumed.values(), pa.float64())
    number = values.take(pc.index_in(rows["policy"], value_set=pa.array(presumed, pa.string())).combine_chunks())
    changed = {
        "number": number,
        "text": pa.nulls(rows.num_rows, pa.string()),
        "sign": pc.negate(rows["sign"]),
    }
    return pa.table({name: changed.get(name, rows[name]) for name in rows.column_names}).filter(number.is_valid())


def _signed(rows: pa.Table, basis: str) -> pa.Table:
    """Rows as the table has them: what takes back names the example, and repeats no features."""
    made: dict[str, Any] = {
        "basis": pa.repeat(basis, rows.num_rows),
        "features": pc.if_else(pc.greater(rows["sign"], 0), rows["features"], None),
    }
    schema = EXAMPLES.computed
    return pa.table([made[name] if name in made else rows[name] for name in schema.names], schema=schema)


def _identity(rows: pa.Table, name: str) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(rows["tenant"], rows[name], "\0")
