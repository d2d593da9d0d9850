"""What model files have watched: [alerts.NAME], [drift] and [triggers.NAME], read as strictly as the rest of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from pipelines.definition import Definition
from pipelines.errors import ConfigError, InputError, nearest
from pipelines.gold.metrics.catalogue import applicable
from pipelines.gold.metrics.declaration import Metric
from pipelines.gold.metrics.plan import Target, Windows, cut_name, target
from pipelines.keys import NAME, Keys, either
from pipelines.models import load_models, model_files
from pipelines.problems import Problems
from pipelines.quantities import duration, read_toml
from pipelines.watch.rules import CHANGES, DETECTORS, AlertRule, Condition, DriftRule, TriggerRule, Watched

_COMMON = ("label", "metric", "every", "by", "support")
_OF_DETECTOR = {
    "below": ("windows", "clear_at"),
    "above": ("windows", "clear_at"),
    "drop": ("windows", "baseline", "alpha"),
    "change": ("threshold", "alpha"),
}
_DRIFT = ("every", "by", "support", "baseline", "alpha", "least", "features", "scores")
_TRIGGER = ("label", "when", "cooldown", "budget", "raters", "approve")
_OF = re.compile(r"([0-9]{1,4}) of ([0-9]{1,4})")
_BUDGET = re.compile(r"([0-9]{1,6}) per (.+)")
_EXAMPLES = re.compile(r"new_examples >= ([0-9]{1,12})")
CONDITION = 'the name of an alert, "drift.feature.NAME", "new_examples >= 10000" or "every 7 days"'


def load_watched(directory: Path) -> list[Watched]:
    """What the model files of a folder have watched. Raises ConfigError as `load_models`, and unknown_metric, unknown_label."""
    definitions = load_models(directory)
    return [
        watched_of(path, [one for one in definitions if one.model == read_toml(path)["model"]])
        for path in model_files(directory)
    ]


def watched_of(path: Path, definitions: list[Definition]) -> Watched:
    """What one model file has watched."""
    problems, body = Problems(str(path)), read_toml(path)
    top = Keys({name: body[name] for name in ("alerts", "drift", "triggers") if name in body}, "", body, problems)
    alerts = [_alert(name, one, definitions, problems) for name, one in _tables(top, "alerts", problems)]
    drift = _drift(top.table("drift"), definitions[0], problems) if "drift" in body else None
    rules = {alert.name: alert for alert in alerts if alert}
    named = [*rules, *(f"drift.{name}" for name, _ in definitions[0].histograms if drift)]
    labels = [one.label for one in definitions if one.label]
    triggers = [_trigger(name, one, labels, named, problems) for name, one in _tables(top, "triggers", problems)]
    problems.close(ConfigError)
    return Watched(
        definitions[0].model, tuple(definitions), tuple(rules.values()), drift, tuple(one for one in triggers if one)
    )


def _tables(top: Keys, key: str, problems: Problems) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for name, body in sorted(top.table(key).items()):
        if not isinstance(body, dict):
            problems.wrong_type(f"{key}.{name}", body, "a table")
        elif not NAME.fullmatch(name):
            problems.bad_value(f"{key}.{name}", name, "a name of letters, digits, _, -, . and spaces, at most 128")
        else:
            found.append((name, body))
    return found


def _alert(name: str, body: dict[str, Any], definitions: list[Definition], problems: Problems) -> AlertRule | None:
    where = f"alerts.{name}"
    detectors = [one for one in DETECTORS if one in body]
    if len(detectors) != 1:
        problems.add("bad_value", f"{where}: expected one of {either(DETECTORS)}, found {either(detectors) or 'none'}")
        return None
    (detector,) = detectors
    keys = Keys(body, f"{where}.", (*_COMMON, detector, *_OF_DETECTOR[detector]), problems)
    definition = _definition(keys, definitions)
    every, by = _every(keys), tuple(keys.strings("by", []))
    metric = _metric(keys, definition, definitions[0]) if definition else None
    if definition:
        _source(keys, definition, definitions[0], every, by)
    if metric is None or definition is None:
        return None
    method = keys.choice("change", CHANGES, None) if detector == "change" else ""
    if detector == "drop" and metric.interval is None:
        keys.bad_value(
            "drop", body["drop"], f"a metric with an interval, by which a drop is tested; {metric.name} has none"
        )
    if detector == "change" and method == "adwin" and metric.bounds != (0.0, 1.0):
        keys.bad_value("change", method, f'a metric from 0 to 1, or "page_hinkley"; {metric.name} has other bounds')
    limit = keys.number("threshold" if detector == "change" else detector, -1e12, 1e12)
    if limit is None and method != "adwin":
        problems.missing(f"{where}.{'threshold' if detector == 'change' else detector}", "a number")
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
        alpha=_alpha(keys, 0.01),
        method=method,
        falls=metric.better != "lower",
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


def _source(keys: Keys, definition: Definition, service: Definition, every: timedelta, by: tuple[str, ...]) -> None:
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


def _every(keys: Keys) -> timedelta:
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


def _alpha(keys: Keys, default: float) -> float:
    found = keys.number("alpha", 1e-9, 0.5)
    return default if found is None else found


def _drift(body: dict[str, Any], service: Definition, problems: Problems) -> DriftRule | None:
    keys = Keys(body, "drift.", _DRIFT, problems)
    every, by = _every(keys), tuple(keys.strings("by", ["version"]))
    _source(keys, service, service, every, by)
    if not service.histograms and not problems.found:
        problems.missing(
            "drift.features", "a table [drift.features.NAME], or [drift.scores.NAME], with edges or values"
        )
    least = keys.number("least", 0.0, 1e3)
    return DriftRule(
        every,
        by,
        keys.count("support", 200),
        keys.count("baseline", 7),
        _alpha(keys, 0.001),
        0.1 if least is None else least,
    )


def _trigger(
    name: str, body: dict[str, Any], labels: list[str], named: list[str], problems: Problems
) -> TriggerRule | None:
    where = f"triggers.{name}"
    keys = Keys(body, f"{where}.", _TRIGGER, problems)
    label = body.get("label", labels[0] if len(labels) == 1 else None)
    if label not in labels:
        problems.add(
            "unknown_label",
            f"{where}.label: expected one of {either(labels)}, found {label!r}{nearest(str(label), labels)}",
        )
    when = body.get("when")
    if not isinstance(when, dict) or len(when) != 1 or next(iter(when)) not in ("all", "any"):
        problems.bad_value(f"{where}.when", when, "{all = [conditions]} or {any = [conditions]}")
        return None
    ((combined, said),) = when.items()
    inner = Keys(when, f"{where}.when.", ("all", "any"), problems)
    conditions = [_condition(inner, combined, one, named) for one in inner.strings(combined, [])]
    if not said:
        inner.bad_value(combined, said, f"at least one condition: {CONDITION}")
    cooldown = (
        keys.read("cooldown", duration, timedelta(0), 'a duration such as "7 days"')
        if "cooldown" in body
        else timedelta(0)
    )
    return TriggerRule(
        name,
        str(label),
        tuple(one for one in conditions if one),
        combined == "all",
        cooldown,
        keys.read("budget", _budget, None, '"2 per 30 days"') if "budget" in body else None,
        keys.count("raters", 1) if "raters" in body else 0,
        keys.choice("approve", ("auto", "by hand"), "auto") == "by hand",
    )


def _budget(text: str) -> tuple[int, timedelta] | None:
    match = _BUDGET.fullmatch(text)
    if not match or not int(match[1]) or not duration(match[2]):
        raise ValueError('so many per duration, such as "2 per 30 days"')
    return int(match[1]), duration(match[2])


def _condition(keys: Keys, key: str, text: str, named: list[str]) -> Condition | None:
    if match := _EXAMPLES.fullmatch(text):
        return Condition("new_examples", count=int(match[1]))
    if text in named:
        return Condition("drift" if text.startswith("drift.") else "alert", text)
    if text.startswith("every "):
        try:
            return Condition("every", every=duration(text.removeprefix("every ")))
        except ValueError:
            pass
    keys.bad_value(key, text, f"{CONDITION}{nearest(text, named)}")
    return None


def policies(watched: Watched) -> Mapping[str, str]:
    """The policy of each alert, and of the drift of each distribution, by the name that triggers know it by."""
    found = {rule.name: rule.policy(watched.definition(rule.label)) for rule in watched.alerts}
    if watched.drift:
        service = watched.definition("")
        found |= {f"drift.{name}": watched.drift.policy(service) for name, _ in service.histograms}
    return found
