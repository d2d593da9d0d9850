"""What one unit was shown and what came of it, as the columns that quality reads; and the terms of one unit as plain amounts."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.exact import amounts
from pipelines.gold.quality import Outcomes, Shown, Term, answers, floats
from pipelines.silver.tables import INFERENCES


class Negative:
    """Silence where it is negative."""


NEGATIVE = Negative()
Value = float | str | Negative | None


def column(name: str, value: Any) -> pa.Array:
    """One value of a column of silver.inferences."""
    return INFERENCES.frame([INFERENCES.row(**{name: value})])[name].combine_chunks()


def shown(
    prediction: float | None = None,
    prediction_text: str | None = None,
    score: float | None = None,
    scores: dict[str, float] | None = None,
) -> Shown:
    named = None if scores is None else list(scores.items())
    numbers = floats(column("prediction", prediction)), column("prediction_text", prediction_text)
    return Shown(*numbers, floats(column("score", score)), column("scores", named))


def outcome(value: Value) -> Outcomes:
    if isinstance(value, Negative):
        return Outcomes(floats(pa.nulls(1, pa.float64())), pa.nulls(1, pa.string()), np.array([True]))
    number, text = (None, value) if isinstance(value, str) else (value, None)
    return answers(pa.array([number], pa.float64()), pa.array([text], pa.string()))


def amounts_of(found: Iterable[Term]) -> dict[tuple[str, str], Decimal]:
    """Amount by statistic and bucket, of terms of one unit; without zeros."""
    net: dict[tuple[str, str], Decimal] = {}
    for name, rows, place, each in found:
        count = len(rows)
        places = [place] * count if isinstance(place, str) else place.to_pylist()
        exact = each if isinstance(each, pa.Array) else amounts([each] * count if isinstance(each, int) else each)
        assert len(places) == len(exact) == count <= 1
        if count:
            assert (name, places[0]) not in net
            net[name, places[0]] = exact[0].as_py()
    return {key: each for key, each in net.items() if each}
