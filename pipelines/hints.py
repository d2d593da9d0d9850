"""What the names of other people's columns speak of."""

from __future__ import annotations

import re
from collections.abc import Iterable

REQUEST = ("request_id", "prediction_id", "inference_id", "transaction_id", "order_id", "event_id", "uuid", "uid", "id")
SERVED = (
    *("served_at", "predicted_at", "scored_at", "prediction_time", "inference_time", "request_time", "requested_at"),
    *("scored", "served", "timestamp", "event_time", "created_at", "datetime", "time", "date", "ts"),
)
GIVEN = (
    *("given_at", "labelled_at", "labeled_at", "label_time", "feedback_at", "feedback_time", "outcome_at"),
    *("outcome_time", "resolved_at", "reviewed_at", "rated", "reviewed", "resolved", "labelled", "labeled", "feedback"),
)
# will_churn foretells: how likely it is, where it holds shares, else whether it is; P(x) is p_x
SCORE = ("score", "probability", "proba", "prob", "confidence", "likelihood", "will", "p")
PREDICTION = (
    *("prediction", "predicted", "pred", "y_pred", "yhat", "y_hat", "decision", "forecast", "estimate", "will"),
    *("flag", "flagged"),
)
LABEL = (
    *("label", "target", "y_true", "actual", "outcome", "truth", "y", "converted", "conversion", "clicked", "click"),
    *("churned", "churn", "purchased", "defaulted", "default", "fraud", "chargeback", "late", "returned", "rating"),
    *("reward", "class", "real", "observed"),
)
VERSION = ("model_version", "version")
RATER = ("rater", "annotator", "reviewer", "labeler", "labeller")
MEASURES = ("latency", "duration", "elapsed", "cost", "tokens", "ms")


def is_called(name: str, hint: str) -> bool:
    return words(name) == hint


def speaks_of(name: str, hint: str) -> bool:
    return f"_{hint}_" in f"_{words(name)}_"


def speaks_of_any(name: str, hints: Iterable[str]) -> bool:
    return any(speaks_of(name, hint) for hint in hints)


def subject(name: str) -> set[str]:
    """What a prediction is about: fraud, of P(fraud); stars, of predicted_stars."""
    return set(words(name).split("_")) - {*SCORE, *PREDICTION, "y", "hat", "of", "is", ""}


def words(name: str) -> str:
    """customerId, Customer ID and customer-id as customer_id."""
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()).strip("_")
