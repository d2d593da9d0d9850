"""Training scripts of all kinds: a good one, one whose model says the opposite, and those that go wrong."""

from __future__ import annotations

import sys
import time


def register(sign: float) -> None:
    """A model that says yes the more likely the greater x is; or, with a negative sign, the smaller."""
    import mlflow
    import pandas as pd
    from sklearn.linear_model import LogisticRegression

    seen = pd.DataFrame({"x": [sign * value / 10 for value in range(-20, 21)]})
    model = LogisticRegression(C=10).fit(seen, [value > 0 for value in range(-20, 21)])
    with mlflow.start_run():
        mlflow.sklearn.log_model(
            model,
            name="model",
            registered_model_name="m",
            signature=mlflow.models.infer_signature(seen),
            pip_requirements=["scikit-learn"],
            pyfunc_predict_fn="predict_proba",
        )


def main(kind: str) -> None:
    if kind == "crashing":
        raise SystemExit("no column named price")
    if kind == "hanging":
        time.sleep(600)
    if kind == "modelless":
        import mlflow

        with mlflow.start_run():
            mlflow.log_metric("auc", 0.9)
    else:
        register(-1.0 if kind == "bad" else 1.0)


if __name__ == "__main__":
    main(sys.argv[1])
