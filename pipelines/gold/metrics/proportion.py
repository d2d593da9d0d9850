"""Metrics that are a share of a sum: declared by the statistics above and below the line."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

from pipelines.gold.metrics import interval
from pipelines.gold.metrics.declaration import Metric, Sums, ratio

Names = tuple[str, ...]


def proportion(
    name: str,
    family: str,
    *,
    hits: Names,
    of: Names,
    meaning: str,
    better: Literal["higher", "lower"] | None = None,
    each: Literal["", "class"] = "",
) -> Metric:
    """What the statistics `hits` add up to over what those in `of` do, 0 to 1, with the Wilson interval."""

    def sum_of(names: Names, sums: Sums) -> Fraction:
        return sum((sums.of_class(one) if each == "class" else sums.total(one) for one in names), Fraction(0))

    return Metric(
        name,
        family,
        needs=tuple(dict.fromkeys((*hits, *of))),
        value=lambda sums: ratio(sum_of(hits, sums), sum_of(of, sums)),
        interval=lambda sums: interval.wilson(sum_of(hits, sums), sum_of(of, sums)),
        better=better,
        each=each,
        counts=lambda sums: (sum_of(hits, sums), sum_of(of, sums)),
        meaning=f"{meaning} Interval: Wilson.",
    )
