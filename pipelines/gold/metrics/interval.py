"""95 % intervals from sums alone; null where the sums cannot say."""

from __future__ import annotations

import math
from fractions import Fraction

from pipelines.gold.metrics.declaration import Interval

Z = 1.959963984540054
"""The 97.5 % quantile of the normal distribution."""


def wilson(successes: Fraction, trials: Fraction) -> Interval:
    """Wilson score interval of a proportion (Wilson 1927, JASA 22); it never leaves [0, 1] and has a width at 0 and
    1 too.
    """
    if trials <= 0 or not 0 <= successes <= trials:
        return None
    n, share = float(trials), float(successes) / float(trials)
    middle = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n)) / (1 + Z * Z / n)
    # at 0 and 1 the bound is the value itself; rounding must not push it past
    return min(max(0.0, middle - half), share), max(min(1.0, middle + half), share)


def mean(total: Fraction, squares: Fraction, n: Fraction) -> Interval:
    """Normal interval of a mean, from the sum and the sum of squares; null below two values."""
    if n < 2:
        return None
    variance = (squares - total * total / n) / (n - 1)
    centre, error = float(total) / float(n), math.sqrt(float(max(variance, Fraction(0)) / n))
    return centre - Z * error, centre + Z * error


def share(value: float, variance: float) -> Interval:
    """Normal interval of an estimate that lies in [0, 1], from its variance."""
    half = Z * math.sqrt(max(variance, 0.0))
    return max(0.0, value - half), min(1.0, value + half)
