"""Why a value is expected: the entries, events and log positions that lead to it, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path

from pipelines.verify import records
from pipelines.verify.beliefs import Entry
from pipelines.verify.events import Feedback, Inference
from pipelines.verify.outcomes import Outcome, Votes
from pipelines.verify.report import spoken
from pipelines.verify.verdicts import Verdicts

Places = tuple[int, ...]
"""Offsets of the log."""
_SHOWN = 8
"""Feedback of one request that is told in full."""


class Evidence:
    """What the log says, to be asked about one key at a time."""

    def __init__(self, log: Path, verdicts: Verdicts, votes: Votes) -> None:
        self._log = log
        self._verdicts = verdicts
        self._votes = votes

    def of_cell(self, label: str | None, total: int, some: Sequence[tuple[str, Decimal]], as_of: int | None) -> str:
        """The increments that add up to a statistic."""
        if not total:
            return "no accepted event of the log leads to this key"
        told = "; ".join(f"{amount.normalize():f} from {self.of_request(name, label, as_of)}" for name, amount in some)
        rest = f"; and {total - len(some)} more" if total > len(some) else ""
        return f"the sum of {total} increments: {told}{rest}"

    def of_request(self, request_id: str, label: str | None, as_of: int | None, item: str | None = None) -> str:
        """An inference, and what was said about it under one label (None: nothing of that) before a moment."""
        inference = self._verdicts.inferences.get(request_id)
        if inference is None:
            return f"request {request_id}, which has no accepted inference"
        told = (
            f"request {request_id} (inference of model {inference.model} at log offset {inference.offset}, served "
            f"{spoken(inference.served_at)}, received {spoken(inference.received_at)}"
        )
        if label is None:
            return told + ")"
        said = [_spoken(found) for found in self._said(inference, label, as_of, item)]
        more = [f"and {len(said) - _SHOWN} more"] if len(said) > _SHOWN else []
        return told + "; feedback: " + (", ".join(said[:_SHOWN] + more) or "none") + ")"

    def positions(
        self, requests: Iterable[str], label: str | None, as_of: int | None, item: str | None = None
    ) -> Places:
        """Where inferences, and what was said about them under a label before a moment, stand in the log."""
        found: set[int] = set()
        for request_id in requests:
            inference = self._verdicts.inferences.get(request_id)
            if inference is not None:
                found.add(inference.offset)
                found |= {said.offset for said in self._said(inference, label, as_of, item)}
        return tuple(sorted(found))

    def outcomes(
        self, request_id: str, label: str, item: str | None, as_of: int | None
    ) -> Iterator[tuple[Outcome, list[Entry]]]:
        """The keys of a request under a label, with the entries that were known before a moment."""
        inference = self._verdicts.inferences.get(request_id)
        if inference is not None and (as_of is None or inference.received_at < as_of):
            for outcome in self._votes.outcomes(inference, self._verdicts.definitions, as_of):
                if outcome.label == label and item in (None, outcome.item):
                    yield outcome, outcome.entries()

    def positions_of_feedback(self, feedback_id: str) -> Places:
        """Where a judgement and its inference stand in the log."""
        found = self._verdicts.feedback.get(feedback_id)
        if found is None:
            return ()
        inference = self._verdicts.inferences.get(found.request_id)
        return (found.offset,) if inference is None else tuple(sorted((found.offset, inference.offset)))

    def of_feedback(self, feedback_id: str) -> str:
        """A judgement and the inference that it is about."""
        found = self._verdicts.feedback.get(feedback_id)
        if found is None:
            return f"the log holds no accepted feedback {feedback_id}"
        return f"feedback {_spoken(found)} is about {self.of_request(found.request_id, None, None)}"

    def of_position(self, offset: int) -> str:
        """What stands at a position of the log, and why it is judged as it is."""
        if not 0 <= offset < len(self._verdicts.homes):
            return f"the log holds no record at offset {offset}"
        block = next(records.blocks(self._log, offset, offset + 1))
        told = f"log offset {offset}, received {spoken(block.received_at[0])}: {block.payloads[0][:300]!r}"
        reason = self._verdicts.reasons.get(offset)
        if reason is not None:
            return f"{told}; {reason}: {self._verdicts.details[offset]}"
        first = self._verdicts.firsts.get(offset)
        return told if first is None else f"{told}; the same event stands at offset {first}"

    def _said(self, inference: Inference, label: str | None, as_of: int | None, item: str | None) -> list[Feedback]:
        return [
            found
            for found in self._votes.on(inference)
            if found.label == label and item in (None, found.item) and (as_of is None or found.received_at < as_of)
        ]


def _spoken(found: Feedback) -> str:
    value = "" if found.value is None else f" {found.value}"
    target = f" of {found.target}" if found.target else ""
    item = f" on item {found.item}" if found.item else ""
    return (
        f"{found.feedback_id} ({found.action}{target}{value}{item} by {found.rater or 'nobody named'}, given "
        f"{spoken(found.given_at)}, received {spoken(found.received_at)}, log offset {found.offset})"
    )
