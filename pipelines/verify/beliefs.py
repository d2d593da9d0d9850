"""What the votes on one key add up to, at each point of knowledge: the plainest reading of a label policy.

Times are microseconds since the epoch; a policy is the body that a definition carries.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

Value = float | str

RANK = {"assert": 0, "correct": 1, "withdraw": 2, "adjudicate": 3}
EARLY = 300_000_000
"""A vote may be given five minutes before the inference was served: clocks differ."""
NUMERIC = ("mean", "sum", "max", "any")


class Vote(NamedTuple):
    """One judgement on one key, as far as a policy looks at it; `known_at`: when it and its inference had come in."""

    feedback_id: str
    action: str
    given_at: int
    known_at: int
    value: Value | None = None
    rater: str | None = None
    role: str | None = None
    target: str | None = None


class Belief(NamedTuple):
    """The outcome that votes add up to; both null: answered, and undecided."""

    number: float | None
    text: str | None

    @property
    def value(self) -> Value | None:
        return self.number if self.number is not None else self.text


Entry = tuple[int, int, float | None, str | None]
"""(known_at, sign, number, text)"""
Order = tuple[int, int, str]


class _Live(NamedTuple):
    """A vote that counts: where it stands in the order, what it says, who said it."""

    place: Order
    value: Value | None
    role: str | None
    adjudicated: bool


def sequence(votes: Sequence[Vote], policy: dict[str, Any], served_at: int) -> list[Entry]:
    """The signed entries of one key: wherever the belief changes, the old one goes and the new one comes."""
    entries: list[Entry] = []
    before: Belief | None = None
    for known_at in sorted({vote.known_at for vote in votes}):
        now = belief([vote for vote in votes if vote.known_at <= known_at], policy, served_at)
        if now == before:
            continue
        if before is not None:
            entries.append((known_at, -1, before.number, before.text))
        if now is not None:
            entries.append((known_at, 1, now.number, now.text))
        before = now
    return entries


def belief(votes: Sequence[Vote], policy: dict[str, Any], served_at: int) -> Belief | None:
    """What the policy says of all these votes together; None where no vote is live."""
    stacks = _stacks(votes, _states(votes), served_at, served_at + policy["window"] * 1_000_000)
    adjudications = [live for stack in stacks.values() for live in stack if live.adjudicated]
    if adjudications:
        return _stated(max(adjudications, key=lambda live: live.place).value)
    counting = [live for stack in stacks.values() for live in stack[-policy["cap"] :]]
    if not counting:
        return None
    return _stated(_resolved(sorted(counting, key=lambda live: live.place), policy))


def order(vote: Vote) -> Order:
    """Votes are seen in this order, whatever the order of arrival."""
    return vote.given_at, RANK[vote.action], vote.feedback_id


def _targeted(vote: Vote) -> bool:
    return vote.target is not None and vote.action in ("correct", "withdraw")


def _states(votes: Sequence[Vote]) -> dict[str, tuple[bool, Value | None]]:
    """Of each vote, whether it is alive and what it says, once the targeted actions on it are heard, leaves first."""
    by_id = {vote.feedback_id: vote for vote in votes}
    states = {vote.feedback_id: (True, vote.value) for vote in votes}
    aims = {vote.feedback_id: vote.target for vote in votes if vote.target in by_id and _targeted(vote)}
    if not aims:
        return states
    effective = {name: target for name, target in aims.items() if not _on_cycle(name, aims)}
    unheard = Counter(effective.values())
    ready = [name for name in by_id if not unheard[name]]
    last: dict[str, Vote] = {}
    while ready:
        name = ready.pop()
        decisive = last.get(name)
        if decisive is not None:
            states[name] = (decisive.action != "withdraw", states[decisive.feedback_id][1])
        target = effective.get(name)
        if target is None:
            continue
        if states[name][0] and (target not in last or order(by_id[name]) > order(last[target])):
            last[target] = by_id[name]
        unheard[target] -= 1
        if not unheard[target]:
            ready.append(target)
    return states


def _on_cycle(start: str, aims: Mapping[str, str | None]) -> bool:
    seen: set[str] = set()
    name = aims.get(start)
    while name is not None and name not in seen:
        if name == start:
            return True
        seen.add(name)
        name = aims.get(name)
    return False


def _stacks(
    votes: Sequence[Vote], states: dict[str, tuple[bool, Value | None]], opens: int, closes: int
) -> dict[tuple[str, str], list[_Live]]:
    """The votes of each rater that stand, after untargeted corrections and withdrawals."""
    stacks: dict[tuple[str, str], list[_Live]] = {}
    for vote in sorted(votes, key=order):
        alive, value = states[vote.feedback_id]
        if not alive or _targeted(vote):
            continue
        rater = ("feedback", vote.feedback_id) if vote.rater is None else ("rater", vote.rater)
        stack = stacks.setdefault(rater, [])
        if vote.action == "withdraw":
            if stack:
                stack.pop()
        elif vote.action == "correct" and stack:
            stack[-1] = stack[-1]._replace(value=value)
        elif vote.action == "adjudicate" or opens - EARLY <= vote.given_at < closes:
            stack.append(_Live(order(vote), value, vote.role, vote.action == "adjudicate"))
    return stacks


def _resolved(live: list[_Live], policy: dict[str, Any]) -> Value | None:
    """One value out of live votes in order; None: undecided."""
    values = [vote.value for vote in live]
    how = policy["resolve"]
    if how in NUMERIC:
        return _computed([value for value in values if isinstance(value, float)], how)
    if how == "first":
        return values[0]
    if how == "latest":
        return values[-1]
    if how == "priority":
        ranks = {role: rank for rank, role in reversed(list(enumerate(policy["roles"])))}
        roles = [len(ranks) if vote.role is None else ranks.get(vote.role, len(ranks)) for vote in live]
        return [value for value, role in zip(values, roles, strict=True) if role == min(roles)][-1]
    ranked = Counter(values).most_common(2)
    return None if len(ranked) == 2 and ranked[0][1] == ranked[1][1] else ranked[0][0]


def _computed(numbers: list[float], how: str) -> float | None:
    if not numbers:
        return None
    if how == "max":
        return max(numbers)
    if how == "any":
        return 1.0 if any(number != 0 for number in numbers) else 0.0
    total = sum((Fraction(Decimal(repr(number))) for number in numbers), Fraction(0))
    return float(rounded(total / len(numbers) if how == "mean" else total))


def rounded(exact: Fraction) -> Decimal:
    """An exact number to nine places, halves away from zero, in one rounding."""
    scaled = abs(exact) * 10**9
    units = (2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator)
    digits = tuple(int(digit) for digit in str(units))
    return Decimal((1 if exact < 0 and units else 0, digits, -9))


def _stated(value: Value | None) -> Belief:
    if isinstance(value, float):
        return Belief(value + 0.0, None)
    return Belief(None, value)
