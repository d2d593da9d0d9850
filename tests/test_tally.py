"""What a ledger entry adds as an answer, and takes from silence."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from typing import Any

import pytest

from pipelines.definition import Definition, Policy
from pipelines.gold.tables import OUTCOME_LEDGER, STATISTICS
from pipelines.gold.tally import tally
from tests.frames import at, context

NEGATIVE = Policy("binary", "request", "latest", 3600, "negative")
MISSING = replace(NEGATIVE, absent="missing")
CLICK = Definition("m", "click", ((),), ("1 hour",), policy=NEGATIVE, judges="prediction", positive=1.0, threshold=0.5)
STRICT = replace(CLICK, threshold=0.9)
LATE = Definition("m", "late", ((),), ("1 hour",), policy=MISSING, judges="prediction", positive=1.0)
NOT_YET = replace(CLICK, threshold=0.1, offset=5)
DEFINED = (CLICK, STRICT, LATE, NOT_YET, Definition("m", "", ((),), ("1 hour",)))
COUNTS = ("n", "positive", "undecided", "tp", "fp", "fn", "tn")


def entry(version: str, known: float = 10, number: float | None = 1.0, sign: int = 1, **changed: Any) -> dict[str, Any]:
    """Matures an hour after noon; each entry has its own version, so that its increments can be told apart."""
    about = changed.pop("context", {})
    plain = {"unit": "request", "unit_id": "r", "item": "", "label": "click", "policy": NEGATIVE.hash}
    when = {"known_at": at(known), "matures_at": at(60), "served_date": at(0).date(), "sign": sign, "number": number}
    seen = context(**{"version": version, "prediction": 1.0, "score": 0.7, **about})
    return OUTCOME_LEDGER.row(**{**plain, **when, "context": seen, **changed})


ENTRIES = [
    entry("early"),
    entry("after maturity", 90.9),
    entry("revised", 10),
    entry("revised", 20, sign=-1),
    entry("revised", 20, 0.0),
    entry("taken back", 10),
    entry("taken back", 20, sign=-1),
    entry("undecided", number=None),
    entry("missing", label="late", policy=MISSING.hash),
    entry("not judged", context={"judged": False}),
    entry("another policy", policy=MISSING.hash),
    entry("another model", context={"model": "other"}),
]


@pytest.fixture(scope="module")
def increments() -> list[dict[str, Any]]:
    found = tally(OUTCOME_LEDGER.frame(ENTRIES), definitions=DEFINED).to_pylist()
    assert all(tuple(row) == tuple(name for name in STATISTICS.names if name != "recorded_at") for row in found)
    return found


def of(
    increments: list[dict[str, Any]], version: str, definition: Definition = CLICK
) -> dict[tuple[str, float], dict[str, int]]:
    """(basis, minute) -> counts"""
    found: dict[tuple[str, float], Counter[str]] = defaultdict(Counter)
    for row in increments:
        if row["version"] == version and row["definition"] == definition.hash and row["statistic"] in COUNTS:
            minute = (row["known_at"] - at(0)).total_seconds() / 60
            found[row["basis"], minute][row["statistic"]] += int(row["amount"])
    net = {key: {name: count for name, count in said.items() if count} for key, said in found.items()}
    return {key: said for key, said in net.items() if said}


def test_an_answer_counts_when_it_is_known_and_ends_silence_at_maturity(increments: list[dict[str, Any]]) -> None:
    assert of(increments, "early") == {
        ("answered", 10): {"n": 1, "positive": 1, "tp": 1},
        ("silent", 60): {"n": -1, "fp": -1},
    }


def test_an_answer_after_maturity_ends_silence_when_it_is_known(increments: list[dict[str, Any]]) -> None:
    assert of(increments, "after maturity") == {
        ("answered", 90): {"n": 1, "positive": 1, "tp": 1},
        ("silent", 90): {"n": -1, "fp": -1},
    }


def test_each_definition_of_the_policy_gets_its_own_increments(increments: list[dict[str, Any]]) -> None:
    assert of(increments, "early", STRICT)["answered", 10] == {"n": 1, "positive": 1, "fn": 1}
    assert of(increments, "early", STRICT)["silent", 60] == {"n": -1, "tn": -1}


def test_a_definition_that_was_declared_after_the_inference_gets_none(increments: list[dict[str, Any]]) -> None:
    assert of(increments, "early", NOT_YET) == {}


def test_a_backfilled_definition_gets_its_own_whenever_it_was_declared() -> None:
    everywhere = replace(NOT_YET, everywhere=True)
    found = tally(OUTCOME_LEDGER.frame(ENTRIES), definitions=[CLICK, everywhere]).to_pylist()
    assert of(found, "early", NOT_YET)["answered", 10] == {"n": 1, "positive": 1, "tp": 1}


def test_a_revision_takes_the_old_answer_back_and_leaves_silence_ended(increments: list[dict[str, Any]]) -> None:
    assert of(increments, "revised") == {
        ("answered", 10): {"n": 1, "positive": 1, "tp": 1},
        ("answered", 20): {"positive": -1, "tp": -1, "fp": 1},
        ("silent", 60): {"n": -1, "fp": -1},
    }


def test_an_answer_that_is_withdrawn_leaves_silence_as_it_was(increments: list[dict[str, Any]]) -> None:
    assert of(increments, "taken back") == {
        ("answered", 10): {"n": 1, "positive": 1, "tp": 1},
        ("answered", 20): {"n": -1, "positive": -1, "tp": -1},
    }


def test_an_undecided_outcome_is_answered(increments: list[dict[str, Any]]) -> None:
    assert of(increments, "undecided") == {
        ("answered", 10): {"n": 1, "undecided": 1},
        ("silent", 60): {"n": -1, "fp": -1},
    }


def test_silence_that_says_nothing_is_still_counted_down(increments: list[dict[str, Any]]) -> None:
    assert of(increments, "missing", LATE)["silent", 60] == {"n": -1}


@pytest.mark.parametrize("version", ["not judged", "another policy", "another model"])
def test_an_entry_that_no_definition_is_about_posts_nothing(increments: list[dict[str, Any]], version: str) -> None:
    assert not [row for row in increments if row["version"] == version]


def test_every_sum_is_the_same_whatever_the_order_and_the_batches(increments: list[dict[str, Any]]) -> None:
    def sums(found: list[dict[str, Any]]) -> dict[tuple[Any, ...], Any]:
        total: Counter[tuple[Any, ...]] = Counter()
        for row in found:
            total[tuple(row[name] for name in STATISTICS.key)] += row["amount"]
        return {key: amount for key, amount in total.items() if amount}

    halves = [
        tally(OUTCOME_LEDGER.frame(part), definitions=DEFINED).to_pylist() for part in (ENTRIES[1::2], ENTRIES[::2])
    ]
    assert sums(halves[0] + halves[1]) == sums(increments)
