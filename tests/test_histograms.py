"""Histograms of features and scores: each request in one bucket, the same as the verifier says."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from pipelines.definition import Definition
from pipelines.gold.expose import expose
from pipelines.gold.histograms import bucket
from pipelines.silver.tables import INFERENCES
from pipelines.verify.quality import _bucket

AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
SCALES: list[tuple[Any, ...]] = [(0.0,), (-1.0, 0.3, 15.0), ("cat", "true"), ("1",)]
VALUES = [None, True, False, 0.0, -0.0, 0.3, 0.1 + 0.2, 0.29999999999999998, 15.0, 14.999, 1e12, 1.0, "cat", "1", "true", "", "é"]
HISTOGRAMS: Any = (("feature.carrier", ("AA", "UA")), ("feature.distance", (100.0, 500.0)), ("request.score", (0.5,)))
SERVICE = Definition("m", "", ((),), ("1 hour",), histograms=HISTOGRAMS)


@pytest.mark.parametrize("scale", SCALES)
def test_a_value_falls_into_the_bucket_that_the_verifier_says(scale: tuple[Any, ...]) -> None:
    assert [bucket((type(value), value), scale) for value in VALUES] == [_bucket(value, scale) for value in VALUES]


def test_a_number_on_an_edge_belongs_above_it() -> None:
    assert [bucket((float, at), (100.0, 500.0)) for at in (99.9, 100.0, 499.9, 500.0)] == ["0", "1", "1", "2"]


def test_each_request_that_was_served_counts_once_in_each_histogram() -> None:
    served = [
        ('{"carrier":"AA","distance":100.0}', 0.5, "ok"),
        ('{"carrier":"ZZ","distance":"far"}', 0.49, "ok"),
        ('{"distance":50.0}', None, "ok"),
        (None, None, "ok"),
        ('{"carrier":"AA","distance":900.0}', 0.9, "timeout"),
    ]
    same = {"model": "m", "tenant": "default", "version": "1", "served_at": AT, "received_at": AT, "served_date": AT.date()}
    rows = [
        INFERENCES.row(request_id=f"r{at}", offset=at, features=features, score=score, status=status, **same)
        for at, (features, score, status) in enumerate(served)
    ]
    found = expose(INFERENCES.frame(rows), definitions=[SERVICE]).to_pylist()
    counts = Counter({(row["statistic"], row["bucket"]): int(row["amount"]) for row in found if row["statistic"].endswith(".histogram")})
    assert counts == {
        **{("feature.carrier.histogram", "AA"): 1, ("feature.carrier.histogram", "__other__"): 1},
        **{("feature.carrier.histogram", "__missing__"): 2, ("feature.distance.histogram", "1"): 1},
        **{("feature.distance.histogram", "__other__"): 1, ("feature.distance.histogram", "0"): 1},
        **{("feature.distance.histogram", "__missing__"): 1, ("request.score.histogram", "1"): 1},
        **{("request.score.histogram", "0"): 1, ("request.score.histogram", "__missing__"): 2},
    }
