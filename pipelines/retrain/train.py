"""A training script: a release in, a registered version out. Plain, to be copied and changed; run as an MLflow project."""

from __future__ import annotations

import argparse

import mlflow
import pandas as pd
import sklearn
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import brier_score_loss, mean_absolute_error
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

NO_FEATURES = {
    *("tenant", "unit", "unit_id", "item", "served_at", "known_at", "label", "basis", "weight", "split", "version"),
    *("prediction", "score", "segments", "offset"),
}
"""The columns of a release beside the features; what was predicted is none of them."""


def features_of(rows: pd.DataFrame) -> pd.DataFrame:
    """The features; times, flags and texts as what a column transformer tells apart: numbers, and anything else."""
    found = rows[[name for name in rows.columns if name not in NO_FEATURES]]
    return found.astype({name: float for name, kind in found.dtypes.items() if kind == bool})  # noqa: E721 (a dtype)


def target_of(rows: pd.DataFrame) -> pd.Series[float]:
    """What is to be learnt: a number; of a binary label 1 where it is positive, else 0."""
    return rows["label"].astype(float)


def fit(rows: pd.DataFrame, kind: str) -> Pipeline:
    """The model, by the weights of the release: each row stands for as many as it was drawn from. Deterministic."""
    numbers = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
    texts = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=5)
    features = features_of(rows)
    numeric = list(features.select_dtypes("number").columns)
    columns = make_column_transformer((numbers, numeric), (texts, [name for name in features if name not in numeric]))
    last = LogisticRegression(max_iter=1000) if kind == "binary" else Ridge()
    model = make_pipeline(columns, last)
    return model.fit(features, target_of(rows), **{f"{model.steps[-1][0]}__sample_weight": rows["weight"]})


def loss(model: Pipeline, rows: pd.DataFrame, kind: str) -> dict[str, float]:
    """Brier score, or mean absolute error, of some rows."""
    if kind == "binary":
        said = model.predict_proba(features_of(rows))[:, -1]
        return {"brier": float(brier_score_loss(target_of(rows), said, sample_weight=rows["weight"]))}
    said = model.predict(features_of(rows))
    return {"mae": float(mean_absolute_error(target_of(rows), said, sample_weight=rows["weight"]))}


def register(model: Pipeline, rows: pd.DataFrame, name: str, kind: str) -> None:
    """Log the model with the active run, as the next version of a registered one; `rows`: such as it learnt from."""
    mlflow.sklearn.log_model(
        model,
        name="model",
        registered_model_name=name,
        signature=mlflow.models.infer_signature(features_of(rows)),
        skops_trusted_types=["numpy.dtype"],
        pip_requirements=[f"scikit-learn=={sklearn.__version__}", f"pandas=={pd.__version__}"],
        pyfunc_predict_fn="predict_proba" if kind == "binary" else "predict",
    )


def main() -> None:
    """Train on one split, look at another, and register what came of it. What it is judged on it never sees."""
    from pipelines.dataset import load

    parser = argparse.ArgumentParser()
    for name in ("lake", "release", "model"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--kind", choices=("binary", "number"), required=True)
    asked = parser.parse_args()
    rows, unseen = (load(asked.lake, asked.release, split=split).to_pandas() for split in ("train", "validation"))
    model = fit(rows, asked.kind)
    with mlflow.start_run():
        mlflow.log_params({"release": asked.release, "rows": len(rows), "features": features_of(rows).shape[1]})
        for split, looked_at in (("train", rows), ("validation", unseen)):
            if len(looked_at):
                mlflow.log_metrics({f"{split}_{name}": value for name, value in loss(model, looked_at, asked.kind).items()})
        register(model, rows, asked.model, asked.kind)


if __name__ == "__main__":
    main()
