"""Every metric, against scikit-learn or its plain definition; intervals; and what holds for all of them."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn import metrics as reference

from pipelines.definition import Definition, Policy
from pipelines.errors import ContractError
from pipelines.gold.metrics import METRICS, interval
from pipelines.gold.metrics.catalogue import columns, evaluate, sums_of
from pipelines.gold.metrics.declaration import Metric, Sums
from pipelines.gold.metrics.plan import Source, Target

BUCKETS = 1000
EDGES = [Decimal(repr(0.001 * 1.02**i)).quantize(Decimal("1e-9")) for i in range(1400)]
EVERY_HOUR = timedelta(hours=1)
checked = settings(max_examples=60, deadline=None)
AGREES = {"rel": 1e-9, "abs": 1e-9}

outcomes = st.booleans()
middles = st.builds(lambda k: (k + 0.5) / BUCKETS, st.integers(0, BUCKETS - 1))
any_score = st.floats(0, 1, allow_subnormal=False)
on_middles = st.lists(st.tuples(outcomes, middles), min_size=1, max_size=60)
anywhere = st.lists(st.tuples(outcomes, any_score), min_size=1, max_size=60)
crowded = st.lists(st.tuples(outcomes, st.floats(0.4, 0.41)), min_size=1, max_size=60)
confusion = st.fixed_dictionaries({name: st.integers(0, 50) for name in ("tp", "fp", "fn", "tn")})
numbers = st.integers(-(10**6), 10**6).map(lambda n: n / 1000)
judged_numbers = st.lists(st.tuples(numbers, numbers), min_size=1, max_size=40)
classes = st.sampled_from(["ant", "bee", "cat"])
judged_classes = st.lists(st.tuples(classes, classes), min_size=1, max_size=40)
measured = st.lists(st.floats(0.0011, 1e9), min_size=1, max_size=60)


def whole(counts: dict[str, int | Counter[str]], **facts: object) -> Sums:
    amounts = {
        name: {key: Fraction(n) for key, n in count.items()} if isinstance(count, Counter) else {"": Fraction(count)}
        for name, count in counts.items()
    }
    return Sums(amounts, **facts)


def scored(rows: list[tuple[bool, float]]) -> Sums:
    """What is posted for outcomes and scores, threshold one half."""
    buckets = {True: Counter[str](), False: Counter[str]()}
    counts, brier = Counter[str](), Fraction(0)
    for y, score in rows:
        buckets[y][str(min(math.floor(Fraction(repr(score)) * BUCKETS), BUCKETS - 1))] += 1
        counts[("tp" if y else "fp") if score >= 0.5 else ("fn" if y else "tn")] += 1
        brier += (Fraction(repr(score)) - y) ** 2
    posted = {"n": len(rows), "positive": buckets[True].total(), **counts}
    sums = whole({**posted, "score.positive": buckets[True], "score.negative": buckets[False]})
    return Sums({**sums.amounts, "brier": {"": brier}}, score_buckets=BUCKETS)


def errors(rows: list[tuple[float, float]]) -> Sums:
    exact = [(Fraction(repr(prediction)), Fraction(repr(value))) for prediction, value in rows]
    terms = {
        "n": len(rows),
        "judged": len(rows),
        "error": sum(p - y for p, y in exact),
        "absolute_error": sum(abs(p - y) for p, y in exact),
        "squared_error": sum((p - y) ** 2 for p, y in exact),
        "value": sum(y for _, y in exact),
        "squared_value": sum(y * y for _, y in exact),
    }
    return Sums({name: {"": Fraction(term)} for name, term in terms.items()})


def named(rows: list[tuple[str, str]]) -> Sums:
    return whole(
        {
            "n": len(rows),
            "judged": len(rows),
            "correct": sum(actual == predicted for actual, predicted in rows),
            "class.actual": Counter(actual for actual, _ in rows),
            "class.predicted": Counter(predicted for _, predicted in rows),
            "class.correct": Counter(actual for actual, predicted in rows if actual == predicted),
        }
    )


def served(values: list[float], failed: int = 0) -> Sums:
    histogram = Counter(str(bisect_left(EDGES, Decimal(repr(value)))) for value in values)
    counts = whole({"exposed.n": len(values), "exposed.errors": failed, "exposed.latency_ms.histogram": histogram})
    total = {"": sum(map(Fraction, values), Fraction(0))}
    amounts = {"exposed.latency_ms": total, "exposed.latency_ms.n": {"": Fraction(len(values))}, "exposed.cost": total}
    return Sums({**counts.amounts, **amounts}, each="latency_ms")


def value(name: str, family: str, sums: Sums) -> float | None:
    return declared(name, family).value(sums)


def band(name: str, family: str, sums: Sums) -> tuple[float, float] | None:
    limits = declared(name, family).interval
    assert limits is not None
    return limits(sums)


def declared(name: str, family: str) -> Metric:
    return next(metric for metric in METRICS if (metric.name, metric.family) == (name, family))


# ---- binary: on the middles of the buckets nothing is lost


@checked
@given(on_middles)
def test_auc_on_middles_is_scikit_learns(rows):
    y, scores = zip(*rows, strict=True)
    if len(set(y)) == 1:
        assert value("auc", "binary", scored(rows)) is None
    else:
        assert value("auc", "binary", scored(rows)) == pytest.approx(reference.roc_auc_score(y, scores), **AGREES)


@checked
@given(on_middles)
def test_average_precision_on_middles_is_scikit_learns(rows):
    y, scores = zip(*rows, strict=True)
    if any(y):
        expected = reference.average_precision_score(y, scores)
        assert value("average_precision", "binary", scored(rows)) == pytest.approx(expected, **AGREES)
    else:
        assert value("average_precision", "binary", scored(rows)) is None


@checked
@given(on_middles)
def test_log_loss_on_middles_is_scikit_learns(rows):
    y, scores = zip(*rows, strict=True)
    expected = reference.log_loss(y, scores, labels=[False, True])
    assert value("log_loss", "binary", scored(rows)) == pytest.approx(expected, **AGREES)


@checked
@given(on_middles)
def test_calibration_error_on_middles_is_its_definition(rows):
    assert value("calibration_error", "binary", scored(rows)) == pytest.approx(calibration_error(rows), **AGREES)


@checked
@given(anywhere)
def test_brier_is_exact_wherever_the_scores_lie(rows):
    y, scores = zip(*rows, strict=True)
    expected = reference.brier_score_loss(y, scores, pos_label=True)
    assert value("brier", "binary", scored(rows)) == pytest.approx(expected, **AGREES)


@checked
@given(confusion)
def test_counts_give_scikit_learns_accuracy_precision_recall_f1(counts):
    y = [True] * counts["tp"] + [False] * counts["fp"] + [True] * counts["fn"] + [False] * counts["tn"]
    called = [True] * (counts["tp"] + counts["fp"]) + [False] * (counts["fn"] + counts["tn"])
    assume(y)
    sums = whole({**counts, "n": len(y), "positive": sum(y)})
    assert value("accuracy", "binary", sums) == pytest.approx(reference.accuracy_score(y, called), **AGREES)
    for name, score in (("precision", reference.precision_score), ("recall", reference.recall_score)):
        expected = score(y, called, zero_division=np.nan)
        assert value(name, "binary", sums) == (None if math.isnan(expected) else pytest.approx(expected, **AGREES))
    expected = reference.f1_score(y, called, zero_division=np.nan)
    assert value("f1", "binary", sums) == (None if math.isnan(expected) else pytest.approx(expected, **AGREES))
    assert value("base_rate", "binary", sums) == pytest.approx(sum(y) / len(y), **AGREES)


# ---- binary: anywhere else the error stays within what the metric states


@checked
@given(st.one_of(anywhere, crowded))
def test_auc_is_off_by_at_most_half_the_pairs_of_one_bucket(rows):
    y, scores = zip(*rows, strict=True)
    assume(len(set(y)) == 2)
    sums = scored(rows)
    together = (sums.scores("score.positive") * sums.scores("score.negative")).sum()
    bound = together / (sum(y) * (len(y) - sum(y))) / 2
    assert abs(value("auc", "binary", sums) - reference.roc_auc_score(y, scores)) <= bound + 1e-9


@checked
@given(st.one_of(anywhere, crowded))
def test_average_precision_lies_between_the_worst_and_the_best_order_within_buckets(rows):
    y, scores = zip(*rows, strict=True)
    assume(any(y))
    sums = scored(rows)
    positive, negative = (sums.scores(f"score.{name}")[::-1] for name in ("positive", "negative"))
    above, beaten = np.cumsum(positive) - positive, np.cumsum(negative) - negative
    worst = best = 0.0
    for p, n, hits, misses in zip(positive, negative, above, beaten, strict=True):
        worst += sum((hits + j) / (hits + j + misses + n) for j in range(1, int(p) + 1)) / sum(y)
        best += p * (hits + p) / (hits + p + misses) / sum(y) if p else 0.0
    for found in (value("average_precision", "binary", sums), reference.average_precision_score(y, scores)):
        assert worst - 1e-9 <= found <= best + 1e-9


@checked
@given(anywhere)
def test_log_loss_is_off_by_at_most_what_it_states(rows):
    y, scores = zip(*rows, strict=True)
    clipped = np.clip(scores, 1 / (2 * BUCKETS), 1 - 1 / (2 * BUCKETS))
    given = np.where(y, clipped, 1 - clipped)
    with np.errstate(divide="ignore"):
        terms = np.minimum(1 / np.maximum(2 * BUCKETS * given - 1, 0), math.log(2))
    off = value("log_loss", "binary", scored(rows)) + np.log(given).mean()
    assert abs(off) <= terms.mean() + 1e-9


@checked
@given(anywhere)
def test_calibration_error_is_off_by_at_most_half_a_bucket(rows):
    off = value("calibration_error", "binary", scored(rows)) - calibration_error(rows)
    assert abs(off) <= 1 / (2 * BUCKETS) + 1e-9


def calibration_error(rows: list[tuple[bool, float]]) -> float:
    groups: dict[int, list[tuple[bool, float]]] = {}
    for y, score in rows:
        groups.setdefault(min(math.floor(Fraction(repr(score)) * 10), 9), []).append((y, score))
    gaps = (abs(sum(score for _, score in group) - sum(y for y, _ in group)) for group in groups.values())
    return sum(gaps) / len(rows)


def test_an_undecided_outcome_is_answered_but_in_no_quality_metric():
    sums = whole({"n": 3, "undecided": 1, "positive": 1, "tp": 1, "tn": 1})
    assert value("accuracy", "binary", sums) == 1.0
    assert value("base_rate", "binary", sums) == 0.5


# ---- regression, category, service, coverage


@checked
@given(judged_numbers)
def test_numeric_errors_are_scikit_learns(rows):
    predictions, values = zip(*rows, strict=True)
    sums = errors(rows)
    expected = reference.mean_absolute_error(values, predictions)
    assert value("mae", "regression", sums) == pytest.approx(expected, **AGREES)
    assert value("rmse", "regression", sums) == pytest.approx(
        reference.root_mean_squared_error(values, predictions), **AGREES
    )
    assert value("bias", "regression", sums) == pytest.approx(np.mean(np.subtract(predictions, values)), abs=1e-6)
    if len(set(values)) == 1:
        assert value("r2", "regression", sums) is None
    else:
        assert value("r2", "regression", sums) == pytest.approx(reference.r2_score(values, predictions), rel=1e-6)


def test_r2_survives_outcomes_far_from_zero_that_lie_close_together():
    rows = [(1e9, 1e9 - 0.001), (1e9 - 0.002, 1e9 - 0.002)]
    assert value("r2", "regression", errors(rows)) == pytest.approx(-1.0, rel=1e-9)


def test_r2_of_equal_outcomes_is_null_though_their_sums_were_rounded():
    outcome = Fraction("1234567.1234567891")
    sums = {"value": 4 * round(outcome, 9), "squared_value": 4 * round(outcome**2, 9)}
    posted = {"n": 4, "judged": 4, "squared_error": 1, **sums}
    assert value("r2", "regression", Sums({name: {"": Fraction(term)} for name, term in posted.items()})) is None


def test_r2_is_null_when_an_outcome_had_no_number_to_be_judged_against():
    sums = errors([(1.0, 2.0), (3.0, 3.5)])
    unjudged = Sums({**sums.amounts, "n": {"": Fraction(3)}, "value": {"": Fraction(9)}})
    assert value("r2", "regression", unjudged) is None
    assert value("mae", "regression", unjudged) == 0.75


@checked
@given(judged_classes)
def test_class_metrics_are_scikit_learns(rows):
    actual, predicted = zip(*rows, strict=True)
    sums = named(rows)
    assert value("accuracy", "category", sums) == pytest.approx(reference.accuracy_score(actual, predicted))
    expected = reference.f1_score(actual, predicted, average="macro")
    assert value("macro_f1", "category", sums) == pytest.approx(expected, **AGREES)
    labels = sums.classes()
    for name, score in (("class_precision", reference.precision_score), ("class_recall", reference.recall_score)):
        for label, one in zip(
            labels, score(actual, predicted, labels=labels, average=None, zero_division=np.nan), strict=True
        ):
            assert value(name, "category", sums.at(label)) == (None if math.isnan(one) else pytest.approx(one))


@checked
@given(measured, st.sampled_from([50, 95, 99]))
def test_a_quantile_is_never_below_the_exact_one_and_at_most_two_percent_above(values, percent):
    exact = np.quantile(values, percent / 100, method="inverted_cdf")
    found = value(f"{{each}}_p{percent}", "service", served(values))
    assert exact * (1 - 1e-12) <= found <= exact * 1.02 * (1 + 1e-5)


def test_values_beyond_the_histogram_read_its_ends():
    assert value("{each}_p50", "service", served([-3.0, 0.0, 0.0005])) == 0.001
    assert value("{each}_p50", "service", served([5e11])) == float(EDGES[-1])


def test_service_metrics_count_failures_in():
    sums = served([1.0, 2.0, 3.0], failed=1)
    assert value("throughput", "service", sums) == 4 / 3600
    assert value("error_rate", "service", sums) == 0.25
    assert value("{each}_mean", "service", sums) == 2.0
    assert value("{each}_total", "service", sums) == 6.0
    assert value("cost_per_thousand", "service", sums) == 1500.0


def test_cost_per_good_outcome_is_the_whole_cost_over_the_positives():
    sums = whole({"exposed.cost": 9, "positive": 2, "n": 5})
    assert value("cost_per_good_outcome", "binary", sums) == 4.5


def test_coverage_and_maturity_are_shares_of_what_was_exposed():
    posted = {"exposed.n": 8, "exposed.items": 40, "answered.n": 4, "silent.n": 2}
    assert value("coverage", "coverage", whole(posted)) == 0.5
    assert value("maturity", "coverage", whole(posted)) == 0.75
    assert value("coverage", "coverage", whole(posted, unit="item")) == 0.1


# ---- intervals


@checked
@given(st.integers(0, 200), st.integers(0, 200))
def test_proportions_have_wilson_intervals(successes, failures):
    assume(successes + failures)
    expected = binomtest(successes, successes + failures).proportion_ci(method="wilson")
    found = interval.wilson(Fraction(successes), Fraction(successes + failures))
    assert found == pytest.approx((expected.low, expected.high), **AGREES)


@checked
@given(on_middles)
def test_delong_on_buckets_is_delong_on_pairs(rows):
    positives, negatives = ([score for y, score in rows if y == wanted] for wanted in (True, False))
    found = band("auc", "binary", scored(rows))
    if len(positives) < 2 or len(negatives) < 2:
        assert found is None
        return
    wins = [[1.0 if p > n else 0.5 if p == n else 0.0 for n in negatives] for p in positives]
    area = np.mean(wins)
    variance = np.var(np.mean(wins, axis=1), ddof=1) / len(positives)
    variance += np.var(np.mean(wins, axis=0), ddof=1) / len(negatives)
    half = interval.Z * math.sqrt(variance)
    assert found == pytest.approx((max(0.0, area - half), min(1.0, area + half)), abs=1e-7)


@checked
@given(judged_numbers)
def test_means_have_normal_intervals_from_their_sum_of_squares(rows):
    found = band("bias", "regression", errors(rows))
    if len(rows) < 2:
        assert found is None
        return
    differences = np.subtract(*np.transpose(rows))
    half = interval.Z * np.std(differences, ddof=1) / math.sqrt(len(rows))
    assert found == pytest.approx((differences.mean() - half, differences.mean() + half), rel=1e-6, abs=1e-6)


@checked
@given(confusion)
def test_f1_has_the_interval_of_the_delta_method_over_its_counts(counts):
    cells = np.array([counts["tp"], counts["fp"], counts["fn"], counts["tn"]], dtype=float)
    tp, wrong = cells[0], cells[1] + cells[2]
    assume(2 * tp + wrong)
    slope = np.array([2 * wrong, -2 * tp, -2 * tp, 0.0]) / (2 * tp + wrong) ** 2
    shares = cells / cells.sum()
    half = interval.Z * math.sqrt(cells.sum() * ((shares * slope**2).sum() - (shares @ slope) ** 2))
    f1 = 2 * tp / (2 * tp + wrong)
    assert band("f1", "binary", whole(counts)) == pytest.approx((max(0, f1 - half), min(1, f1 + half)), abs=1e-7)


# ---- what holds for every metric: adding one to METRICS tests it

FACTS = {
    "binary": st.builds(lambda rows: Sums({**scored(rows).amounts, "exposed.cost": {"": Fraction(3)}}), on_middles),
    "regression": st.builds(errors, judged_numbers),
    "category": st.builds(lambda rows: named(rows).at("bee"), judged_classes),
    "service": st.builds(served, measured, st.integers(0, 5)),
    "coverage": st.builds(
        lambda silent, answered, more: whole(
            {"silent.n": silent, "answered.n": answered, "exposed.n": silent + answered + more}
        ),
        *[st.integers(0, 99)] * 3,
    ),
}
every_metric = pytest.mark.parametrize("metric", METRICS, ids=lambda metric: f"{metric.family}.{metric.name}")


@every_metric
def test_nothing_posted_is_null_and_never_an_exception(metric):
    # throughput divides by the width of the window, which is never empty
    assert metric.value(Sums()) == (0.0 if metric.name == "throughput" else None)
    assert metric.interval is None or metric.interval(Sums()) is None


@every_metric
@checked
@given(data=st.data())
def test_values_lie_in_their_bounds_and_inside_their_interval(metric, data):
    sums = data.draw(FACTS[metric.family])
    found = metric.value(sums)
    assert found is None or (math.isfinite(found) and metric.bounds[0] - 1e-12 <= found <= metric.bounds[1] + 1e-12)
    limits = metric.interval(sums) if metric.interval else None
    if limits:
        assert found is not None
        assert limits[0] - 1e-9 <= found <= limits[1] + 1e-9


@every_metric
@checked
@given(data=st.data())
def test_a_metric_needs_exactly_what_it_names(metric, data):
    sums = data.draw(FACTS[metric.family])
    needs = {need.format(each=sums.each) for need in metric.needs}
    only = Sums({k: v for k, v in sums.amounts.items() if k in needs}, sums.seconds, sums.score_buckets, each=sums.each)
    assert metric.value(only) == metric.value(sums)
    assert metric.interval is None or metric.interval(only) == metric.interval(sums)


@every_metric
def test_a_metric_says_what_it_means(metric):
    assert metric.meaning.endswith(".")
    assert ("Interval:" in metric.meaning) == (metric.interval is not None)
    assert re.fullmatch(r"(\{each\}_)?[a-z][a-z0-9_]*", metric.name)
    assert metric.better in ("higher", "lower", None)


def test_a_name_stands_once_in_its_family():
    assert len({(metric.family, metric.name) for metric in METRICS}) == len(METRICS)


def test_a_metric_that_says_nothing_is_refused_where_it_is_declared():
    with pytest.raises(ContractError) as refused:
        Metric("odd", "binary", needs=("tp",), value=lambda _: None, meaning="")
    assert refused.value.code == "metric_invalid"


# ---- from increments to columns

BINARY = Definition("m", "late", ((),), ("1 hour",), policy=Policy("binary", "request", "latest", 7200), positive=1.0)


def of(definition: Definition, **measures: object) -> Target:
    return Target(definition, (Source(definition.hash, "all", "1 hour"),), **measures)


def row(basis: str, statistic: str, amount: float, bucket: str = "") -> dict[str, object]:
    return {"basis": basis, "statistic": statistic, "bucket": bucket, "amount": Decimal(repr(amount))}


def total(definition: Definition, rows: list[dict[str, object]], *, mature: bool = False) -> Sums:
    return sums_of(of(definition), rows, width=EVERY_HOUR, mature=mature)


def test_an_entry_taken_back_leaves_no_trace():
    stated = [row("answered", "n", 1), row("answered", "tp", 1), row("answered", "score.positive", 1, "730")]
    taken_back = [{**one, "amount": -one["amount"]} for one in stated]
    assert evaluate(of(BINARY), total(BINARY, stated + taken_back)) == evaluate(of(BINARY), total(BINARY, []))


def test_silence_counts_in_mature_metrics_only_and_only_where_it_says_something():
    rows = [row("answered", "n", 2), row("answered", "tp", 2), row("silent", "n", 3), row("silent", "fp", 2)]
    negative = Definition("m", "late", ((),), ("1 hour",), policy=Policy("binary", "request", "latest", 60, "negative"))
    assert (evaluate(of(BINARY), total(BINARY, rows))["n"], total(BINARY, rows, mature=True).total("n")) == (2, 2)
    assert evaluate(of(negative), total(negative, rows))["accuracy"] == 1.0
    spoken = evaluate(of(negative), total(negative, rows, mature=True))
    assert (spoken["n"], spoken["accuracy"]) == (5, 0.5)


def test_only_what_applies_is_a_column():
    service = Definition("m", "", ((),), ("1 hour",), measures=("latency_ms",))
    found = columns([of(service, measures=service.measures)])
    assert "latency_ms_p95" in found
    assert not {"accuracy", "coverage", "cost_per_thousand"} & set(found)
    number = Policy("number", "request", "latest", 60)
    plain = Definition("m", "delay", ((),), ("1 hour",), policy=number)
    assert {"mae", "mae_low", "coverage", "coverage_high"} <= set(columns([of(plain)]))
    assert not {"f1", "auc"} & set(columns([of(plain)]))
    split = Definition("m", "delay", ((),), ("1 hour",), policy=number, positive_at=15.0)
    assert "f1" in columns([of(split)])
    assert "auc" not in columns([of(split)])
