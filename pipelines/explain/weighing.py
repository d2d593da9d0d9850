"""Which votes a belief rests on, and why the others do not count: what the label policy did, vote by vote."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from pipelines.definition import Policy, Value
from pipelines.gold.policy import (
    Belief,
    Micros,
    Vote,
    believe,
    circular,
    rater_of,
    stacked,
    standing,
    states,
    targets,
)

FATES = {
    "decided": "decided",
    "counted": "counted among others",
    "outside_window": "given outside the attribution window",
    "withdrawn": "withdrawn by {by}",
    "overruled": "overruled by the adjudication {by}",
    "superseded": "superseded by {by}",
    "capped": "over the cap: later votes of the same rater count, the first of them {by}",
    "outranked": "outranked by the role of {by}",
    "outvoted": "outvoted, or in a tie",
    "exceeded": "less than {by}",
    "no_number": "is no number, and says nothing to this policy",
    "withdraws": "withdraws {by}",
    "corrects": "corrects {by}",
    "idle": "found nothing to act on",
    "waits": "waits for {by}, which is not there",
    "circular": "its targets lead back to itself",
}
"""What became of a vote, in words; `by`: the vote that had to do with it."""


@dataclass(frozen=True)
class Weighed:
    """One vote and what became of it. `value`: what it says once corrections have acted."""

    vote: Vote
    fate: str
    by: str | None = None
    value: Value | None = None

    @property
    def told(self) -> str:
        return FATES[self.fate].format(by=self.by)


def weigh(votes: Sequence[Vote], policy: Policy, served_at: Micros) -> list[Weighed]:
    """What became of each vote, in the order in which the policy sees them."""
    unique = {vote.feedback_id: vote for vote in votes}
    ordered = sorted(unique.values(), key=lambda vote: vote.place)
    fates = _targeted(ordered)
    for _, group in groupby(sorted(standing(ordered), key=rater_of), key=rater_of):
        fates |= _of_rater(list(group), policy, served_at)
    live = [vote for stack in stacked(standing(ordered), policy, served_at).values() for vote in _last(stack, policy)]
    fates |= _resolved(sorted(live, key=lambda vote: vote.place), policy, believe(ordered, policy, served_at))
    return [replace(fates[vote.feedback_id], vote=vote) for vote in ordered]


def _targeted(votes: Sequence[Vote]) -> dict[str, Weighed]:
    """What became of the actions that name a target, and of what they withdrew."""
    aimed, state = targets(votes), states(votes)
    last: dict[str, str] = {}
    for vote in votes:
        if vote.feedback_id in aimed and state[vote.feedback_id] and not circular(vote.feedback_id, aimed):
            last[aimed[vote.feedback_id]] = vote.feedback_id
    fates: dict[str, Weighed] = {}
    for vote in votes:
        name, target = vote.feedback_id, aimed.get(vote.feedback_id)
        if state[name] is None:
            fates[name] = Weighed(vote, "withdrawn", last[name])
        elif target is None:
            continue
        elif circular(name, aimed):
            fates[name] = Weighed(vote, "circular")
        elif target not in state:
            fates[name] = Weighed(vote, "waits", target)
        elif last[target] != name:
            fates[name] = Weighed(vote, "superseded", last[target])
        else:
            fates[name] = Weighed(vote, f"{vote.action}s", target, _value(state[name]))
    return fates


def _of_rater(votes: Sequence[Vote], policy: Policy, served_at: Micros) -> dict[str, Weighed]:
    """What became of one rater's standing votes before they met those of others: replayed one by one."""
    fates: dict[str, Weighed] = {}
    before: list[Vote] = []
    for number, vote in enumerate(votes):
        after = stacked(votes[: number + 1], policy, served_at)[rater_of(vote)]
        name, top = vote.feedback_id, before[-1].feedback_id if before else None
        if vote.action == "withdraw" and top:
            fates[name], fates[top] = Weighed(vote, "withdraws", top), Weighed(before[-1], "withdrawn", name)
        elif vote.action == "correct" and top:
            fates[name] = Weighed(vote, "corrects", top, vote.value)
        elif vote.action == "withdraw":
            fates[name] = Weighed(vote, "idle")
        elif len(after) == len(before):
            fates[name] = Weighed(vote, "outside_window")
        before = after
    kept = {vote.feedback_id for vote in _last(before, policy)}
    for number, vote in enumerate(before):
        if vote.feedback_id not in kept:
            later = next(other.feedback_id for other in before[number:] if other.feedback_id in kept)
            fates[vote.feedback_id] = Weighed(vote, "superseded" if policy.cap == 1 else "capped", later, vote.value)
    return fates


def _last(stack: Sequence[Vote], policy: Policy) -> Sequence[Vote]:
    """The votes of a rater that count: the last ones, and adjudications in any case."""
    return [vote for n, vote in enumerate(stack) if vote.action == "adjudicate" or n >= len(stack) - policy.cap]


def _resolved(live: Sequence[Vote], policy: Policy, belief: Belief | None) -> dict[str, Weighed]:
    """What became of the votes that got as far as the policy's resolution."""
    if not live:
        return {}
    rulings = [vote for vote in live if vote.action == "adjudicate"]
    if rulings:
        chosen = max(rulings, key=lambda vote: vote.place)
        return _but(live, chosen, lambda vote: "superseded" if vote.action == "adjudicate" else "overruled")
    value = belief.value if belief else None
    if policy.resolve in ("first", "latest"):
        return _but(live, live[0 if policy.resolve == "first" else -1], lambda _: "superseded")
    if policy.resolve == "priority":
        ranks = {vote.feedback_id: _rank(vote, policy) for vote in live}
        best = min(ranks.values())
        chosen = [vote for vote in live if ranks[vote.feedback_id] == best][-1]
        return _but(live, chosen, lambda vote: "superseded" if ranks[vote.feedback_id] == best else "outranked")
    return _together(live, policy, value)


def _together(live: Sequence[Vote], policy: Policy, value: Value | None) -> dict[str, Weighed]:
    """What became of votes that none of them decides alone."""
    if policy.resolve == "max" and value is not None:
        chosen = next(vote for vote in live if vote.value == value)
        return _but(live, chosen, lambda vote: "counted" if vote.value == value else "exceeded") | _no_numbers(live)
    if policy.resolve == "majority":
        won = {vote.feedback_id for vote in live if value is not None and vote.value == value}
        fates = {v.feedback_id: "counted" if v.feedback_id in won else "outvoted" for v in live}
        return {vote.feedback_id: Weighed(vote, fates[vote.feedback_id], None, vote.value) for vote in live}
    return {vote.feedback_id: Weighed(vote, "counted", None, vote.value) for vote in live} | _no_numbers(live)


def _but(live: Sequence[Vote], chosen: Vote, others: Callable[[Vote], str]) -> dict[str, Weighed]:
    """One decided; what became of the others."""
    name = chosen.feedback_id
    fates = {vote.feedback_id: Weighed(vote, others(vote), name, vote.value) for vote in live}
    return fates | {name: Weighed(chosen, "decided", None, chosen.value)}


def _no_numbers(live: Sequence[Vote]) -> dict[str, Weighed]:
    return {v.feedback_id: Weighed(v, "no_number", None, v.value) for v in live if not isinstance(v.value, float)}


def _rank(vote: Vote, policy: Policy) -> int:
    return policy.roles.index(vote.role) if vote.role in policy.roles else len(policy.roles)


def _value(vote: Vote | None) -> Value | None:
    return vote.value if vote else None
