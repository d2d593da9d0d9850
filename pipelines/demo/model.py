"""A model that says at scheduled departure whether a flight will arrive late. Plain: the demo is about judging it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, SplineTransformer, StandardScaler

from pipelines.demo.flights import WEATHER
from pipelines.errors import InputError

NAME, VERSION = "arrival_delay", "1"
LATE = 15
"""Minutes after schedule from which an arrival counts as late, as the US Department of Transportation counts."""
THRESHOLD = 0.3
"""Score from which a flight is called late; the model file declares the same.

In the first two weeks of January 19 % of the arrivals were late; the model calls 18 % of them late at 0.3, 2 % at 0.5.
"""
CATEGORIES = ("carrier", "origin", "dest", "weekday")
NUMBERS = ("hour", "distance", *WEATHER)
FEATURES = (*CATEGORIES, *NUMBERS)
"""All of it is known at scheduled departure."""


def fit(flights: pd.DataFrame, at: pd.Timestamp) -> Pipeline:
    """The model as it could be fitted at that instant: on the flights that have arrived before it.

    Deterministic: a solver without chance, and sparse columns, which are summed in one thread whatever the machine.
    Raises InputError nothing_to_learn.
    """
    arrived = flights[flights.arrived_at < at]
    late = arrived.delay >= LATE
    if late.nunique() < 2:
        raise InputError(
            "nothing_to_learn",
            f"fitting at {at}: {len(arrived)} flights have arrived, {int(late.sum())} of them late; expected some late "
            "and some not. Fit later.",
        )
    rare = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=20)
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    columns = make_column_transformer(
        (rare, list(CATEGORIES)),
        (SplineTransformer(n_knots=5), ["hour"]),
        (numbers, list(NUMBERS[1:])),
        sparse_threshold=1.0,
    )
    model = make_pipeline(columns, LogisticRegression(C=0.3, max_iter=1000, random_state=0))
    return model.fit(arrived[list(FEATURES)], late)


def score(model: Pipeline, flights: pd.DataFrame) -> NDArray[np.float64]:
    """The probability that each flight arrives late, to six decimals."""
    late: NDArray[np.float64] = model.predict_proba(flights[list(FEATURES)])[:, 1]
    return np.round(late, 6)
