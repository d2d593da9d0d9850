"""Tests that may be looked at after every window: evidence against "no worse than this", which stays within its error for ever.

An e-process is at most 1 in the mean, at whatever time one stops, as long as nothing is worse; so it ever reaches 1 / alpha with
probability alpha at most (Ville 1939; Ramdas, Grünwald, Vovk, Shafer 2023, Statistical Science 38). The evidence here is a mixture
of e-processes that start at each window, the k-th with weight 1 / (k (k + 1)): what was good for long hides no later drop, which costs
the logarithm of the square of the time (compare Shin, Ramdas, Rinaldo 2023, New England Journal of Statistics in Data Science 2).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats
from scipy.special import betainc, betaln, log_ndtr

Floats = Any
"""A numpy array of doubles."""
STARTS = 500
"""Starts that are kept, the newest: what bounds the work of a window. Leaving some out only lowers the evidence."""


class Mixture:
    """E-processes that start at each window, added up by their weights; `log` is the logarithm of one, of its two sums so far."""

    def __init__(self, log: Callable[[Floats, Floats], Floats]) -> None:
        self.value = 1.0
        self._log, self._added = log, list[tuple[float, float]]()

    def add(self, first: float, second: float) -> None:
        """One more window; what starts with a later one is still 1."""
        self._added.append((first, second))
        count, newest = len(self._added), np.array(self._added[-STARTS:])
        since = np.cumsum(newest[::-1], axis=0)[::-1]
        start = np.arange(count - len(newest) + 1, count + 1)
        with np.errstate(over="ignore", divide="ignore"):
            started = np.exp(self._log(since[:, 0], since[:, 1])) / (start * (start + 1))
        self.value = float(started.sum() + 1 / (count + 1))


class Proportion:
    """Of hits among trials, against "each is a hit with probability `least` or more, whatever came before".

    Likelihood ratio of a uniform prior on [0, least] to `least` (Robbins 1970, Annals of Mathematical Statistics 41). Exact.
    """

    def __init__(self, least: float) -> None:
        self._least, self._mixture = least, Mixture(self._log)

    @property
    def value(self) -> float:
        """The evidence so far."""
        return self._mixture.value

    def add(self, hits: int, trials: int) -> None:
        self._mixture.add(hits, trials - hits)

    def _log(self, hits: Floats, misses: Floats) -> Floats:
        a, b, q = hits + 1, misses + 1, self._least
        return betaln(a, b) + np.log(betainc(a, b, q)) - np.log(q) - hits * np.log(q) - misses * np.log1p(-q)


class Mean:
    """Of estimates with their variances, against "each has expectation `least` or more".

    Likelihood ratio of a half-normal prior on the drop, of the width `scale`. As good as the normal approximation of an estimate is
    (Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas 2024, Annals of Statistics 52): support must be large enough for that.
    """

    def __init__(self, least: float, scale: float) -> None:
        self._least, self._scale, self._mixture = least, scale, Mixture(self._log)

    @property
    def value(self) -> float:
        """The evidence so far."""
        return self._mixture.value

    def add(self, value: float, variance: float) -> None:
        self._mixture.add((self._least - value) / variance, 1 / variance)

    def _log(self, score: Floats, information: Floats) -> Floats:
        spread = 1 + self._scale**2 * information
        at = self._scale * score / np.sqrt(spread)
        return np.log(2) - np.log(spread) / 2 + at**2 / 2 + log_ndtr(at)


def least_share(hits: int, trials: int, alpha: float) -> float:
    """Lower end of the one-sided interval of a proportion (Clopper and Pearson 1934, Biometrika 26)."""
    return float(stats.beta.ppf(alpha, hits, trials - hits + 1)) if hits else 0.0


def least_mean(values: Floats, variances: Floats, alpha: float) -> float:
    """The same of a mean, from estimates weighted by their precision; normal."""
    weights = 1 / variances
    return float((values * weights).sum() / weights.sum() + stats.norm.ppf(alpha) / np.sqrt(weights.sum()))
