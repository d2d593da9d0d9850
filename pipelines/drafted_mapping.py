"""The first column mapping of somebody's own file, with the reason of each guess, and a TODO for what is missing."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

from pipelines.drafted import doubt, identifier, misfits, todo, toml
from pipelines.guessing import Guess
from pipelines.profiling import Profile, Sample

NEEDED = {
    "served_at": "no column looked like the time of the prediction",
    "prediction": "no column looked like a prediction, or a score from 0 to 1",
    "label": "no column looked like a label",
    "given_at": "no column looked like the time at which the label was given",
}
"""What is said where a role has no column."""

_KEEPS = [
    '# (to keep some as features: a table [inference.features], with lines such as age = "age";',
    '# whom a request was about, for `hindsight erase` to find: subject = "customer" under [inference]).',
]
_TAKES_BACK = [
    '# (under [feedback], who judged: rater = "COLUMN"; a column of assert, correct and withdraw: action = "COLUMN").'
]
"""What a column that was left out may become all the same."""


def draft_mapping(name: str, path: Path, seen: Sample, guess: Guess) -> str:
    closing = "" if guess.holds == "inference" else " --frontier"
    naive = ", ".join(profile.name for profile in seen.profiles.values() if profile.naive)
    out = [
        f"# Which column of {seen.file.name} is which field of an event. Guessed; read it and correct it, then:",
        f"#   hindsight import {quote(str(seen.file))} --mapping {quote(str(path))} --claimed{closing}",
        "# --frontier says that nothing older is to come; leave it out while further files of this history follow.",
        '# A field is a column, {column = "name", as = "…"} or {value = "the same for every row"}. A time may say more:',
        '# {column = "name", format = "%d.%m.%Y %H:%M", zone = "Europe/Berlin"}; without a format it is RFC 3339.',
        "",
        "[source]",
        f"# The zone of times without an offset. {'A guess, for ' + naive if naive else 'There are none here'}.",
        'time_zone = "UTC"',
    ]
    words = sorted({word for profile in seen.profiles.values() for word in profile.null})
    out += [f"# Words that stand for nothing, in every column.\nnull = {toml(words)}"] if words else []
    out += [f"delimiter = {toml(seen.delimiter)}"] if seen.delimiter != "," else []
    out += ["# Numbers have a decimal comma.", 'decimal = ","'] if seen.comma else []
    out += [f"# TODO {unsure(profile)}." for profile in seen.profiles.values() if is_unsure(guess, profile)]
    out += _inference(name, guess) if guess.infers else []
    out += _feedback(guess) if guess.judges else [] if guess.holds == "inference" else _no_feedback(guess)
    if guess.left:
        out += [
            "",
            "# Left out; what is not named here never enters the lake: " + ", ".join(toml(p.name) for p in guess.left),
        ]
        out += _KEEPS if guess.infers else []
        out += _TAKES_BACK if guess.judges else []
    return "\n".join(out) + "\n"


def dirt(guess: Guess, profile: Profile) -> str:
    """The cells of a column that do not fit, and what becomes of them; empty where there are none."""
    told = misfits(profile) if guess.kind_matters(profile) else ""
    return f"{told}; such records are quarantined" if told and guess.quarantines(profile) else told


def is_unsure(guess: Guess, profile: Profile) -> bool:
    return profile.doubt is not None and guess.kind_matters(profile)


def unsure(profile: Profile) -> str:
    """What is not known of a column of which most cells, though not nearly all, are of one kind."""
    return f"kind of {toml(profile.name)}: {doubt(profile)}; correct the file, or say here what the column is"


def _inference(name: str, guess: Guess) -> list[str]:
    out = ["", "[inference]", *_field(guess, "request_id")]
    if "request_id" not in guess.columns:
        out += ["# No column holds ids, so they are made of the row: the same row is the same request."]
    out += [f"model = {{value = {toml(name)}}}"]
    out += _field(guess, "version") or ['version = {value = "1"}']
    out += ['status = {value = "ok"}', *(_field(guess, "served_at") or _todo(guess, "served_at"))]
    out += _prediction(guess)
    for table, profiles in (("segments", guess.segments), ("measures", guess.measures)):
        out += ["", f"[inference.{table}]"] if profiles else []
        for profile in profiles:
            out += [*_dirt(guess, profile), f"{identifier(profile.name)} = {toml(profile.name)}"]
    return out


def _prediction(guess: Guess) -> list[str]:
    """The prediction and the score; a score alone makes the prediction too."""
    label, score = guess.columns.get("label"), guess.columns.get("score")
    if "prediction" in guess.columns:
        out = _field(guess, "prediction", "text" if label and label.kind == "text" else None)
    elif score is None:
        return _todo(guess, "prediction")
    elif label and len(label.values) > 2:
        out = ["# No column of predictions: the score stands for it.", f"prediction = {toml(score.name)}"]
    else:
        out = ["# No column of predictions, so it is made of the score: 1 from there on, else 0."]
        out += [f"prediction = {{column = {toml(score.name)}, at_least = 0.5}}"]
    return [*out, *_field(guess, "score")]


def _todo(guess: Guess, role: str) -> list[str]:
    """What is missing, with a line to complete: it names the first column that it could be."""
    if role not in guess.missing:
        return []
    first = next((_source(profile) for profile in guess.missing[role]), '"COLUMN"')
    return [todo(role, NEEDED[role], guess.missing[role]), f"# {role} = {first}"]


def _no_feedback(guess: Guess) -> list[str]:
    return [
        "",
        todo("label", NEEDED["label"], guess.missing["label"]),
        "# [feedback]",
        '# label = {value = "outcome"}',
        '# action = {value = "assert"}',
        '# value = "COLUMN"',
        '# given_at = "COLUMN OF TIMES"',
    ]


def _feedback(guess: Guess) -> list[str]:
    label = guess.columns["label"]
    out = ["", "[feedback]", "# Without a feedback_id, the row is the id: the same row is the same judgement."]
    if "request_id" in guess.columns:
        out += _field(guess, "request_id")
    out += [f"label = {{value = {toml(identifier(label.name))}}}", 'action = {value = "assert"}']
    out += _field(guess, "label", "text" if label.kind == "text" else "number", "value")
    return [*out, *(_field(guess, "given_at") or _todo(guess, "given_at")), *_field(guess, "rater")]


def _field(guess: Guess, role: str, reading: str | None = None, name: str | None = None) -> list[str]:
    """The line of a role and the reason for its column; nothing where there is none."""
    profile = guess.columns.get(role)
    if profile is None:
        return []
    why = f"# {toml(profile.name)}: {guess.why[role]}."
    return [why, *_dirt(guess, profile), f"{name or role} = {_source(profile, reading)}"]


def _dirt(guess: Guess, profile: Profile) -> list[str]:
    told = dirt(guess, profile)
    return [f"# {told}."] if told else []


def _source(profile: Profile, reading: str | None = None) -> str:
    """A column, and how it is to be read."""
    how = {"as": reading or profile.epoch, "format": profile.format}
    said = "".join(f", {option} = {toml(value)}" for option, value in how.items() if value)
    return f"{{column = {toml(profile.name)}{said}}}" if said else toml(profile.name)
