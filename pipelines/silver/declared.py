"""What the log has declared below a position: models, their segments, measures and row rules, labels, and who was erased."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.definition import WIDEST, Definition, Policy
from pipelines.silver.erased import Erasure, hashed
from pipelines.silver.rules import RowRules

Declaration = Definition | Erasure | RowRules
Fields = tuple[frozenset[str], frozenset[str]]
"""Names of declared segments, and of declared measures."""


@dataclass(frozen=True)
class Label:
    """One declaration of a label."""

    type: str
    unit: str
    text: bool
    low: float
    high: float

    @classmethod
    def of(cls, policy: Policy, definition: Definition) -> Label:
        text = policy.type == "category" or (policy.type == "binary" and isinstance(definition.positive, str))
        bounded = policy.type == "number"
        low = (-WIDEST if policy.low is None else policy.low) if bounded else float("-inf")
        high = (WIDEST if policy.high is None else policy.high) if bounded else float("inf")
        return cls(policy.type, policy.unit, text, low, high)


class Declared:
    """Declarations by log offset: a record sees only what stands below it, so every reading of the log decides alike."""

    def __init__(self, declarations: Sequence[Declaration]) -> None:
        definitions = [one for one in declarations if isinstance(one, Definition)]
        erasures = [one for one in declarations if isinstance(one, Erasure)]
        self._key = erasures[0].key if erasures else b""
        latest_first = sorted(erasures, key=lambda one: one.offset, reverse=True)
        self._subjects = {name: one.offset for one in latest_first for name in one.subjects}
        self._requests = {name: one.offset for one in latest_first for name in one.requests}
        self._models: dict[str, list[tuple[int, Fields]]] = defaultdict(list)
        self._first: dict[str, int] = {}
        self._labels: dict[str, list[tuple[int, Label]]] = defaultdict(list)
        self._expected: dict[str, list[RowRules]] = defaultdict(list)
        for one in sorted((one for one in declarations if isinstance(one, RowRules)), key=lambda one: -one.offset):
            self._expected[one.model].append(one)
        for definition in sorted(definitions, key=lambda d: d.offset):
            self._first.setdefault(definition.model, definition.offset)
            if definition.policy is None:
                fields = frozenset(name for name, _ in definition.segments), frozenset(definition.measures)
                self._models[definition.model].append((definition.offset, fields))
            else:
                label = Label.of(definition.policy, definition)
                self._labels[definition.label].append((definition.offset, label))

    def model(self, name: str, offset: int) -> Fields | None:
        """Declared segments and measures of a model, by its latest service definition below; None: not declared."""
        first = self._first.get(name)
        if first is None or first >= offset:
            return None
        for at, fields in reversed(self._models[name]):
            if at < offset:
                return fields
        return frozenset(), frozenset()

    def labels(self, name: str, offset: int) -> list[Label]:
        """Every declaration of a label below."""
        return [label for at, label in self._labels.get(name, ()) if at < offset]

    def expected(self, model: str, offset: int) -> RowRules | None:
        """The row rules of a model that hold at an offset: the latest below."""
        return next((one for one in self._expected.get(model, ()) if one.offset < offset), None)

    @property
    def expects(self) -> bool:
        """Whether any row rules are declared."""
        return bool(self._expected)

    def erased(self, event: Any, offset: int) -> bool:
        """Whether the subject or the request that an event names was erased below."""
        if not self._key:
            return False
        named = ((event.subject, self._subjects), (event.request_id, self._requests))
        return any(name is not None and known.get(hashed(self._key, name), offset) < offset for name, known in named)
