"""Confidence sequences: intervals that hold at all times at once, so that one may look after every outcome and stop at any."""

from __future__ import annotations

from typing import Any

import numpy as np

Floats = Any
"""A numpy array of doubles."""
_MOST = 0.5
"""The greatest bet, c in the paper: below 1, or one value could cost everything."""


def bounds(values: Floats, alpha: float) -> tuple[Floats, Floats]:
    """Lower and upper end after each value, for the mean of values in [0, 1]; all of them hold with probability 1 - alpha.

    Along the last axis, in the order in which the values came. The predictable plug-in empirical Bernstein sequence: Waudby-Smith
    and Ramdas, Estimating means of bounded random variables by betting, JRSS B 86 (2024), theorem 2; where the conditional mean moves it
    covers the means' average, weighted by the bets. That average moves too, so intervals of earlier looks are not intersected with it:
    nothing would be left.
    """
    count = np.arange(1, values.shape[-1] + 1)
    mean = (0.5 + np.cumsum(values, -1)) / (count + 1)
    variance = (0.25 + np.cumsum((values - mean) ** 2, -1)) / (count + 1)
    mean_before, variance_before = _shifted(mean, 0.5), _shifted(variance, 0.25)
    bet = np.minimum(np.sqrt(2 * np.log(2 / alpha) / (variance_before * count * np.log1p(count))), _MOST)
    spent = np.cumsum(4 * (values - mean_before) ** 2 * (-np.log1p(-bet) - bet) / 4, -1)
    staked = np.cumsum(bet, -1)
    centre, half = np.cumsum(bet * values, -1) / staked, (np.log(2 / alpha) + spent) / staked
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)


def interval(values: Floats, reach: float, alpha: float, shares: Floats | None = None) -> tuple[float, float]:
    """The sequence's last interval, of the mean of values within [-reach, reach]; of none, all of that.

    With `shares`, within (0, 1], of the mean weighted by them: the ratio of two means, of which each has a sequence with half of the
    error (Bonferroni; compare Karampatziakis, Mineiro, Ramdas 2021, Off-policy confidence sequences, ICML). A weight is a share of the
    greatest, so the bounded range, and with it the width, scales by that.
    """
    if not len(values):
        return -reach, reach
    if shares is None or (shares == 1).all():
        low, high = bounds((np.asarray(values) / reach + 1) / 2, alpha)
        return float((2 * low[-1] - 1) * reach), float((2 * high[-1] - 1) * reach)
    low, high = interval(values * shares, reach, alpha / 2)
    least, most = (float(end[-1]) for end in bounds(shares, alpha / 2))
    with np.errstate(divide="ignore"):
        ends = np.divide(low, least if low < 0 else most), np.divide(high, least if high > 0 else most)
    return max(float(ends[0]), -reach), min(float(ends[1]), reach)


def _shifted(running: Floats, first: float) -> Floats:
    """What was known before each value."""
    before = np.roll(running, 1, -1)
    before[..., 0] = first
    return before
