"""The first judgement: a challenger beside what was served, on the rows that its release kept from it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.dataset import inputs
from pipelines.dataset.scores import with_scores
from pipelines.definition import Definition
from pipelines.errors import InputError
from pipelines.lake import Lake
from pipelines.retrain import judge as judging
from pipelines.retrain.baseline import held_out
from pipelines.retrain.compare import drawn, groups, paired
from pipelines.retrain.declared import Acceptance
from pipelines.retrain.ledger import Row, append
from pipelines.retrain.losses import doubles, greatest, kind_of, likeliest, needs_scores, texts
from pipelines.retrain.tracking import CHALLENGER, Tracking

_TYPES = {"boolean": pa.bool_(), "integer": pa.int32(), "long": pa.int64(), "float": pa.float32(), "double": pa.float64()}
"""What a signature may ask of a number or a flag. How a number was made a text is not known: MLflow refuses that."""


def judge(lake: Lake, tracking: Tracking, row: Row, rows: pa.Table, *, definition: Definition, acceptance: Acceptance) -> Row:
    """The step `judged`. Only where nothing live is to come is what is not shown by now refused. Raises InputError `model_mute`."""
    greatest(definition, acceptance)
    said = scores(_loaded(tracking, row), rows, definition, acceptance)
    # a release says of a binary label whether it is positive
    came = (texts if kind_of(definition) == "category" else doubles)(rows["label"])
    told = with_scores(lake, row["model"], row["label"], rows) if needs_scores(definition, acceptance) else rows
    compared = paired(told, said, definition, acceptance, came=came, shares=drawn(rows))
    fields = [name for name, _ in acceptance.segments]
    verdict = judging.judge(compared, acceptance, groups(definition, fields), last=acceptance.live == "none")
    if verdict.state != "refuse":
        tracking.move(row["model"], CHALLENGER, row["version"])
    evidence = verdict.evidence() | {"held_out": held_out(rows, said, definition)}
    return append(lake, "judged", row, evidence=evidence, **verdict.columns())


def scores(model: Any, rows: pa.Table, definition: Definition, acceptance: Acceptance) -> Any:
    """What a pyfunc says of rows, as losses are taken of it. Raises InputError `model_mute`.

    A number of each; of several columns, as of predict_proba, the last. Of a category a column per class, named by the frame that it
    answers or by its signature, else in the order of the declared classes; or for zero_one the class.
    """
    category = kind_of(definition) == "category"
    if not rows.num_rows:
        return np.empty((0, len(definition.classes))) if needs_scores(definition, acceptance) and category else np.empty(0)
    try:
        answered = model.predict(_asked(model, rows))
        found = np.asarray(answered) if category else np.asarray(answered, float)
    except Exception as error:  # the model is anybody's code
        raise InputError("model_mute", f"the challenger cannot score the rows that were held out: {str(error)[:500]}") from error
    if len(found) != rows.num_rows:
        raise InputError("model_mute", f"of {rows.num_rows:,} rows that were held out the challenger scored {len(found):,}")
    if category:
        return _classes(found, _named(model, answered), definition, acceptance)
    found = found if found.ndim == 1 else found[:, -1]
    if not np.isfinite(found).all():
        count = int(np.isfinite(found).sum())
        raise InputError("model_mute", f"of {rows.num_rows:,} rows that were held out the challenger scored {count:,}")
    return found


def _asked(model: Any, rows: pa.Table) -> Any:
    """What the model asks for, by the names and in the types of its signature; all features where it has none."""
    schema = model.metadata.get_input_schema()
    if schema is None or not schema.has_input_names():
        return inputs(rows)
    wanted = {one.name: _TYPES[one.type.name] for one in schema.inputs if getattr(one.type, "name", "") in _TYPES}
    found = inputs(rows, wanted)
    return found[[name for name in schema.input_names() if name in found]]


def _named(model: Any, answered: Any) -> list[str]:
    """What the columns of an answer are called; nothing where nobody says."""
    if hasattr(answered, "columns"):
        return [str(name) for name in answered.columns]
    outputs = model.metadata.get_output_schema()
    return [str(name) for name in outputs.input_names()] if outputs is not None and outputs.has_input_names() else []


def _classes(found: Any, names: list[str], definition: Definition, acceptance: Acceptance) -> Any:
    """Classes, or a probability of each declared one. Raises InputError `model_mute`."""
    zero_one, classes = acceptance.loss == "zero_one", list(definition.classes)
    if found.ndim == 1 or found.shape[1] == 1:
        if zero_one:
            return np.asarray([str(one) for one in found.reshape(len(found))], object)
        raise InputError("model_mute", f'the challenger says classes, and not how likely each is, which "{acceptance.loss}" needs')
    names = names or classes
    if len(names) != found.shape[1]:
        told = f"{found.shape[1]} columns without names; expected a frame, or a signature, that names the class of each"
        raise InputError("model_mute", f"the challenger answers {told}, or the {len(classes)} classes that the model file declares")
    numbers = found.astype(float)
    if not np.isfinite(numbers).all():
        raise InputError("model_mute", "the challenger gives some classes no finite probability")
    if zero_one:
        return likeliest(numbers, names)
    none = np.zeros(len(numbers))
    return np.stack([numbers[:, names.index(name)] if name in names else none for name in classes], 1)


def _loaded(tracking: Tracking, row: Row) -> Any:
    """The version as a pyfunc. Raises InputError `model_mute` where it is the model that cannot be loaded, and not the server."""
    try:
        return tracking.model(row["model"], row["version"])
    except Exception as error:  # the model is anybody's code
        tracking.status(row["run_id"])
        raise InputError("model_mute", f"version {row['version']} cannot be loaded: {str(error)[:500]}") from error
