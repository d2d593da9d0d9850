"""How the service did: counted for every inference, whether it was ever judged or not."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

from pipelines.gold.expose import EDGES
from pipelines.gold.metrics.declaration import Metric, Sums, Value, ratio
from pipelines.gold.metrics.proportion import proportion

_HISTOGRAM = "exposed.{each}.histogram"
_ANY = (-math.inf, math.inf)


def _requests(sums: Sums) -> Fraction:
    return sums.total("exposed.n") + sums.total("exposed.errors")


def _quantile(share: Fraction) -> Callable[[Sums], Value]:
    def value(sums: Sums) -> Value:
        counts = sorted((int(bucket), count) for bucket, count in sums.by_bucket(_HISTOGRAM).items())
        total = sum((count for _, count in counts), Fraction(0))
        below = Fraction(0)
        for bucket, count in counts:
            below += count
            if count > 0 and below >= share * total:
                return float(EDGES[min(bucket, len(EDGES) - 1)])
        return None

    return value


def _quantile_metric(percent: int) -> Metric:
    return Metric(
        f"{{each}}_p{percent}",
        "service",
        each="measure",
        needs=(_HISTOGRAM,),
        value=_quantile(Fraction(percent, 100)),
        better="lower",
        bounds=(0.0, math.inf),
        meaning=f"The least value that {percent} % of the values do not exceed, in the unit of the measure. From "
        "logarithmic buckets, reported as the upper edge: never below the exact quantile, and at most 2 % above it, "
        "for values from 0.001 to 1e9; smaller ones read 0.001, greater ones the last edge, 1.08e9.",
    )


METRICS = (
    Metric(
        "throughput",
        "service",
        needs=("exposed.n", "exposed.errors"),
        value=lambda sums: float(_requests(sums)) / sums.seconds,
        bounds=(0.0, math.inf),
        meaning="Inferences per second over the whole window, failed ones included.",
    ),
    proportion(
        "error_rate",
        "service",
        hits=("exposed.errors",),
        of=("exposed.n", "exposed.errors"),
        better="lower",
        meaning="Share of inferences whose status was not ok, 0 to 1.",
    ),
    _quantile_metric(50),
    _quantile_metric(95),
    _quantile_metric(99),
    Metric(
        "{each}_mean",
        "service",
        each="measure",
        needs=("exposed.{each}", "exposed.{each}.n"),
        value=lambda sums: ratio(sums.total("exposed.{each}"), sums.total("exposed.{each}.n")),
        bounds=_ANY,
        meaning="Mean of the measure over the inferences that carry it, exact, in its unit.",
    ),
    Metric(
        "{each}_total",
        "service",
        each="measure",
        needs=("exposed.{each}", "exposed.{each}.n"),
        value=lambda sums: float(sums.total("exposed.{each}")) if sums.total("exposed.{each}.n") else None,
        bounds=_ANY,
        meaning="Sum of the measure (tokens, cost …) over the window, in its unit; null where no inference carries it.",
    ),
    Metric(
        "cost_per_thousand",
        "service",
        needs=("exposed.cost", "exposed.n", "exposed.errors"),
        value=lambda sums: ratio(1000 * sums.total("exposed.cost"), _requests(sums)),
        better="lower",
        bounds=_ANY,
        measure="cost",
        meaning="Cost of a thousand inferences, failed ones included, in the unit of the measure `cost`.",
    ),
)
