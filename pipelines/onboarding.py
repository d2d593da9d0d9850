"""A first model file and column mapping for somebody's own file of predictions or labels: guessed, and explained."""

from __future__ import annotations

import json
import re
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

from pipelines.cells import text
from pipelines.errors import InputError
from pipelines.guessing import Guess, guess_columns
from pipelines.keys import NAME
from pipelines.models import MAPPING
from pipelines.moments import instant
from pipelines.profiling import Profile, Sample, sample
from pipelines.quantities import spelled
from pipelines.settings import load

_YES = ("1", "1.0", "yes", "y", "true", "t", "positive")
_WINDOWS = [timedelta(hours=1), *(timedelta(days=days) for days in (1, 2, 7, 14, 30, 90, 180, 365, 730, 3650))]
_MOST_CLASSES = 50


def init_model(name: str, file: Path, conf: Path) -> tuple[Path, Path]:
    """Write NAME.toml and NAME.import.toml into the folder of the model files, for a CSV, Parquet or NDJSON file.

    Returns the two paths. Nothing is asked, and nothing is overwritten. Raises InputError (name_invalid, file_exists,
    file_missing, format_unknown, file_unreadable, column_twice, no_rows, nothing_recognised).
    """
    if not NAME.fullmatch(name) or name.endswith(".import"):
        raise InputError("name_invalid", f'"{name}": expected letters, digits, _, -, . and spaces, at most 128')
    folder = load(conf).models_path
    model, mapping = folder / f"{name}.toml", folder / f"{name}{MAPPING}"
    for path in (model, mapping):
        if path.exists():
            raise InputError(
                "file_exists", f"{path}: is there already, and nothing is overwritten; choose another name"
            )
    seen = sample(file)
    guess = guess_columns(seen)
    model.parent.mkdir(parents=True, exist_ok=True)
    model.write_text(_model(name, seen, guess), encoding="utf-8")
    mapping.write_text(_mapping(name, mapping, seen, guess), encoding="utf-8")
    return model, mapping


def _model(name: str, seen: Sample, guess: Guess) -> str:
    out = [
        f"# Guessed by `hindsight model init` from the first {len(seen.rows)} rows of {seen.file.name}. Read it and",
        "# correct it: every number is computed under what stands here, and a change starts a new definition.",
        f"model = {_toml(name)}",
    ]
    if guess.measures:
        out += ["", "# Numbers whose names speak of time or cost; they get sums, means and quantiles."]
        out += [f"measures = {_toml([_identifier(profile.name) for profile in guess.measures])}"]
    if guess.judges:
        out += ["", *_label(seen, guess)]
    else:
        out += ["", "# No column looked like a label. Declare one, so that feedback on it is taken in:", *_EXAMPLE]
    if guess.segments:
        out += [
            "",
            '# Texts with few values. Values beyond these count as __other__; "any" takes every value.',
            "[segments]",
        ]
        out += [f"{_identifier(p.name)} = {_toml(_texts(seen, p))}" for p in guess.segments]
    out += ["", "[statistics]", '# Each grain and each cut multiplies the rows. Crosses are declared: "a*b".']
    out += ['grains = ["1 hour", "1 day"]']
    out += [f"cuts = {_toml(['all', *(_identifier(profile.name) for profile in guess.segments)])}"]
    return "\n".join(out) + "\n"


_EXAMPLE = [
    "# [labels.outcome]",
    '# type = "binary"',
    "# positive = 1",
    '# attribution_window = "30 days"',
    '# resolve = "latest"',
]


def _label(seen: Sample, guess: Guess) -> list[str]:
    label = guess.columns["label"]
    counts = ", ".join(f"{value} ({count} times)" for value, count in label.values.most_common(4))
    more = ", …" if len(label.values) > 4 else ""
    head = [
        f"[labels.{_key(_identifier(label.name))}]",
        f"# Column {_toml(label.name)}: {guess.why['label']}. It holds {counts}{more}.",
    ]
    return [*head, *_kind_of_label(seen, guess, label), *_window(seen, guess), *_SILENCE]


_SILENCE = [
    '# What it means that no label came: "missing" (nothing), or for a binary label "negative".',
    'absent = "missing"',
    "# Which of several judgements counts: latest, first, priority, majority; for numbers also mean, sum, max, any.",
    'resolve = "latest"',
]


def _kind_of_label(seen: Sample, guess: Guess, label: Profile) -> list[str]:
    if len(label.values) <= 2:
        positive = _positive(seen, label)
        out = ['type = "binary"', f"# Two values; this one is taken as the positive one.\npositive = {_toml(positive)}"]
        if "score" in guess.columns:
            return [*out, "# From this score on the prediction counts as positive.", "threshold = 0.5"]
        if guess.infers:
            return [*out, "# There is no score: the prediction counts as positive where it equals `positive`."]
        return [
            *out,
            "# Where inferences have a score, declare from where on it counts as positive.",
            "# threshold = 0.5",
        ]
    if label.kind == "number":
        return [
            'type = "number"',
            "# Refuse values beyond: range = [least, greatest]. For precision and recall: positive_at.",
        ]
    classes = _texts(seen, label)
    judged = "prediction" if "prediction" in guess.columns or not guess.infers else "none"
    out = ['type = "category"', f"judges = {_toml(judged)}"]
    return [*out, f"classes = {_toml(classes)}"] if len(classes) <= _MOST_CLASSES else out


