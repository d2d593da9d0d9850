"""What one outcome, or one inference, adds to the statistics: plain terms, each exact and rounded once.

Terms are computed from the shortest decimal form of their inputs; only the finished term is rounded, half up, to nine
places.
"""

from __future__ import annotations

from bisect import bisect_left
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal
from typing import Any, NamedTuple

from pipelines.verify.beliefs import Belief, Value
from pipelines.verify.definitions import Definition
from pipelines.verify.events import Inference

Term = tuple[str, str, Decimal]
"""(statistic, bucket, amount)"""

ONE = Decimal(1)
_NANO = Decimal("0.000000001")
_EXACT = Context(prec=1500)
"""Wide enough for the square of a difference of any two doubles within 1e12, without rounding."""
_OTHER = "__other__"


def nine(exact: Decimal) -> Decimal:
    """Rounded half up to nine places."""
    return exact.quantize(_NANO, ROUND_HALF_UP, _EXACT)


def shortest(number: float) -> Decimal:
    """The exact value of a double's shortest decimal form."""
    return Decimal(repr(number))


EDGES = [nine(shortest(0.001 * 1.02**i)) for i in range(1400)]
"""Upper edges of the logarithmic buckets of a measure: two per cent wide."""


class Judged(NamedTuple):
    """What a label is held against: the prediction, the score (of the request, or of the item), and named scores."""

    prediction: float | str | None
    score: float | None
    scores: dict[str, float] | None


def judged(inference: Inference, item: str) -> Judged:
    """What is judged of an inference: the request itself (item ""), or one item of its slate."""
    if not item:
        return Judged(inference.prediction, inference.score, inference.scores)
    return Judged(None, dict(inference.items or ()).get(item), inference.scores)


def is_judged(inference: Inference, item: str) -> bool:
    """Whether there is something to judge: status ok, and the item (if any) on the slate."""
    return inference.status == "ok" and (not item or any(item == name for name, _ in inference.items or ()))


def service(definition: Definition, inference: Inference) -> list[Term]:
    """What an inference adds to its model's service statistics."""
    terms: list[Term] = []
    if inference.status == "ok":
        terms.append(("n", "", ONE))
        if inference.items:
            terms.append(("items", "", Decimal(len(inference.items))))
    else:
        terms.append(("errors", "", ONE))
    for name, number in inference.measures:
        if name in definition.measures:
            amount = nine(shortest(number))
            terms.append((name, "", amount))
            terms.append((f"{name}.n", "", ONE))
            terms.append((f"{name}.histogram", str(bisect_left(EDGES, amount)), ONE))
    if inference.status == "ok":
        terms += [(f"{name}.histogram", _bucket(_value(name, inference), scale), ONE) for name, scale in definition.histograms]
    return terms


def _value(name: str, inference: Inference) -> Any:
    """What a declared distribution is of."""
    if name == "request.score":
        return inference.score
    of, _, key = name.partition(".")
    return ((inference.distributed if of == "feature" else inference.scores) or {}).get(key)


def _bucket(value: Any, scale: tuple[Any, ...]) -> str:
    """Where a value counts: among as many edges as lie at or below it, or as the text that it is."""
    if value is None:
        return "__missing__"
    if isinstance(scale[0], str):
        text = {True: "true", False: "false"}[value] if type(value) is bool else value
        return text if type(text) is str and text in scale else _OTHER
    return str(sum(edge <= value for edge in scale)) if type(value) in (int, float) else _OTHER


def silence(definition: Definition, on: Judged) -> list[Term]:
    """What silence adds, once it is information."""
    absent = definition.policy["absent"] if definition.policy else "missing"
    if absent == "missing":
        return [("n", "", ONE)]
    if absent == "negative":
        return [("n", "", ONE), *_binary(definition, False, on)]
    return answer(definition, Belief(float(absent), None) if not isinstance(absent, str) else Belief(None, absent), on)


def answer(definition: Definition, belief: Belief, on: Judged) -> list[Term]:
    """What a belief about an outcome adds."""
    value = belief.value
    terms: list[Term] = [("n", "", ONE)]
    if value is None:
        return [*terms, ("undecided", "", ONE)]
    kind = definition.policy["type"] if definition.policy else ""
    if kind == "binary":
        return [*terms, *_binary(definition, value == definition.positive, on)]
    if kind == "number" and isinstance(value, float):
        return [*terms, *_number(definition, value, on)]
    if kind == "category" and isinstance(value, str):
        return [*terms, *_category(definition, value, on)]
    return terms


def _binary(definition: Definition, positive: bool, on: Judged) -> list[Term]:
    terms: list[Term] = [("positive", "", ONE)] if positive else []
    score = _score(definition, on)
    predicted: bool | None = None
    if definition.threshold is not None and score is not None:
        predicted = score >= definition.threshold
    elif definition.judges == "prediction" and definition.unit == "request" and on.prediction is not None:
        predicted = on.prediction == definition.positive
    if predicted is not None:
        terms.append((_cell(predicted, positive), "", ONE))
    if score is not None:
        exact = shortest(score)
        scaled = _EXACT.multiply(exact, Decimal(definition.score_buckets)).to_integral_value(ROUND_FLOOR)
        bucket = min(int(scaled), definition.score_buckets - 1)
        terms.append(("score.positive" if positive else "score.negative", str(bucket), ONE))
        miss = _EXACT.subtract(exact, ONE if positive else Decimal(0))
        terms.append(("brier", "", nine(_EXACT.multiply(miss, miss))))
    return terms


def _number(definition: Definition, value: float, on: Judged) -> list[Term]:
    actual = shortest(value)
    terms: list[Term] = [("value", "", nine(actual)), ("squared_value", "", nine(_EXACT.multiply(actual, actual)))]
    number = _judged_number(definition, on)
    if number is None:
        return terms
    error = _EXACT.subtract(shortest(number), actual)
    terms.append(("judged", "", ONE))
    terms.append(("error", "", nine(error)))
    terms.append(("absolute_error", "", nine(error.copy_abs())))
    terms.append(("squared_error", "", nine(_EXACT.multiply(error, error))))
    if definition.positive_at is not None:
        terms.append((_cell(number >= definition.positive_at, value >= definition.positive_at), "", ONE))
    return terms


def _category(definition: Definition, value: str, on: Judged) -> list[Term]:
    actual = _class(definition, value)
    terms: list[Term] = [("class.actual", actual, ONE)]
    if definition.judges == "prediction" and definition.unit == "request" and isinstance(on.prediction, str):
        predicted = _class(definition, on.prediction)
        terms += [("class.predicted", predicted, ONE), ("judged", "", ONE)]
        if predicted == actual:
            terms += [("correct", "", ONE), ("class.correct", actual, ONE)]
    return terms


def _score(definition: Definition, on: Judged) -> float | None:
    if definition.judges == "prediction":
        return on.score
    return _named(definition, on)


def _judged_number(definition: Definition, on: Judged) -> float | None:
    if definition.judges == "prediction":
        number: Value | None = on.prediction if definition.unit == "request" else on.score
        return number if isinstance(number, float) else None
    return _named(definition, on)


def _named(definition: Definition, on: Judged) -> float | None:
    kind, _, name = definition.judges.partition(".")
    return (on.scores or {}).get(name) if kind == "scores" else None


def _class(definition: Definition, value: str) -> str:
    return value if not definition.classes or value in definition.classes else _OTHER


def _cell(predicted: bool, actual: bool) -> str:
    return ("tp" if actual else "fp") if predicted else ("fn" if actual else "tn")
