"""Which votes speak about which key, and what is believed: over all time, and at one moment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pipelines.verify.beliefs import Belief, Entry, Vote, belief, sequence
from pipelines.verify.definitions import Definition, Definitions
from pipelines.verify.events import Feedback, Inference


class Outcome(NamedTuple):
    """One key under one policy: the definitions that share the policy, and the votes."""

    inference: Inference
    item: str
    label: str
    policy_hash: str
    definitions: tuple[Definition, ...]
    votes: tuple[Vote, ...]

    @property
    def unit(self) -> str:
        return "item" if self.item else "request"

    @property
    def matures_at(self) -> int:
        """When silence about the key becomes information."""
        return matures_at(self.definitions[0], self.inference)

    def entries(self) -> list[Entry]:
        """The whole sequence of beliefs, as signed entries."""
        policy = self.definitions[0].policy
        return sequence(self.votes, policy, self.inference.served_at) if policy else []

    def stand(self) -> Belief | None:
        """What all the votes add up to."""
        policy = self.definitions[0].policy
        return belief(self.votes, policy, self.inference.served_at) if policy else None


def matures_at(definition: Definition, inference: Inference) -> int:
    """When silence about an inference becomes information under a label's definition, in microseconds."""
    window = definition.policy["window"] * 1_000_000 if definition.policy else 0
    return max(inference.served_at + int(window), inference.received_at)


class Votes:
    """The accepted feedback by request; what the pairs are made of."""

    def __init__(self, feedback: dict[str, Feedback]) -> None:
        self._of_request: dict[str, list[Feedback]] = {}
        for found in feedback.values():
            self._of_request.setdefault(found.request_id, []).append(found)

    def on(self, inference: Inference) -> list[Feedback]:
        """All accepted feedback on an inference, in the order of the log."""
        return self._of_request.get(inference.request_id, [])

    def outcomes(self, inference: Inference, definitions: Definitions, before: int | None = None) -> Iterator[Outcome]:
        """The keys of an inference that have votes (received before a moment), under each policy that applies."""
        said = [found for found in self.on(inference) if before is None or found.received_at < before]
        if not said:
            return
        keys: dict[tuple[str, str], list[Feedback]] = {}
        for found in said:
            keys.setdefault((found.label, found.item), []).append(found)
        applicable = definitions.applicable(inference.model, inference.offset)
        for (label, item), heard in keys.items():
            unit = "item" if item else "request"
            policies: dict[str, list[Definition]] = {}
            for definition in applicable:
                if definition.label == label and definition.unit == unit:
                    policies.setdefault(definition.policy_hash, []).append(definition)
            votes = tuple(vote(found, inference) for found in heard) if policies else ()
            for policy_hash, sharing in policies.items():
                yield Outcome(inference, item, label, policy_hash, tuple(sharing), votes)


def vote(found: Feedback, inference: Inference) -> Vote:
    """What a judgement says, known once it and its inference are."""
    return Vote(
        found.feedback_id,
        found.action,
        found.given_at,
        max(found.received_at, inference.received_at),
        found.value,
        found.rater,
        found.role,
        found.target,
    )
