"""From votes to the ledger: what is posted is the difference, so it never matters how often or in which pieces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from pipelines.definition import Definition, Policy
from pipelines.gold.resolve import resolve
from pipelines.gold.tables import OUTCOME_LEDGER
from pipelines.silver.tables import LABELLED
from tests.frames import at, context

LATEST = Policy("number", "request", "latest", 3600)
MEAN = Policy("number", "request", "mean", 7200)
OF_ITEM = Policy("category", "item", "majority", 3600)


def definition(label: str, policy: Policy, **changed: Any) -> Definition:
    return Definition("m", label, ((),), ("1 hour",), **{"policy": policy, "offset": 1, **changed})


DEFINED = (
    definition("l", LATEST),
    definition("l", LATEST, threshold=0.5),
    definition("l", MEAN),
    definition("later", LATEST, offset=5),
    definition("shown", OF_ITEM),
    Definition("m", "", ((),), ("1 hour",)),
)


def vote(name: str, minute: float, value: float | str = 1.0, **changed: Any) -> dict[str, Any]:
    said = {"number": value} if isinstance(value, float) else {"text": value}
    plain = {"feedback_id": name, "unit": "request", "unit_id": "r", "item": "", "label": "l", "action": "assert"}
    known = {"given_at": at(minute), "known_at": at(minute), "served_date": at(0).date()}
    return LABELLED.row(**{**plain, **known, **said, "context": context(), **changed})


def posted(
    touched: list[dict[str, Any]],
    votes: list[dict[str, Any]] | None = None,
    ledger: list[dict[str, Any]] | None = None,
    definitions: Sequence[Definition] = DEFINED,
) -> list[dict[str, Any]]:
    made = resolve(
        LABELLED.frame(touched),
        LABELLED.frame(votes or []),
        OUTCOME_LEDGER.frame(ledger or []),
        definitions=definitions,
    )
    return made.to_pylist()


def net(entries: list[dict[str, Any]]) -> dict[tuple[Any, ...], int]:
    """Sign by (unit_id, label, policy's way, value, minute)."""
    ways = {p.hash: p.resolve for p in (LATEST, MEAN, OF_ITEM)}
    found: Counter[tuple[Any, ...]] = Counter()
    for row in entries:
        value = row["number"] if row["text"] is None else row["text"]
        minute = (row["known_at"] - at(0)).total_seconds() / 60
        found[row["unit_id"], row["label"], ways[row["policy"]], value, minute] += row["sign"]
    return {key: sign for key, sign in found.items() if sign}


def test_every_policy_that_applies_gets_its_entries_once() -> None:
    assert net(posted([vote("a", 1, 2.0), vote("b", 3, 1.0)])) == {
        ("r", "l", "latest", 2.0, 1): 1,
        ("r", "l", "latest", 2.0, 3): -1,
        ("r", "l", "latest", 1.0, 3): 1,
        ("r", "l", "mean", 2.0, 1): 1,
        ("r", "l", "mean", 2.0, 3): -1,
        ("r", "l", "mean", 1.5, 3): 1,
    }


def test_votes_under_no_policy_have_no_effect() -> None:
    votes = [
        vote("declared after the inference", 1, unit_id="a", label="later"),
        vote("never declared", 1, unit_id="b", label="nope"),
        vote("of another model", 1, unit_id="c", context=context(model="other")),
        vote("of an item", 1, unit_id="d", unit="item", item="i"),
        vote("outside every window", 500, unit_id="e"),
    ]
    assert posted(votes) == []


def test_a_backfilled_policy_applies_whenever_it_was_declared() -> None:
    votes = [vote("a", 1, label="later")]
    assert net(posted(votes, definitions=[replace(DEFINED[3], everywhere=True)])) == {("r", "later", "latest", 1.0, 1): 1}


def test_keys_stand_by_themselves() -> None:
    of_items = {"unit": "item", "label": "shown"}
    votes = [
        vote("a", 1, "x", item="i", **of_items),
        vote("b", 2, "y", item="j", **of_items),
        vote("c", 3, "y", item="j", tenant="other", **of_items),
    ]
    found = posted(votes)
    assert sorted((row["tenant"], row["item"], row["text"], row["sign"]) for row in found) == [
        ("other", "j", "y", 1),
        ("x", "i", "x", 1),
        ("x", "j", "y", 1),
    ]


def test_an_entry_carries_context_maturity_and_day() -> None:
    late = context(received_at=at(300), segments=[("origin", "JFK")], score=0.5)
    found = posted([vote("a", 1, known_at=at(301), context=late), vote("b", 1, unit_id="early")])
    assert all(tuple(row) == tuple(n for n in OUTCOME_LEDGER.names if n != "recorded_at") for row in found)
    matures = {(row["unit_id"], row["policy"]): row["matures_at"] for row in found}
    assert matures["early", LATEST.hash] == at(60)
    assert matures["early", MEAN.hash] == at(120)
    assert matures["r", MEAN.hash] == at(300)
    row = next(row for row in found if row["unit_id"] == "r")
    assert (row["context"], row["served_date"]) == (late, at(0).date())


VOTES = [
    vote("a", 1, 2.0, rater="x"),
    vote("b", 3, 1.0, rater="y"),
    vote("late", 2, 5.0, known_at=at(9), rater="z"),
    vote("w", 4, 0.0, action="withdraw", number=None, rater="y", known_at=at(9)),
    vote("j", 90, 7.0, action="adjudicate", known_at=at(2)),
    vote("c", 95, 3.0, action="correct", target_feedback_id="a", known_at=at(3)),
]


@pytest.fixture(scope="module")
def whole() -> list[dict[str, Any]]:
    return posted(VOTES)


def test_resolving_twice_posts_nothing(whole: list[dict[str, Any]]) -> None:
    assert posted(VOTES, VOTES, whole) == []
    assert posted(VOTES[:1], VOTES, whole) == []


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4, 5), (5, 4, 3, 2, 1, 0), (2, 4, 0, 5, 1, 3)], ids=str)
def test_however_votes_are_split_into_batches_the_ledger_is_the_same(
    whole: list[dict[str, Any]], order: tuple[int, ...]
) -> None:
    ledger: list[dict[str, Any]] = []
    seen: list[dict[str, Any]] = []
    for first, second in zip(order[::2], order[1::2], strict=True):
        batch = [VOTES[first], VOTES[second]]
        ledger += posted(batch, seen, ledger)
        seen += batch
    assert net(ledger) == net(whole)


def test_a_vote_that_is_found_late_lands_at_its_own_time_and_corrects_what_came_after() -> None:
    before = [vote("b", 5, 1.0)]
    ledger = posted(before)
    found = net(posted([vote("a", 2, 3.0)], before, ledger))
    assert {key[2:]: sign for key, sign in found.items()} == {
        ("latest", 3.0, 2): 1,
        ("latest", 3.0, 5): -1,
        ("mean", 3.0, 2): 1,
        ("mean", 3.0, 5): -1,
        ("mean", 1.0, 5): -1,
        ("mean", 2.0, 5): 1,
    }


def test_the_same_value_at_another_time_is_another_entry() -> None:
    before = [vote("b", 5, 1.0)]
    found = net(posted([vote("a", 2, 1.0)], before, posted(before)))
    assert {key[2:]: sign for key, sign in found.items()} == {
        ("latest", 1.0, 2): 1,
        ("latest", 1.0, 5): -1,
        ("mean", 1.0, 2): 1,
        ("mean", 1.0, 5): -1,
    }
