"""[alerts.NAME] of a model file, read key by key."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from pipelines.definition import Definition
from pipelines.errors import InputError, nearest
from pipelines.gold.metrics.catalogue import applicable
from pipelines.gold.metrics.declaration import Metric
from pipelines.gold.metrics.plan import Target, Windows, cut_name, target
from pipelines.keys import Keys, either
from pipelines.problems import Problems
from pipelines.quantities import duration
from pipelines.watch.rules import AGAINST, CHANGES, DETECTORS, AlertRule

_COMMON = ("label", "metric", "every", "by", "support")
_OF_DETECTOR = {
    "below": ("windows", "clear_at"),
    "above": ("windows", "clear_at"),
    "drop": ("windows", "baseline", "alpha", "against"),
    "change": ("threshold", "alpha"),
}
_OF = re.compile(r"([0-9]{1,4}) of ([0-9]{1,4})")


def alert_of(name: str, body: dict[str, Any], definitions: list[Definition], problems: Problems) -> AlertRule | None:
    """The alert; None where it cannot be read, which is a problem."""
    where = f"alerts.{name}"
    detectors = [one for one in DETECTORS if one in body]
    if len(detectors) != 1:
        problems.add("bad_value", f"{where}: expected one of {either(DETECTORS)}, found {either(detectors) or 'none'}")
        return None
    (detector,) = detectors
    keys = Keys(body, f"{where}.", (*_COMMON, detector, *_OF_DETECTOR[detector]), problems)
    definition = _definition(keys, definitions)
    every, by = width_of(keys), tuple(keys.strings("by", []))
    metric = _metric(keys, definition, definitions[0]) if definition else None
    if definition:
        source_of(keys, definition, definitions[0], every, by)
    if metric is None or definition is None:
        return None
    method = keys.choice("change", CHANGES, None) if detector == "change" else ""
    if detector == "drop" and metric.interval is None:
        keys.bad_value(
            "drop", body["drop"], f"a metric with an interval, by which a drop is tested; {metric.name} has none"
        )
    if detector == "change" and method == "adwin" and metric.bounds != (0.0, 1.0):
        keys.bad_value("change", method, f'a metric from 0 to 1, or "page_hinkley"; {metric.name} has other bounds')
    against = keys.choice("against", AGAINST, "windows") if detector == "drop" else "windows"
    if against == "release" and by != ("version",):
        keys.bad_value("against", against, '"windows" where `by` is not ["version"]: a release says how good one version was, all in all')
    key = "threshold" if detector == "change" else detector
    limit = keys.number(key, -1e12 if detector in ("below", "above") else 0.0, 1e12)
    if key not in body and method != "adwin":
        problems.missing(f"{where}.{key}", "a number")
    return AlertRule(
        name=name,
        label=definition.label,
        metric=str(body["metric"]),
        every=every,
        detector=detector,
        limit=limit or 0.0,
        by=by,
        support=keys.count("support", 30),
        of=_of(keys, (2, 3) if detector == "drop" else (1, 1)),
        clear_at=_clear_at(keys, detector, limit),
        baseline=keys.count("baseline", 7),
        alpha=alpha_of(keys, 0.01),
        method=method,
        falls=metric.better != "lower",
        against=against,
    )


def _definition(keys: Keys, definitions: list[Definition]) -> Definition | None:
    labels = [one.label for one in definitions]
    label = keys.body.get("label")
    if label not in labels:
        known = either(labels)
        keys.problems.add(
            "unknown_label",
            f'{keys.prefix}label: expected one of {known} ("" is the service), found {label!r}{nearest(str(label), labels)}',
        )
        return None
    return next(one for one in definitions if one.label == label)


def _metric(keys: Keys, definition: Definition, service: Definition) -> Metric | None:
    name = keys.text("metric", None)
    asked = Target(definition, (), service.measures)
    known: dict[str, Metric] = {}
    for metric in applicable(asked):
        for measure in asked.measures if metric.each == "measure" else ("",):
            known |= {metric.name.format(each=measure): metric} if metric.each != "class" else {}
    if name and name not in known:
        keys.problems.add(
            "unknown_metric",
            f'{keys.prefix}metric: label "{definition.label}" has no metric {name!r}{nearest(name, known)}; it has {", ".join(known)}',
        )
    return known.get(name)


def source_of(keys: Keys, definition: Definition, service: Definition, every: timedelta, by: tuple[str, ...]) -> None:
    """Whether there will be statistics of this width and cut."""
    fields = [name for name in by if name != "version"]
    try:
        target(definition, [service], Windows(every, every), fields)
    except InputError as error:
        wrong, found = (
            ("by", cut_name(fields)) if error.code == "cut_not_declared" else ("every", keys.body.get("every"))
        )
        expected = (
            ", ".join(cut_name(cut) for cut in definition.cuts)
            if wrong == "by"
            else f"a multiple of {either(definition.grains)}"
        )
        keys.bad_value(
            wrong, found, f"{'one of the cuts ' if wrong == 'by' else ''}{expected}, as [statistics] declares"
        )


def width_of(keys: Keys) -> timedelta:
    """Width of a window."""

    def read(text: str) -> timedelta:
        width = duration(text)
        if not width or width % timedelta(minutes=1):
            raise ValueError('whole minutes, hours, days or weeks, such as "1 day"')
        return width

    return keys.read("every", read, timedelta(days=1), 'a duration such as "1 day"')


def _of(keys: Keys, default: tuple[int, int]) -> tuple[int, int]:
    def read(text: str) -> tuple[int, int]:
        match = _OF.fullmatch(text)
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise ValueError('so many windows of the last so many, such as "3 of 5"')
        return int(match[1]), int(match[2])

    return keys.read("windows", read, default, '"3 of 5"') if "windows" in keys.body else default


def _clear_at(keys: Keys, detector: str, limit: float | None) -> float | None:
    clear = keys.number("clear_at", -1e12, 1e12) if detector in ("below", "above") else None
    if clear is not None and limit is not None and (clear < limit if detector == "below" else clear > limit):
        keys.bad_value(
            "clear_at",
            clear,
            f"a number {'at or above' if detector == 'below' else 'at or below'} {limit:g}, which raises it",
        )
    return clear


def alpha_of(keys: Keys, default: float) -> float:
    """The error that is stated."""
    found = keys.number("alpha", 1e-9, 0.5)
    return default if found is None else found
