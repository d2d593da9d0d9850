"""The whole loop on one lake: a trigger, a release of its examples, the training script that comes along, a verdict."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipelines import cli
from pipelines.dataset import load
from pipelines.extras import extra
from pipelines.lake import Lake
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


def test_from_a_trigger_to_a_champion_by_one_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    conf = tmp_path / "conf"
    (conf / "models").mkdir(parents=True)
    (conf / "settings.toml").write_text((Path(__file__).parent.parent / "conf" / "settings.toml").read_text())
    (conf / "models" / "m.toml").write_text(MODEL)
    chance = np.random.default_rng(1)
    far = chance.random(900)
    rows = [
        example(i, number=float(far[i] > 0.5), score=0.5, features=json.dumps({"distance": float(far[i]), "carrier": "AA"}))
        for i in range(900)
    ]
    root = lake_with(tmp_path / "lake", rows)
    append(root, TRIGGERS, [trigger(known_at=FRONTIER)])
    code = cli.main(["launch", "--once", "--lake", str(root), "--conf", str(conf), "--json"])
    told = capsys.readouterr()
    assert code == 0, told.err
    steps = histories(Lake(root))["t1"]
    assert [row["step"] for row in steps] == ["claimed", "released", "started", "trained", "judged", "promoted"], told.err
    last = steps[-1]
    assert load(root, last["release"], split="test").num_rows == last["support"]
    client = extra("mlflow").MlflowClient(f"sqlite:///{root / '_mlflow' / 'mlflow.db'}")
    run = client.get_run(last["run_id"])
    assert run.data.params["release"] == last["release"]
    assert run.inputs.dataset_inputs[0].dataset.digest == last["digest"]
    assert last["high"] < 0
