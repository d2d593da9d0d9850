"""From histograms to drift: how far each mature window lies from the baseline of its group."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from pipelines.definition import MISSING, OTHER, Definition, Scale
from pipelines.gold.metrics.plan import Target, Windows, cut_name, target
from pipelines.watch.distances import Counts, js, ks, psi
from pipelines.watch.rules import DriftRule
from pipelines.watch.tables import DRIFT
from pipelines.watch.windows import LATENESS, Amounts, Group, Step, moment, steps


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
    """Signed rows of gold.drift, from the statistics of a service definition, up to a frontier.

    The baseline is the first windows of the group that have support; they have no distance. Where statistics change later the row
    of what was believed is taken back, and another one states what is believed since.
    """
    found = steps(rows, every=rule.every, settles=LATENESS, frontier=frontier, by_version="version" in rule.by)
    entries = [
        _row(rule, definition, group)
        | {"feature": name, "known_at": moment(at), "sign": sign}
        | _window(rule, distance)
        for group, of_group in found.items()
        for name, scale in definition.histograms
        for at, sign, distance in distances(of_group, rule, name, scale)
    ]
    return pa.Table.from_pylist(entries, schema=DRIFT.computed)


def distances(of_group: list[Step], rule: DriftRule, name: str, scale: Scale) -> Iterator[tuple[int, int, Distance]]:
    """At, sign and distance of one distribution, in the order of time."""
    known: dict[int, Counts] = {}
    facts: dict[int, list[Distance]] = {}
    first: list[int] = []
    for step in of_group:
        before = [known[window].tobytes() for window in first]
        counts = {window: counts_of(amounts, f"{name}.histogram", scale) for window, amounts in step.windows.items()}
        changed = {window for window, found in counts.items() if window not in known or (found != known[window]).any()}
        known |= {window: counts[window] for window in changed}
        supported = sorted(window for window, found in known.items() if found.sum() >= rule.support)
        first = supported[: rule.baseline]
        # what is a baseline's is every window's
        anew = [known[window].tobytes() for window in first] != before
        if not changed or len(first) < rule.baseline:
            now = {} if len(first) < rule.baseline else facts
        else:
            looked = [w for w in supported[rule.baseline :] if anew or w in changed]
            kept = {} if anew else {window: of for window, of in facts.items() if window not in changed}
            sums = sum(known[window] for window in first)
            now = kept | {window: _distances(window, known[window], sums, rule, scale) for window in looked}
        gone = [one for window in sorted(facts) for one in facts[window] if one not in now.get(window, ())]
        come = [one for window in sorted(now) for one in now[window] if one not in facts.get(window, ())]
        yield from ((step.at, -1, one) for one in gone)
        yield from ((step.at, +1, one) for one in come)
        facts = now


def counts_of(amounts: Amounts, statistic: str, scale: Scale) -> Counts:
    """Counts by bucket: of numbers in their order, then what is missing, then what is none of the declared."""
    held = [str(index) for index in range(len(scale) + 1)] if not isinstance(scale[0], str) else list(scale)
    counts = {
        bucket: amount for (basis, name, bucket), amount in amounts.items() if (basis, name) == ("exposed", statistic)
    }
    return np.array([float(counts.get(str(bucket), 0)) for bucket in (*held, MISSING, OTHER)])


def _distances(window: int, counts: Counts, baseline: Counts, rule: DriftRule, scale: Scale) -> list[Distance]:
    about = msgspec.json.encode({"windows": rule.baseline, "count": int(baseline.sum())}).decode()
    support = int(counts.sum())
    found = []
    for measure, distance in (("psi", psi), ("js", js), ("ks", ks)):
        # what is missing, or of another kind, has no place in the order
        of, against = (counts[:-2], baseline[:-2]) if measure == "ks" else (counts, baseline)
        if measure == "ks" and (isinstance(scale[0], str) or not of.sum() or not against.sum()):
            continue
        value, reference = distance(of, against, rule.alpha)
        reached = value >= max(reference, rule.least) if measure == "psi" else value >= reference
        found.append(Distance(window, measure, value, reference, reached, support, about))
    return found


def _row(rule: DriftRule, definition: Definition, group: Group) -> dict[str, Any]:
    """What the rows of a group share."""
    return asdict(group) | {"model": definition.model, "policy": rule.policy(definition), "cut": cut_name(rule.fields)}


def _window(rule: DriftRule, distance: Distance) -> dict[str, Any]:
    start = moment(distance.window)
    return distance._asdict() | {"window_start": start, "window_end": start + rule.every}
