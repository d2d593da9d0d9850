"""How far two histograms lie apart, and what such a distance is when nothing has changed.

Each is taken from counts by bucket: n of a window, m of a baseline, in B buckets. The references are asymptotic quantiles under
"both are drawn from one distribution", so a window without drift exceeds one with a probability near alpha, by measure and
distribution; who looks at many windows expects so many false ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

Counts = Any
"""A numpy array of counts by bucket, in one order."""


def psi(window: Counts, baseline: Counts, alpha: float) -> tuple[float, float]:
    """Population stability index, sum of (p - q) ln(p / q), and its reference: (1/n + 1/m) times the chi-square quantile of B - 1.

    Yurdakul and Naranjo 2020, Journal of Risk Model Validation 14. Half a count is added to each bucket, so that none is empty.
    """
    p, q = _shares(window), _shares(baseline)
    return float(((p - q) * np.log(p / q)).sum()), _scale(window, baseline) * _chi_square(window, baseline, alpha)


def js(window: Counts, baseline: Counts, alpha: float) -> tuple[float, float]:
    """Jensen-Shannon divergence in nats, 0 to ln 2 (Lin 1991, IEEE Transactions on Information Theory 37), and its reference.

    To second order it is an eighth of the population stability index, and so is its reference.
    """
    p, q = _shares(window), _shares(baseline)
    middle = (p + q) / 2
    value = float((p * np.log(p / middle) + q * np.log(q / middle)).sum() / 2)
    return value, _scale(window, baseline) * _chi_square(window, baseline, alpha) / 8


def ks(window: Counts, baseline: Counts, alpha: float) -> tuple[float, float]:
    """Kolmogorov-Smirnov distance at the edges, 0 to 1, and sqrt(ln(2 / alpha) / 2 · (1/n + 1/m)).

    Smirnov 1948, Annals of Mathematical Statistics 19. Buckets hide what lies between edges, so both the distance and the share of false
    ones are at most those of the values themselves. For numbers only: values have no order.
    """
    p, q = np.cumsum(window) / window.sum(), np.cumsum(baseline) / baseline.sum()
    return float(np.abs(p - q).max()), float(np.sqrt(np.log(2 / alpha) / 2 * _scale(window, baseline)))


def _shares(counts: Counts) -> Counts:
    return (counts + 0.5) / (counts + 0.5).sum()


def _scale(window: Counts, baseline: Counts) -> float:
    return float(1 / window.sum() + 1 / baseline.sum())


def _chi_square(window: Counts, baseline: Counts, alpha: float) -> float:
    filled = int(((window + baseline) > 0).sum())
    return float(stats.chi2.isf(alpha, max(filled - 1, 1)))
