"""What became of each vote: the reasons name what the policy did, and those that decide say what is believed."""

from __future__ import annotations

import random
from typing import Any

import pytest

from pipelines.definition import RESOLVES
from pipelines.explain.weighing import FATES, weigh
from pipelines.gold.policy import Vote, believe
from tests.test_policy import SERVED, policy, vote


def fates(votes: list[Vote], resolve: str = "latest", **changed: Any) -> dict[str, tuple[str, str | None]]:
    """What became of each vote, and by which other."""
    return {one.vote.feedback_id: (one.fate, one.by) for one in weigh(votes, policy(resolve, **changed), SERVED)}


def test_votes_are_in_the_order_in_which_the_policy_sees_them() -> None:
    found = weigh([vote("b", 2, 0.0, known=3), vote("a", 1, 1.0, known=9)], policy(), SERVED)
    assert [one.vote.feedback_id for one in found] == ["a", "b"]


def test_of_several_the_last_one_given_decides() -> None:
    assert fates([vote("a", 1, 1.0), vote("b", 2, 0.0)]) == {"a": ("superseded", "b"), "b": ("decided", None)}
    assert fates([vote("a", 1, 1.0), vote("b", 2, 0.0)], "first")["b"] == ("superseded", "a")


def test_a_vote_outside_the_window_does_not_count() -> None:
    assert fates([vote("a", 1, 1.0), vote("b", 60, 0.0)])["b"] == ("outside_window", None)


def test_a_withdrawal_names_what_it_took_and_is_named_by_it() -> None:
    aimed = [vote("a", 1, 1.0), vote("w", 2, action="withdraw", target="a")]
    assert fates(aimed) == {"a": ("withdrawn", "w"), "w": ("withdraws", "a")}
    by_rater = [vote("a", 1, 1.0, rater="ann"), vote("w", 2, action="withdraw", rater="ann")]
    assert fates(by_rater) == {"a": ("withdrawn", "w"), "w": ("withdraws", "a")}
    assert fates([vote("w", 2, action="withdraw", rater="ann")]) == {"w": ("idle", None)}


def test_a_correction_leaves_the_vote_that_it_corrects_in_force() -> None:
    found = weigh([vote("a", 1, 1.0), vote("c", 2, 0.0, "correct", target="a")], policy(), SERVED)
    assert [(one.fate, one.by, one.value) for one in found] == [("decided", None, 0.0), ("corrects", "a", 0.0)]


def test_of_two_actions_on_one_target_the_last_acts() -> None:
    votes = [vote("a", 1, 1.0), vote("c", 2, 0.0, "correct", target="a"), vote("w", 3, action="withdraw", target="a")]
    assert fates(votes) == {"a": ("withdrawn", "w"), "c": ("superseded", "w"), "w": ("withdraws", "a")}
    undone = [*votes, vote("x", 4, action="withdraw", target="w")]
    assert fates(undone)["a"] == ("decided", None)
    assert fates(undone)["w"] == ("withdrawn", "x")


def test_an_action_without_its_target_waits_and_a_circle_gets_nowhere() -> None:
    assert fates([vote("w", 1, action="withdraw", target="z")]) == {"w": ("waits", "z")}
    circle = [vote("w", 1, action="withdraw", target="v"), vote("v", 2, action="withdraw", target="w")]
    assert {fate for fate, _ in fates(circle).values()} == {"circular"}


def test_an_adjudication_overrules_all_others() -> None:
    votes = [vote("j", 1, 0.0, "adjudicate"), vote("a", 2, 1.0), vote("k", 3, 5.0, "adjudicate")]
    assert fates(votes, "mean") == {"j": ("superseded", "k"), "a": ("overruled", "k"), "k": ("decided", None)}


def test_the_last_votes_of_a_rater_count_up_to_the_cap() -> None:
    votes = [vote(name, minute, 1.0, rater="ann") for minute, name in enumerate("abc")]
    assert fates(votes, "sum", cap=2) == {"a": ("capped", "b"), "b": ("counted", None), "c": ("counted", None)}
    assert fates(votes, "sum")["b"] == ("superseded", "c")


def test_each_resolution_says_who_decided() -> None:
    votes = [vote("a", 1, 1.0, role="expert"), vote("b", 2, 3.0, role="user"), vote("c", 3, 3.0)]
    assert fates(votes, "priority", roles=("expert", "user"))["b"] == ("outranked", "a")
    assert fates(votes, "majority") == {"a": ("outvoted", None), "b": ("counted", None), "c": ("counted", None)}
    assert fates(votes, "max") == {"a": ("exceeded", "b"), "b": ("decided", None), "c": ("counted", "b")}
    assert {fate for fate, _ in fates(votes, "mean").values()} == {"counted"}
    assert {fate for fate, _ in fates(votes[:2], "majority").values()} == {"outvoted"}
    assert fates([vote("t", 1, "cat")], "sum") == {"t": ("no_number", None)}


@pytest.mark.parametrize("resolve", RESOLVES)
def test_what_decided_says_what_is_believed(resolve: str) -> None:
    rng = random.Random(resolve)
    for _ in range(300):
        votes = [drawn(rng, number) for number in range(rng.randrange(1, 9))]
        how = policy(resolve, cap=rng.choice([1, 1, 2]), roles=("expert", "user"))
        found = weigh(votes, how, SERVED)
        belief = believe(sorted(votes, key=lambda one: one.place), how, SERVED)
        assert {one.vote.feedback_id for one in found} == {one.feedback_id for one in votes}
        assert all(one.fate in FATES and ("{by}" not in FATES[one.fate] or one.by) for one in found)
        decided = [one.value for one in found if one.fate == "decided"]
        counted = [one for one in found if one.fate in ("decided", "counted", "outvoted", "exceeded", "outranked")]
        assert (belief is None) == (not counted)
        assert not decided or (belief is not None and decided == [belief.value])


def drawn(rng: random.Random, number: int) -> Vote:
    action = rng.choice(["assert", "assert", "assert", "correct", "withdraw", "adjudicate"])
    target = f"v{rng.randrange(9)}" if action in ("correct", "withdraw") and rng.random() < 0.6 else None
    value = None if action == "withdraw" else rng.choice([0.0, 1.0, 2.0])
    people = {"rater": rng.choice(["ann", "bob", None]), "role": rng.choice(["expert", "user", None])}
    if action in ("correct", "withdraw") and target is None:
        people["rater"] = "ann"
    return vote(f"v{number}", rng.choice([-6, 0, 1, 2, 3, 59, 60]), value, action, target=target, **people)