def _window(seen: Sample, guess: Guess) -> list[str]:
    """The attribution window: long enough for every label of the sample."""
    delays = [delay for row in seen.rows if (delay := _delay(row, guess)) is not None]
    longest = max(delays, default=None)
    if guess.columns.get("served_at") is guess.columns["given_at"] or longest is None:
        return [
            "# How long after the prediction a label counts. The file does not tell.",
            'attribution_window = "30 days"',
        ]
    window = next((length for length in _WINDOWS if length > longest), _WINDOWS[-1])
    return [
        f"# How long after the prediction a label counts. The longest delay in the file is {longest}.",
        f"attribution_window = {_toml(spelled(window))}",
    ]


def _delay(row: Any, guess: Guess) -> timedelta | None:
    given, served = guess.columns["given_at"], guess.columns.get("served_at")
    if served is None or row.get(guess.columns["label"].name) in (None, ""):
        return None
    ends = [instant(row.get(profile.name), UTC, profile.epoch) for profile in (served, given)]
    return ends[1] - ends[0] if ends[0] and ends[1] else None


def _mapping(name: str, path: Path, seen: Sample, guess: Guess) -> str:
    naive = ", ".join(profile.name for profile in guess.columns.values() if profile.naive)
    out = [
        f"# Which column of {seen.file.name} is which field of an event. Guessed; read it and correct it, then:",
        f"#   hindsight import {seen.file} --mapping {path} --claimed",
        '# A field is a column, {column = "name", as = "…"} or {value = "the same for every row"}.',
        "",
        "[source]",
        f"# The zone of times without an offset. {'A guess, for ' + naive if naive else 'There are none here'}.",
        'time_zone = "UTC"',
    ]
    words = sorted({word for profile in seen.profiles.values() for word in profile.null})
    out += [f"# Words that stand for nothing, in every column.\nnull = {_toml(words)}"] if words else []
    out += [f"delimiter = {_toml(seen.delimiter)}"] if seen.delimiter != "," else []
    out += _inference(name, guess) if guess.infers else []
    out += _feedback(guess) if guess.judges else []
    if guess.left:
        out += [
            "",
            "# Left out; what is not named here never enters the lake: " + ", ".join(_toml(p.name) for p in guess.left),
        ]
        out += ['# (to keep some as features: a table [inference.features], with lines such as age = "age").']
    return "\n".join(out) + "\n"


def _inference(name: str, guess: Guess) -> list[str]:
    out = ["", "[inference]", *_field(guess, "request_id")]
    if "request_id" not in guess.columns:
        out += ["# No column holds ids, so they are made of the row: the same row is the same request."]
    out += [f"model = {{value = {_toml(name)}}}"]
    out += _field(guess, "version") or ['version = {value = "1"}']
    out += ['status = {value = "ok"}', *_field(guess, "served_at")]
    if "prediction" in guess.columns:
        label = guess.columns.get("label")
        out += _field(guess, "prediction", "text" if label and label.kind == "text" else None)
    else:
        out += ["# No column of predictions: the score stands for it, and the threshold decides."]
        out += [f"prediction = {_toml(guess.columns['score'].name)}"]
    out += _field(guess, "score")
    for table, profiles in (("segments", guess.segments), ("measures", guess.measures)):
        out += ["", f"[inference.{table}]"] if profiles else []
        out += [f"{_identifier(profile.name)} = {_toml(profile.name)}" for profile in profiles]
    return out


def _feedback(guess: Guess) -> list[str]:
    label = guess.columns["label"]
    out = ["", "[feedback]", "# Without a feedback_id, the row is the id: the same row is the same judgement."]
    if "request_id" in guess.columns:
        out += _field(guess, "request_id")
    out += [f"label = {{value = {_toml(_identifier(label.name))}}}", 'action = {value = "assert"}']
    out += _field(guess, "label", "text" if label.kind == "text" else "number", "value")
    return [*out, *_field(guess, "given_at"), *_field(guess, "rater")]


def _field(guess: Guess, role: str, reading: str | None = None, name: str | None = None) -> list[str]:
    """The line of a role and the reason for its column; nothing where there is none."""
    profile = guess.columns.get(role)
    if profile is None:
        return []
    how = reading or profile.epoch
    source = f"{{column = {_toml(profile.name)}, as = {_toml(how)}}}" if how else _toml(profile.name)
    return [f"# {_toml(profile.name)}: {guess.why[role]}.", f"{name or role} = {source}"]


def _positive(seen: Sample, label: Profile) -> Any:
    """The value that says yes; else the rarer one."""
    if label.kind == "text":
        values = _texts(seen, label)
        rare = min(values, key=lambda value: sum(text(row.get(label.name)) == value for row in seen.rows))
    else:
        values = list(label.values)
        rare = min(values, key=lambda value: (label.values[value], value))
    words = (*_YES, label.name.lower())
    return next((value for value in values if str(value).lower() in words), rare)


def _texts(seen: Sample, profile: Profile) -> list[str]:
    """The values of a column as texts, as an event would have them."""
    cells = (row.get(profile.name) for row in seen.rows)
    return sorted({text(cell) for cell in cells if cell not in (None, "") and cell not in profile.null})


def _identifier(name: str) -> str:
    """A column's name as that of a segment, measure or label."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_-")[:128] or "column"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _toml(name)


def _toml(value: Any) -> str:
    """A string, number or list of strings in TOML, whose strings are those of JSON but for one character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
