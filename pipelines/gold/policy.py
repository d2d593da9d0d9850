"""Label policies in plain Python: what a set of votes amounts to, at every moment at which it was known.

Everything here is a function of the votes as a set: their order of arrival plays no part.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from pipelines.definition import Policy, Value
from pipelines.exact import shortest, total

Micros = int
SKEW: Micros = 300_000_000
"""How long before the inference a vote may be given: five minutes, for clocks that differ."""

_RANK = {"assert": 0, "correct": 1, "withdraw": 2, "adjudicate": 3}


@dataclass(frozen=True, slots=True)
class Vote:
    """One feedback on one key. Times in microseconds since 1970."""

    feedback_id: str
    action: str
    value: Value | None
    given_at: Micros
    known_at: Micros
    rater: str | None = None
    role: str | None = None
    target: str | None = None

    @property
    def place(self) -> tuple[Micros, int, str]:
        """Where it stands among votes known together."""
        return self.given_at, _RANK[self.action], self.feedback_id


@dataclass(frozen=True, slots=True)
class Belief:
    """What an outcome is believed to be; None: answered, and undecided."""

    value: Value | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One signed belief."""

    known_at: Micros
    sign: int
    value: Value | None


def sequence(votes: Iterable[Vote], policy: Policy, served_at: Micros) -> list[Entry]:
    """The whole history of what was believed, as signed entries: at each time of knowledge, what the votes known by then say."""
    unique = {vote.feedback_id: vote for vote in votes}
    if len(unique) == 1:  # nearly always
        (only,) = unique.values()
        said = believe([only], policy, served_at)
        return [Entry(only.known_at, 1, said.value)] if said else []
    ordered = sorted(unique.values(), key=lambda vote: vote.place)
    entries: list[Entry] = []
    before: Belief | None = None
    for known_at in sorted({vote.known_at for vote in ordered}):
        now = believe([vote for vote in ordered if vote.known_at <= known_at], policy, served_at)
        if now != before:
            entries += [Entry(known_at, sign, belief.value) for sign, belief in ((-1, before), (1, now)) if belief]
        before = now
    return entries


def believe(votes: Sequence[Vote], policy: Policy, served_at: Micros) -> Belief | None:
    """The belief that votes amount to, given in the order of their places; None without a live vote."""
    if len(votes) == 1 and votes[0].action == "assert":  # nearly always
        return Belief(_RESOLVE[policy.resolve](votes, policy)) if in_window(votes[0], policy, served_at) else None
    stacks = stacked(standing(votes), policy, served_at)
    rulings = [vote for stack in stacks.values() for vote in stack if vote.action == "adjudicate"]
    if rulings:
        return Belief(max(rulings, key=lambda vote: vote.place).value)
    live = [vote for stack in stacks.values() for vote in stack[-policy.cap :]]
    live.sort(key=lambda vote: vote.place)
    return Belief(_RESOLVE[policy.resolve](live, policy)) if live else None


def stacked(votes: Sequence[Vote], policy: Policy, served_at: Micros) -> dict[str, list[Vote]]:
    """What stands of each rater's votes, one above the other, once those without a target have acted on the last one."""
    stacks: dict[str, list[Vote]] = defaultdict(list)
    for vote in votes:
        stack = stacks[rater_of(vote)]
        if vote.action == "withdraw":
            del stack[-1:]
        elif vote.action == "correct" and stack:
            stack[-1] = replace(stack[-1], value=vote.value)
        elif vote.action == "adjudicate" or in_window(vote, policy, served_at):
            stack.append(vote)
    return stacks


def rater_of(vote: Vote) -> str:
    """Whose vote it is. Without a rater, each feedback is a rater of its own; the prefixes keep the two apart."""
    return f"rater {vote.rater}" if vote.rater is not None else f"feedback {vote.feedback_id}"


def in_window(vote: Vote, policy: Policy, served_at: Micros) -> bool:
    """Whether it was given within the attribution window."""
    return served_at - SKEW <= vote.given_at < served_at + policy.window * 1_000_000


