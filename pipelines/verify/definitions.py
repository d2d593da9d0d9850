"""Definitions as the log's control events declare them: the verifier's own reading, and its own hash."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.verify.bodies import problem
from pipelines.verify.document import RefusedError, canonical


@dataclass(frozen=True, slots=True, eq=False)
class Definition:
    """What a statistic is computed under. `policy` is the policy's body, None in a service definition (label "")."""

    offset: int
    hash: str
    policy_hash: str
    model: str
    label: str
    cuts: tuple[tuple[str, ...], ...]
    grains: tuple[str, ...]
    segments: dict[str, tuple[str, ...]]
    policy: dict[str, Any] | None
    judges: str
    positive: float | str | None
    threshold: float | None
    positive_at: float | None
    classes: tuple[str, ...]
    score_buckets: int
    measures: tuple[str, ...]
    histograms: tuple[tuple[str, tuple[Any, ...]], ...]

    @property
    def unit(self) -> str:
        """What its label judges: request or item; "" for service statistics."""
        return str(self.policy["unit"]) if self.policy else ""

    def accepts(self, value: float | str) -> bool:
        """Whether a value is of the kind that the label asks for."""
        kind = self.policy["type"] if self.policy else ""
        if kind == "number":
            return isinstance(value, float)
        if kind == "binary":
            return isinstance(value, str) == isinstance(self.positive, str)
        return isinstance(value, str)

    def in_range(self, value: float | str) -> bool:
        """Whether an accepted value lies in the range of a numeric label, by default plus or minus 1e9."""
        if not isinstance(value, float) or self.policy is None or self.policy["type"] != "number":
            return True
        low, high = self.policy["low"], self.policy["high"]
        return (-1e9 if low is None else low) <= value <= (1e9 if high is None else high)


def digest(value: Any) -> str:
    """Sixteen hex digits of the SHA-256 of the canonical JSON."""
    return hashlib.sha256(canonical(value).encode("utf-8")).hexdigest()[:16]


def definition(body: dict[str, Any], offset: int) -> Definition:
    """The definition that a body describes. Raises RefusedError `definition_invalid` where it is none."""
    wrong = problem(body)
    if wrong:
        raise RefusedError("definition_invalid", f"the body is no definition: {wrong}")
    return Definition(
        offset=offset,
        hash=digest(body),
        policy_hash=digest(body["policy"]) if body["policy"] else "",
        model=body["model"],
        label=body["label"],
        cuts=tuple(tuple(cut) for cut in body["cuts"]),
        grains=tuple(body["grains"]),
        segments={name: tuple(values) for name, values in body["segments"].items()},
        policy=body["policy"] or None,
        judges=body["judges"],
        positive=_number(body["positive"]),
        threshold=body["threshold"],
        positive_at=body["positive_at"],
        classes=tuple(body["classes"]),
        score_buckets=body["score_buckets"],
        measures=tuple(body["measures"]),
        histograms=tuple((name, tuple(scale)) for name, scale in body.get("histograms", {}).items()),
    )


class Definitions:
    """All definitions declared so far; of each hash the lowest offset counts, and one backfill is enough."""

    def __init__(self, given: Sequence[dict[str, Any]] = ()) -> None:
        self._hashes: set[str] = set()
        self._backfilled: set[str] = set()
        self.of_model: dict[str, list[Definition]] = {}
        self.of_label: dict[str, list[Definition]] = {}
        self._applicable: dict[tuple[str, int], tuple[Definition, ...]] = {}
        for body in given:
            self.declare(definition(body, -1))

    def declare(self, found: Definition, *, backfill: bool = False) -> None:
        """Take in one more; offsets ascend. `backfill`: it holds for the inferences before it too."""
        self._applicable.clear()
        if backfill:
            self._backfilled.add(found.hash)
        if found.hash in self._hashes:
            return
        self._hashes.add(found.hash)
        self.of_model.setdefault(found.model, []).append(found)
        if found.label:
            self.of_label.setdefault(found.label, []).append(found)

    def service(self, model: str) -> Definition | None:
        """The latest service definition of a model: what segments and measures it may send."""
        return next((found for found in reversed(self.of_model.get(model, [])) if not found.label), None)

    def applicable(self, model: str, offset: int) -> tuple[Definition, ...]:
        """The definitions of a model that are declared before this offset, and those that are backfilled.

        To be asked once the whole log is read: what declares a backfill comes after the inferences that it is for.
        """
        known = self.of_model.get(model, [])
        key = model, sum(1 for found in known if found.offset < offset)
        found = self._applicable.get(key)
        if found is None:
            held = (one for one in known if one.offset < offset or one.hash in self._backfilled)
            found = self._applicable[key] = tuple(held)
        return found


def _number(value: Any) -> float | str | None:
    return float(value) if isinstance(value, int) else value
