"""What outcomes say about inferences: terms, each an additive statistic with an exact amount; computed column by column.

A row is one unit: a request, or one item of its slate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.definition import OTHER, Definition
from pipelines.exact import UNIT, difference_units, fraction, square_units, whole

Floats = Any
"""A numpy array of doubles; NaN where there is none."""
Flags = Any
"""A numpy array of booleans."""
NONE = float("nan")


class Term(NamedTuple):
    """What some rows add to one statistic: their numbers, and the bucket and the amount of each, or of all alike.

    Amounts are in units of 1e-9, or an Arrow array of decimals.
    """

    statistic: str
    rows: Any
    bucket: str | pa.Array = ""
    amount: int | Sequence[int] | pa.Array = UNIT


@dataclass(frozen=True)
class Shown:
    """What a model said of each unit. Of an item only its own score counts."""

    prediction: Floats
    prediction_text: pa.Array
    score: Floats
    scores: pa.Array

    def named(self, name: str) -> Floats:
        """One of the further scores, by its name."""
        return floats(pc.map_lookup(self.scores, name, "first"))


@dataclass(frozen=True)
class Outcomes:
    """What came of each unit: a number, or a text, or neither where it is answered and undecided.

    `says` is off for silence that means nothing: it is counted only. Silence that is negative is any value but the positive one.
    """

    number: Floats
    text: pa.Array
    decided: Flags
    says: bool = True


def answers(number: pa.Array, text: pa.Array) -> Outcomes:
    """Beliefs."""
    return Outcomes(floats(number), text, pc.or_(number.is_valid(), text.is_valid()).to_numpy(zero_copy_only=False))


def silence(definition: Definition, count: int) -> Outcomes:
    """What silence means under a definition, for so many units."""
    absent = definition.policy.absent if definition.policy else "missing"
    number = NONE if isinstance(absent, str) else float(absent)
    return Outcomes(np.full(count, number), pa.nulls(count, pa.string()), np.ones(count, bool), absent != "missing")


def floats(numbers: pa.Array) -> Floats:
    return numbers.to_numpy(zero_copy_only=False)


def terms(definition: Definition, shown: Shown, outcomes: Outcomes) -> Iterator[Term]:
    """The terms of outcomes."""
    yield Term("n", np.arange(len(outcomes.decided)))
    if outcomes.says:
        assert definition.policy is not None
        yield Term("undecided", np.flatnonzero(~outcomes.decided))
        yield from _OF_TYPE[definition.policy.type](definition, shown, outcomes)


def _binary(d: Definition, shown: Shown, outcomes: Outcomes) -> Iterator[Term]:
    decided = outcomes.decided
    positive = decided & _is(outcomes.number, outcomes.text, d.positive)
    yield Term("positive", np.flatnonzero(positive))
    score = _judged(d, shown, shown.score)
    known, predicted = _predicted(d, shown, score)
    yield from _confusion(known & decided, predicted, positive)
    for name, actual in (("score.positive", positive), ("score.negative", ~positive)):
        rows = np.flatnonzero(decided & actual & ~np.isnan(score))
        values, place = np.unique(score[rows], return_inverse=True)
        bucket = pa.array([str(score_bucket(value, d.score_buckets)) for value in values.tolist()], pa.string())
        brier = np.array([square_units(value, 1.0 if name == "score.positive" else 0.0) for value in values.tolist()])
        yield Term(name, rows, bucket.take(pa.array(place)))
        yield Term("brier", rows, amount=brier[place] if len(rows) else ())


def _number(d: Definition, shown: Shown, outcomes: Outcomes) -> Iterator[Term]:
    rows = np.flatnonzero(~np.isnan(outcomes.number))  # a vote for a label of this name may be a category elsewhere
    values = outcomes.number[rows].tolist()
    yield Term("value", rows, amount=[whole(value) for value in values])
    yield Term("squared_value", rows, amount=[square_units(value, 0.0) for value in values])
    judged = _judged(d, shown, shown.score if _of_items(d) else shown.prediction)
    rows = rows[~np.isnan(judged[rows])]
    pairs = list(zip(judged[rows].tolist(), outcomes.number[rows].tolist(), strict=True))
    errors = [difference_units(said, value) for said, value in pairs]
    yield Term("judged", rows)
    yield Term("error", rows, amount=errors)
    yield Term("absolute_error", rows, amount=[abs(error) for error in errors])
    yield Term("squared_error", rows, amount=[square_units(said, value) for said, value in pairs])
    if d.positive_at is not None:
        known = np.zeros(len(judged), bool)
        known[rows] = True
        yield from _confusion(known, judged >= d.positive_at, outcomes.number >= d.positive_at)


def _category(d: Definition, shown: Shown, outcomes: Outcomes) -> Iterator[Term]:
    known = outcomes.text.is_valid().to_numpy(zero_copy_only=False)
    actual = _classes(d, outcomes.text)
    yield _in_class("class.actual", known, actual)
    if d.judges != "prediction" or _of_items(d):
        return
    known = known & shown.prediction_text.is_valid().to_numpy(zero_copy_only=False)
    predicted = _classes(d, shown.prediction_text)
    yield Term("judged", np.flatnonzero(known))
    yield _in_class("class.predicted", known, predicted)
    correct = known & pc.fill_null(pc.equal(predicted, actual), fill_value=False).to_numpy(zero_copy_only=False)
    yield Term("correct", np.flatnonzero(correct))
    yield _in_class("class.correct", correct, actual)


_OF_TYPE: dict[str, Callable[[Definition, Shown, Outcomes], Iterator[Term]]] = {
    "binary": _binary,
    "number": _number,
    "category": _category,
}


def score_bucket(score: float, buckets: int) -> int:
    """Which of equal widths on [0, 1] a score falls into, by exact arithmetic; 1 belongs to the last."""
    number, scale = fraction(score)
    return min(number * buckets // scale, buckets - 1)


def _of_items(d: Definition) -> bool:
    return d.policy is not None and d.policy.unit == "item"


def _judged(d: Definition, shown: Shown, own: Floats) -> Floats:
    """The numbers that are judged."""
    if d.judges == "prediction":
        return own
    if d.judges.startswith("scores."):
        return shown.named(d.judges.removeprefix("scores."))
    return np.full(len(own), NONE)


def _predicted(d: Definition, shown: Shown, score: Floats) -> tuple[Flags, Flags]:
    """Where something is predicted, and whether the positive class is.

    By threshold where one is declared and there is a score, else by the prediction itself.
    """
    by_score = np.full(len(score), d.threshold is not None) & ~np.isnan(score)
    above = score >= (NONE if d.threshold is None else d.threshold)
    if d.judges != "prediction" or _of_items(d):
        return by_score, above
    said = ~np.isnan(shown.prediction) | shown.prediction_text.is_valid().to_numpy(zero_copy_only=False)
    return by_score | said, np.where(by_score, above, _is(shown.prediction, shown.prediction_text, d.positive))


def _is(number: Floats, text: pa.Array, positive: Any) -> Flags:
    """Where a value is the positive one."""
    if isinstance(positive, str):
        return pc.fill_null(pc.equal(text, positive), fill_value=False).to_numpy(zero_copy_only=False)
    return number == positive


def _confusion(known: Flags, predicted: Flags, actual: Flags) -> Iterator[Term]:
    yield Term("tp", np.flatnonzero(known & predicted & actual))
    yield Term("fp", np.flatnonzero(known & predicted & ~actual))
    yield Term("fn", np.flatnonzero(known & ~predicted & actual))
    yield Term("tn", np.flatnonzero(known & ~predicted & ~actual))


def _in_class(statistic: str, known: Flags, classes: pa.Array) -> Term:
    rows = np.flatnonzero(known)
    return Term(statistic, rows, classes.take(pa.array(rows)))


def _classes(d: Definition, values: pa.Array) -> pa.Array:
    """The classes of values; what is not declared is __other__, where any is."""
    if not d.classes:
        return values
    return pc.if_else(pc.or_(values.is_null(), pc.is_in(values, pa.array(d.classes))), values, OTHER)
