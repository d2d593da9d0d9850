"""The training script that comes along: features and target of a release, weights that count, and a project that names it."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipelines.dataset import inputs
from pipelines.definition import Definition, Policy
from pipelines.errors import InputError
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


def rows(count: int = 400, label: str = "late") -> pa.Table:
    """A release: late where the distance is great, or the carrier is UA; the champion's score says nothing.

    `label`: late, or its class, or minutes. Of some rows it is not known how far, nor whether by night.
    """
    chance = np.random.default_rng(2)
    distance, carrier = chance.normal(size=count), chance.choice(["UA", "AA"], count)
    late, unknown = (distance + (carrier == "UA") > 0.5).astype(float), chance.random(count) < 0.1
    told = {"late": late, "class": np.where(late == 1, "late", "punctual"), "minutes": np.where(unknown, 0, distance * 3)}
    return pa.table({
        "unit_id": ["r"] * count, "label": told[label], "weight": np.ones(count), "score": np.full(count, 0.5),
        "distance": pa.array(distance, mask=unknown), "carrier": carrier, "night": pa.array(chance.random(count) < 0.5, mask=unknown),
        "stops": chance.integers(0, 3, count).astype(float),
    })  # fmt: skip


def test_what_was_predicted_and_what_came_are_no_features() -> None:
    assert list(inputs(rows()).columns) == ["distance", "carrier", "night", "stops"]


def test_a_flag_is_a_number_that_may_be_missing() -> None:
    flags = pa.table({"night": [True, None, False], "unseen": pa.nulls(3, pa.bool_())})
    found = inputs(flags)
    assert found.dtypes.tolist() == [np.float64] * 2
    np.testing.assert_equal(found.to_numpy().T, [[1.0, np.nan, 0.0], [np.nan] * 3])


def test_a_model_learns_from_a_release_the_same_way_each_time(script: Any) -> None:
    first, second = (script.fit(rows(), "binary") for _ in range(2))
    assert (first.predict_proba(inputs(rows())) == second.predict_proba(inputs(rows()))).all()
    assert script.loss(first, rows(), "binary")["brier"] < 0.1


def test_a_number_is_learnt_as_a_number(script: Any) -> None:
    minutes = rows(label="minutes")
    assert script.loss(script.fit(minutes, "number"), minutes, "number")["mae"] < 0.5


def test_classes_are_learnt_as_classes_whose_names_are_told(script: Any) -> None:
    seen = rows(label="class")
    model = script.fit(seen, "category")
    assert script.loss(model, seen, "category")["zero_one"] < 0.1
    assert script.signature(model, seen, "category").outputs.input_names() == ["late", "punctual"]
    assert script.signature(model, seen, "binary").outputs is None


def saved(folder: Path, model: Any, **said: Any) -> Any:
    """A model, as the registry gives it back."""
    mlflow = extra("mlflow")
    mlflow.sklearn.save_model(model, folder, pip_requirements=[], pyfunc_predict_fn="predict_proba", **said)
    return mlflow.pyfunc.load_model(str(folder))


@pytest.mark.parametrize("loss", ["log", "zero_one"])
def test_what_is_registered_for_classes_can_be_judged(script: Any, tmp_path: Path, loss: str) -> None:
    seen = rows(label="class")
    model = script.fit(seen, "category")
    loaded = saved(tmp_path / "m", model, signature=script.signature(model, seen, "category"), skops_trusted_types=["numpy.dtype"])
    policy, classes = Policy("category", "request", "latest", 60), ("gone", "late", "punctual")
    found = scores(loaded, seen, Definition("m", "kind", ((),), ("1 day",), policy=policy, classes=classes), Acceptance(loss))
    if loss == "log":
        assert found == pytest.approx(np.c_[np.zeros(seen.num_rows), model.predict_proba(inputs(seen))])
    else:
        assert (found == model.predict(inputs(seen))).all()


def of_their_own(folder: Path, known: pa.Table, asks: str) -> tuple[Any, Any]:
    """What a script of one's own learnt, and registered to ask for flags as something else."""
    seen = known.select(["night", "stops"]).to_pandas().astype({"stops": "int32"})
    model = extra("sklearn.linear_model").LogisticRegression().fit(seen.astype(float), known["label"].to_numpy())
    signature = extra("mlflow").models.infer_signature(seen.astype({"night": asks}))
    return saved(folder, model, signature=signature), model.predict_proba(seen.astype(float))[:, 1]


LATE = Definition("m", "late", ((),), ("1 day",), policy=Policy("binary", "request", "latest", 60), positive=1.0)


@pytest.mark.parametrize("asks", ["bool", "int64", "float32"])
def test_flags_and_whole_numbers_are_given_as_a_signature_asks(tmp_path: Path, asks: str) -> None:
    known = rows().filter(pc.is_valid(pc.field("night")))
    model, expected = of_their_own(tmp_path / "m", known, asks)
    assert scores(model, known, LATE, Acceptance()) == pytest.approx(expected)


@pytest.mark.parametrize(("asks", "lacks"), [("bool", "a value"), ("str", "nothing"), ("bool", "a column")])
def test_a_model_that_asks_for_what_is_not_there_is_mute(tmp_path: Path, asks: str, lacks: str) -> None:
    known = rows().filter(pc.is_valid(pc.field("night")))
    model, _ = of_their_own(tmp_path / "m", known, asks)
    held = {"a value": rows(), "nothing": known, "a column": known.drop_columns(["stops"])}[lacks]
    with pytest.raises(InputError) as refused:
        scores(model, held, LATE, Acceptance())
    assert refused.value.code == "model_mute"


def test_a_row_counts_as_often_as_its_weight_says(script: Any) -> None:
    few = rows()
    weights = pc.if_else(pc.equal(few["label"], 0), 20.0, 1.0)
    many = few.drop_columns(["weight"]).append_column("weight", weights)
    sure = [script.fit(seen, "binary").predict_proba(inputs(few))[:, 1].mean() for seen in (few, many)]
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
