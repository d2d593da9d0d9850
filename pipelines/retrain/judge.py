"""Whether a challenger may take the champion's place, and what came of letting it: decisions that state their error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipelines.retrain.compare import Compared, mean
from pipelines.retrain.declared import Acceptance
from pipelines.retrain.losses import Floats
from pipelines.retrain.sequence import interval


@dataclass(frozen=True)
class Group:
    """The interval of the difference within one segment, and the limit that it must stay below."""

    field: str
    value: str
    support: int
    low: float
    high: float
    limit: float


@dataclass(frozen=True)
class Verdict:
    """`state`: accept, refuse or wait; of what was promoted: helped, did not, unclear or wait.

    `estimate`: mean loss of the challenger minus that of the champion, whose interval, with those of the groups, holds at all looks
    together with probability 1 - alpha.
    """

    state: str
    reason: str
    support: int
    estimate: float
    low: float
    high: float
    champion: float
    challenger: float
    groups: tuple[Group, ...] = ()

    def columns(self) -> dict[str, Any]:
        """As gold.retrainings has it; numbers of no outcomes are null."""
        numbers = {"estimate": self.estimate, "low": self.low, "high": self.high}
        return {name: None if math.isnan(value) else value for name, value in numbers.items()} | {
            "verdict": self.state,
            "reason": self.reason,
            "support": self.support,
        }

    def evidence(self) -> dict[str, Any]:
        """What there is beside the columns."""
        losses = {"champion": self.champion, "challenger": self.challenger}
        return {name: None if math.isnan(value) else value for name, value in losses.items()} | {
            "groups": [asdict(group) for group in self.groups]
        }


def judge(
    compared: Compared,
    acceptance: Acceptance,
    groups: Sequence[tuple[str, str]] = (),
    *,
    last: bool = False,
    against: str = "what was served",
) -> Verdict:
    """Accept what is shown to lose at most the margin more, and in no segment with the support its limit; refuse what is shown to.

    `groups`: the segments' declared values; the error is split evenly over the whole and them (Bonferroni). `last`: no more outcomes are
    to come, so that what is not shown by now is refused. `against`: what the challenger is held against, in words.
    """
    alpha = acceptance.alpha / (1 + len(groups))
    low, high = interval(compared.differences, compared.reach, alpha, compared.shares)
    limits, found = dict(acceptance.segments), []
    for name, value in groups:
        inside = compared.segments[name] == value
        values, shares = compared.differences[inside], None if compared.shares is None else compared.shares[inside]
        found.append(Group(name, value, len(values), *interval(values, compared.reach, alpha, shares), limits[name]))
    support = len(compared.differences)
    last = last or support >= acceptance.most
    deciding = [group for group in found if group.support >= acceptance.support]
    state, reason = _decided(support, low, high, acceptance, deciding, last=last, against=against)
    if compared.left_out:
        reason += f"; {compared.left_out:,} more were asked for more seldom than acceptance.least_asked = {acceptance.least_asked:g}"
    return _verdict(state, reason, compared, (low, high), tuple(group for group in found if group.support))


def _decided(
    support: int, low: float, high: float, acceptance: Acceptance, groups: Sequence[Group], *, last: bool, against: str
) -> tuple[str, str]:
    """The state, and why."""
    told = f"{acceptance.loss} loss [{low:+.4f}, {high:+.4f}] over {support:,} outcomes against {against}"
    if support < acceptance.support:
        return ("refuse" if last else "wait"), f"{support:,} outcomes; {acceptance.support:,} are needed"
    if low > acceptance.margin:
        return "refuse", f"worse: {told}; at most {acceptance.margin:+g} is allowed"
    for group in groups:
        if group.low > group.limit:
            inside = f"[{group.low:+.4f}, {group.high:+.4f}] over {group.support:,} outcomes"
            return "refuse", f"worse where {group.field} is {group.value}: {inside}; at most {group.limit:+g} is allowed"
    open_groups = [f"{group.field} {group.value}" for group in groups if group.high > group.limit]
    if high <= acceptance.margin and not open_groups:
        return "accept", f"{told}; at most {acceptance.margin:+g} is allowed"
    lacking = f" where {', '.join(open_groups)}" if high <= acceptance.margin else ""
    return ("refuse" if last else "wait"), f"not shown to be good enough{lacking}: {told}"


def settle(compared: Compared, acceptance: Acceptance) -> Verdict:
    """Whether what was promoted helped, on requests of which both versions said something."""
    found = interval(compared.differences, compared.reach, acceptance.alpha, compared.shares)
    return _settled(compared, found, acceptance, "on the same requests", len(compared.differences))


def before_and_after(
    old: Floats, new: Floats, reach: float, acceptance: Acceptance, shares: Sequence[Floats | None] = (None, None)
) -> Verdict:
    """The same from losses within [0, reach] of requests before and after: whatever else changed meanwhile is in it too.

    `shares`: of both, what each stands for.
    """
    both = list(zip((old, new), shares, strict=True))
    (low_old, high_old), (low_new, high_new) = (interval(losses, reach, acceptance.alpha / 2, of) for losses, of in both)
    mean_old, mean_new = (mean(losses, of) for losses, of in both)
    compared = Compared(new - mean_old, reach, mean_old, mean_new, shares=shares[1])
    found = max(0.0, low_new) - high_old, high_new - max(0.0, low_old)
    how = "before and after, whatever else changed meanwhile"
    return _settled(compared, found, acceptance, how, min(len(old), len(new)))


def _settled(compared: Compared, found: tuple[float, float], acceptance: Acceptance, how: str, support: int) -> Verdict:
    low, high = found
    told = f"{acceptance.loss} loss against the version before [{low:+.4f}, {high:+.4f}] over {support:,} outcomes, {how}"
    if support < acceptance.support:
        return _verdict("wait", f"{support:,} outcomes; {acceptance.support:,} are needed", compared, found)
    state = "helped" if high < 0 else "did not" if low > 0 else "unclear" if support >= acceptance.most else "wait"
    return _verdict(state, told, compared, found)


def _verdict(
    state: str, reason: str, compared: Compared, found: tuple[float, float], groups: tuple[Group, ...] = ()
) -> Verdict:
    estimate = mean(compared.differences, compared.shares)
    return Verdict(state, reason, len(compared.differences), estimate, *found, compared.champion, compared.challenger, groups)
