"""The first judgement: a challenger beside the champion, on the rows that its release kept from it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.dataset import inputs
from pipelines.dataset.scores import with_scores
from pipelines.definition import Definition
from pipelines.errors import InputError, first_line
from pipelines.lake import Lake
from pipelines.retrain import judge as judging
from pipelines.retrain.baseline import held_out
from pipelines.retrain.compare import drawn, groups, paired
from pipelines.retrain.declared import Acceptance
from pipelines.retrain.ledger import Row, append, histories
from pipelines.retrain.losses import doubles, greatest, kind_of, likeliest, needs_scores, served, texts
from pipelines.retrain.tracking import CHALLENGER, Tracking

_TYPES = {"boolean": pa.bool_(), "integer": pa.int32(), "long": pa.int64(), "float": pa.float32(), "double": pa.float64()}
"""What a signature may ask of a number or a flag. How a number was made a text is not known: MLflow refuses that."""


def judge(lake: Lake, tracking: Tracking, row: Row, rows: pa.Table, *, definition: Definition, acceptance: Acceptance) -> Row:
    """The step `judged`. Only where nothing live is to come is what is not shown by now refused. Raises InputError `model_mute`."""
    greatest(definition, acceptance)
    said = scores(_loaded(tracking, row, row["version"]), rows, definition, acceptance)
    # a release says of a binary label whether it is positive
    came = (texts if kind_of(definition) == "category" else doubles)(rows["label"])
    told = with_scores(lake, row["model"], row["label"], rows) if needs_scores(definition, acceptance) else rows
    before = served(told, definition, acceptance)
    own = _own(lake, row, rows)
    champion, against = _champion(tracking, row, rows, before, own, definition=definition, acceptance=acceptance)
    compared = paired(told, said, definition, acceptance, champion=champion, came=came, shares=drawn(rows))
    fields = [name for name, _ in acceptance.segments]
    verdict = judging.judge(compared, acceptance, groups(definition, fields), last=acceptance.live == "none", against=against)
    if verdict.state != "refuse":
        tracking.move(row["model"], CHALLENGER, row["version"])
    evidence = verdict.evidence() | {"against": against, "held_out": held_out(rows, said, definition)}
    return append(lake, "judged", row, evidence=evidence, **verdict.columns())


def _champion(
    tracking: Tracking, row: Row, rows: pa.Table, told: Any, own: Any, *, definition: Definition, acceptance: Acceptance
) -> tuple[Any, str]:
    """What the challenger is held against, and what that is, in words.

    The champion need not be who served: of its `own` rows it said what was `told`, of the others its model is asked now. Where that
    cannot be, it is what was served, by whomever.
    """
    version = row["champion"]
    if version is None:
        return told, "what was served (there is no champion)"
    if own.all():
        return told, f"version {version}, as served"
    try:
        said = scores(_loaded(tracking, row, version), rows, definition, acceptance).copy()
    except InputError as error:
        return told, f"what was served (the champion cannot be asked: {error.message})"
    said[own] = told[own]
    return said, f"version {version}, which served {int(own.sum()):,} of them and was asked about the others"


def _own(lake: Lake, row: Row, rows: pa.Table) -> Any:
    """Which rows the champion served: under its number, and since the trigger that it was trained for. Before that somebody else did."""
    own = np.asarray(rows["version"].to_pylist(), object) == row["champion"]
    steps = [step for history in histories(lake).values() for step in history if step["step"] == "trained"]
    since = [step["known_at"] for step in steps if (step["model"], step["version"]) == (row["model"], row["champion"])]
    return own & pc.greater_equal(rows["served_at"], pa.scalar(min(since))).to_numpy() if since else own


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
        raise InputError("model_mute", f"the model cannot score the rows that were held out: {first_line(error)[:500]}") from error
    if len(found) != rows.num_rows:
        raise InputError("model_mute", f"of {rows.num_rows:,} rows that were held out the model scored {len(found):,}")
    if category:
        return _classes(found, _named(model, answered), definition, acceptance)
    found = found if found.ndim == 1 else found[:, -1]
    if not np.isfinite(found).all():
        count = int(np.isfinite(found).sum())
        raise InputError("model_mute", f"of {rows.num_rows:,} rows that were held out the model scored {count:,}")
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
        raise InputError("model_mute", f'the model says classes, and not how likely each is, which "{acceptance.loss}" needs')
    names = names or classes
    if len(names) != found.shape[1]:
        told = f"{found.shape[1]} columns without names; expected a frame, or a signature, that names the class of each"
        raise InputError("model_mute", f"the model answers {told}, or the {len(classes)} classes that the model file declares")
    numbers = found.astype(float)
    if not np.isfinite(numbers).all():
        raise InputError("model_mute", "the model gives some classes no finite probability")
    if zero_one:
        return likeliest(numbers, names)
    none = np.zeros(len(numbers))
    return np.stack([numbers[:, names.index(name)] if name in names else none for name in classes], 1)


def _loaded(tracking: Tracking, row: Row, version: str) -> Any:
    """A version as a pyfunc. Raises InputError `model_mute` where it is the model that cannot be loaded, and not the server."""
    try:
        return tracking.model(row["model"], version)
    except Exception as error:  # the model is anybody's code
        tracking.status(row["run_id"])
        raise InputError("model_mute", f"version {version} cannot be loaded: {first_line(error.__cause__ or error)[:500]}") from error
