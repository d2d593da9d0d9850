"""How much of what was served the other numbers rest on."""

from __future__ import annotations

from fractions import Fraction

from pipelines.gold.metrics import interval
from pipelines.gold.metrics.declaration import Metric, Sums, ratio

_EXPOSED = ("exposed.n", "exposed.items")


def exposed(sums: Sums) -> Fraction:
    """Units that could have been judged: inferences with status ok, or the items of their slates."""
    return sums.total("exposed.items" if sums.unit == "item" else "exposed.n")


def _settled(sums: Sums) -> Fraction:
    return sums.total("answered.n") + sums.total("silent.n")


METRICS = (
    Metric(
        "coverage",
        "coverage",
        needs=(*_EXPOSED, "answered.n"),
        value=lambda sums: ratio(sums.total("answered.n"), exposed(sums)),
        interval=lambda sums: interval.wilson(sums.total("answered.n"), exposed(sums)),
        better="higher",
        counts=lambda sums: (sums.total("answered.n"), exposed(sums)),
        meaning="Labelled share: units with an answer among the units exposed, 0 to 1. Interval: Wilson.",
    ),
    Metric(
        "maturity",
        "coverage",
        needs=(*_EXPOSED, "answered.n", "silent.n"),
        value=lambda sums: ratio(_settled(sums), exposed(sums)),
        better="higher",
        meaning="Share of the units exposed whose outcome is settled, by an answer or by silence past the "
        "attribution window, 0 to 1; 1 once a cell is final.",
    ),
)
