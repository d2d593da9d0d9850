"""Every metric, which of them apply to a definition, and their values over sums."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pyarrow as pa

from pipelines.contract import DOUBLE, LONG, STRING
from pipelines.definition import Definition
from pipelines.gold.metrics import binary, category, coverage, regression, service
from pipelines.gold.metrics.declaration import Metric, Sums
from pipelines.gold.metrics.plan import Target

METRICS: tuple[Metric, ...] = (
    *binary.METRICS,
    *regression.METRICS,
    *category.METRICS,
    *service.METRICS,
    *coverage.METRICS,
)

_CONFUSION = {"tp", "fp", "fn", "tn"}
_FAMILY = {"binary": "binary", "number": "regression", "category": "category"}

EXPOSURES = frozenset(
    need.removeprefix("exposed.")
    for metric in METRICS
    if metric.family != "service"
    for need in metric.needs
    if need.startswith("exposed.")
)
"""The exposed statistics that a label's metrics need."""


def applicable(target: Target) -> tuple[Metric, ...]:
    """The metrics of a definition: its type's family, coverage, and the confusion counts where a number has
    `positive_at`.
    """
    return tuple(
        metric
        for metric in METRICS
        if _applies(metric, target.definition) and (not metric.measure or metric.measure in target.measures)
    )


def _applies(metric: Metric, definition: Definition) -> bool:
    if definition.policy is None:
        return metric.family == "service"
    if definition.positive_at is not None and metric.family == "binary" and set(metric.needs) <= _CONFUSION:
        return True
    return metric.family in ("coverage", _FAMILY.get(definition.policy.type))


def columns(targets: Iterable[Target]) -> dict[str, pa.DataType]:
    """The columns of the metrics that apply to any of the definitions, with their types: n, exposed, then each and
    its interval.
    """
    found: dict[str, pa.DataType] = {"n": LONG, "exposed": LONG}
    for target in targets:
        for metric in applicable(target):
            kind = pa.map_(STRING, DOUBLE) if metric.each == "class" else DOUBLE
            for name in names_of(metric, target.measures):
                found |= {name: kind}
                found |= {f"{name}_low": kind, f"{name}_high": kind} if metric.interval else {}
    last = {name: kind for name, kind in found.items() if name.startswith(("coverage", "maturity"))}
    return {name: kind for name, kind in found.items() if name not in last} | last


def names_of(metric: Metric, measures: tuple[str, ...]) -> list[str]:
    """The columns of a metric: one, or one per measure."""
    return [metric.name.format(each=each) for each in measures] if metric.each == "measure" else [metric.name]


def sums_of(target: Target, increments: Iterable[Mapping[str, Any]], *, width: timedelta, mature: bool) -> Sums:
    """The sums that metrics are taken from; `increments` hold basis, statistic, bucket and amount.

    What is judged is what was answered; with `mature`, also what silence says, where the policy says it says something.
    """
    definition = target.definition
    policy = definition.policy
    judged = {"answered", "silent"} if mature and policy and policy.absent != "missing" else {"answered"}
    amounts: dict[str, dict[str, Fraction]] = {}
    for row in increments:
        amount = Fraction(row["amount"])
        names = [f"{row['basis']}.{row['statistic']}"] + [row["statistic"]] * (row["basis"] in judged)
        for name in names:
            bucket = amounts.setdefault(name, {})
            known = bucket.get(row["bucket"])
            bucket[row["bucket"]] = amount if known is None else known + amount
    kept = {name: {key: amount for key, amount in bucket.items() if amount} for name, bucket in amounts.items()}
    return Sums(kept, width.total_seconds(), definition.score_buckets, policy.unit if policy else "request")


def needs(target: Target, names: Container[str]) -> set[str]:
    """The statistics, of whatever basis, that these metrics are taken from, and the counts beside them."""
    found = {"n", "items", "errors"}
    for metric in applicable(target):
        for each in target.measures if metric.each == "measure" else ("",):
            if metric.name.format(each=each) in names:
                plain = (need.format(each=each) for need in metric.needs)
                found |= {re.sub(r"\A(exposed|answered|silent)\.", "", need) for need in plain}
    return found


def evaluate(target: Target, sums: Sums, only: Container[str] | None = None) -> dict[str, Any]:
    """Every metric that applies, or only some, by column; a metric per class is a map. `n` counts what the quality metrics rest
    on.
    """
    exposed = int(coverage.exposed(sums))
    found: dict[str, Any] = {"n": int(sums.total("n")) if target.definition.policy else exposed, "exposed": exposed}
    for metric in applicable(target):
        for each in target.measures if metric.each == "measure" else ("",):
            name = metric.name.format(each=each)
            if only is None or name in only:
                found |= _by_class(metric, sums) if metric.each == "class" else _one(metric, name, sums.at(each))
    return found


def _one(metric: Metric, name: str, sums: Sums) -> dict[str, float | None]:
    found = {name: metric.value(sums)}
    if metric.interval:
        low, high = metric.interval(sums) or (None, None)
        found |= {f"{name}_low": low, f"{name}_high": high}
    return found


def _by_class(metric: Metric, sums: Sums) -> dict[str, dict[str, float | None]]:
    found: dict[str, dict[str, float | None]] = {}
    for name in sums.classes():
        for column, value in _one(metric, metric.name, sums.at(name)).items():
            found.setdefault(column, {})[name] = value
    return found
