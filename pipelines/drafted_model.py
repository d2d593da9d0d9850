"""The first model file of somebody's own data: what is declared of the label, with the reason of each guess."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pipelines.cells import text
from pipelines.drafted import identifier, key, todo, toml
from pipelines.guessing import Guess
from pipelines.moments import instant
from pipelines.profiling import Profile, Sample
from pipelines.quantities import spelled
from pipelines.reading import Row

_YES = ("1", "1.0", "yes", "y", "true", "t", "positive")
_WINDOWS = [timedelta(hours=1), *(timedelta(days=days) for days in (1, 2, 7, 14, 30, 90, 180, 365, 730, 3650))]
_MOST_CLASSES = 50


@dataclass(frozen=True)
class Apart:
    """A file of labels alone, and what its columns are."""

    seen: Sample
    guess: Guess


def draft_model(name: str, seen: Sample, guess: Guess, labels: Apart | None = None) -> str:
    """The model file; `labels` where they lie in a file of their own."""
    out = [
        f"# Guessed by `hindsight model init` from the first {len(seen.rows)} rows of {seen.file.name}. Read it and",
        "# correct it: every number is computed under what stands here, and a change starts a new definition.",
        f"model = {toml(name)}",
    ]
    if guess.measures:
        out += ["", "# Numbers whose names speak of time or cost; they get sums, means and quantiles."]
        out += [f"measures = {toml([identifier(profile.name) for profile in guess.measures])}"]
    judged = labels.guess if labels else guess
    if judged.judges:
        out += ["", *_label(seen, guess, labels or Apart(seen, guess))]
    else:
        todo_label = todo("label", "no column looked like a label; declare one", judged.missing["label"])
        out += ["", todo_label, *_EXAMPLE]
    if guess.segments:
        out += [
            "",
            '# Texts with few values. Values beyond these count as __other__; "any" takes every value.',
            "[segments]",
        ]
        out += [f"{identifier(p.name)} = {toml(_texts(seen, p))}" for p in guess.segments]
    out += ["", "[statistics]", '# Each grain and each cut multiplies the rows. Crosses are declared: "a*b".']
    out += ['grains = ["1 hour", "1 day"]']
    out += [f"cuts = {toml(['all', *(identifier(profile.name) for profile in guess.segments)])}"]
    return "\n".join(out) + "\n"


_EXAMPLE = [
    "# [labels.outcome]",
    '# type = "binary"',
    "# positive = 1",
    '# attribution_window = "30 days"',
    '# resolve = "latest"',
]


def _label(seen: Sample, guess: Guess, labels: Apart) -> list[str]:
    label = labels.guess.columns["label"]
    counts = ", ".join(f"{value} ({count} times)" for value, count in label.values.most_common(4))
    more = ", …" if len(label.values) > 4 else ""
    head = [
        f"[labels.{key(identifier(label.name))}]",
        f"# Column {toml(label.name)}: {labels.guess.why['label']}. It holds {counts}{more}.",
    ]
    return [*head, *_kind_of_label(labels.seen, guess, label), *_window(_delays(seen, guess, labels)), *_SILENCE]


_SILENCE = [
    '# What it means that no label came: "missing" (nothing), or for a binary label "negative".',
    'absent = "missing"',
    "# Which of several judgements counts: latest, first, priority, majority; for numbers also mean, sum, max, any.",
    'resolve = "latest"',
]


def _kind_of_label(seen: Sample, guess: Guess, label: Profile) -> list[str]:
    if len(label.values) <= 2:
        positive = _positive(seen, label)
        out = ['type = "binary"', f"# Two values; this one is taken as the positive one.\npositive = {toml(positive)}"]
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
    out = ['type = "category"', f"judges = {toml(judged)}"]
    return [*out, f"classes = {toml(classes)}"] if len(classes) <= _MOST_CLASSES else out


def _window(delays: list[timedelta]) -> list[str]:
    """The attribution window: long enough for every label of the sample."""
    longest = max(delays, default=None)
    if longest is None:
        return [
            "# How long after the prediction a label counts. The file does not tell.",
            'attribution_window = "30 days"',
        ]
    window = next((length for length in _WINDOWS if length > longest), _WINDOWS[-1])
    return [
        f"# How long after the prediction a label counts. The longest delay in the file is {_about(longest)}.",
        f"attribution_window = {toml(spelled(window))}",
    ]


def _delays(seen: Sample, guess: Guess, labels: Apart) -> list[timedelta]:
    """From each prediction to its label; none where one column is the time of both."""
    served, given, label = guess.columns.get("served_at"), labels.guess.columns.get("given_at"), labels.guess.columns["label"]
    if served is None or given is None or served is given:
        return []
    if labels.seen is seen:
        pairs = [(row, row) for row in seen.rows]
    else:
        named, naming = guess.columns["request_id"].name, labels.guess.columns["request_id"].name
        by_id = {text(row.get(named)): row for row in seen.rows}
        pairs = [(by_id[name], row) for row in labels.seen.rows if (name := text(row.get(naming))) in by_id]
    ends = [(_at(one, served), _at(other, given)) for one, other in pairs if other.get(label.name) not in (None, "")]
    return [end - start for start, end in ends if start and end]


def _at(row: Row, profile: Profile) -> datetime | None:
    return instant(row.get(profile.name), UTC, profile.epoch, profile.format)


def _about(delay: timedelta) -> str:
    """A delay in its greatest unit and the next, for people to read."""
    seconds = int(delay.total_seconds())
    counts = {
        "day": seconds // 86_400,
        "hour": seconds // 3_600 % 24,
        "minute": seconds // 60 % 60,
        "second": seconds % 60,
    }
    units = list(counts)
    first = next((place for place, unit in enumerate(units) if counts[unit]), len(units) - 1)
    told = [unit for unit in units[first : first + 2] if counts[unit]] or ["second"]
    return " ".join(f"{counts[unit]} {unit}{'' if counts[unit] == 1 else 's'}" for unit in told)


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
