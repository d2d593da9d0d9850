"""What votes amount to, as the design says it (sections 1 and 2, decisions 5 and 8): a plain model, written without the pipeline.

A vote is what an event says; `Votes` is asked for the belief of one key at one moment, and starts from nothing each time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

ORDER = ("assert", "correct", "withdraw", "adjudicate")
SKEW = timedelta(minutes=5)
UNDECIDED = "undecided"
"""A belief without a value."""


@dataclass(frozen=True)
class Rule:
    """How a label is resolved."""

    resolve: str
    window: timedelta
    cap: int = 1
    roles: tuple[str, ...] = ()


@dataclass(frozen=True)
class Vote:
    """One feedback, and when it and its inference were known."""

    id: str
    action: str
    value: Any
    given: datetime
    known: datetime
    rater: str | None
    role: str | None
    target: str | None

    @property
    def order(self) -> tuple[datetime, int, str]:
        return self.given, ORDER.index(self.action), self.id


class Votes:
    """All votes on one key that are known at one moment."""

    def __init__(self, votes: Iterable[Vote], rule: Rule, served: datetime, at: datetime) -> None:
        self.rule, self.served = rule, served
        self.votes = sorted((vote for vote in votes if vote.known <= at), key=lambda vote: vote.order)
        self.by_id = {vote.id: vote for vote in self.votes}

    def belief(self) -> Any:
        """None without a live vote, else the value or UNDECIDED."""
        live = self._live()
        rulings = [(vote, value) for vote, value in live if vote.action == "adjudicate"]
        if rulings:
            return rulings[-1][1]
        capped: dict[tuple[str, str], int] = {}
        counted = []
        for vote, value in reversed(live):
            who = ("rater", vote.rater) if vote.rater is not None else ("alone", vote.id)
            capped[who] = capped.get(who, 0) + 1
            if capped[who] <= self.rule.cap:
                counted.append((vote, value))
        return self._resolve(counted[::-1]) if counted else None

    def _live(self) -> list[tuple[Vote, Any]]:
        """Votes that stand, with what they say by now, in their order. Corrections keep the place of what they correct."""
        standing: list[list[Any]] = []
        for vote in self.votes:
            if self._aims(vote):
                continue
            found, value = self._now(vote)
            if not found:
                continue
            of_rater = [place for place in standing if vote.rater is not None and place[0].rater == vote.rater]
            if vote.action == "withdraw":
                if of_rater:
                    standing.remove(of_rater[-1])
            elif vote.action == "correct" and of_rater:
                of_rater[-1][1] = value
            elif vote.action == "adjudicate" or self._in_window(vote):
                standing.append([vote, value])
        return [(vote, value) for vote, value in standing]

    def _in_window(self, vote: Vote) -> bool:
        return self.served - SKEW <= vote.given < self.served + self.rule.window

    def _aims(self, vote: Vote) -> bool:
        return vote.action in ("correct", "withdraw") and vote.target is not None

    def _now(self, vote: Vote) -> tuple[bool, Any]:
        """Whether what an event says still holds, and what it says now: the last standing action on it decides."""
        for by in reversed(self.votes):
            if self._aims(by) and by.target == vote.id and not self._in_circle(by):
                stands, value = self._now(by)
                if stands:
                    return (False, None) if by.action == "withdraw" else (True, value)
        return True, vote.value

    def _in_circle(self, vote: Vote) -> bool:
        """Whether an action aims, over others, at itself."""
        seen: list[str] = []
        at: Vote | None = vote
        while at is not None and self._aims(at) and at.id not in seen:
            seen.append(at.id)
            at = self.by_id.get(at.target or "")
        return at is not None and at.id == vote.id and bool(seen)

    def _resolve(self, live: list[tuple[Vote, Any]]) -> Any:
        values = [value for _, value in live]
        how = self.rule.resolve
        if how in ("first", "latest"):
            return values[0 if how == "first" else -1]
        if how == "priority":
            ranked = [*self.rule.roles, None]
            ranks = [ranked.index(vote.role if vote.role in self.rule.roles else None) for vote, _ in live]
            return [value for rank, value in zip(ranks, values, strict=True) if rank == min(ranks)][-1]
        if how == "majority":
            counts = {value: values.count(value) for value in values}
            best = [value for value, count in counts.items() if count == max(counts.values())]
            return best[0] if len(best) == 1 else UNDECIDED
        if how == "max":
            return max(values)
        if how == "any":
            return float(any(values))
        total = sum((Decimal(repr(value)) for value in values), Decimal(0))
        over = total / len(values) if how == "mean" else total
        return float(over.quantize(Decimal("1e-9"), ROUND_HALF_UP))
