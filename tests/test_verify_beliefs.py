"""The verifier's plain reading of label policies: votes in, signed entries out."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from pipelines.verify.beliefs import Belief, Vote, belief, rounded, sequence

SERVED = 1_000_000_000_000
MINUTE = 60_000_000


def policy(**changed: Any) -> dict[str, Any]:
    body = {"type": "binary", "unit": "request", "resolve": "latest", "window": 3600, "absent": "missing"}
    return {**body, "roles": [], "cap": 1, "low": None, "high": None, **changed}


def vote(name: str, minute: int, value: float | str | None = None, action: str = "assert", **more: Any) -> Vote:
    """Given and known so many minutes after the inference was served, unless said otherwise."""
    at = SERVED + minute * MINUTE
    known = SERVED + more.pop("known", minute) * MINUTE
    return Vote(name, action, at, known, value, **more)


def entries(votes: list[Vote], **changed: Any) -> list[tuple[int, int, float | str | None]]:
    found = sequence(votes, policy(**changed), SERVED)
    return [((at - SERVED) // MINUTE, sign, number if text is None else text) for at, sign, number, text in found]


def stands(votes: list[Vote], **changed: Any) -> Belief | None:
    return belief(votes, policy(**changed), SERVED)


def test_a_change_of_belief_takes_the_old_one_back() -> None:
    votes = [vote("a", 1, 1.0, rater="x"), vote("b", 2, 0.0, rater="x")]
    assert entries(votes) == [(1, 1, 1.0), (2, -1, 1.0), (2, 1, 0.0)]


def test_the_order_of_arrival_does_not_decide() -> None:
    late = vote("a", 1, 1.0, rater="x", known=9)
    assert entries([vote("b", 2, 0.0, rater="y"), late]) == [(2, 1, 0.0)]


def test_votes_known_at_once_make_one_change() -> None:
    assert entries([vote("a", 1, 1.0, known=5), vote("b", 2, 0.0, known=5)]) == [(5, 1, 0.0)]


@pytest.mark.parametrize(("minute", "counts"), [(-6, False), (-5, True), (0, True), (59, True), (60, False)])
def test_an_assert_counts_inside_the_window_only(minute: int, counts: bool) -> None:
    assert (stands([vote("a", minute, 1.0, known=70)]) is not None) == counts


def test_a_targeted_correction_holds_whatever_its_time() -> None:
    votes = [vote("a", 1, 1.0), vote("c", 500, 0.0, "correct", target="a")]
    assert entries(votes) == [(1, 1, 1.0), (500, -1, 1.0), (500, 1, 0.0)]


def test_a_withdrawal_of_a_correction_restores_the_vote() -> None:
    votes = [vote("a", 1, 1.0), vote("c", 2, 0.0, "correct", target="a"), vote("w", 3, action="withdraw", target="c")]
    assert entries(votes) == [(1, 1, 1.0), (2, -1, 1.0), (2, 1, 0.0), (3, -1, 0.0), (3, 1, 1.0)]


def test_a_correction_of_a_correction_changes_the_vote() -> None:
    votes = [vote("a", 1, 1.0), vote("c", 2, 2.0, "correct", target="a"), vote("d", 3, 3.0, "correct", target="c")]
    assert stands(votes) == Belief(3.0, None)


def test_the_last_targeted_action_in_order_decides() -> None:
    votes = [vote("a", 1, 1.0), vote("w", 4, action="withdraw", target="a"), vote("c", 5, 7.0, "correct", target="a")]
    assert stands(votes) == Belief(7.0, None)


def test_a_withdrawal_before_its_assert_waits_for_it() -> None:
    votes = [vote("w", 5, action="withdraw", target="a", known=2), vote("a", 1, 1.0, known=3)]
    assert entries(votes) == []


def test_a_target_under_another_key_is_nothing() -> None:
    assert entries([vote("a", 1, 1.0, rater="x"), vote("c", 2, 0.0, "correct", target="z", rater="x")]) == [(1, 1, 1.0)]


def test_actions_on_a_cycle_of_targets_have_no_effect() -> None:
    votes = [
        vote("a", 1, 1.0),
        vote("c", 2, 2.0, "correct", target="d"),
        vote("d", 3, 3.0, "correct", target="c"),
        vote("s", 4, action="withdraw", target="s"),
    ]
    assert stands(votes) == Belief(1.0, None)


def test_a_long_chain_of_corrections_is_followed_to_its_end() -> None:
    votes = [vote("c0", 0, 0.0)]
    votes += [vote(f"c{i}", 0, float(i), "correct", target=f"c{i - 1}") for i in range(1, 5000)]
    assert stands(votes) == Belief(4999.0, None)


def test_an_untargeted_correction_changes_the_raters_last_vote_and_keeps_its_place() -> None:
    votes = [vote("a", 1, 1.0, rater="x"), vote("b", 2, 2.0, rater="y"), vote("c", 90, 3.0, "correct", rater="x")]
    assert stands(votes, resolve="latest") == Belief(2.0, None)
    assert stands(votes, resolve="first") == Belief(3.0, None)


def test_an_untargeted_correction_without_a_vote_is_one_and_must_lie_in_the_window() -> None:
    assert stands([vote("c", 2, 3.0, "correct", rater="x")]) == Belief(3.0, None)
    assert stands([vote("c", 90, 3.0, "correct", rater="x")]) is None


def test_an_untargeted_withdrawal_takes_the_raters_last_vote() -> None:
    votes = [vote("a", 1, 1.0, rater="x"), vote("b", 2, 2.0, rater="x"), vote("w", 90, action="withdraw", rater="x")]
    assert stands(votes) == Belief(1.0, None)
    assert stands([vote("b", 2, 2.0, rater="y"), votes[2]]) == Belief(2.0, None)


def test_a_withdrawn_withdrawal_does_nothing() -> None:
    votes = [vote("a", 1, 1.0, rater="x"), vote("w", 2, action="withdraw", rater="x")]
    assert stands([*votes, vote("u", 3, action="withdraw", target="w")]) == Belief(1.0, None)


def test_an_adjudication_beats_all_and_its_withdrawal_restores_the_votes() -> None:
    votes = [vote("a", 1, 1.0), vote("j", 300, 0.0, "adjudicate"), vote("b", 2, 5.0)]
    assert stands(votes, resolve="sum") == Belief(0.0, None)
    assert stands([*votes, vote("w", 301, action="withdraw", target="j")], resolve="sum") == Belief(6.0, None)


def test_only_as_many_votes_of_a_rater_count_as_the_cap_allows() -> None:
    votes = [vote(name, minute, float(minute), rater="x") for name, minute in (("a", 1), ("b", 2), ("c", 3))]
    assert [stands(votes, resolve="sum", cap=cap) for cap in (1, 2, 3)] == [Belief(n, None) for n in (3.0, 5.0, 6.0)]


def test_votes_without_a_rater_are_raters_of_their_own() -> None:
    assert stands([vote("a", 1, 1.0), vote("b", 2, 2.0)], resolve="sum") == Belief(3.0, None)


VOTES = [
    vote("a", 1, 4.0, role="user"),
    vote("b", 2, 0.0, role="expert"),
    vote("c", 3, 2.5, role="expert"),
    vote("d", 4, 4.0),
]


@pytest.mark.parametrize(
    ("how", "number"),
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
def test_each_way_to_resolve(how: str, number: float) -> None:
    assert stands(VOTES, resolve=how, roles=["expert", "user"]) == Belief(number, None)


def test_an_unlisted_role_comes_last() -> None:
    votes = [vote("a", 1, 1.0, role="user"), vote("b", 2, 2.0, role="ghost"), vote("c", 3, 3.0)]
    assert stands(votes, resolve="priority", roles=["user"]) == Belief(1.0, None)
    assert stands(votes[1:], resolve="priority", roles=["user"]) == Belief(3.0, None)


def test_a_tied_majority_is_undecided_and_still_a_belief() -> None:
    votes = [vote("a", 1, "x"), vote("b", 2, "y")]
    assert entries(votes, type="category", resolve="majority") == [(1, 1, "x"), (2, -1, "x"), (2, 1, None)]
    assert stands(votes, type="category", resolve="majority") == Belief(None, None)


def test_any_of_nothing_but_zeros_is_zero() -> None:
    assert stands([vote("a", 1, 0.0), vote("b", 2, -0.0)], resolve="any") == Belief(0.0, None)


def test_a_sum_is_of_decimals_and_a_mean_is_rounded_once() -> None:
    assert stands([vote("a", 1, 0.1), vote("b", 2, 0.2)], resolve="sum") == Belief(0.3, None)
    thirds = [vote("a", 1, 1.0), vote("b", 2, 0.0), vote("c", 3, 0.0)]
    assert stands(thirds, resolve="mean") == Belief(0.333333333, None)


@pytest.mark.parametrize(
    ("numerator", "text"),
    [(5, "0.000000001"), (4, "0.000000000"), (-5, "-0.000000001"), (15, "0.000000002"), (-4, "0.000000000")],
)
def test_halves_are_rounded_away_from_zero(numerator: int, text: str) -> None:
    assert format(rounded(Fraction(numerator, 10**10)), "f") == text
