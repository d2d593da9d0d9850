"""The training script that comes along: features and target of a release, weights that count, and a project that names it."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pipelines.definition import Definition, Policy
from pipelines.extras import extra
from pipelines.quantities import read_toml
from pipelines.retrain.declared import Acceptance, Retrain
from pipelines.retrain.held_out import scores
from pipelines.retrain.project import PROJECT, at_work, begin

pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}") for kind in ("DeprecationWarning", "FutureWarning", "UserWarning")]


@pytest.fixture
def script() -> Any:
    extra("mlflow")
    return extra("pipelines.retrain.train")


def rows(count: int = 400) -> pd.DataFrame:
    """A release: late where the distance is great, or the carrier is UA; the champion's score says nothing."""
    chance = np.random.default_rng(2)
    distance, carrier = chance.normal(size=count), chance.choice(["UA", "AA"], count)
    late = (distance + (carrier == "UA") > 0.5).astype(float)
    features = {"distance": np.where(chance.random(count) < 0.1, np.nan, distance), "carrier": carrier, "night": chance.random(count) < 0.5}
    return pd.DataFrame({"unit_id": "r", "label": late, "weight": 1.0, "score": 0.5, "served_at": pd.Timestamp(0), **features})


def test_what_was_predicted_and_what_came_are_no_features(script: Any) -> None:
    assert list(script.features_of(rows()).columns) == ["distance", "carrier", "night"]


def test_a_model_learns_from_a_release_the_same_way_each_time(script: Any) -> None:
    first, second = (script.fit(rows(), "binary") for _ in range(2))
    unseen = script.features_of(rows())
    assert (first.predict_proba(unseen) == second.predict_proba(unseen)).all()
    assert script.loss(first, rows(), "binary")["brier"] < 0.1


def test_a_number_is_learnt_as_a_number(script: Any) -> None:
    minutes = rows()
    minutes["label"] = minutes["distance"].fillna(0) * 3
    assert script.loss(script.fit(minutes, "number"), minutes, "number")["mae"] < 0.5


def test_classes_are_learnt_as_classes_whose_names_are_told(script: Any) -> None:
    seen = rows()
    seen["label"] = np.where(seen["label"] == 1, "late", "punctual")
    model = script.fit(seen, "category")
    assert script.loss(model, seen, "category")["zero_one"] < 0.1
    assert script.signature(model, seen, "category").outputs.input_names() == ["late", "punctual"]
    assert script.signature(model, seen, "binary").outputs is None


@pytest.mark.parametrize("loss", ["log", "zero_one"])
def test_what_is_registered_for_classes_can_be_judged(script: Any, tmp_path: Path, loss: str) -> None:
    seen = rows().drop(columns="night")
    seen["label"] = np.where(seen["label"] == 1, "late", "punctual")
    model, mlflow = script.fit(seen, "category"), extra("mlflow")
    signature = script.signature(model, seen, "category")
    mlflow.sklearn.save_model(model, tmp_path / "model", signature=signature, skops_trusted_types=["numpy.dtype"],
                              pip_requirements=[], pyfunc_predict_fn="predict_proba")  # fmt: skip
    policy, classes = Policy("category", "request", "latest", 60), ("gone", "late", "punctual")
    kind = Definition("m", "kind", ((),), ("1 day",), policy=policy, classes=classes)
    found = scores(mlflow.pyfunc.load_model(str(tmp_path / "model")), pa.Table.from_pandas(seen), kind, Acceptance(loss))
    expected = model.predict_proba(script.features_of(seen))
    if loss == "log":
        assert found == pytest.approx(np.c_[np.zeros(len(seen)), expected])
    else:
        assert (found == model.predict(script.features_of(seen))).all()


def test_a_row_counts_as_often_as_its_weight_says(script: Any) -> None:
    few, many = rows(), rows()
    many.loc[many.label == 0, "weight"] = 20.0
    sure = [script.fit(seen, "binary").predict_proba(script.features_of(few))[:, 1].mean() for seen in (few, many)]
    assert sure[1] < sure[0]


def test_the_project_and_its_script_are_shipped() -> None:
    root = Path(__file__).parent.parent
    assert "retrain/MLproject" in read_toml(root / "pyproject.toml")["tool"]["setuptools"]["package-data"]["pipelines"]
    assert "python -P train.py" in (PROJECT / "MLproject").read_text()
    assert (PROJECT / "train.py").is_file()


def test_without_room_for_its_id_no_training_is_begun(tmp_path: Path) -> None:
    """A training that nobody knows of would be begun again beside itself; and the launcher does not wait for its id for ever."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            begin(tmp_path / "runs", "r1", Retrain("local"), {}, "sqlite://")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert at_work(tmp_path / "runs", "r1") is None
