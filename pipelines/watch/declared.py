"""What model files have watched: [alerts.NAME], [drift] and [triggers.NAME], read as strictly as the rest of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.definition import Definition
from pipelines.errors import ConfigError
from pipelines.keys import NAME, Keys
from pipelines.models import load_models, model_files
from pipelines.problems import Problems
from pipelines.quantities import read_toml
from pipelines.watch.alert_keys import alert_of, alpha_of, source_of, width_of
from pipelines.watch.rules import AGAINST, DriftRule, Watched
from pipelines.watch.trigger_keys import trigger_of

_DRIFT = ("every", "by", "support", "baseline", "alpha", "least", "against", "features", "scores")


def load_watched(directory: Path) -> list[Watched]:
    """What the model files of a folder have watched. Raises ConfigError as `load_models`, and unknown_metric, unknown_label."""
    definitions = load_models(directory)
    models = {path: read_toml(path)["model"] for path in model_files(directory)}
    return [watched_of(path, [one for one in definitions if one.model == model]) for path, model in models.items()]


def watched_of(path: Path, definitions: list[Definition]) -> Watched:
    """What one model file has watched."""
    problems, body = Problems(str(path)), read_toml(path)
    top = Keys({name: body[name] for name in ("alerts", "drift", "triggers") if name in body}, "", body, problems)
    alerts = [alert_of(name, one, definitions, problems) for name, one in _tables(top, "alerts", problems)]
    drift = _drift(top.table("drift"), definitions[0], problems) if "drift" in body else None
    rules = {alert.name: alert for alert in alerts if alert}
    named = [*rules, *(f"drift.{name}" for name, _ in definitions[0].histograms if drift)]
    labels = [one.label for one in definitions if one.label]
    triggers = [trigger_of(name, one, labels, named, problems) for name, one in _tables(top, "triggers", problems)]
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


def _drift(body: dict[str, Any], service: Definition, problems: Problems) -> DriftRule | None:
    keys = Keys(body, "drift.", _DRIFT, problems)
    every, by = width_of(keys), tuple(keys.strings("by", ["version"]))
    source_of(keys, service, service, every, by)
    if not service.histograms and not problems.found:
        problems.missing(
            "drift.features", "a table [drift.features.NAME], or [drift.scores.NAME], with edges or values"
        )
    least = keys.number("least", 0.0, 1e3)
    against = keys.choice("against", AGAINST, "windows")
    if against == "release" and "version" not in by:
        keys.bad_value("against", against, '"windows" where `by` does not say "version": a release is one version\'s')
    return DriftRule(
        every,
        by,
        keys.count("support", 200),
        keys.count("baseline", 7),
        alpha_of(keys, 0.001),
        0.1 if least is None else least,
        against,
    )


def policies(watched: Watched) -> Mapping[str, str]:
    """The policy of each alert, and of the drift of each distribution, by the name that triggers know it by."""
    found = {rule.name: rule.policy(watched.definition(rule.label)) for rule in watched.alerts}
    if watched.drift:
        service = watched.definition("")
        found |= {f"drift.{name}": watched.drift.policy(service) for name, _ in service.histograms}
    return found
