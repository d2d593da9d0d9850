"""Whom a record that could not be taken in is about: read leniently, since what is wrong with it may be anything."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_ESCAPES = re.compile(r"(?:\\u[0-9a-fA-F]{4})+")
_BETWEEN = re.compile(r"""[\s"',;:=|(){}\[\]]+""")
_FIELDS = ("kind", "subject", "request_id", "feedback_id", "target_feedback_id")


@dataclass(frozen=True)
class Ids:
    """Subjects, and the ids of their requests and of the feedback on these."""

    subjects: frozenset[str]
    requests: frozenset[str] = frozenset()
    feedback: frozenset[str] = frozenset()

    @property
    def escaped(self) -> Iterable[str]:
        """The subjects that JSON cannot hold as they are, as it holds them."""
        spelled = ((one, json.dumps(one, ensure_ascii=False)[1:-1]) for one in self.subjects)
        return (body for one, body in spelled if body != one)


@dataclass(frozen=True)
class Record:
    """A refused record: its text, without escapes of letters, and what its fields name where it is a JSON object."""

    offset: int
    text: str
    readable: bool
    kind: str | None
    subject: str | None
    request_id: str | None
    feedback_id: str | None
    target_feedback_id: str | None

    @classmethod
    def of(cls, offset: int, payload: bytes) -> Record:
        text = payload.decode("utf-8", "replace")
        said = _object(text)
        fields = {name: value if isinstance(value := (said or {}).get(name), str) else None for name in _FIELDS}
        return cls(offset, _unescaped(text), said is not None, **fields)

    def names(self, ids: Ids) -> bool:
        """Whether it is about one of these.

        A subject counts wherever it stands as a text: why the record was refused may be that its field has another name. Where
        there is no JSON object, or a field stands twice, so do the ids, and words need no quotes.
        """
        texts = {*self.text.split('"')} if self.readable else {*self.text.split('"'), *_BETWEEN.split(self.text)}
        if not ids.subjects.isdisjoint(texts) or any(body in self.text for body in ids.escaped):
            return True
        if not self.readable:
            return not (ids.requests.isdisjoint(texts) and ids.feedback.isdisjoint(texts))
        return self.request_id in ids.requests or not ids.feedback.isdisjoint({self.feedback_id, self.target_feedback_id})


def _object(text: str) -> dict[str, Any] | None:
    """The fields of a JSON object; None for anything else, and where a field stands twice."""
    try:
        said = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return None
    return dict(said) if isinstance(said, _Pairs) and len(dict(said)) == len(said) else None


class _Pairs(list[tuple[str, Any]]):
    """An object, each field as often as it stands there."""


def _unescaped(text: str) -> str:
    """A text with the letters for which escapes stand."""
    return _ESCAPES.sub(lambda found: str(json.loads(f'"{found[0]}"')), text).replace("\\/", "/")
