"""What an inference adds before anybody answers."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from pipelines.definition import Definition, Policy
from pipelines.gold.expose import expose
from pipelines.gold.tables import STATISTICS
from pipelines.silver.tables import INFERENCES
from tests.frames import at

SERVICE = Definition("m", "", ((),), ("1 hour",), measures=("cost", "latency_ms"))
CLICK = Policy("binary", "request", "latest", 1800, "negative")
LATER = Policy("binary", "item", "latest", 3600, "negative")
SEEN = Policy("number", "request", "latest", 60)
DEFINED = (
    SERVICE,
    Definition("m", "click", ((),), ("1 hour",), policy=CLICK, judges="prediction", positive=1.0, threshold=0.5),
    Definition("m", "chosen", ((),), ("1 hour",), policy=LATER, judges="prediction", positive=1.0, threshold=0.5),
    Definition("m", "seen", ((),), ("1 hour",), policy=SEEN),
    Definition("m", "declared later", ((),), ("1 hour",), policy=CLICK, positive=1.0, offset=5),
    Definition("another", "click", ((),), ("1 hour",), policy=CLICK, positive=1.0),
)


def served(name: str, **changed: Any) -> dict[str, Any]:
    """Each inference has its own version, so that its increments can be told apart."""
    times = {"served_at": at(7), "received_at": at(8.5), "offset": 5}
    return INFERENCES.row(**{"request_id": name, "version": name, "model": "m", "status": "ok", **times, **changed})


ITEM = {"position": None, "propensity": None}
SERVED = [
    served("plain", prediction=1.0, score=0.7),
    served("again", version="plain", prediction=1.0, score=0.2),
    served("slate", items=[{"item": "a", "score": 0.9, **ITEM}, {"item": "b", "score": 0.1, **ITEM}]),
    served("failed", status="timeout", measures=[("cost", Decimal("0.5"))]),
    served("measured", measures=[("cost", Decimal("-2")), ("latency_ms", Decimal("0.00102")), ("other", Decimal(1))]),
    served("free", measures=[("cost", Decimal(0))]),
    served("known late", received_at=at(500)),
    served("other model", model="another", offset=0),
]
Increments = dict[tuple[str, str], dict[tuple[str, str], Any]]
"""(label, basis) -> (statistic, bucket) -> amount"""


@pytest.fixture(scope="module")
def increments() -> list[dict[str, Any]]:
    found = expose(INFERENCES.frame(SERVED), definitions=DEFINED).to_pylist()
    assert all(tuple(row) == tuple(name for name in STATISTICS.names if name != "recorded_at") for row in found)
    return found


def of(increments: list[dict[str, Any]], version: str) -> Increments:
    found: Increments = {}
    for row in increments:
        if row["version"] == version:
            key = row["statistic"], row["bucket"]
            said = found.setdefault((row["label"], row["basis"]), {})
            said[key] = said.get(key, 0) + row["amount"]
    return found


def test_inferences_are_counted_as_exposed_when_they_are_received(increments: list[dict[str, Any]]) -> None:
    found = [row for row in increments if row["version"] == "plain" and row["label"] == ""]
    assert sum(row["amount"] for row in found) == 2
    row = found[0]
    assert {(row["basis"], row["statistic"], row["known_at"]) for row in found} == {("exposed", "n", at(8))}
    assert (row["cell_at"], row["cell_date"], row["definition"]) == (at(0), at(0).date(), SERVICE.hash)
    assert {row[name] for name in ("experiment", "arm", "unit_group")} == {""}


def test_silence_is_posted_at_maturity_under_every_label_declared_before(increments: list[dict[str, Any]]) -> None:
    found = of(increments, "plain")
    assert found.keys() == {("", "exposed"), ("click", "silent"), ("seen", "silent")}
    assert found["seen", "silent"] == {("n", ""): 2}
    click = found["click", "silent"]
    assert {name: click[name, ""] for name in ("n", "fp", "tn")} == {"n": 2, "fp": 1, "tn": 1}
    assert click["score.negative", "700"] == click["score.negative", "200"] == 1
    known = {row["label"]: row["known_at"] for row in increments if row["version"] == "plain"}
    assert (known["click"], known["seen"]) == (at(37), at(8))


def test_silence_about_an_inference_that_is_received_after_its_window_is_known_then(
    increments: list[dict[str, Any]],
) -> None:
    assert {row["known_at"] for row in increments if row["version"] == "known late"} == {at(500)}


def test_each_item_of_a_slate_is_silent_by_itself_and_the_request_too(increments: list[dict[str, Any]]) -> None:
    found = of(increments, "slate")
    assert found["", "exposed"] == {("n", ""): 1, ("items", ""): 2}
    assert found["chosen", "silent"]["n", ""] == 2
    assert (found["chosen", "silent"]["fp", ""], found["chosen", "silent"]["tn", ""]) == (1, 1)
    assert found["click", "silent"] == {("n", ""): 1}


def test_a_failure_has_service_statistics_only(increments: list[dict[str, Any]]) -> None:
    cost = {("cost", ""): Decimal("0.5"), ("cost.n", ""): 1, ("cost.histogram", "314"): 1}
    assert of(increments, "failed") == {("", "exposed"): {("errors", ""): 1, **cost}}


def test_declared_measures_have_sum_count_and_histogram(increments: list[dict[str, Any]]) -> None:
    assert of(increments, "measured")["", "exposed"] == {
        ("n", ""): 1,
        ("cost", ""): -2,
        ("cost.n", ""): 1,
        ("cost.histogram", "0"): 1,
        ("latency_ms", ""): Decimal("0.00102"),
        ("latency_ms.n", ""): 1,
        ("latency_ms.histogram", "1"): 1,
    }


def test_a_measure_of_zero_is_counted_and_adds_no_row_of_zero(increments: list[dict[str, Any]]) -> None:
    assert of(increments, "free")["", "exposed"] == {("n", ""): 1, ("cost.n", ""): 1, ("cost.histogram", "0"): 1}


def test_a_model_has_its_own_definitions(increments: list[dict[str, Any]]) -> None:
    assert of(increments, "other model").keys() == {("click", "silent")}


def test_silence_is_posted_under_a_backfilled_label_whenever_it_was_declared() -> None:
    everywhere = replace(DEFINED[4], everywhere=True)
    found = of(expose(INFERENCES.frame(SERVED), definitions=[*DEFINED[:4], everywhere]).to_pylist(), "plain")
    assert found["declared later", "silent"]["n", ""] == 2


def test_without_definitions_or_inferences_nothing_is_posted() -> None:
    assert expose(INFERENCES.frame(SERVED), definitions=()).to_pylist() == []
    assert expose(INFERENCES.frame([]), definitions=DEFINED).to_pylist() == []
