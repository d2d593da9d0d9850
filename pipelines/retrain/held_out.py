"""The first judgement: a challenger beside what was served, on the rows that its release kept from it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.definition import Definition
from pipelines.errors import InputError
from pipelines.lake import Lake
from pipelines.retrain import judge as judging
from pipelines.retrain.compare import doubles, groups, paired
from pipelines.retrain.declared import Acceptance
from pipelines.retrain.ledger import Row, append
from pipelines.retrain.tracking import CHALLENGER, Tracking


def judge(lake: Lake, tracking: Tracking, row: Row, rows: pa.Table, *, definition: Definition, acceptance: Acceptance) -> Row:
    """The step `judged`. Only where nothing live is to come is what is not shown by now refused. Raises InputError `model_mute`."""
    said = scores(_loaded(tracking, row), rows)
    # a release says of a binary label whether it is positive
    compared = paired(rows, said, definition, acceptance, came=doubles(rows["label"]))
    fields = [name for name, _ in acceptance.segments]
    verdict = judging.judge(compared, acceptance, groups(definition, fields), last=acceptance.live == "none")
    if verdict.state != "refuse":
        tracking.move(row["model"], CHALLENGER, row["version"])
    return append(lake, "judged", row, evidence=verdict.evidence(), **verdict.columns())


def scores(model: Any, rows: pa.Table) -> Any:
    """What a pyfunc says of rows: a number of each; of several columns, as of predict_proba, the last. Raises InputError `model_mute`."""
    inputs = model.metadata.get_input_schema()
    names = inputs.input_names() if inputs is not None and inputs.has_input_names() else rows.column_names
    if not rows.num_rows:
        return np.empty(0)
    try:
        found = np.asarray(model.predict(rows.select(names).to_pandas()), float)
    except Exception as error:  # the model is anybody's code
        raise InputError("model_mute", f"the challenger cannot score the rows that were held out: {str(error)[:500]}") from error
    found = found if found.ndim == 1 else found[:, -1]
    if len(found) != rows.num_rows or not np.isfinite(found).all():
        count = int(np.isfinite(found).sum())
        raise InputError("model_mute", f"of {rows.num_rows:,} rows that were held out the challenger scored {count:,}")
    return found


def _loaded(tracking: Tracking, row: Row) -> Any:
    """The version as a pyfunc. Raises InputError `model_mute` where it is the model that cannot be loaded, and not the server."""
    try:
        return tracking.model(row["model"], row["version"])
    except Exception as error:  # the model is anybody's code
        tracking.status(row["run_id"])
        raise InputError("model_mute", f"version {row['version']} cannot be loaded: {str(error)[:500]}") from error