def standing(votes: Sequence[Vote]) -> list[Vote]:
    """The votes that act on their own, as corrections and withdrawals that name a target have left them."""
    aimed = targets(votes)
    if not aimed:
        return list(votes)
    state = states(votes)
    return [now for vote in votes if vote.feedback_id not in aimed and (now := state[vote.feedback_id])]


def targets(votes: Iterable[Vote]) -> dict[str, str]:
    """What corrections and withdrawals name, where they name any: target by feedback id."""
    return {v.feedback_id: v.target for v in votes if v.action in ("correct", "withdraw") and v.target is not None}


def states(votes: Sequence[Vote]) -> dict[str, Vote | None]:
    """What corrections and withdrawals that name a target leave of every vote, of themselves too; None: withdrawn.

    The last live action on a target decides, whatever its given_at; an action may itself be withdrawn or corrected. A target
    that is not there waits, and a circle of targets never gets anywhere.
    """
    aimed = targets(votes)
    there = {vote.feedback_id for vote in votes}
    acting = {by: on for by, on in aimed.items() if on in there and not circular(by, aimed)}
    actions: dict[str, list[Vote]] = defaultdict(list)
    for vote in votes:
        if vote.feedback_id in acting:
            actions[acting[vote.feedback_id]].append(vote)
    # What acts on an action comes before the action itself: from the ends of the chains to their starts.
    state: dict[str, Vote | None] = {}
    for vote in sorted(votes, key=lambda vote: -_depth(vote.feedback_id, acting)):
        last = next((now for by in reversed(actions[vote.feedback_id]) if (now := state[by.feedback_id])), None)
        if last is None:
            state[vote.feedback_id] = vote
        else:
            state[vote.feedback_id] = None if last.action == "withdraw" else replace(vote, value=last.value)
    return state


def circular(feedback_id: str, aimed: dict[str, str]) -> bool:
    """Whether its targets lead back to itself."""
    at, steps = aimed.get(feedback_id), 0
    while at is not None and at != feedback_id and steps <= len(aimed):
        at, steps = aimed.get(at), steps + 1
    return at == feedback_id


def _depth(feedback_id: str, acting: dict[str, str]) -> int:
    """How many targets lie between an event and the one it changes in the end."""
    depth = 0
    while feedback_id in acting:
        feedback_id, depth = acting[feedback_id], depth + 1
    return depth


def _majority(votes: Sequence[Vote], policy: Policy) -> Value | None:
    del policy
    first, *rest = Counter(vote.value for vote in votes).most_common(2)
    return None if rest and rest[0][1] == first[1] else first[0]


def _priority(votes: Sequence[Vote], policy: Policy) -> Value | None:
    ranks = {role: rank for rank, role in enumerate(policy.roles)}
    best = min(ranks.get(vote.role or "", len(ranks)) for vote in votes)
    return [vote.value for vote in votes if ranks.get(vote.role or "", len(ranks)) == best][-1]


def _computed(compute: Callable[[list[float]], float]) -> Callable[[Sequence[Vote], Policy], Value | None]:
    """A resolution by arithmetic; votes that are no numbers (of a label that is a category elsewhere) say nothing to it."""

    def resolve(votes: Sequence[Vote], policy: Policy) -> Value | None:
        del policy
        numbers = [vote.value for vote in votes if isinstance(vote.value, float)]
        return compute(numbers) if numbers else None

    return resolve


_RESOLVE: dict[str, Callable[[Sequence[Vote], Policy], Value | None]] = {
    "first": lambda votes, _: votes[0].value,
    "latest": lambda votes, _: votes[-1].value,
    "priority": _priority,
    "majority": _majority,
    "mean": _computed(lambda numbers: float(total(map(shortest, numbers), over=len(numbers)))),
    "sum": _computed(lambda numbers: float(total(map(shortest, numbers)))),
    "max": _computed(max),
    "any": _computed(lambda numbers: float(any(numbers))),
}
"""Votes in the order of their places; ties are broken by place, so never by arrival."""
