"""What one outcome says about one inference: its terms, each an additive statistic with an exact amount."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from pipelines.definition import OTHER, Definition, Value
from pipelines.exact import UNIT, difference, shortest, square, units

Term = tuple[str, str, int]
"""Statistic, bucket, amount in units of 1e-9."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a model said of one unit: of a request, or of one item of its slate (where only the item's score counts)."""

    unit: str
    prediction: float | None = None
    prediction_text: str | None = None
    score: float | None = None
    scores: Mapping[str, float] | None = None


class Missing:
    """Silence under `absent = "missing"`: it is counted, and says nothing more."""


class Negative:
    """Silence under `absent = "negative"`: any value but the positive one."""


MISSING, NEGATIVE = Missing(), Negative()
Outcome = Value | Missing | Negative | None
"""A value, None for answered and undecided, or what silence means."""

_ONE: list[Term] = [("n", "", UNIT)]


def silence(definition: Definition) -> Outcome:
    """What silence means under a definition."""
    absent = definition.policy.absent if definition.policy else "missing"
    if isinstance(absent, str):
        return NEGATIVE if absent == "negative" else MISSING
    return float(absent)


def terms(definition: Definition, shown: Shown, outcome: Outcome) -> list[Term]:
    """The terms of an outcome; amounts that are zero are left out."""
    if isinstance(outcome, Missing):
        return _ONE
    if outcome is None:
        return [*_ONE, ("undecided", "", UNIT)]
    assert definition.policy is not None
    return [*_ONE, *(term for term in _OF_TYPE[definition.policy.type](definition, shown, outcome) if term[2])]


def _binary(d: Definition, shown: Shown, outcome: Outcome) -> list[Term]:
    positive = not isinstance(outcome, Negative) and outcome == d.positive
    found: list[Term] = [("positive", "", UNIT)] if positive else []
    score = _judged(d, shown, shown.score)
    predicted = _predicted(d, shown, score)
    if predicted is not None:
        found.append((_confusion(predicted, positive), "", UNIT))
    if score is not None:
        bucket = str(score_bucket(score, d.score_buckets))
        found.append(("score.positive" if positive else "score.negative", bucket, UNIT))
        found.append(("brier", "", units(square(difference(score, 1.0 if positive else 0.0)))))
    return found


def _number(d: Definition, shown: Shown, outcome: Outcome) -> list[Term]:
    if not isinstance(outcome, float):  # a vote for a label of this name that is a category elsewhere
        return []
    value = shortest(outcome)
    found: list[Term] = [("value", "", units(value)), ("squared_value", "", units(square(value)))]
    judged = _judged(d, shown, shown.prediction if shown.unit == "request" else shown.score)
    if judged is None:
        return found
    error = difference(judged, outcome)
    found += [
        ("judged", "", UNIT),
        ("error", "", units(error)),
        ("absolute_error", "", units(abs(error))),
        ("squared_error", "", units(square(error))),
    ]
    if d.positive_at is not None:
        found.append((_confusion(judged >= d.positive_at, outcome >= d.positive_at), "", UNIT))
    return found


def _category(d: Definition, shown: Shown, outcome: Outcome) -> list[Term]:
    if not isinstance(outcome, str):
        return []
    actual = _class(d, outcome)
    found: list[Term] = [("class.actual", actual, UNIT)]
    if d.judges != "prediction" or shown.unit != "request" or shown.prediction_text is None:
        return found
    predicted = _class(d, shown.prediction_text)
    found += [("judged", "", UNIT), ("class.predicted", predicted, UNIT)]
    if predicted == actual:
        found += [("correct", "", UNIT), ("class.correct", actual, UNIT)]
    return found


_OF_TYPE: dict[str, Callable[[Definition, Shown, Outcome], list[Term]]] = {
    "binary": _binary,
    "number": _number,
    "category": _category,
}


def score_bucket(score: float, buckets: int) -> int:
    """Which of equal widths on [0, 1] a score falls into, by exact arithmetic; 1 belongs to the last."""
    return min(int(shortest(score) * Decimal(buckets)), buckets - 1)


def _judged(d: Definition, shown: Shown, own: float | None) -> float | None:
    """The number that is judged, or None."""
    if d.judges == "prediction":
        return own
    if d.judges.startswith("scores."):
        return (shown.scores or {}).get(d.judges.removeprefix("scores."))
    return None


def _predicted(d: Definition, shown: Shown, score: float | None) -> bool | None:
    """By threshold where one is declared and there is a score, else by the prediction itself; None: unknown."""
    if d.threshold is not None and score is not None:
        return score >= d.threshold
    if d.judges != "prediction" or shown.unit != "request":
        return None
    said = shown.prediction if shown.prediction_text is None else shown.prediction_text
    return None if said is None else said == d.positive


def _confusion(predicted: bool, actual: bool) -> str:
    return ("tp" if actual else "fp") if predicted else ("fn" if actual else "tn")


def _class(d: Definition, value: str) -> str:
    return value if not d.classes or value in d.classes else OTHER
