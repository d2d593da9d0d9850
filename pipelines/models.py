"""Model files: what is declared about a model, as definitions. Values only; see `conf/models/arrival_delay.toml`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from datetime import timedelta
from pathlib import Path
from typing import Any

from pipelines.dataset import spec
from pipelines.definition import (
    DISTRIBUTION,
    GRAINS,
    LONGEST,
    NUMERIC_RESOLVES,
    RESOLVES,
    TAKEN,
    WIDEST,
    Definition,
    Policy,
    Scale,
    is_scale,
)
from pipelines.errors import ConfigError, nearest
from pipelines.keys import FIELD, NAME, Keys, either
from pipelines.problems import Problems
from pipelines.quantities import duration, read_toml
from pipelines.retrain import declared as retraining

MAPPING = ".import.toml"

_LOOP = ("dataset", "drift", "alerts", "triggers", *retraining.SECTIONS)
_TOP = ("model", "measures", "labels", "segments", "statistics", *_LOOP)
_COMMON = ("type", "unit", "judges", "attribution_window", "absent", "resolve", "roles", "cap")
_OF_TYPE = {"binary": ("positive", "threshold"), "number": ("positive_at", "range"), "category": ("classes",)}


def load_models(directory: Path) -> list[Definition]:
    """The definitions of every model file in a folder, by file name. Raises ConfigError as `load_model` does."""
    if not directory.is_dir():
        raise ConfigError("file_missing", f"{directory}: no such folder; expected the folder of the model files")
    loaded = {path: load_model(path) for path in model_files(directory)}
    names = Counter(definitions[0].model for definitions in loaded.values())
    problems = Problems(str(directory))
    for name, count in names.items():
        if count > 1:
            where = ", ".join(path.name for path, definitions in loaded.items() if definitions[0].model == name)
            problems.add("model_twice", f'model "{name}" is declared in {where}; expected one file per model')
    problems.close(ConfigError)
    return [definition for definitions in loaded.values() for definition in definitions]


def without_label(directory: Path, models: Collection[str]) -> list[Path]:
    """Of the files of these models, those that declare no label yet, and say so with a TODO."""
    marked = [path for path in model_files(directory) if "# TODO" in path.read_text(encoding="utf-8")]
    loaded = {path: load_model(path) for path in marked}
    return [path for path, found in loaded.items() if found[0].model in models and len(found) == 1]


def model_files(directory: Path) -> list[Path]:
    """The model files of a folder, by name."""
    return sorted(path for path in directory.glob("*.toml") if not path.name.endswith(MAPPING))


def load_model(path: Path) -> list[Definition]:
    """The definitions of one model file: the service's first, then one per label, by name.

    Raises one ConfigError for all: file_missing, toml_invalid, unknown_key, missing_key, wrong_type, bad_value.
    """
    problems = Problems(str(path))
    top = Keys(read_toml(path), "", _TOP, problems)
    model = top.name("model")
    segments = _segments(top.table("segments"), problems)
    statistics = Keys(top.table("statistics"), "statistics.", ("grains", "cuts"), problems)
    shared: dict[str, Any] = {
        "model": model,
        "segments": segments,
        "grains": tuple(sorted(statistics.strings("grains", ["1 hour", "1 day"], GRAINS), key=list(GRAINS).index)),
        "cuts": _cuts(statistics.strings("cuts", ["all"]), [name for name, _ in segments], problems),
    }
    measures = tuple(sorted(top.strings("measures", [])))
    for name in measures:
        if not FIELD.fullmatch(name) or name in TAKEN:
            problems.bad_value("measures", name, f"letters, digits, _ and -, and none of {', '.join(TAKEN)}")
    definitions = [Definition(label="", measures=measures, histograms=_histograms(top.table("drift"), problems), **shared)]
    for name, body in sorted(top.table("labels").items()):
        definition = _label(name, body, shared, problems)
        if definition:
            definitions.append(definition)
    spec.check(top.table("dataset"), [*top.table("labels")], [name for name, _ in segments], problems)
    retraining.read(top.body, problems)
    problems.close(ConfigError)
    return definitions


def _label(name: str, body: Any, shared: dict[str, Any], problems: Problems) -> Definition | None:
    where = f"labels.{name}"
    if not NAME.fullmatch(name):
        problems.bad_value(where, name, "a name of letters, digits, _, -, . and spaces, at most 128")
    if not isinstance(body, dict):
        problems.wrong_type(where, body, "a table")
        return None
    kind = body.get("type")
    if kind not in tuple(_OF_TYPE):
        problems.bad_value(f"{where}.type", kind, f"one of {either(_OF_TYPE)}{nearest(str(kind), _OF_TYPE)}")
        return None
    label = Keys(body, f"{where}.", (*_COMMON, *_OF_TYPE[kind]), problems)
    positive = label.scalar("positive", 1e12) if kind == "binary" else None
    judges = _judges(label, kind)
    threshold = label.number("threshold", 0.0, 1.0)
    if threshold is not None and judges == "none":
        problems.bad_value(f"{where}.threshold", threshold, 'none where judges is "none": nothing is compared')
    return Definition(
        label=name,
        policy=_policy(label, kind, positive),
        judges=judges,
        positive=positive,
        threshold=threshold,
        positive_at=label.number("positive_at", -WIDEST, WIDEST),
        classes=tuple(sorted(label.strings("classes", []))),
        **shared,
    )


def _policy(label: Keys, kind: str, positive: float | str | None) -> Policy:
    resolve = label.choice("resolve", RESOLVES, None)
    if resolve in NUMERIC_RESOLVES and (kind == "category" or isinstance(positive, str)):
        others = (name for name in RESOLVES if name not in NUMERIC_RESOLVES)
        label.bad_value("resolve", resolve, f"{either(others)}: values are texts")
    roles = label.strings("roles", [])
    if (resolve == "priority") != bool(roles):
        label.bad_value("roles", roles, 'the roles, best first, where resolve is "priority", and none otherwise')
    low, high = label.pair("range", -WIDEST, WIDEST) if kind == "number" else (None, None)
    return Policy(
        type=kind,
        unit=label.choice("unit", ("request", "item"), "request"),
        resolve=resolve,
        window=label.read("attribution_window", _window, 0, 'a duration such as "48 hours"'),
        absent=_absent(label, kind),
        roles=tuple(roles),
        cap=label.count("cap", 1),
        low=low,
        high=high,
    )


def _window(text: str) -> int:
    length = duration(text)
    if not timedelta(seconds=1) <= length <= LONGEST or length % timedelta(seconds=1):
        raise ValueError(f"whole seconds, from 1 second to {LONGEST.days} days")
    return length // timedelta(seconds=1)


def _absent(label: Keys, kind: str) -> float | str:
    allowed = {"binary": ("missing", "negative"), "number": ("missing",), "category": ("missing",)}[kind]
    found = label.body.get("absent", "missing")
    if kind == "number" and type(found) in (int, float):
        return label.number("absent", -WIDEST, WIDEST) or 0.0
    if found not in allowed:
        also = " or a number" if kind == "number" else f" for a {kind} label"
        label.bad_value("absent", found, either(allowed) + also)
    return str(found)


def _judges(label: Keys, kind: str) -> str:
    judges = label.text("judges", "prediction")
    named = judges.startswith("scores.") and NAME.fullmatch(judges.removeprefix("scores.")) and kind != "category"
    if judges not in ("prediction", "none") and not named:
        also = "" if kind == "category" else ', "scores.NAME"'
        label.bad_value("judges", judges, f'"prediction"{also} or "none"')
    return judges


def _segments(table: dict[str, Any], problems: Problems) -> tuple[tuple[str, tuple[str, ...]], ...]:
    keys = Keys(table, "segments.", tuple(table), problems)
    for name in table:
        if not FIELD.fullmatch(name) or name == "all":
            problems.bad_value(f"segments.{name}", name, 'a field of letters, digits, _ and - other than "all"')
    found: list[tuple[str, tuple[str, ...]]] = []
    for name in sorted(table):
        values = [] if table[name] == "any" else keys.strings(name, [], (), 'an array of strings, or "any"')
        if table[name] == []:
            keys.bad_value(name, [], 'at least one value, or "any"')
        found.append((name, tuple(sorted(values))))
    return tuple(found)


def _cuts(written: list[str], fields: list[str], problems: Problems) -> tuple[tuple[str, ...], ...]:
    cuts = {() if cut == "all" else tuple(cut.split("*")) for cut in written}
    for cut in sorted(cuts):
        for name in cut:
            if name not in fields:
                declared = f"the declared segments {', '.join(fields)}" if fields else "[segments], which declares none"
                expected = f'"all" or fields of {declared}{nearest(name, fields)}'
                problems.bad_value("statistics.cuts", "*".join(cut), expected)
        if len(set(cut)) < len(cut):
            problems.bad_value("statistics.cuts", "*".join(cut), "each field once")
    return tuple(sorted(cuts))


def _histograms(drift: dict[str, Any], problems: Problems) -> tuple[tuple[str, Scale], ...]:
    """The distributions that [drift] declares: of features, and of scores, where "score" is that of the request."""
    found: dict[str, Scale] = {}
    for kind, prefix in (("features", "feature."), ("scores", "scores.")):
        table = drift.get(kind, {})
        if not isinstance(table, dict):
            problems.wrong_type(f"drift.{kind}", table, "a table")
            continue
        for key, body in table.items():
            where, name = f"drift.{kind}.{key}", "request.score" if (kind, key) == ("scores", "score") else prefix + key
            forms = [form for form in ("edges", "values") if isinstance(body, dict) and isinstance(body.get(form), list)]
            said = body[forms[0]] if len(forms) == 1 and len(body) == 1 else []
            scale: Any = tuple(float(one) + 0.0 if type(one) is int else one for one in said if type(one) in (int, float, str))
            good = 0 < len(scale) == len(said) <= 1000 and is_scale(scale)
            if not good or isinstance(scale[0], str) != (forms == ["values"]) or not DISTRIBUTION.fullmatch(name):
                problems.bad_value(where, body, "edges = [ascending numbers] or values = [strings, each once]")
            else:
                found[name] = scale
    return tuple(sorted(found.items()))
