"""Confidence sequences: intervals that hold at all times at once, so that one may look after every outcome and stop at any."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import gammainc, gammaln

Floats = Any
"""A numpy array of doubles."""
_NARROWEST = 1.26
"""Where among spreads intervals are narrowest for their number of values: at about 10, as of some thousand differences of scores.

The parameter rho of the paper, by its equation for the best one; any is valid.
"""


def interval(values: Floats, reach: float, alpha: float, shares: Floats | None = None) -> tuple[float, float]:
    """The interval of the mean of values within [-reach, reach], in the order in which they came; of none, all of that.

    At all looks together it covers with probability 1 - alpha what the values were to be expected to be, each as of those before it, on
    average: their mean, should it stay. Howard, Ramdas, McAuliffe, Sekhon, Time-uniform, nonparametric, nonasymptotic confidence
    sequences, Annals of Statistics 49 (2021), theorem 4. That average may move, so intervals of earlier looks are not intersected with it.

    With `shares`, within (0, 1], of the mean weighted by them: the ratio of two means, of which each has a sequence with half of the
    error (Bonferroni; compare Karampatziakis, Mineiro, Ramdas 2021, Off-policy confidence sequences, ICML). A weight is a share of the
    greatest, so the bounded range, and with it the width, scales by that.
    """
    if not len(values):
        return -reach, reach
    if shares is None or (shares == 1).all():
        low, high = _of_mean((np.asarray(values) / reach + 1) / 2, alpha)
        return (2 * low - 1) * reach, (2 * high - 1) * reach
    low, high = interval(values * shares, reach, alpha / 2)
    least, most = _of_mean(shares, alpha / 2)
    with np.errstate(divide="ignore"):
        ends = np.divide(low, least if low < 0 else most), np.divide(high, least if high > 0 else most)
    return max(float(ends[0]), -reach), min(float(ends[1]), reach)


def _of_mean(values: Floats, alpha: float) -> tuple[float, float]:
    """Of values within [0, 1]."""
    spread, most = float(spreads(values)[-1]), np.log(2 / alpha)
    far = 1.0
    while evidence(far, spread) < most:
        far *= 2
    half = brentq(lambda strayed: evidence(strayed, spread) - most, 0, far) / len(values)
    mean = float(np.mean(values))
    return max(mean - half, 0.0), min(mean + half, 1.0)


def spreads(values: Floats) -> Floats:
    """By how much values within [0, 1] differ from the mean of those before them, squared and summed up; along the last axis."""
    count = np.arange(1, values.shape[-1] + 1)
    before = (0.5 + np.cumsum(values, -1) - values) / count
    return np.cumsum((values - before) ** 2, -1)


def evidence(strayed: Floats, spread: Floats) -> Floats:
    """The logarithm of the evidence against values that have, added up, strayed so far above what was to be expected.

    Without the logarithm it is 1 on average, at whatever time one looks, or less; so it reaches 1 / alpha with probability alpha at most
    (Ville 1939). The gamma-exponential mixture of the paper, its proposition 9, for values within [0, 1].
    """
    shape, rate = spread + _NARROWEST, spread + _NARROWEST + strayed
    first = _NARROWEST * np.log(_NARROWEST) - gammaln(_NARROWEST) - np.log(gammainc(_NARROWEST, _NARROWEST))
    return first + gammaln(shape) + np.log(gammainc(shape, rate)) - shape * np.log(rate) + strayed + spread
