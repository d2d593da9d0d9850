"""Which column is what, where the labels lie in a file of their own and name the predictions that they judge."""

from __future__ import annotations

from pipelines.errors import InputError
from pipelines.guessing import Guess, guess_columns, may_be_label, miss
from pipelines.hints import GIVEN, LABEL, RATER
from pipelines.profiling import Profile, Sample


def guess_two(predictions: Sample, labels: Sample) -> tuple[Guess, Guess]:
    """The columns of the predictions, and those of the labels. Raises InputError `no_common_id`."""
    named, naming = _common(predictions, labels)
    judged = _guess_labels(labels, naming, f"its values are those of {named.name!r} in {predictions.file.name}")
    foretold = {role: column for role, column in judged.columns.items() if role in ("label", "given_at")}
    known = Guess({**foretold, "request_id": named}, holds="inference")
    known.why["request_id"] = f"{labels.file.name} has its values too, in {naming.name!r}"
    served = guess_columns(predictions, known)
    served.missing.pop("label", None)
    return served, judged


def _common(predictions: Sample, labels: Sample) -> tuple[Profile, Profile]:
    """The columns that have most values in common; a prediction's id stands for hardly any two of them."""
    ids = [one for one in predictions.profiles.values() if one.kind in ("number", "text") and 2 * len(one.values) > one.filled]
    pairs = [(one, other) for one in ids for other in labels.profiles.values() if one.kind == other.kind]
    shared = [len(one.values.keys() & other.values.keys()) for one, other in pairs]
    if not any(shared):
        among = ", ".join(f'"{one.name}"' for one in ids) or "none that could be one"
        raise InputError(
            "no_common_id",
            f"{labels.file}: no column holds ids of {predictions.file}; a label names the prediction that it judges. Expected a "
            f"column with the values of one of these: {among}",
        )
    return pairs[shared.index(max(shared))]


def _guess_labels(seen: Sample, naming: Profile, why: str) -> Guess:
    guess, profiles = Guess({"request_id": naming}, {"request_id": why}, holds="feedback"), list(seen.profiles.values())
    guess.take("rater", profiles, RATER, lambda p: p.kind == "text" and not p.is_time)
    guess.take("label", profiles, LABEL, may_be_label)
    likely = [p for p in guess.free(profiles) if may_be_label(p)]
    guess.fall_back("label", likely if len(likely) == 1 else [], "no other column could be the label")
    times = [p for p in guess.free(profiles) if p.is_time]
    guess.take("given_at", times, (*GIVEN, *LABEL), lambda _: True)
    guess.fall_back("given_at", sorted(times, key=lambda p: not p.always), "it is a time")
    miss(guess, profiles)
    guess.left = guess.free(profiles)
    return guess
