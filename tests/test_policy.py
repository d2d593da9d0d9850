"""Label policies: votes in, signed beliefs out. No order of arrival can change a result."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.definition import RESOLVES, Policy
from pipelines.gold.policy import Belief, Entry, Vote, believe, sequence
from pipelines.verify import beliefs as plain

SERVED = 1_000_000_000_000
MINUTE = 60_000_000


def policy(resolve: str = "latest", **changed: Any) -> Policy:
    return Policy(**{"type": "number", "unit": "request", "window": 3600, "resolve": resolve, **changed})


def vote(name: str, minute: float, value: float | str | None = None, action: str = "assert", **more: Any) -> Vote:
    """Given and known so many minutes after the inference was served, unless said otherwise."""
    known = SERVED + int(more.pop("known", minute) * MINUTE)
    return Vote(name, action, value, SERVED + int(minute * MINUTE), known, **more)


def history(votes: list[Vote], resolve: str = "latest", **changed: Any) -> list[tuple[float, int, float | str | None]]:
    """(minute, sign, value) of every entry."""
    entries = sequence(votes, policy(resolve, **changed), SERVED)
    return [((entry.known_at - SERVED) / MINUTE, entry.sign, entry.value) for entry in entries]


def stands(votes: list[Vote], resolve: str = "latest", **changed: Any) -> Belief | None:
    return believe(sorted(votes, key=lambda v: v.place), policy(resolve, **changed), SERVED)


def test_a_vote_makes_a_belief_when_it_is_known() -> None:
    assert history([vote("a", 1, 1.0, known=7)]) == [(7, 1, 1.0)]


def test_a_changed_belief_takes_the_old_one_back_at_the_same_moment() -> None:
    assert history([vote("a", 1, 1.0), vote("b", 2, 0.0)]) == [(1, 1, 1.0), (2, -1, 1.0), (2, 1, 0.0)]


def test_a_vote_that_changes_nothing_posts_nothing() -> None:
    assert history([vote("a", 1, 1.0), vote("b", 2, 1.0)]) == [(1, 1, 1.0)]


def test_an_older_vote_that_comes_late_does_not_undo_a_newer_one() -> None:
    assert history([vote("b", 2, 0.0), vote("a", 1, 1.0, known=9)]) == [(2, 1, 0.0)]


def test_the_same_feedback_twice_counts_once() -> None:
    assert history([vote("a", 1, 1.0), vote("a", 1, 1.0)], "sum") == [(1, 1, 1.0)]


@pytest.mark.parametrize(
    ("micros", "counts"),
    [(-300_000_001, False), (-300_000_000, True), (0, True), (3_599_999_999, True), (3_600_000_000, False)],
)
@pytest.mark.parametrize("company", [False, True], ids=["alone", "in company"])
def test_an_assert_counts_from_five_minutes_before_to_just_before_the_end_of_the_window(
    micros: int, counts: bool, company: bool
) -> None:
    votes = [Vote("a", "assert", 7.0, SERVED + micros, SERVED)] + [vote("z", 90, 1.0)] * company
    assert stands(votes) == (Belief(7.0) if counts else None)


FOUR = [
    vote("a", 1, 4.0, role="user"),
    vote("b", 2, 0.0, role="expert"),
    vote("c", 3, 2.5, role="expert"),
    vote("d", 4, 4.0),
]


@pytest.mark.parametrize(
    ("resolve", "value"),
    [
        ("first", 4.0),
        ("latest", 4.0),
        ("priority", 2.5),
        ("majority", 4.0),
        ("mean", 2.625),
        ("sum", 10.5),
        ("max", 4.0),
        ("any", 1.0),
    ],
)
def test_each_way_to_resolve(resolve: str, value: float) -> None:
    assert stands(FOUR, resolve, roles=("expert", "user")) == Belief(value)


@pytest.mark.parametrize(("resolve", "value"), [("first", 1.0), ("latest", 2.0), ("priority", 2.0)])
def test_of_votes_given_at_once_the_lower_id_comes_first(resolve: str, value: float) -> None:
    assert stands([vote("b", 1, 2.0), vote("a", 1, 1.0)], resolve) == Belief(value)


def test_of_acts_given_at_once_a_correction_comes_after_an_assert_and_a_withdrawal_after_both() -> None:
    acts = [vote("c", 1, 1.0, rater="x"), vote("b", 1, 2.0, "correct", rater="x")]
    assert stands(acts) == Belief(2.0)
    assert stands([*acts, vote("a", 1, None, "withdraw", rater="x")]) is None


def test_an_unlisted_role_and_no_role_come_last_under_priority() -> None:
    votes = [vote("a", 1, 1.0, role="user"), vote("b", 2, 2.0, role="ghost"), vote("c", 3, 3.0)]
    assert stands(votes, "priority", roles=("user",)) == Belief(1.0)
    assert stands(votes[1:], "priority", roles=("user",)) == Belief(3.0)


def test_a_tied_majority_is_undecided_and_still_a_belief() -> None:
    votes = [vote("a", 1, "x"), vote("b", 2, "y")]
    assert history(votes, "majority") == [(1, 1, "x"), (2, -1, "x"), (2, 1, None)]


def test_a_majority_need_not_be_more_than_half() -> None:
    assert stands([vote(n, 1, v) for n, v in zip("abcd", "xxyz", strict=True)], "majority") == Belief("x")


def test_a_sum_is_of_decimals() -> None:
    assert stands([vote("a", 1, 0.1), vote("b", 2, 0.2)], "sum") == Belief(0.3)


def test_a_mean_is_rounded_once_half_up() -> None:
    assert stands([vote("a", 1, 1.0), vote("b", 2, 0.0), vote("c", 3, 0.0)], "mean") == Belief(0.333333333)
    assert stands([vote("a", 1, 1e-9), vote("b", 2, 0.0)], "mean") == Belief(1e-9)
    assert stands([vote("a", 1, -1e-9), vote("b", 2, 0.0)], "mean") == Belief(-1e-9)


def test_any_of_nothing_but_zeros_is_zero() -> None:
    assert stands([vote("a", 1, 0.0), vote("b", 2, -0.0)], "any") == Belief(0.0)


def test_only_as_many_votes_of_one_rater_count_as_the_cap_allows_the_newest() -> None:
    votes = [vote(name, minute, float(minute), rater="x") for name, minute in (("a", 1), ("b", 2), ("c", 3))]
    assert [stands(votes, "sum", cap=cap) for cap in (1, 2, 3)] == [Belief(3.0), Belief(5.0), Belief(6.0)]


def test_votes_without_a_rater_are_each_a_rater_of_its_own() -> None:
    assert stands([vote("a", 1, 1.0), vote("b", 2, 2.0)], "sum") == Belief(3.0)


def test_a_rater_who_is_called_like_a_feedback_is_somebody_else() -> None:
    assert stands([vote("a", 1, 1.0), vote("b", 2, 2.0, rater="a")], "sum") == Belief(3.0)


def test_a_targeted_correction_holds_whatever_its_time() -> None:
    votes = [vote("a", 1, 1.0), vote("c", 500, 0.0, "correct", target="a")]
    assert history(votes) == [(1, 1, 1.0), (500, -1, 1.0), (500, 1, 0.0)]


def test_a_correction_keeps_the_place_of_what_it_corrects() -> None:
    votes = [vote("a", 1, 1.0, rater="x"), vote("b", 2, 2.0, rater="y"), vote("c", 90, 3.0, "correct", rater="x")]
    assert stands(votes, "latest") == Belief(2.0)
    assert stands(votes, "first") == Belief(3.0)


def test_a_correction_keeps_the_role_of_what_it_corrects() -> None:
    votes = [vote("a", 1, 1.0, rater="x", role="expert"), vote("b", 2, 2.0, role="user")]
    corrected = [*votes, vote("c", 3, 5.0, "correct", rater="x", role="user")]
    assert stands(corrected, "priority", roles=("expert", "user")) == Belief(5.0)


def test_an_untargeted_correction_without_a_vote_is_one_and_must_lie_in_the_window() -> None:
    assert stands([vote("c", 2, 3.0, "correct", rater="x")]) == Belief(3.0)
    assert stands([vote("c", 90, 3.0, "correct", rater="x")]) is None


def test_an_untargeted_withdrawal_takes_that_raters_last_vote_only() -> None:
    mine, gone = vote("a", 1, 1.0, rater="x"), vote("w", 90, None, "withdraw", rater="x")
    assert stands([mine, vote("b", 2, 2.0, rater="x"), gone]) == Belief(1.0)
    assert stands([mine, vote("b", 2, 2.0, rater="y"), gone]) == Belief(2.0)
    assert stands([mine, gone]) is None


def test_a_withdrawal_that_comes_before_its_assert_waits_for_it() -> None:
    assert history([vote("w", 5, None, "withdraw", target="a", known=2), vote("a", 1, 1.0, known=3)]) == []


def test_withdrawing_a_correction_restores_the_vote() -> None:
    votes = [vote("a", 1, 1.0), vote("c", 2, 0.0, "correct", target="a"), vote("w", 3, None, "withdraw", target="c")]
    assert history(votes) == [(1, 1, 1.0), (2, -1, 1.0), (2, 1, 0.0), (3, -1, 0.0), (3, 1, 1.0)]


def test_withdrawing_a_withdrawal_restores_the_vote() -> None:
    votes = [vote("a", 1, 1.0, rater="x"), vote("w", 2, None, "withdraw", rater="x")]
    assert stands([*votes, vote("u", 3, None, "withdraw", target="w")]) == Belief(1.0)


def test_the_last_targeted_act_decides() -> None:
    act = vote("w", 4, None, "withdraw", target="a"), vote("c", 5, 7.0, "correct", target="a")
    assert stands([vote("a", 1, 1.0), *act]) == Belief(7.0)


def test_a_target_that_is_not_there_means_nothing() -> None:
    assert history([vote("a", 1, 1.0, rater="x"), vote("c", 2, 0.0, "correct", target="z", rater="x")]) == [(1, 1, 1.0)]


def test_acts_on_a_circle_of_targets_have_no_effect() -> None:
    circle = [vote("c", 2, 2.0, "correct", target="d"), vote("d", 3, 3.0, "correct", target="c")]
    assert stands([vote("a", 1, 1.0), *circle, vote("s", 4, None, "withdraw", target="s")]) == Belief(1.0)


def test_an_act_on_an_act_on_a_circle_does_not_open_it() -> None:
    circle = [vote("c", 2, 2.0, "correct", target="d"), vote("d", 3, 3.0, "correct", target="c")]
    assert stands([vote("a", 1, 1.0), *circle, vote("w", 5, None, "withdraw", target="c")]) == Belief(1.0)


def test_an_adjudication_beats_all_and_has_no_window() -> None:
    votes = [vote("a", 1, 1.0), vote("b", 2, 5.0), vote("j", 300, 0.0, "adjudicate")]
    assert stands(votes, "sum") == Belief(0.0)


def test_withdrawing_the_adjudication_restores_the_votes() -> None:
    votes = [vote("a", 1, 1.0), vote("b", 2, 5.0), vote("j", 300, 0.0, "adjudicate")]
    assert stands([*votes, vote("w", 301, None, "withdraw", target="j")], "sum") == Belief(6.0)


def test_of_several_adjudications_the_last_one_holds() -> None:
    votes = [vote("j", 5, 1.0, "adjudicate", rater="x"), vote("k", 4, 2.0, "adjudicate", rater="y")]
    assert stands(votes) == Belief(1.0)


def test_a_corrected_adjudication_stays_one() -> None:
    votes = [vote("a", 1, 1.0), vote("j", 2, 2.0, "adjudicate", rater="x"), vote("c", 3, 3.0, "correct", rater="x")]
    assert stands(votes) == Belief(3.0)


def test_a_long_chain_of_corrections_is_followed_to_its_end() -> None:
    votes = [vote("c0000", 0, 0.0)]
    votes += [vote(f"c{i:04}", 0, float(i), "correct", target=f"c{i - 1:04}") for i in range(1, 300)]
    assert stands(votes) == Belief(299.0)


IDS = [f"f{i}" for i in range(7)]
TIMES = [SERVED + minute * MINUTE for minute in (-6, -5, 0, 1, 2, 59, 60)]
KNOWN = [SERVED + minute * MINUTE for minute in (0, 1, 2, 3)]
NUMBERS = st.sampled_from([0.0, 1.0, 2.5, -1.0, 0.1, 0.2, 1e9])


@st.composite
def acts(draw: st.DrawFn, values: st.SearchStrategy[float] | st.SearchStrategy[str]) -> list[Vote]:
    """Up to seven acts by three raters or nobody, on each other in every direction, circles and dead ends included."""
    made = []
    for name in draw(st.lists(st.sampled_from(IDS), unique=True, max_size=7)):
        action = draw(st.sampled_from(["assert", "assert", "correct", "withdraw", "adjudicate"]))
        made.append(
            Vote(
                name,
                action,
                None if action == "withdraw" else draw(values),
                draw(st.sampled_from(TIMES)),
                draw(st.sampled_from(KNOWN)),
                draw(st.sampled_from([None, "x", "y", "f1"])),
                draw(st.sampled_from([None, "user", "expert", "ghost"])),
                draw(st.sampled_from([None, *IDS])) if action in ("correct", "withdraw") else None,
            )
        )
    return made


def by_the_verifier(votes: list[Vote], how: Policy) -> list[Entry]:
    read = [
        plain.Vote(v.feedback_id, v.action, v.given_at, v.known_at, v.value, v.rater, v.role, v.target) for v in votes
    ]
    found = plain.sequence(read, how.body(), SERVED)
    return [Entry(at, sign, text if number is None else number) for at, sign, number, text in found]


@settings(max_examples=400, deadline=None)
@given(votes=acts(NUMBERS), resolve=st.sampled_from(RESOLVES), cap=st.integers(1, 3), seed=st.integers(0, 9))
def test_numbers_give_what_the_verifier_says_in_any_order(votes: list[Vote], resolve: str, cap: int, seed: int) -> None:
    how = policy(resolve, cap=cap, roles=("expert", "user"))
    found = sequence(votes, how, SERVED)
    assert found == by_the_verifier(votes, how)
    shuffled = random.Random(seed).sample(votes, len(votes))
    assert sequence(shuffled, how, SERVED) == found


@settings(max_examples=200, deadline=None)
@given(
    votes=acts(st.sampled_from(["x", "y", "z"])), resolve=st.sampled_from(["latest", "first", "priority", "majority"])
)
def test_categories_give_what_the_verifier_says(votes: list[Vote], resolve: str) -> None:
    how = policy(resolve, type="category", roles=("expert", "user"))
    assert sequence(votes, how, SERVED) == by_the_verifier(votes, how)


@settings(max_examples=200, deadline=None)
@given(votes=acts(NUMBERS), resolve=st.sampled_from(RESOLVES))
def test_entries_as_of_any_moment_are_the_belief_of_that_moment(votes: list[Vote], resolve: str) -> None:
    how = policy(resolve, roles=("expert", "user"))
    entries = sequence(votes, how, SERVED)
    for at in KNOWN:
        net: dict[Any, int] = {}
        for entry in entries:
            if entry.known_at <= at:
                net[entry.value] = net.get(entry.value, 0) + entry.sign
        known = sorted((v for v in votes if v.known_at <= at), key=lambda v: v.place)
        belief = believe(known, how, SERVED)
        assert {value: sign for value, sign in net.items() if sign} == ({belief.value: 1} if belief else {})
