"""Detectors, each by itself: what they raise, that they keep the error they state, and how many windows they need."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from pipelines.gold.metrics.interval import wilson
from pipelines.watch.anytime import Mean, Proportion, least_share
from pipelines.watch.detectors import CLEARED, RAISED, Detector, Seen, detector
from pipelines.watch.rules import AlertRule

DAY = timedelta(days=1)
BELOW = AlertRule("low", "late", "recall", DAY, "below", 0.5, of=(2, 3), clear_at=0.6)
DROP = AlertRule("drop", "late", "recall", DAY, "drop", 0.0, of=(2, 3), alpha=0.05)


def share(hits: int, trials: int) -> Seen:
    low, high = wilson(hits, trials) or (None, None)
    return Seen(hits / trials, low, high, trials, hits, trials)


def value(at: float, error: float = 0.01) -> Seen:
    return Seen(at, at - 1.959963984540054 * error, at + 1.959963984540054 * error, 100)


def says(watching: Detector, *values: float) -> list[str]:
    return [watching.update(value(one)) for one in values]


def first_raised(watching: Detector, seen: Any) -> int | None:
    """The number of the window that raises, from 0; None where none does."""
    return next((number for number, one in enumerate(seen) if watching.update(one) == RAISED), None)


def test_a_threshold_wants_so_many_of_the_last_windows() -> None:
    assert says(detector(BELOW), 0.4, 0.7, 0.7, 0.4, 0.7, 0.4) == ["", "", "", "", "", RAISED]


def test_between_the_limit_and_clear_at_nothing_changes() -> None:
    assert says(detector(BELOW), 0.4, 0.4, 0.55, 0.55, 0.55, 0.65, 0.65, 0.55, 0.55) == [
        "",
        RAISED,
        "",
        "",
        "",
        "",
        CLEARED,
        "",
        "",
    ]


def test_above_is_below_turned_round() -> None:
    above = AlertRule("high", "", "error_rate", DAY, "above", 0.1, clear_at=0.05)
    assert says(detector(above), 0.1, 0.2, 0.07, 0.05) == ["", RAISED, "", CLEARED]


def test_a_drop_is_cleared_when_the_windows_lie_at_the_bound_again_and_may_be_raised_anew() -> None:
    watching = detector(DROP)
    good, bad = share(800, 1000), share(600, 1000)
    found = [watching.update(one) for one in [*[good] * 7, *[bad] * 3, *[good] * 4, *[bad] * 3]]
    assert [said for said in found if said] == [RAISED, CLEARED, RAISED]


@pytest.mark.parametrize("falls", [True, False])
def test_what_gets_better_is_no_drop(falls: bool) -> None:
    rule = AlertRule("drop", "", "error_rate", DAY, "drop", 0.0, falls=falls)
    better, worse = (900, 500) if falls else (500, 900)
    first = [share(700, 1000)] * 7
    assert first_raised(detector(rule), [*first, *[share(better, 1000)] * 50]) is None
    assert first_raised(detector(rule), [*first, *[share(worse, 1000)] * 5]) is not None


def test_a_drop_within_the_margin_is_none() -> None:
    rule = AlertRule("drop", "late", "recall", DAY, "drop", 0.1)
    assert first_raised(detector(rule), [*[share(800, 1000)] * 7, *[share(730, 1000)] * 100]) is None


@pytest.mark.parametrize(("method", "most"), [("page_hinkley", 5), ("adwin", 35)])
def test_a_change_for_the_worse_is_raised_and_one_for_the_better_is_not(method: str, most: int) -> None:
    rule = AlertRule("moved", "late", "auc", DAY, "change", 0.3, method=method)
    noise = np.random.default_rng(1).normal(0, 0.01, 200)
    worse = first_raised(detector(rule), [value(at) for at in 0.8 + noise - 0.3 * (np.arange(200) >= 100)])
    assert worse is not None
    assert 100 <= worse < 100 + most
    assert first_raised(detector(rule), [value(at) for at in 0.5 + noise + 0.3 * (np.arange(200) >= 100)]) is None


def test_the_evidence_is_at_most_one_in_the_mean_at_the_bound() -> None:
    generator = np.random.default_rng(7)
    shares, means = [], []
    for _ in range(500):
        by_share, by_mean = Proportion(0.7), Mean(0.7, 0.05)
        for hits, at in zip(generator.binomial(40, 0.7, 10), generator.normal(0.7, 0.05, 10), strict=True):
            by_share.add(int(hits), 40)
            by_mean.add(float(at), 0.05**2)
        shares.append(by_share.value)
        means.append(by_mean.value)
    # the mean of 500, some of them large: within five of its standard errors
    assert all(np.mean(found) < 1 + 5 * np.std(found) / np.sqrt(len(found)) for found in (shares, means))
    assert all(np.mean(np.array(found) >= 20) <= 0.05 for found in (shares, means))


def test_the_interval_of_the_baseline_is_the_exact_one() -> None:
    assert least_share(8, 10, 0.025) == pytest.approx(0.4439045, abs=1e-6)
    assert least_share(0, 10, 0.025) == 0.0


def stable(generator: np.random.Generator, windows: int, size: int = 200) -> list[Seen]:
    return [share(int(hits), size) for hits in generator.binomial(size, 0.7, windows)]


def normal(generator: np.random.Generator, windows: int) -> list[Seen]:
    """Estimates whose error is known: what the metrics without counts are, where support is large."""
    return [value(at, 0.02) for at in generator.normal(0.7, 0.02, windows)]


def alarms(periods: int, windows: int, made: Any, alpha: float, held_out: int = 0) -> float:
    """The share of stable periods that are alarmed; against the first windows, or so many rows of a release that were held out."""
    rule = AlertRule("drop", "late", "recall", DAY, "drop", 0.0, alpha=alpha)
    raised = 0
    for seed in range(1, periods + 1):
        chance = np.random.default_rng(seed)
        known = share(int(chance.binomial(held_out, 0.7)), held_out) if held_out else None
        raised += first_raised(detector(rule, known), made(chance, windows)) is not None
    return raised / periods


@pytest.mark.parametrize(("made", "held_out"), [(stable, 0), (stable, 1000), (normal, 0)])
def test_stable_periods_looked_at_after_every_window_are_alarmed_no_more_often_than_stated(made: Any, held_out: int) -> None:
    assert alarms(100, 60, made, 0.2, held_out) <= 0.2


@pytest.mark.long
@pytest.mark.parametrize(("made", "held_out"), [(stable, 0), (stable, 1000), (normal, 0)])
@pytest.mark.parametrize("alpha", [0.2, 0.05, 0.01])
def test_a_thousand_stable_periods(made: Any, held_out: int, alpha: float) -> None:
    found = alarms(1000, 180, made, alpha, held_out)
    against = f"{held_out} rows held out" if held_out else "the first 7"
    print(f"\n{made.__name__}, against {against}: 1,000 stable periods of 180 windows, alpha {alpha}: alarmed {found:.1%}")
    assert found <= alpha


@pytest.mark.parametrize(("drop", "most"), [(0.05, 30), (0.1, 8), (0.2, 2)])
def test_a_planted_drop_is_found_within_so_many_windows(drop: float, most: int) -> None:
    found = sorted(delays(drop, 9))
    assert found[0] > 0
    assert found[4] <= most


def delays(drop: float, periods: int, before: int = 30, held_out: int = 0) -> list[float]:
    """Windows of 200 from the drop to the alert, the one that raises it included; infinitely many where 200 are too few."""
    made: list[float] = []
    for seed in range(periods):
        generator = np.random.default_rng(seed)
        known = share(round(0.7 * held_out), held_out) if held_out else None
        first = before if held_out else before + 7
        after = [share(int(hits), 200) for hits in generator.binomial(200, 0.7 - drop, 200)]
        at = first_raised(detector(DROP, known), [*stable(generator, first), *after])
        made.append(np.inf if at is None else at - first + 1)
    return made


@pytest.mark.long
@pytest.mark.parametrize("held_out", [0, 2000])
@pytest.mark.parametrize("drop", [0.03, 0.05, 0.1, 0.2])
def test_the_delay_of_planted_drops(drop: float, held_out: int) -> None:
    found = sorted(delays(drop, 100, held_out=held_out))
    late = f"{found[50]} windows (median), {found[90]} (of ten nine), found in 200: {sum(np.isfinite(found))} of 100"
    against = f"{held_out} rows held out" if held_out else "the first 7"
    print(f"\ndrop of {drop} after 30 windows of 200 at 0.7, against {against}, alpha 0.05: {late}")
    assert found[50] < 200 or drop < 0.05
