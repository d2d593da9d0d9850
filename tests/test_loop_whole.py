"""The whole loop on one lake: a trigger, a release of its examples, the training script that comes along, a verdict."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipelines import cli
from pipelines.dataset import load
from pipelines.dataset.erased import succeed
from pipelines.dataset.tables import RELEASED
from pipelines.definition import Definition
from pipelines.erasure.rewrite import drop
from pipelines.extras import extra
from pipelines.lake import Lake
from pipelines.models import load_model
from pipelines.retrain.ledger import histories
from pipelines.watch.tables import TRIGGERS
from tests.examples import FRONTIER, append, example, lake_with
from tests.retraining import trigger

pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}") for kind in ("DeprecationWarning", "FutureWarning", "UserWarning")]
MODEL = """model = "m"
[labels.late]
type = "binary"
positive = 1
attribution_window = "1 day"
absent = "negative"
resolve = "latest"
[segments]
origin = ["JFK", "LGA"]
[dataset.late]
split = ["time"]
shares = [0.6, 0.1, 0.3]
[retrain]
timeout = "2 minutes"
[acceptance]
support = 50
"""
CLASSES = """model = "m"
[labels.kind]
type = "category"
classes = ["far", "near"]
attribution_window = "1 day"
resolve = "latest"
[dataset.kind]
split = ["time"]
shares = [0.6, 0.1, 0.3]
[retrain]
timeout = "2 minutes"
[acceptance]
loss = "log"
support = 50
"""


def declared(conf: Path, model: str) -> Definition:
    """Write a model's file beside the settings; the definition of its label."""
    (conf / "models").mkdir(parents=True)
    shutil.copy(Path(__file__).parent.parent / "conf" / "settings.toml", conf)
    (conf / "models" / "m.toml").write_text(model)
    return load_model(conf / "models" / "m.toml")[1]


def launched(root: Path, conf: Path, label: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What the command comes to for a trigger: a promotion."""
    append(root, TRIGGERS, [trigger(known_at=FRONTIER) | {"label": label}])
    code = cli.main(["launch", "--once", "--lake", str(root), "--conf", str(conf), "--json"])
    told = capsys.readouterr()
    assert code == 0, told.err
    steps = histories(Lake(root))["t1"]
    assert [row["step"] for row in steps] == ["claimed", "released", "started", "trained", "judged", "promoted"], told.err
    return steps[-1]


def test_from_a_trigger_to_a_champion_by_one_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    far = np.random.default_rng(1).random(900)
    late = declared(tmp_path / "conf", MODEL)
    rows = [
        example(i, late, number=float(x > 0.5), score=0.5, features=json.dumps({"distance": x, "carrier": "AA", "night": x > 0.7}))
        for i, x in enumerate(far.tolist())
    ]
    root = lake_with(tmp_path / "lake", rows, [late])
    last = launched(root, tmp_path / "conf", "late", capsys)
    assert load(root, last["release"], split="test").num_rows == last["support"]
    client = extra("mlflow").MlflowClient(f"sqlite:///{root / '_mlflow' / 'mlflow.db'}")
    run = client.get_run(last["run_id"])
    assert run.data.params["release"] == last["release"]
    assert run.inputs.dataset_inputs[0].dataset.digest == last["digest"]
    assert last["high"] < 0
    drop(root, RELEASED, pa.array([7], pa.int64()))
    (successor,) = succeed(Lake(root), 4711)
    assert (successor.supersedes, successor.rows) == (last["release"], 899)
    assert successor.runs == [f"run {last['run_id']}", "version 1"]


@pytest.mark.long
def test_classes_are_learnt_and_judged_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kind = declared(tmp_path / "conf", CLASSES)
    even = {"number": None, "prediction_text": "far", "scores": {"far": 0.5, "near": 0.5}}
    rows = [
        example(i, kind, text="far" if x > 0.5 else "near", features=json.dumps({"distance": x, "stops": i % 3}), **even)
        for i, x in enumerate(np.random.default_rng(1).random(900).tolist())
    ]
    root = lake_with(tmp_path / "lake", rows, [kind])
    last = launched(root, tmp_path / "conf", "kind", capsys)
    assert last["support"] == load(root, last["release"], split="test").num_rows
    assert last["high"] < 0
