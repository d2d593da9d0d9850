"""Which column of a file is what: guessed by names and content, with the reason of each guess."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pipelines.errors import InputError
from pipelines.profiling import Profile, Sample

_REQUEST = ("request_id", "prediction_id", "inference_id", "transaction_id", "order_id", "event_id", "uuid", "id")
_SERVED = (
    *("served_at", "predicted_at", "scored_at", "prediction_time", "inference_time", "request_time", "requested_at"),
    *("timestamp", "event_time", "created_at", "datetime", "time", "date", "ts"),
)
_GIVEN = (
    *("given_at", "labelled_at", "labeled_at", "label_time", "feedback_at", "feedback_time", "outcome_at"),
    *("outcome_time", "resolved_at", "reviewed_at"),
)
# will_churn foretells: how likely it is, where it holds shares, else whether it is
_SCORE = ("score", "probability", "proba", "prob", "confidence", "likelihood", "will")
_PREDICTION = ("prediction", "predicted", "pred", "y_pred", "yhat", "y_hat", "decision", "forecast", "estimate", "will")
_LABEL = (
    *("label", "target", "y_true", "actual", "outcome", "truth", "y", "converted", "conversion", "clicked", "click"),
    *(
        "churned",
        "churn",
        "purchased",
        "defaulted",
        "default",
        "fraud",
        "late",
        "returned",
        "rating",
        "reward",
        "class",
    ),
)
_VERSION = ("model_version", "version")
_RATER = ("rater", "annotator", "reviewer", "labeler", "labeller")
_MEASURES = ("latency", "duration", "elapsed", "cost", "tokens")
_MOST_SEGMENTS = 20


@dataclass
class Guess:
    """The column of each role, and why; `left` are the columns that nothing was made of."""

    columns: dict[str, Profile] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    measures: list[Profile] = field(default_factory=list)
    segments: list[Profile] = field(default_factory=list)
    left: list[Profile] = field(default_factory=list)

    @property
    def infers(self) -> bool:
        """Whether a row holds an inference."""
        return "served_at" in self.columns and bool({"prediction", "score"} & set(self.columns))

    @property
    def judges(self) -> bool:
        """Whether a row holds feedback, on its own inference or on one that it names."""
        return {"label", "given_at"} <= set(self.columns) and (self.infers or "request_id" in self.columns)

    def take(self, role: str, free: Sequence[Profile], hints: Sequence[str], fits: Callable[[Profile], bool]) -> None:
        """Give a role to the column whose name speaks of it, exactly or in part, and whose content fits."""
        fitting = [profile for profile in free if fits(profile) and profile not in self.columns.values()]
        for speaks in (_is_called, _speaks_of):
            for hint in hints:
                for profile in fitting:
                    if role not in self.columns and speaks(profile.name, hint):
                        self.columns[role] = profile
                        self.why[role] = f'its name speaks of "{hint}"'

    def fall_back(self, role: str, candidates: Sequence[Profile], why: str) -> None:
        if role not in self.columns and candidates:
            self.columns[role], self.why[role] = candidates[0], why


def guess_columns(seen: Sample) -> Guess:
    """Raises InputError nothing_recognised where neither an inference nor feedback comes of a row."""
    guess, profiles = Guess(), list(seen.profiles.values())
    guess.take("request_id", profiles, _REQUEST, lambda p: p.unique and not p.is_time)
    guess.take("request_id", profiles, _REQUEST[:-1], _is_flat)
    guess.take("score", profiles, _SCORE, _is_share)
    guess.take("prediction", profiles, _PREDICTION, _is_flat)
    guess.take("version", profiles, _VERSION, lambda p: _is_flat(p) and not p.unique)
    guess.take("rater", profiles, _RATER, _is_flat)
    _guess_times(guess, profiles)
    guess.take("label", profiles, _LABEL, lambda p: _is_flat(p) and (p.kind == "number" or not p.unique))
    if not guess.infers and not guess.judges:
        raise _nothing_recognised(seen, guess)
    free = [profile for profile in profiles if profile not in guess.columns.values()]
    if guess.infers:
        guess.measures = [p for p in free if p.kind == "number" and any(_speaks_of(p.name, hint) for hint in _MEASURES)]
        guess.segments = [p for p in free if p.kind == "text" and 1 < len(p.values) <= _MOST_SEGMENTS and not p.unique]
    guess.left = [p for p in free if p not in guess.measures and p not in guess.segments]
    return guess


def _guess_times(guess: Guess, profiles: Sequence[Profile]) -> None:
    guess.take("given_at", profiles, _GIVEN, lambda p: p.is_time)
    guess.take("given_at", profiles, _LABEL, lambda p: p.is_time)
    guess.take("served_at", profiles, _SERVED, lambda p: p.is_time)
    free = [profile for profile in profiles if profile.is_time and profile not in guess.columns.values()]
    if {"prediction", "score"} & set(guess.columns):
        guess.fall_back("served_at", free, "it is the first column of times")
        free = [profile for profile in free if profile not in guess.columns.values()]
    guess.fall_back("given_at", free, "it is the next column of times")
    served = [guess.columns["served_at"]] if "served_at" in guess.columns else []
    guess.fall_back("given_at", served, "there is no other time: every label is taken as given at once")


def _nothing_recognised(seen: Sample, guess: Guess) -> InputError:
    found = ", ".join(f"{profile.name} ({profile.kind})" for profile in seen.profiles.values())
    known = ", ".join(f"{role}: {profile.name}" for role, profile in guess.columns.items()) or "nothing"
    return InputError(
        "nothing_recognised",
        f"{seen.file}: neither predictions (a time, and a prediction or a score from 0 to 1) nor labels (a time, a "
        f"label, and the id of the request) were recognised. Recognised: {known}. Columns: {found}. Rename the columns "
        "or write the mapping by hand: data/README.md shows one.",
    )


def _is_flat(profile: Profile) -> bool:
    return profile.kind in ("number", "text") and not profile.is_time


def _is_share(profile: Profile) -> bool:
    """Numbers from 0 to 1, and not only the two ends."""
    return profile.kind == "number" and all(0 <= value <= 1 for value in profile.values) and len(profile.values) > 2


def _is_called(name: str, hint: str) -> bool:
    return _words(name) == hint


def _speaks_of(name: str, hint: str) -> bool:
    return f"_{hint}_" in f"_{_words(name)}_"


def _words(name: str) -> str:
    """customerId, Customer ID and customer-id as customer_id."""
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()).strip("_")
