"""What is to be watched, as values: alerts, drift and triggers of one model file."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any

from pipelines.definition import Definition, digest

DETECTORS = ("below", "above", "drop", "change")
CHANGES = ("page_hinkley", "adwin")
AGAINST = ("windows", "release")


@dataclass(frozen=True)
class AlertRule:
    """[alerts.NAME]: a metric of a label (or "", the service) over windows of width `every`, by the fields of a cut and version.

    `detector`: below or above `limit` in `of[0]` of the last `of[1]` windows; drop by more than `limit` against the first `baseline`
    windows, wrong with probability `alpha` at most; or a change that `limit` and `alpha` parametrise. Windows with less than
    `support` are passed over. `clear_at`: what the metric must come back to.
    """

    name: str
    label: str
    metric: str
    every: timedelta
    detector: str
    limit: float
    by: tuple[str, ...] = ()
    support: int = 30
    of: tuple[int, int] = (1, 1)
    clear_at: float | None = None
    baseline: int = 7
    alpha: float = 0.01
    method: str = ""
    falls: bool = True
    """Whether worse is lower."""
    against: str = "windows"
    """What a drop is held against: the first windows; or "release", the slice held out by the release that a version was trained on."""

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(name for name in self.by if name != "version")

    def policy(self, definition: Definition) -> str:
        """The hash of the rule and of what it looks at."""
        return digest({"rule": _plain(self), "definition": definition.hash})


@dataclass(frozen=True)
class DriftRule:
    """[drift]: the declared distributions over windows of width `every`, against the first `baseline` windows of a version.

    `against`: with "release" against the rows that a version was trained on, where gold.retrainings says which they were.
    `least`: the population stability index below which nothing is reached, whatever the count. `alpha`: how often a window without
    drift reaches the reference, by measure and distribution.
    """

    every: timedelta
    by: tuple[str, ...] = ("version",)
    support: int = 200
    baseline: int = 7
    alpha: float = 0.001
    least: float = 0.1
    against: str = "windows"

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(name for name in self.by if name != "version")

    def policy(self, definition: Definition) -> str:
        return digest({"drift": _plain(self), "definition": definition.hash})


@dataclass(frozen=True)
class Condition:
    """One condition of a trigger: `kind` is alert, drift, new_examples or every."""

    kind: str
    name: str = ""
    count: int = 0
    every: timedelta = timedelta(0)

    @property
    def said(self) -> str:
        return self.name or self.kind


@dataclass(frozen=True)
class TriggerRule:
    """[triggers.NAME]: fires when all (or any) of its conditions hold; never twice for one incident.

    `cooldown`: least time between two. `budget`: so many per period. `raters`: least number of distinct raters behind what it
    rests on. `by_hand`: it waits for approval.
    """

    name: str
    label: str
    conditions: tuple[Condition, ...]
    all_of: bool
    cooldown: timedelta = timedelta(0)
    budget: tuple[int, timedelta] | None = None
    raters: int = 0
    by_hand: bool = False

    def policy(self, alerts: dict[str, str]) -> str:
        """The hash of the trigger and of the policies of the alerts and drift that it names."""
        named = {one.name: alerts.get(one.name, "") for one in self.conditions if one.name}
        return digest({"trigger": _plain(self), "alerts": named})


@dataclass(frozen=True)
class Watched:
    """What one model file has watched, and the definitions that it declares."""

    model: str
    definitions: tuple[Definition, ...] = ()
    alerts: tuple[AlertRule, ...] = ()
    drift: DriftRule | None = None
    triggers: tuple[TriggerRule, ...] = field(default=())

    def definition(self, label: str) -> Definition:
        return next(one for one in self.definitions if one.label == label)


def _plain(rule: Any) -> dict[str, Any]:
    """A rule as JSON has it: durations in seconds; without what says no more than was said before it could be said."""
    return {name: _seconds(value) for name, value in asdict(rule).items() if (name, value) != ("against", "windows")}


def _seconds(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, dict):
        return {name: _seconds(one) for name, one in value.items()}
    return [_seconds(one) for one in value] if isinstance(value, list | tuple) else value
