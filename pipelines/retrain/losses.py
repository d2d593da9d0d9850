"""What was said of requests, what came of them, and what a prediction loses by that; each loss has a bound.

What is said is a number per row, NaN for none; of a category by its classes, a row of probabilities each, or (zero_one) the class itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.definition import Definition
from pipelines.errors import ConfigError
from pipelines.retrain.declared import Acceptance

Floats = Any
"""A numpy array of doubles; of classes, of texts."""
SHADOW = "shadow."
"""Before the version in the names of scores: what a challenger said of a request that the champion served; of a class, shadow.2.CLASS."""
_CLIP = 1e-3
"""The log loss takes no score for surer than this: it would be without bound, and so would every interval."""
_FITTING = {"binary": ("brier", "log"), "number": ("absolute",), "category": ("brier", "log", "zero_one")}


def losses(said: Floats, came: Floats, definition: Definition, acceptance: Acceptance) -> Floats:
    """The loss of each prediction; NaN where there is none.

    brier: the squared distance from what came (Brier 1950, Monthly Weather Review 78), of a category summed over its classes, 0 to 2.
    zero_one: 1 where another class came.
    """
    if acceptance.loss == "zero_one":
        return np.where(said == None, np.nan, (said != came).astype(float))  # noqa: E711 (of each element)
    if kind_of(definition) == "category":
        return _by_class(said, came, definition, acceptance)
    if acceptance.loss == "brier":
        return (np.clip(said, 0, 1) - came) ** 2
    if acceptance.loss == "log":
        sure = np.clip(said, _CLIP, 1 - _CLIP)
        return -np.log(np.where(came > 0.5, sure, 1 - sure))
    low, high = _range(definition)
    return np.abs(np.clip(said, low, high) - came)


def _by_class(said: Floats, came: Floats, definition: Definition, acceptance: Acceptance) -> Floats:
    """Of probabilities by class; what they lack of 1 is that of any class that is not declared."""
    told = np.clip(said, 0, 1)
    told = told / np.maximum(told.sum(1, keepdims=True), 1)
    told = np.c_[told, 1 - told.sum(1)]
    number = {name: at for at, name in enumerate(definition.classes)}
    of = told[np.arange(len(told)), np.array([number.get(name, len(number)) for name in came], int)]
    if acceptance.loss == "brier":
        return (told**2).sum(1) - 2 * of + 1
    return -np.log(np.clip(of, _CLIP, 1 - _CLIP))


def greatest(definition: Definition, acceptance: Acceptance) -> float:
    """What a prediction can lose at most. Raises ConfigError `loss_unfit`."""
    kind, loss = kind_of(definition), acceptance.loss
    if loss not in _FITTING.get(kind, ()) or (kind == "category" and loss != "zero_one" and not definition.classes):
        raise ConfigError(
            "loss_unfit",
            f'model {definition.model}: acceptance.loss = "{loss}" cannot judge the label {definition.label}, of type {kind}; expected '
            '"brier" or "log" of a binary label, or of a category that declares its classes; "zero_one" of any category; "absolute" of a '
            "number. Mend the model file.",
        )
    low, high = _range(definition)
    return {"brier": 2.0 if kind == "category" else 1.0, "log": float(-np.log(_CLIP)), "absolute": high - low, "zero_one": 1.0}[loss]


def outcomes(rows: pa.Table, definition: Definition) -> Floats:
    """What came: 1 and 0 of a binary label, the class of a category, else the number."""
    if kind_of(definition) == "category":
        return texts(rows["text"])
    if kind_of(definition) != "binary":
        return doubles(rows["number"])
    column = rows["text"] if isinstance(definition.positive, str) else rows["number"]
    positive = pc.fill_null(pc.equal(column, pa.scalar(definition.positive, column.type)), False)
    # silence that is negative is none, whatever number stands for it
    return doubles(pc.and_(positive, pc.equal(rows["basis"], "answered")).cast(pa.float64()))


def served(rows: pa.Table, definition: Definition, acceptance: Acceptance) -> Floats:
    """What the version that served said: the score that is judged, of a number label its prediction; of a category its classes' scores."""
    kind = kind_of(definition)
    if kind == "category":
        if acceptance.loss != "zero_one":
            return by_class(rows, "", definition)
        # rows of a release have one column for both
        return texts(rows["prediction_text" if "prediction_text" in rows.column_names else "prediction"])
    if definition.judges.startswith("scores."):
        return named(rows, definition.judges.removeprefix("scores."))
    return doubles(rows["prediction" if kind == "number" else "score"])


def in_shadow(rows: pa.Table, version: str, definition: Definition, acceptance: Acceptance) -> Floats:
    """What a version said in the shadow of the one that served; of a category the likeliest class is the one it says."""
    if kind_of(definition) != "category":
        return named(rows, SHADOW + version)
    told = by_class(rows, f"{SHADOW}{version}.", definition)
    return likeliest(told, definition.classes) if acceptance.loss == "zero_one" else told


def needs_scores(definition: Definition, acceptance: Acceptance) -> bool:
    """Whether what served is told by named scores, which a release does not hold."""
    return definition.judges.startswith("scores.") or (kind_of(definition) == "category" and acceptance.loss != "zero_one")


def by_class(rows: pa.Table, prefix: str, definition: Definition) -> Floats:
    """The scores of the declared classes, a column each."""
    return np.stack([named(rows, prefix + name) for name in definition.classes] or [np.full(rows.num_rows, np.nan)], 1)


def likeliest(told: Floats, classes: Sequence[str]) -> Floats:
    """The class with the highest probability, the first of equals; None where not all are told."""
    names, whole = np.asarray(classes, object), ~np.isnan(told).any(1)
    found = np.full(len(told), None, object)
    found[whole] = names[told[whole].argmax(1)] if len(classes) else None
    return found


def named(rows: pa.Table, name: str) -> Floats:
    return doubles(pc.map_lookup(rows["scores"], name, "first"))


def kind_of(definition: Definition) -> str:
    return definition.policy.type if definition.policy else "none"


def doubles(column: pa.ChunkedArray | pa.Array) -> Floats:
    return column.cast(pa.float64()).to_numpy(**({} if isinstance(column, pa.ChunkedArray) else {"zero_copy_only": False}))


def texts(column: pa.ChunkedArray | pa.Array) -> Floats:
    return np.asarray(column.to_pylist(), object)


def _range(definition: Definition) -> tuple[float, float]:
    policy = definition.policy
    return (0.0, 1.0) if policy is None or policy.low is None or policy.high is None else (policy.low, policy.high)
