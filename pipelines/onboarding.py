"""A first model file and column mapping for somebody's own file of predictions or labels: guessed, and explained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipelines.drafted import toml
from pipelines.drafted_mapping import NEEDED, dirt, draft_mapping, is_unsure, unsure
from pipelines.drafted_model import Apart, draft_model
from pipelines.errors import InputError
from pipelines.guessing import Guess, guess_columns
from pipelines.guessing_labels import guess_two
from pipelines.keys import NAME
from pipelines.models import MAPPING
from pipelines.profiling import Sample, sample
from pipelines.settings import load


@dataclass(frozen=True)
class Became:
    """What was made of a column, and why."""

    column: str
    became: str
    why: str


@dataclass(frozen=True)
class Drafted:
    """The mapping that was written for a file; of every column what it became; what is `missing`, and what to look at."""

    file: Path
    mapping: Path
    columns: tuple[Became, ...]
    missing: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Draft(Drafted):
    """The model file too, and what was made of the labels where they lie in a file of their own."""

    model: Path
    labels: Drafted | None


def init_model(name: str, file: Path, conf: Path, labels: Path | None = None) -> Draft:
    """Write NAME.toml and NAME.import.toml into the folder of the model files, for a CSV, Parquet or NDJSON file.

    Where another file holds the `labels`, each of which names the id of its prediction, NAME.labels.import.toml is for that one.

    Nothing is asked, and nothing is overwritten. What is missing is marked in the files, as a line with TODO. Raises
    InputError (name_invalid, file_exists, is_a_folder, file_missing, format_unknown, file_unreadable, column_twice, no_rows,
    no_common_id).
    """
    if not NAME.fullmatch(name) or name.endswith(".import"):
        raise InputError("name_invalid", f'"{name}": expected letters, digits, _, -, . and spaces, at most 128')
    folder = load(conf).models_path
    model, mapping, second = folder / f"{name}.toml", folder / f"{name}{MAPPING}", folder / f"{name}.labels{MAPPING}"
    for path in (model, mapping, *([second] if labels else [])):
        if path.exists():
            raise InputError(
                "file_exists", f"{path}: is there already, and nothing is overwritten; choose another name"
            )
    seen = sample(file)
    apart: Apart | None = None
    if labels is None:
        guess = guess_columns(seen)
    else:
        told = sample(labels)
        guess, judged = guess_two(seen, told)
        apart = Apart(told, judged)
    folder.mkdir(parents=True, exist_ok=True)
    model.write_text(draft_model(name, seen, guess, apart), encoding="utf-8")
    drafted = _drafted(name, mapping, seen, guess)
    return Draft(**vars(drafted), model=model, labels=_drafted(name, second, apart.seen, apart.guess) if apart else None)


def _drafted(name: str, mapping: Path, seen: Sample, guess: Guess) -> Drafted:
    mapping.write_text(draft_mapping(name, mapping, seen, guess), encoding="utf-8")
    found = tuple(_became(seen, guess)), tuple(_missing(seen, guess)), tuple(_notes(seen, guess))
    return Drafted(seen.file, mapping, *found)


def _missing(seen: Sample, guess: Guess) -> Iterator[str]:
    for role, candidates in guess.missing.items():
        named = ", ".join(toml(profile.name) for profile in candidates[:8])
        yield f"{role}: {NEEDED[role]}" + (f"; it could be {named}" if named else "")
    yield from (unsure(profile) for profile in seen.profiles.values() if is_unsure(guess, profile))


def _became(seen: Sample, guess: Guess) -> Iterator[Became]:
    """Every column, in the order of the file."""
    for name, profile in seen.profiles.items():
        roles = [role for role, taken in guess.columns.items() if taken is profile]
        if roles:
            yield Became(name, ", ".join(roles), "; ".join(guess.why[role] for role in roles))
        elif profile in guess.measures:
            yield Became(name, "measure", "it is a number whose name speaks of time or cost")
        elif profile in guess.segments:
            yield Became(name, "segment", f"it is a text with {len(profile.values)} values")
        else:
            yield Became(name, "left out", f"nothing was recognised in it ({profile.kind})")


def _notes(seen: Sample, guess: Guess) -> Iterator[str]:
    """What may be wrong, although it was taken."""
    for profile in seen.profiles.values():
        name = toml(profile.name)
        if told := dirt(guess, profile):
            yield f"{name}: {told}"
        if profile.format:
            yield f"{name}: its times are not RFC 3339, but format = {toml(profile.format)} in the mapping reads them"
        if len(profile.formats) > 1:
            yield f"{name}: day and month could be the other way round: format = {toml(profile.formats[1])}"
        if profile.is_dated:
            yield (
                f"{name}: looks like times, but they are not RFC 3339, and of no known format; "
                'say it in the mapping: {column = "…", format = "%d.%m.%Y %H:%M", zone = "Europe/Berlin"}'
            )
    naive = ", ".join(toml(profile.name) for profile in seen.profiles.values() if profile.naive)
    if naive:
        yield f"{naive}: times without an offset are taken as UTC; set time_zone (or a zone of the column) in the mapping"
    if guess.infers and "request_id" not in guess.columns:
        yield "no column holds ids, so they are made of the row: the same row is the same request"
