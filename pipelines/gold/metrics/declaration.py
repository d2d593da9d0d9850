"""What a metric is, and what its increments add up to: plain values, no Spark."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Literal

import numpy as np
import numpy.typing as npt

from pipelines.definition import SCORE_BUCKETS
from pipelines.errors import ContractError

FAMILIES = ("binary", "regression", "category", "service", "coverage")

Value = float | None
Interval = tuple[float, float] | None
Counts = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sums:
    """What the increments of one group and window add up to, exactly.

    `amounts`: by statistic and bucket. A name with the prefix `exposed.`, `answered.` or `silent.` is the sum over
    that basis; one without is the sum over what is judged: the answered, and where a mature metric is asked for,
    what silence says. `seconds`: width of the window. `score_buckets`, `unit`: of the definition. `each`: the
    measure or class that is looked at.
    """

    amounts: Mapping[str, Mapping[str, Fraction]] = field(default_factory=dict)
    seconds: float = 3600.0
    score_buckets: int = SCORE_BUCKETS
    unit: str = "request"
    each: str = ""

    def by_bucket(self, statistic: str) -> Mapping[str, Fraction]:
        """The sums of a statistic by bucket; `{each}` in its name stands for the measure looked at."""
        return self.amounts.get(statistic.format(each=self.each), {})

    def total(self, statistic: str) -> Fraction:
        """The sum of a statistic over its buckets; 0 where nothing was posted."""
        return sum(self.by_bucket(statistic).values(), Fraction(0))

    def of_class(self, statistic: str) -> Fraction:
        """The sum of a statistic in the class looked at."""
        return self.by_bucket(statistic).get(self.each, Fraction(0))

    def scores(self, statistic: str) -> Counts:
        """Counts by score bucket, lowest scores first."""
        counts = np.zeros(self.score_buckets)
        for bucket, count in self.by_bucket(statistic).items():
            counts[int(bucket)] = float(count)
        return counts

    def classes(self) -> list[str]:
        """The classes that occurred or were predicted, in order."""
        return sorted(set(self.by_bucket("class.actual")) | set(self.by_bucket("class.predicted")))

    def at(self, each: str) -> Sums:
        """The same sums, looking at one measure or class."""
        return replace(self, each=each)


@dataclass(frozen=True)
class Metric:
    """A metric, declared once: the sums it needs, its value over them (null where undefined), and a 95 % interval.

    `meaning`: what a value says, with its unit, error bound and source. `bounds`: the least and greatest value it
    can take. `counts`: hits and trials, where it is a proportion. `each`: "" for one value; "measure" for one column per
    declared measure, which `{each}` in `name` and `needs` stands for; "class" for one value per class, in a map.
    `measure`: the measure that must be declared for it to apply.
    """

    name: str
    family: str
    needs: tuple[str, ...]
    value: Callable[[Sums], Value]
    meaning: str
    interval: Callable[[Sums], Interval] | None = None
    better: Literal["higher", "lower"] | None = None
    bounds: tuple[float, float] = (0.0, 1.0)
    each: Literal["", "measure", "class"] = ""
    measure: str = ""
    counts: Callable[[Sums], tuple[Fraction, Fraction]] | None = None

    def __post_init__(self) -> None:
        said = self.family in FAMILIES and bool(self.needs) and bool(self.meaning)
        if not said or (self.each == "measure") != ("{each}" in self.name):
            raise ContractError(
                "metric_invalid",
                f"metric {self.name}: family {self.family!r}, needs {self.needs}, each {self.each!r}. A metric has "
                f"one of the families {FAMILIES}, needs at least one statistic, says what it means, and has {{each}} "
                "in its name exactly when there is one per measure.",
            )


def ratio(over: Fraction, under: Fraction) -> Value:
    """A ratio as DOUBLE, taken once, last; null where there is nothing to divide by."""
    return None if under == 0 else float(over) / float(under)
