"""From outcomes to statistics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.definition import Definition
from pipelines.gold.placing import Known, Units, increments, micros
from pipelines.gold.quality import Shown, answers, floats, silence, terms
from pipelines.gold.tables import STATISTICS


def tally(entries: pa.Table, *, definitions: Sequence[Definition]) -> pa.Table:
    """Increments of gold.statistics: what each ledger entry adds as an answer, and takes from silence.

    An entry with sign s and known_at K posts `answered` with s at K, and `silent` with -s at max(matures_at, K), under every
    definition of its policy that applies to its inference. An entry whose inference is not judged posts nothing.
    """
    context = entries["context"]
    of = {name: pc.struct_field(context, name) for name in _OF_CONTEXT}
    rows = pa.table({**{name: entries[name] for name in _OF_ENTRY}, **of}).filter(pc.struct_field(context, "judged"))
    there = {name: set(pc.unique(rows[name]).to_pylist()) for name in ("model", "label", "policy")}
    found = [STATISTICS.computed.empty_table()]
    for definition in definitions:
        policy = definition.policy.hash if definition.policy else ""
        named = {"model": definition.model, "label": definition.label, "policy": policy}
        if all(value in there[name] for name, value in named.items()):
            applies = pc.greater(rows["offset"], definition.above)
            for name, value in named.items():
                applies = pc.and_(applies, pc.equal(rows[name], value))
            of_definition = rows.filter(applies)
            if of_definition.num_rows:
                found.append(_both_sides(definition, of_definition))
    return pa.concat_tables(found)


_OF_ENTRY = ("tenant", "label", "policy", "number", "text", "sign", "known_at", "matures_at")
_OF_CONTEXT = (
    *("model", "version", "offset", "served_at", "prediction", "prediction_text", "score", "scores", "segments"),
)


def _both_sides(definition: Definition, rows: pa.Table) -> pa.Table:
    """Both sides of entries under one definition."""
    column = {name: rows[name].combine_chunks() for name in rows.column_names}
    shown = Shown(floats(column["prediction"]), column["prediction_text"], floats(column["score"]), column["scores"])
    sign, known_at = column["sign"].to_numpy(), micros(column["known_at"])
    silent_from = np.maximum(micros(column["matures_at"]), known_at)
    answered = terms(definition, shown, answers(column["number"], column["text"]))
    silent = terms(definition, shown, silence(definition, len(sign)))
    return increments(
        definition,
        Units.of(rows),
        [Known("answered", known_at, answered, sign), Known("silent", silent_from, silent, -sign)],
    )
