"""How far numbers were off; error = prediction - outcome, in the unit of the label."""

from __future__ import annotations

import math

from pipelines.gold.metrics import interval
from pipelines.gold.metrics.declaration import Interval, Metric, Sums, Value, ratio


def _rmse(sums: Sums) -> Value:
    mean_square = ratio(sums.total("squared_error"), sums.total("judged"))
    return None if mean_square is None else math.sqrt(mean_square)


def _r2(sums: Sums) -> Value:
    n = sums.total("judged")
    # the outcomes of unjudged units are in Σy too, and cannot be told apart there
    if n == 0 or n != sums.total("n") - sums.total("undecided"):
        return None
    mean = sums.total("value") / n
    spread = sums.total("squared_value") - n * mean * mean
    # a double below 1e7 may have more than the nine places that are summed: a spread within that rounding is none
    rounding = n * (1 + (abs(mean) if abs(mean) < 10**7 else 0)) / 10**9
    return None if spread <= rounding else float(1 - sums.total("squared_error") / spread)


def _mae_interval(sums: Sums) -> Interval:
    return interval.mean(sums.total("absolute_error"), sums.total("squared_error"), sums.total("judged"))


METRICS = (
    Metric(
        "mae",
        "regression",
        needs=("absolute_error", "squared_error", "judged"),
        value=lambda sums: ratio(sums.total("absolute_error"), sums.total("judged")),
        interval=_mae_interval,
        better="lower",
        bounds=(0.0, math.inf),
        meaning="Mean absolute error, in the unit of the label. Interval: normal.",
    ),
    Metric(
        "rmse",
        "regression",
        needs=("squared_error", "judged"),
        value=_rmse,
        better="lower",
        bounds=(0.0, math.inf),
        meaning="Root of the mean squared error, in the unit of the label. No interval: the sums hold no fourth "
        "powers.",
    ),
    Metric(
        "bias",
        "regression",
        needs=("error", "squared_error", "judged"),
        value=lambda sums: ratio(sums.total("error"), sums.total("judged")),
        interval=lambda sums: interval.mean(sums.total("error"), sums.total("squared_error"), sums.total("judged")),
        bounds=(-math.inf, math.inf),
        meaning="Mean of prediction minus outcome, in the unit of the label; above 0 predicts too high. Interval: "
        "normal.",
    ),
    Metric(
        "r2",
        "regression",
        needs=("squared_error", "judged", "value", "squared_value", "n", "undecided"),
        value=_r2,
        better="higher",
        bounds=(-math.inf, 1.0),
        meaning="1 minus squared error over squared distance of the outcomes from their mean, at most 1. Null where "
        "all outcomes are equal, and where some outcome had no number to be judged against.",
    ),
)
