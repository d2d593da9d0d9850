"""The sections [retrain] and [acceptance] of a model file: how a model is trained again, and what its successor must show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from pipelines.errors import ConfigError
from pipelines.keys import Keys
from pipelines.problems import Problems
from pipelines.quantities import duration, read_toml

SECTIONS = ("retrain", "acceptance")
TARGETS = {"local": (), "databricks": ("url", "job"), "airflow": ("url", "dag"), "webhook": ("url",), "kafka": ("url", "topic")}
"""Who may train, and what must be said of each."""
LOSSES = ("brier", "log", "absolute", "zero_one")
LIVE = ("none", "shadow", "canary")
_RETRAIN = ("target", "project", "entry", "timeout", "experiment", "label", "url", "job", "dag", "topic", "token_file")
_ACCEPTANCE = ("loss", "margin", "alpha", "support", "most", "live", "least_propensity", "least_asked", "segments")


@dataclass(frozen=True)
class Retrain:
    """How a model is trained again.

    `project`: folder of an MLproject; empty for the one that comes along. `entry`: its entry point. `timeout`: a run that takes longer
    has failed. `experiment`: of MLflow. `label`: that is learnt; empty for the trigger's. `url`, `job`, `dag`, `topic`: where another
    target is. `token_file`: holds its secret.
    """

    target: str = "local"
    project: str = ""
    entry: str = "main"
    timeout: timedelta = timedelta(hours=1)
    experiment: str = "hindsight"
    label: str = ""
    url: str = ""
    job: str = ""
    dag: str = ""
    topic: str = ""
    token_file: str = ""


@dataclass(frozen=True)
class Acceptance:
    """What a challenger must show against the champion. Differences are challenger minus champion, in units of the loss.

    `loss`: brier or log (of a binary label or a category), zero_one (a category's), absolute (a number's). `margin`: a mean difference
    of this much is still good enough.
    `alpha`: the error of the whole decision. `support`: fewer outcomes decide nothing. `most`: after so many a challenger that has not
    shown it is refused. `live`: what it is judged on beyond the held-out slice. `least_propensity`: of an arm of the canary.
    `least_asked`: the least probability with which a label is asked for, 1 where it always is; what was asked for more seldom is left
    out, since an interval is as wide as the greatest weight may be. `segments`: by field, the difference at which no value of it may lie.
    """

    loss: str = "brier"
    margin: float = 0.0
    alpha: float = 0.05
    support: int = 500
    most: int = 100_000
    live: str = "none"
    least_propensity: float = 0.05
    least_asked: float = 1.0
    segments: tuple[tuple[str, float], ...] = ()


def declared(directory: Path, model: str) -> tuple[Retrain, Acceptance] | None:
    """What a model's file says of its retraining; None where it says nothing, or there is no file. Raises ConfigError."""
    for path in sorted(directory.glob("*.toml")):
        body = read_toml(path)
        if body.get("model") == model and "retrain" in body:
            problems = Problems(str(path))
            found = read(body, problems)
            problems.close(ConfigError)
            return found
    return None


def read(body: Mapping[str, Any], problems: Problems) -> tuple[Retrain, Acceptance]:
    """Both sections of a model file."""
    segments = body.get("segments") if isinstance(body.get("segments"), dict) else {}
    top = Keys({name: body[name] for name in SECTIONS if name in body}, "", SECTIONS, problems)
    labels = body.get("labels") if isinstance(body.get("labels"), dict) else {}
    retrain = _retrain(top.table("retrain"), str(body.get("model") or ""), [*(labels or {})], problems)
    return retrain, _acceptance(top.table("acceptance"), segments or {}, problems)


def _retrain(body: dict[str, Any], model: str, labels: Sequence[str], problems: Problems) -> Retrain:
    keys = Keys(body, "retrain.", _RETRAIN, problems)
    target = keys.choice("target", TARGETS, "local")
    texts = {name: keys.text(name, None) for name in ("project", "label", *TARGETS.get(target, ()), "token_file") if name in body}
    for name in TARGETS.get(target, ()):
        if name not in body:
            problems.missing(f"retrain.{name}", f'a string: target = "{target}" needs it')
    for name in {"url", "job", "dag", "topic"} & body.keys() - {*TARGETS.get(target, ())}:
        keys.bad_value(name, body[name], f'none: target = "{target}" has no use for it')
    if texts.get("label") and texts["label"] not in labels:
        keys.bad_value("label", texts["label"], f"a label of this file: {', '.join(labels)}")
    if texts.get("url") and target != "kafka" and not texts["url"].startswith(("http://", "https://")):
        keys.bad_value("url", texts["url"], "an http or https address")
    if texts.get("job") and not texts["job"].isdecimal():
        keys.bad_value("job", texts["job"], 'the number of a job, as a string such as "620"')
    hour = Retrain.timeout
    return Retrain(
        target,
        entry=keys.text("entry", "main"),
        timeout=keys.read("timeout", _positive, hour, 'a duration such as "1 hour"') if "timeout" in body else hour,
        experiment=keys.text("experiment", model or Retrain.experiment),
        **texts,
    )


def _acceptance(body: dict[str, Any], segments: Mapping[str, Any], problems: Problems) -> Acceptance:
    keys = Keys(body, "acceptance.", _ACCEPTANCE, problems)
    limits = keys.table("segments")
    within = Keys(limits, "acceptance.segments.", [name for name, values in segments.items() if values != "any"], problems)
    least, most = keys.count("support", Acceptance.support), keys.count("most", Acceptance.most)
    if most < least:
        keys.bad_value("most", most, f"at least the support of {least}")
    return Acceptance(
        loss=keys.choice("loss", LOSSES, "brier"),
        margin=_share(keys, "margin", 0.0, Acceptance.margin),
        alpha=_share(keys, "alpha", 1e-6, Acceptance.alpha, 0.5),
        support=least,
        most=most,
        live=keys.choice("live", LIVE, "none"),
        least_propensity=_share(keys, "least_propensity", 1e-6, Acceptance.least_propensity, 0.5),
        least_asked=_share(keys, "least_asked", 1e-6, Acceptance.least_asked, 1.0),
        segments=tuple((name, _share(within, name, 0.0, 0.0)) for name in sorted(limits)),
    )


def _share(keys: Keys, key: str, low: float, default: float, high: float = 1e9) -> float:
    found = keys.number(key, low, high)
    return default if found is None else found


def _positive(text: str) -> timedelta:
    length = duration(text)
    if not length:
        raise ValueError("a duration of more than 0")
    return length
