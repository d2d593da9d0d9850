"""From histograms to drift: how far each mature window lies from the baseline of its group."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from pipelines.definition import MISSING, OTHER, Definition, Scale
from pipelines.gold.metrics.plan import Target, Windows, cut_name, target
from pipelines.watch.distances import Counts, js, ks, psi
from pipelines.watch.released import Released
from pipelines.watch.rules import DriftRule
from pipelines.watch.tables import DRIFT
from pipelines.watch.windows import LATENESS, Amounts, Group, Step, moment, steps

Baseline = tuple[Mapping[str, Any], Counts]
"""Which one it is, and its counts."""


class Distance(NamedTuple):
    """One measure of one window; what it is compared with is part of it."""

    window: int
    measure: str
    value: float
    reference: float
    reached: bool
    support: int
    baseline: str


def sought(rule: DriftRule, definition: Definition) -> Target:
    """The service definition, with the source of its histograms."""
    return target(definition, (), Windows(rule.every, rule.every), rule.fields)


def drift(rows: pa.Table, *, rule: DriftRule, definition: Definition, frontier: datetime) -> pa.Table:
    """Signed rows of gold.drift, from all statistics of a service definition, up to a frontier."""
    return Drift(rule, definition).take(rows, frontier)


@dataclass
class Drift:
    """How far the windows of each group and distribution lie off, as far as was looked: up to the frontier `until`.

    The baseline is the first windows of the group that have support; they have no distance. Where `released` knows what a version was
    trained on, that is the baseline, and all windows have a distance. Where statistics change later the row of what was believed is
    taken back, and another one states what is believed since.
    """

    rule: DriftRule
    definition: Definition
    released: Released | None = None
    until: datetime | None = None
    _courses: dict[tuple[Group, str], Course] = field(default_factory=dict)

    def take(self, rows: pa.Table, frontier: datetime) -> pa.Table:
        """The rows of what is seen after `until`, up to a frontier, from all statistics of the windows that it is about."""
        rule, definition, waits = self.rule, self.definition, LATENESS
        by_version = "version" in rule.by
        found = steps(rows, every=rule.every, settles=waits, frontier=frontier, by_version=by_version, after=self.until)
        entries = [
            _row(rule, definition, group)
            | {"feature": name, "known_at": moment(at), "sign": sign}
            | _window(rule, distance)
            for group, of_group in found.items()
            for name, scale in definition.histograms
            for step in of_group
            for at, sign, distance in self._course(group, name, scale).take(step)
        ]
        self.until = frontier
        return pa.Table.from_pylist(entries, schema=DRIFT.computed)

    def _course(self, group: Group, name: str, scale: Scale) -> Course:
        if (group, name) not in self._courses:
            given = self.released.of(group.tenant, group.segment, group.version) if self.released else None
            self._courses[group, name] = Course(self.rule, name, scale, given)
        return self._courses[group, name]


class Course:
    """The histograms of one distribution in one group so far, and how far they lie from its baseline."""

    def __init__(self, rule: DriftRule, name: str, scale: Scale, given: tuple[str, Amounts] | None = None) -> None:
        """`given`: the release that is the baseline, and its amounts."""
        self._rule, self._statistic, self._scale = rule, f"{name}.histogram", scale
        self._given: Baseline | None = None
        if given:
            self._given = {"release": given[0]}, counts_of(given[1], self._statistic, scale)
        self._known: dict[int, Counts] = {}
        self._supported: list[int] = []
        self._facts: dict[int, list[Distance]] = {}

    def take(self, step: Step) -> Iterator[tuple[int, int, Distance]]:
        """At, sign and distance, of one more step."""
        counts = {window: counts_of(amounts, self._statistic, self._scale) for window, amounts in step.windows.items()}
        changed = {w for w, of in counts.items() if w not in self._known or not np.array_equal(of, self._known[w])}
        before = self._baseline()
        for window in changed:
            self._learn(window, counts[window])
        baseline = self._baseline()
        # what is a baseline's is every window's
        looked = sorted(changed if baseline == before else {*self._facts, *self._supported})
        now = {window: self._far(window, baseline) for window in looked}
        facts = {window: self._facts.pop(window, []) for window in looked}
        self._facts |= {window: found for window, found in now.items() if found}
        yield from ((step.at, -1, one) for window in looked for one in facts[window] if one not in now[window])
        yield from ((step.at, +1, one) for window in looked for one in now[window] if one not in facts[window])

    def _learn(self, window: int, counts: Counts) -> None:
        self._known[window] = counts
        place = bisect_left(self._supported, window)
        if self._supported[place : place + 1] == [window]:
            del self._supported[place]
        if counts.sum() >= self._rule.support:
            self._supported.insert(place, window)

    def _baseline(self) -> dict[int, bytes]:
        """The windows that are the baseline; none while there are too few."""
        first = [] if self._given else self._supported[: self._rule.baseline]
        return {window: self._known[window].tobytes() for window in first} if len(first) == self._rule.baseline else {}

    def _far(self, window: int, baseline: Mapping[int, bytes]) -> list[Distance]:
        """The distances of a window; none of one that has no support, or belongs to the baseline."""
        counts = self._known[window]
        if counts.sum() < self._rule.support or window in baseline or not (baseline or self._given):
            return []
        first: Baseline = {"windows": len(baseline)}, sum(self._known[one] for one in baseline)
        return _distances(window, counts, self._given or first, self._rule, self._scale)


def counts_of(amounts: Amounts, statistic: str, scale: Scale) -> Counts:
    """Counts by bucket: of numbers in their order, then what is missing, then what is none of the declared."""
    held = [str(index) for index in range(len(scale) + 1)] if not isinstance(scale[0], str) else list(scale)
    counts = {
        bucket: amount for (basis, name, bucket), amount in amounts.items() if (basis, name) == ("exposed", statistic)
    }
    return np.array([float(counts.get(str(bucket), 0)) for bucket in (*held, MISSING, OTHER)])


def _distances(window: int, counts: Counts, against: Baseline, rule: DriftRule, scale: Scale) -> list[Distance]:
    which, baseline = against
    about = msgspec.json.encode({**which, "count": round(baseline.sum())}).decode()
    support = int(counts.sum())
    found = []
    for measure, distance in (("psi", psi), ("js", js), ("ks", ks)):
        # what is missing, or of another kind, has no place in the order
        of, on = (counts[:-2], baseline[:-2]) if measure == "ks" else (counts, baseline)
        if measure == "ks" and (isinstance(scale[0], str) or not of.sum() or not on.sum()):
            continue
        value, reference = distance(of, on, rule.alpha)
        reached = value >= max(reference, rule.least) if measure == "psi" else value >= reference
        found.append(Distance(window, measure, value, reference, reached, support, about))
    return found


def _row(rule: DriftRule, definition: Definition, group: Group) -> dict[str, Any]:
    """What the rows of a group share."""
    return asdict(group) | {"model": definition.model, "policy": rule.policy(definition), "cut": cut_name(rule.fields)}


def _window(rule: DriftRule, distance: Distance) -> dict[str, Any]:
    start = moment(distance.window)
    return distance._asdict() | {"window_start": start, "window_end": start + rule.every}
