"""Which column of a file is what: guessed by names and content, with the reason of each guess."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pipelines.hints import (
    GIVEN,
    LABEL,
    MEASURES,
    PREDICTION,
    RATER,
    REQUEST,
    SCORE,
    SERVED,
    VERSION,
    is_called,
    speaks_of,
    speaks_of_any,
    subject,
    words,
)
from pipelines.profiling import Profile, Sample

_MOST_SEGMENTS = 20
_MOST_CLASSES = 50


@dataclass
class Guess:
    """The column of each role, and why; `left` are the columns that nothing was made of.

    `missing`: what was looked for and not found, by role, with the columns that it could be. `holds`: inference or feedback,
    where predictions and labels lie in a file each; the label and its time that foretell the first are then of the other file.
    """

    columns: dict[str, Profile] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    measures: list[Profile] = field(default_factory=list)
    segments: list[Profile] = field(default_factory=list)
    left: list[Profile] = field(default_factory=list)
    missing: dict[str, list[Profile]] = field(default_factory=dict)
    holds: str = ""

    @property
    def judges(self) -> bool:
        """Whether a row holds a label: feedback on its own inference, or on one that it names."""
        return "label" in self.columns and self.holds != "inference"

    @property
    def infers(self) -> bool:
        """Whether a row holds an inference: it does, unless it is clearly feedback and nothing else."""
        if self.holds:
            return self.holds == "inference"
        said = "served_at" in self.columns and bool({"prediction", "score"} & set(self.columns))
        return said or not {"label", "given_at", "request_id"} <= set(self.columns)

    def kind_matters(self, profile: Profile) -> bool:
        """Whether it makes a difference what the column holds: ids and names are texts in any case."""
        return all(self.columns.get(role) is not profile for role in ("request_id", "version", "rater"))

    def quarantines(self, profile: Profile) -> bool:
        """Whether refine refuses what does not fit into the column: a number or a time that an event needs."""
        needed = [self.columns.get(role) for role in ("served_at", "given_at", "score", "label")]
        return profile.kind != "text" and any(profile is one for one in [*needed, *self.measures])

    def free(self, profiles: Sequence[Profile]) -> list[Profile]:
        return [profile for profile in profiles if profile not in self.columns.values()]

    def take(self, role: str, among: Sequence[Profile], hints: Sequence[str], fits: Callable[[Profile], bool]) -> None:
        """Give a role to the column whose name speaks of it, exactly or in part, and whose content fits."""
        fitting = [profile for profile in self.free(among) if fits(profile)]
        for speaks in (is_called, speaks_of):
            for hint in hints:
                for profile in fitting:
                    if role not in self.columns and speaks(profile.name, hint):
                        self.columns[role] = profile
                        self.why[role] = f'its name speaks of "{hint}"'

    def fall_back(self, role: str, candidates: Sequence[Profile], why: str) -> None:
        if role not in self.columns and candidates:
            self.columns[role], self.why[role] = candidates[0], why


def guess_columns(seen: Sample, known: Guess | None = None) -> Guess:
    """Every column has a role, is a segment or a measure, or is left out; `known` are roles that are given already."""
    guess, profiles = known or Guess(), list(seen.profiles.values())
    guess.take("request_id", profiles, REQUEST, lambda p: p.unique and not p.is_time)
    guess.take("request_id", profiles, REQUEST[:-1], _is_flat)
    guess.take("score", profiles, SCORE, _is_share)
    guess.take("prediction", profiles, PREDICTION, _is_flat)
    guess.take("version", profiles, VERSION, lambda p: _is_flat(p) and not p.unique)
    guess.take("rater", profiles, RATER, _is_flat)
    guess.take("label", profiles, LABEL, may_be_label)
    _guess_by_content(guess, profiles)
    _guess_times(guess, seen)
    miss(guess, profiles)
    free = guess.free(profiles)
    if guess.infers:
        guess.measures = [p for p in free if p.kind == "number" and speaks_of_any(p.name, MEASURES)]
        guess.segments = [p for p in free if p.kind == "text" and 1 < len(p.values) <= _MOST_SEGMENTS and not p.unique]
    guess.left = [p for p in free if p not in guess.measures and p not in guess.segments]
    return guess


def _guess_by_content(guess: Guess, profiles: Sequence[Profile]) -> None:
    """What the names do not tell, the values may."""
    foretold = guess.columns.get("prediction") or guess.columns.get("score")
    about = subject(foretold.name) if foretold else set()
    same = [p for p in guess.free(profiles) if about and about <= set(words(p.name).split("_")) and may_be_label(p)]
    guess.fall_back("label", same, f"its name speaks of {' '.join(sorted(about))}, as the prediction's does")
    binary = [p for p in guess.free(profiles) if may_be_label(p) and len(p.values) == 2 and not p.always]
    guess.fall_back("label", binary, "it has two values, and is empty where none is known yet")
    label = guess.columns.get("label")
    if not {"prediction", "score"} & set(guess.columns):
        shares = [p for p in guess.free(profiles) if _is_score(p) and (label or not speaks_of_any(p.name, LABEL))]
        guess.fall_back("score", shares, "it has many different values, all from 0 to 1")
    if label and not {"prediction", "score"} & set(guess.columns) and not label.always:
        alike = [p for p in guess.free(profiles) if p.always and set(p.values) == set(label.values)]
        guess.fall_back("prediction", alike, "it has the values of the label, and is never empty")
    guess.take("label", profiles, LABEL, _is_called_label)
    if guess.holds == "inference" and not {"prediction", "score"} & set(guess.columns):
        numbers = [p for p in guess.free(profiles) if p.kind == "number" and not p.is_time and not speaks_of_any(p.name, MEASURES)]
        guess.fall_back("prediction", numbers if len(numbers) == 1 else [], "it is the only column of numbers")
    ids = [p for p in guess.free(profiles) if p.unique and p.always and _is_id(p)]
    guess.fall_back("request_id", ids, "it is never empty, and no two rows have the same")


def _guess_times(guess: Guess, seen: Sample) -> None:
    """A time that is always there is that of the prediction; one that is only there where the label is, the label's."""
    times = [p for p in guess.free(list(seen.profiles.values())) if p.is_time]
    always = [p for p in times if p.always] or times
    later = [p for p in times if not p.always and _comes_with_label(p, guess, seen)]
    guess.take("given_at", later or times, (*GIVEN, *LABEL), lambda p: p.is_time)
    guess.take("served_at", always, SERVED, lambda p: p.is_time)
    if {"prediction", "score"} & set(guess.columns) or not {"label", "request_id"} <= set(guess.columns):
        never = (
            "it is a time, and never empty" if always[:1] and always[0].always else "it is the first column of times"
        )
        guess.fall_back("served_at", guess.free(always), never)
    guess.fall_back("given_at", guess.free(later), "it is a time, and only there where the label is")
    guess.fall_back("given_at", guess.free(times), "it is the next column of times")
    served = [guess.columns["served_at"]] if "served_at" in guess.columns else []
    guess.fall_back("given_at", served, "there is no other time: every label is taken as given at once")


