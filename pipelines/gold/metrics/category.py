"""How good predicted classes were."""

from __future__ import annotations

from pipelines.gold.metrics.declaration import Metric, Sums, Value, ratio
from pipelines.gold.metrics.proportion import proportion


def _macro_f1(sums: Sums) -> Value:
    if not sums.total("judged"):
        return None
    scores = [_f1(sums.at(name)) for name in sums.classes()]
    known = [score for score in scores if score is not None]
    return sum(known) / len(known) if known else None


def _f1(sums: Sums) -> Value:
    return ratio(2 * sums.of_class("class.correct"), sums.of_class("class.actual") + sums.of_class("class.predicted"))


METRICS = (
    proportion(
        "accuracy",
        "category",
        hits=("correct",),
        of=("judged",),
        better="higher",
        meaning="Share of predictions that named the right class, 0 to 1.",
    ),
    proportion(
        "class_precision",
        "category",
        each="class",
        hits=("class.correct",),
        of=("class.predicted",),
        better="higher",
        meaning="By class: share of what was predicted to be it that was, 0 to 1; null where nothing was.",
    ),
    proportion(
        "class_recall",
        "category",
        each="class",
        hits=("class.correct",),
        of=("class.actual",),
        better="higher",
        meaning="By class: share of what was it that was predicted so, 0 to 1; a prediction that names no class "
        "counts as a miss.",
    ),
    Metric(
        "macro_f1",
        "category",
        needs=("class.correct", "class.actual", "class.predicted", "judged"),
        value=_macro_f1,
        better="higher",
        meaning="Mean F1 over the classes that occurred or were predicted, 0 to 1. No interval: the sums hold no "
        "full confusion matrix.",
    ),
)
