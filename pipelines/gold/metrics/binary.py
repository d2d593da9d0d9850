"""How good yes-or-no predictions were: counts of right and wrong, and what the score buckets say."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from pipelines.gold.metrics import interval
from pipelines.gold.metrics.declaration import Counts, Interval, Metric, Sums, Value, ratio
from pipelines.gold.metrics.proportion import proportion

CALIBRATION_GROUPS = 10
_CONFUSION = ("tp", "fp", "fn", "tn")
_SCORES = ("score.positive", "score.negative")


def _called(sums: Sums) -> Fraction:
    return sums.total("tp") + sums.total("fp")


def _actual(sums: Sums) -> Fraction:
    return sums.total("tp") + sums.total("fn")


def _decided(sums: Sums) -> Fraction:
    return sums.total("n") - sums.total("undecided")


def _f1(sums: Sums) -> Value:
    return ratio(2 * sums.total("tp"), _called(sums) + _actual(sums))


def _f1_interval(sums: Sums) -> Interval:
    value = _f1(sums)
    if value is None:
        return None
    hits, misses = float(sums.total("tp")), float(sums.total("fp") + sums.total("fn"))
    return interval.share(value, 4 * hits * misses * (hits + misses) / (2 * hits + misses) ** 4)


def _scores(sums: Sums) -> tuple[Counts, Counts]:
    return sums.scores("score.positive"), sums.scores("score.negative")


def _middles(sums: Sums) -> Counts:
    return np.asarray((np.arange(sums.score_buckets) + 0.5) / sums.score_buckets)


def _auc(sums: Sums) -> Value:
    positive, negative = _scores(sums)
    pairs = positive.sum() * negative.sum()
    return float((positive * (np.cumsum(negative) - negative / 2)).sum() / pairs) if pairs else None


def _auc_interval(sums: Sums) -> Interval:
    positive, negative = _scores(sums)
    positives, negatives = positive.sum(), negative.sum()
    if positives < 2 or negatives < 2:
        return None
    beaten = (np.cumsum(negative) - negative / 2) / negatives
    beating = (positives - np.cumsum(positive) + positive / 2) / positives
    value = (positive * beaten).sum() / positives
    variance_beaten = (positive * (beaten - value) ** 2).sum() / (positives - 1)
    variance_beating = (negative * (beating - value) ** 2).sum() / (negatives - 1)
    return interval.share(float(value), float(variance_beaten / positives + variance_beating / negatives))


def _average_precision(sums: Sums) -> Value:
    positive, negative = (counts[::-1] for counts in _scores(sums))
    positives, filled = positive.sum(), positive > 0
    if not positives:
        return None
    hits = np.cumsum(positive)
    precision = hits[filled] / (hits + np.cumsum(negative))[filled]
    return float((positive[filled] * precision).sum() / positives)


def _log_loss(sums: Sums) -> Value:
    positive, negative = _scores(sums)
    total = positive.sum() + negative.sum()
    middles = _middles(sums)
    return float(-(positive @ np.log(middles) + negative @ np.log1p(-middles)) / total) if total else None


def _calibration_error(sums: Sums) -> Value:
    positive, negative = _scores(sums)
    total = positive.sum() + negative.sum()
    middles = _middles(sums)
    group = np.floor(middles * CALIBRATION_GROUPS).astype(int)
    gaps = np.bincount(group, weights=(positive + negative) * middles - positive)
    return float(np.abs(gaps).sum() / total) if total else None


def _brier(sums: Sums) -> Value:
    return ratio(sums.total("brier"), sums.total("score.positive") + sums.total("score.negative"))


METRICS = (
    proportion(
        "accuracy",
        "binary",
        hits=("tp", "tn"),
        of=_CONFUSION,
        better="higher",
        meaning="Share of predictions that were right, 0 to 1, among those whose outcome is decided.",
    ),
    proportion(
        "precision",
        "binary",
        hits=("tp",),
        of=("tp", "fp"),
        better="higher",
        meaning="Share of what was predicted positive that was, 0 to 1; null where nothing was.",
    ),
    proportion(
        "recall",
        "binary",
        hits=("tp",),
        of=("tp", "fn"),
        better="higher",
        meaning="Share of what was positive that was predicted so, 0 to 1; null where nothing was.",
    ),
    Metric(
        "f1",
        "binary",
        needs=("tp", "fp", "fn"),
        value=_f1,
        interval=_f1_interval,
        better="higher",
        meaning="Harmonic mean of precision and recall, 0 to 1. Interval: delta method over the counts "
        "(Takahashi et al. 2022, Applied Intelligence 52), cut off at 0 and 1.",
    ),
    Metric(
        "auc",
        "binary",
        needs=_SCORES,
        value=_auc,
        interval=_auc_interval,
        better="higher",
        meaning="Probability that a positive scores above a negative, ties half, 0 to 1; null unless both occur. "
        "From score buckets: off by at most half the share of positive-negative pairs that lie in one bucket. "
        "Interval: DeLong et al. 1988, Biometrics 44, on the buckets; null below two of either.",
    ),
    Metric(
        "average_precision",
        "binary",
        needs=_SCORES,
        value=_average_precision,
        better="higher",
        meaning="Mean precision over the positives, from the highest score down, 0 to 1 (no interpolation). From "
        "score buckets: the exact value lies between those where each bucket's negatives rank above its positives, "
        "and below them.",
    ),
    Metric(
        "log_loss",
        "binary",
        needs=_SCORES,
        value=_log_loss,
        better="lower",
        bounds=(0.0, math.inf),
        meaning="Mean negative natural logarithm of the probability given to what happened, nats. From the middles "
        "of B score buckets, so at most ln 2B; against the exact value with scores clipped to the outer middles, an "
        "outcome given a probability p is off by at most 1 / (2Bp - 1), and never by more than ln 2.",
    ),
    Metric(
        "brier",
        "binary",
        needs=("brier", *_SCORES),
        value=_brier,
        better="lower",
        meaning="Mean squared difference between score and outcome, 0 to 1, exact (Brier 1950, Monthly Weather "
        "Review 78). No interval: the sums hold no fourth powers.",
    ),
    Metric(
        "calibration_error",
        "binary",
        needs=_SCORES,
        value=_calibration_error,
        better="lower",
        meaning="Expected calibration error: mean distance between mean score and share of positives over "
        f"{CALIBRATION_GROUPS} equal ranges of the score, weighted by count, 0 to 1 (Naeini et al. 2015, AAAI). From "
        f"B score buckets, B a multiple of {CALIBRATION_GROUPS}: off by at most 1 / 2B.",
    ),
    Metric(
        "base_rate",
        "binary",
        needs=("positive", "n", "undecided"),
        value=lambda sums: ratio(sums.total("positive"), _decided(sums)),
        interval=lambda sums: interval.wilson(sums.total("positive"), _decided(sums)),
        meaning="Share of the decided outcomes that are positive, 0 to 1. Interval: Wilson.",
    ),
    Metric(
        "cost_per_good_outcome",
        "binary",
        needs=("exposed.cost", "positive"),
        value=lambda sums: ratio(sums.total("exposed.cost"), sums.total("positive")),
        better="lower",
        bounds=(-math.inf, math.inf),
        measure="cost",
        meaning="Cost of all inferences of the window per positive outcome known so far, in the unit of the measure "
        "`cost`; falls while labels come in.",
    ),
)