def _comes_with_label(profile: Profile, guess: Guess, seen: Sample) -> bool:
    label = guess.columns.get("label")
    return label is not None and not any(
        label.is_empty(row.get(label.name)) and not profile.is_empty(row.get(profile.name)) for row in seen.rows
    )


def miss(guess: Guess, profiles: Sequence[Profile]) -> None:
    """Note what is missing; a role of a section that is not written lets its column go."""
    unused = [] if guess.judges else ["given_at", "rater"]
    unused += [] if guess.infers else ["served_at", "prediction", "score", "version"]
    for role in unused:
        guess.columns.pop(role, None)
    free = guess.free(profiles)
    times = [p for p in free if p.is_time or p.is_dated or (p.doubt and p.doubt[0] == "time")]
    flat = [p for p in free if _is_flat(p) and not p.is_dated and not speaks_of_any(p.name, MEASURES)]
    few = [p for p in flat if p.kind == "number" or 1 < len(p.values) <= _MOST_CLASSES]
    if guess.infers and "served_at" not in guess.columns:
        guess.missing["served_at"] = times
    if guess.infers and not {"prediction", "score"} & set(guess.columns):
        guess.missing["prediction"] = few
    if "label" not in guess.columns:
        guess.missing["label"] = few
    elif guess.judges and "given_at" not in guess.columns:
        guess.missing["given_at"] = times


def _is_flat(profile: Profile) -> bool:
    return profile.kind in ("number", "text") and not profile.is_time


def _is_share(profile: Profile) -> bool:
    """Numbers from 0 to 1, and not only the two ends."""
    return profile.kind == "number" and all(0 <= value <= 1 for value in profile.values) and len(profile.values) > 2


def _is_score(profile: Profile) -> bool:
    """Many different shares: more than a scale has."""
    return _is_share(profile) and (len(profile.values) > 10 or profile.unique)


def may_be_label(profile: Profile) -> bool:
    return (
        _is_flat(profile)
        and (profile.kind == "number" or not profile.unique)
        and not _is_score(profile)
        and not speaks_of_any(profile.name, (*SCORE, *PREDICTION, *MEASURES))
    )


def _is_called_label(profile: Profile) -> bool:
    """For a column whose name speaks of a label: shares may be one too, where nothing else is."""
    many = profile.kind == "text" and profile.unique
    return _is_flat(profile) and not many and not speaks_of_any(profile.name, (*SCORE, *PREDICTION))


def _is_id(profile: Profile) -> bool:
    """Texts without blanks, or whole numbers: what ids are."""
    if not _is_flat(profile) or profile.is_dated or speaks_of_any(profile.name, (*MEASURES, *LABEL, *PREDICTION)):
        return False
    if profile.kind == "number":
        return all(isinstance(value, int) for value in profile.values)
    return not any(" " in str(value) for value in profile.values)
