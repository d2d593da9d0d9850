"""Detectors: plain objects that are shown window after window, and say when an alert is raised and when it is cleared."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np

from pipelines.extras import extra
from pipelines.gold.metrics.interval import Z
from pipelines.watch.anytime import Mean, Proportion, least_mean, least_share
from pipelines.watch.rules import AlertRule

RAISED, CLEARED = "raised", "cleared"
GRACE = 5
"""Windows before a detector of changes may speak."""


@dataclass(frozen=True)
class Seen:
    """A metric in one window that has support; `hits` of `trials` where it is a proportion."""

    value: float
    low: float | None
    high: float | None
    support: int
    hits: int | None = None
    trials: int | None = None


class Detector(Protocol):
    """`update` says RAISED, CLEARED or nothing; `evidence` is what it rests on so far."""

    def update(self, seen: Seen) -> str: ...

    def evidence(self) -> dict[str, Any]: ...


def detector(rule: AlertRule, held_out: Seen | None = None) -> Detector:
    """A new one, as the rule says; `held_out`: the baseline of a drop, where there is one before the first window."""
    made: dict[str, Callable[[AlertRule], Detector]] = {
        "below": Threshold,
        "above": Threshold,
        "drop": partial(Drop, held_out=held_out),
        "change": Change,
    }
    return made[rule.detector](rule)


class Threshold:
    """Raised when the metric is beyond the limit in n of the last m windows; cleared when it is back at `clear_at` in n of m.

    Between the two nothing changes (hysteresis). It states no error: that is in the limit and in n of m.
    """

    def __init__(self, rule: AlertRule) -> None:
        self._rule, self._raised = rule, False
        self._last: deque[float] = deque(maxlen=rule.of[1])

    def update(self, seen: Seen) -> str:
        self._last.append(seen.value)
        if self._raised:
            back = self._rule.limit if self._rule.clear_at is None else self._rule.clear_at
            hit = [value >= back if self._rule.detector == "below" else value <= back for value in self._last]
        else:
            limit = self._rule.limit
            hit = [value < limit if self._rule.detector == "below" else value > limit for value in self._last]
        if sum(hit) < self._rule.of[0]:
            return ""
        self._raised = not self._raised
        self._last.clear()
        return RAISED if self._raised else CLEARED

    def evidence(self) -> dict[str, Any]:
        return {self._rule.detector: self._rule.limit, "windows": f"{self._rule.of[0]} of {self._rule.of[1]}"}


class Drop:
    """Raised when the evidence that the metric is worse than in the first windows, by more than the margin, reaches 2 / alpha.

    Worse than what a release has `held_out`, where that is known and has an interval: one look at rows that were fixed before.
    Half of alpha is for the baseline, which has an interval too, half for the test; so, looked at after every window for ever, it is
    raised with probability alpha at most while nothing is worse. Cleared when the windows lie at the bound or better again, in n of
    the last m; then it starts anew, against the same baseline.
    """

    def __init__(self, rule: AlertRule, held_out: Seen | None = None) -> None:
        self._rule, self._raised = rule, False
        self._given = held_out is not None and _usable(held_out)
        self._baseline: list[Seen] = [held_out] if held_out and self._given else []
        self._bound = 0.0
        self._evidence: Proportion | Mean | None = None
        self._last: deque[bool] = deque(maxlen=rule.of[1])
        if self._given:
            self._start()

    def update(self, seen: Seen) -> str:
        if not self._given and len(self._baseline) < self._rule.baseline:
            if _usable(seen):
                self._baseline.append(seen)
            if len(self._baseline) == self._rule.baseline:
                self._start()
            return ""
        if self._raised:
            self._last.append(self._better(seen.value) >= self._bound)
            if sum(self._last) < self._rule.of[0]:
                return ""
            self._start()
            self._raised = False
            return CLEARED
        if isinstance(self._evidence, Proportion) and seen.trials is not None and seen.hits is not None:
            self._evidence.add(self._good(seen), seen.trials)
        elif isinstance(self._evidence, Mean) and _usable(seen):
            self._evidence.add(self._better(seen.value), _variance(seen))
        if self._evidence is None or self._evidence.value < 2 / self._rule.alpha:
            return ""
        self._raised = True
        self._last.clear()
        return RAISED

    def evidence(self) -> dict[str, Any]:
        bound = self._bound if self._rule.falls or not self._baseline else self._worst()
        said = {
            **({"held_out": self._baseline[0].support} if self._given else {"baseline_windows": len(self._baseline)}),
            "bound": bound,
            "alpha": self._rule.alpha,
            "margin": self._rule.limit,
        }
        return said | {"evidence": self._evidence.value if self._evidence else None}

    def _start(self) -> None:
        first, alpha = self._baseline, self._rule.alpha / 2
        if first[0].trials is not None:
            trials = sum(one.trials or 0 for one in first)
            self._bound = least_share(sum(self._good(one) for one in first), trials, alpha) - self._rule.limit
            self._evidence = Proportion(self._bound) if 0 < self._bound < 1 else None
        else:
            values, variances = (
                np.array(one) for one in zip(*((self._better(s.value), _variance(s)) for s in first), strict=True)
            )
            self._bound = least_mean(values, variances, alpha) - self._rule.limit
            self._evidence = Mean(self._bound, float(np.sqrt(np.mean(variances))))

    def _worst(self) -> float:
        """The bound as the metric has it, where higher is worse."""
        return 1 - self._bound if self._baseline[0].trials is not None else -self._bound

    def _good(self, seen: Seen) -> int:
        hits, trials = seen.hits or 0, seen.trials or 0
        return hits if self._rule.falls else trials - hits

    def _better(self, value: float) -> float:
        """The metric turned so that higher is better."""
        if self._rule.falls:
            return value
        return 1 - value if self._baseline and self._baseline[0].trials is not None else -value


class Change:
    """Raised where the metric over time has changed for the worse, as river's Page-Hinkley or ADWIN say; cleared by the next window.

    Page-Hinkley (Page 1954, Biometrika 41) takes `limit` as threshold and states no error. ADWIN (Bifet and Gavaldà 2007, SDM) takes
    `alpha` as its delta: the bound on a false cut at each window, for values within [0, 1].
    """

    def __init__(self, rule: AlertRule) -> None:
        drift = extra("river.drift")
        self._rule, self._raised, self._mean = rule, False, 0.0
        if rule.method == "adwin":
            self._river = drift.ADWIN(delta=rule.alpha, clock=1, grace_period=GRACE, min_window_length=1)
        else:
            direction = "down" if rule.falls else "up"
            self._river = drift.PageHinkley(
                min_instances=GRACE, delta=0.0, threshold=rule.limit, alpha=1.0, mode=direction
            )

    def update(self, seen: Seen) -> str:
        self._mean = self._river.estimation if self._rule.method == "adwin" else 0.0
        self._river.update(seen.value)
        if self._raised:
            self._raised = False
            return CLEARED
        if not self._river.drift_detected:
            return ""
        if self._rule.method == "adwin" and (self._river.estimation < self._mean) != self._rule.falls:
            return ""
        self._raised = True
        return RAISED

    def evidence(self) -> dict[str, Any]:
        return {"change": self._rule.method, "threshold": self._rule.limit, "alpha": self._rule.alpha}


def _usable(seen: Seen) -> bool:
    """Whether a test can weigh it: counts, or an interval that has a width."""
    return seen.trials is not None or (seen.low is not None and seen.high is not None and _variance(seen) > 0)


def _variance(seen: Seen) -> float:
    """The variance of an estimate, from its 95 % interval, of which one end may be cut off."""
    assert seen.low is not None
    assert seen.high is not None
    return (max(seen.high - seen.value, seen.value - seen.low) / Z) ** 2
