"""A training script: a release in, a registered version out. Plain, to be copied and changed; run as an MLflow project."""

from __future__ import annotations

import argparse
from typing import Any

import mlflow
import pandas as pd
import pyarrow as pa
import sklearn
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import brier_score_loss, mean_absolute_error, zero_one_loss
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from pipelines.dataset import inputs, load


def target_of(rows: pa.Table, kind: str) -> Any:
    """What is to be learnt: a number; of a binary label 1 where it is positive, else 0; a class."""
    return rows["label"].cast(pa.string() if kind == "category" else pa.float64()).to_numpy()


def fit(rows: pa.Table, kind: str) -> Pipeline:
    """The model, by the weights of the release: each row stands for as many as it was drawn from. Deterministic."""
    numbers = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
    texts = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=5)
    features = inputs(rows)
    numeric = list(features.select_dtypes("number").columns)
    columns = make_column_transformer((numbers, numeric), (texts, [name for name in features if name not in numeric]))
    last = Ridge() if kind == "number" else LogisticRegression(max_iter=1000)
    model = make_pipeline(columns, last)
    return model.fit(features, target_of(rows, kind), **{f"{model.steps[-1][0]}__sample_weight": rows["weight"].to_numpy()})


def loss(model: Pipeline, rows: pa.Table, kind: str) -> dict[str, float]:
    """Brier score, mean absolute error, or share of wrong classes, of some rows."""
    if kind == "binary":
        said = model.predict_proba(inputs(rows))[:, -1]
        return {"brier": float(brier_score_loss(target_of(rows, kind), said, sample_weight=rows["weight"].to_numpy()))}
    said, came = model.predict(inputs(rows)), target_of(rows, kind)
    if kind == "category":
        return {"zero_one": float(zero_one_loss(came, said, sample_weight=rows["weight"].to_numpy()))}
    return {"mae": float(mean_absolute_error(came, said, sample_weight=rows["weight"].to_numpy()))}


def signature(model: Pipeline, rows: pa.Table, kind: str) -> mlflow.models.ModelSignature:
    """What goes in; of classes also what comes out: the probability of each, by its name."""
    features = inputs(rows)
    if kind != "category":
        return mlflow.models.infer_signature(features)
    return mlflow.models.infer_signature(features, pd.DataFrame(model.predict_proba(features), columns=model.classes_))


def register(model: Pipeline, rows: pa.Table, name: str, kind: str) -> None:
    """Log the model with the active run, as the next version of a registered one; `rows`: such as it learnt from."""
    mlflow.sklearn.log_model(
        model,
        name="model",
        registered_model_name=name,
        signature=signature(model, rows, kind),
        skops_trusted_types=["numpy.dtype"],
        pip_requirements=[f"scikit-learn=={sklearn.__version__}", f"pandas=={pd.__version__}"],
        pyfunc_predict_fn="predict" if kind == "number" else "predict_proba",
    )


def main() -> None:
    """Train on one split, look at another, and register what came of it. What it is judged on it never sees."""
    parser = argparse.ArgumentParser()
    for name in ("lake", "release", "model"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--kind", choices=("binary", "number", "category"), required=True)
    asked = parser.parse_args()
    rows, unseen = (load(asked.lake, asked.release, split=split) for split in ("train", "validation"))
    model = fit(rows, asked.kind)
    with mlflow.start_run():
        mlflow.log_params({"release": asked.release, "rows": rows.num_rows, "features": inputs(rows).shape[1]})
        for split, looked_at in (("train", rows), ("validation", unseen)):
            if looked_at.num_rows:
                mlflow.log_metrics({f"{split}_{name}": value for name, value in loss(model, looked_at, asked.kind).items()})
        register(model, rows, asked.model, asked.kind)


if __name__ == "__main__":
    main()
