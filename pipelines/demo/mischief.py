"""What goes wrong on the way to a log: how often the demo does each of it, and how an event is broken."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

Event = dict[str, Any]

DUPLICATED = 0.02
"""Share of the inferences, and of the feedback about them, that is sent again: nine in ten within 10 minutes, the rest
within 40 hours; half of them spelled otherwise."""
OUT_OF_ORDER = 0.03
"""Share of the flights with a label on time whose inference is received only after it, up to 3 hours."""
LATE = 0.01
"""Share of the labels that are received 1 to 30 hours after the arrival; the others are within 5 minutes."""
CORRECTED = 0.01
"""Share of the labels that are first wrong, and set right 10 minutes to 6 hours after the arrival."""
WITHDRAWN = 0.002
"""Share of the labels that are taken back 1 to 12 hours after the arrival."""
BROKEN = 0.005
"""Share of the inferences and labels of which a broken copy follows."""
CONFLICTING = 0.001
"""Share of the inferences and labels that are followed by another event of the same id."""
ORPHANED = 0.002
"""Share of the flights about which there is also feedback for a request that never comes."""
FAILED = 0.005
"""Share of the inferences with status `error` and no prediction."""


@dataclass(frozen=True)
class Mischief:
    """What was sent, counted; adds up with `+`.

    records = inferences + labels + corrected + withdrawn + orphans + duplicates + conflicts + broken.
    """

    records: int = 0
    inferences: int = 0
    """First copies; `failed` and `out_of_order` are among them."""
    failed: int = 0
    out_of_order: int = 0
    """Inferences received after their label."""
    unanswered: int = 0
    """Inferences of flights that never arrive: cancelled or diverted."""
    labels: int = 0
    """First statements about an arrival; `late` is among them."""
    late: int = 0
    corrected: int = 0
    """Feedback with the action correct."""
    withdrawn: int = 0
    """Feedback with the action withdraw."""
    orphans: int = 0
    duplicates: int = 0
    conflicts: int = 0
    broken: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    """The broken and the conflicting records, by the reason for which they must be refused."""

    def __add__(self, other: Mischief) -> Mischief:
        counts = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self) if f.name != "reasons"}
        return Mischief(**counts, reasons=dict(sorted((Counter(self.reasons) + Counter(other.reasons)).items())))

    @classmethod
    def of(cls, marks: Iterable[str], reasons: Iterable[str]) -> Mischief:
        """Counted from the names of fields, one for each time, and of reasons."""
        return cls(**Counter(marks), reasons=dict(sorted(Counter(reasons).items())))


def wire(event: Event) -> bytes:
    """The event as it is sent."""
    return msgspec.json.encode(event)


def respelled(event: Event) -> bytes:
    """The same event in other bytes: other order of keys, more spaces."""
    return json.dumps(dict(reversed(event.items())), separators=(" , ", " : ")).encode()


def without(event: Event, *names: str) -> Event:
    return {name: value for name, value in event.items() if name not in names}


def rfc3339(instant: datetime) -> str:
    """UTC, with Z."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _moved(event: Event, clock: str, days: int) -> bytes:
    """The event, said to have happened that many days later."""
    return wire({**event, clock: rfc3339(datetime.fromisoformat(event[clock]) + timedelta(days=days))})


Breakage = tuple[str, Callable[[Event], bytes]]
"""The reason for which it must be refused, and how it is done; one thing at a time, so that no other reason applies."""

EITHER: tuple[Breakage, ...] = (
    ("not_json", lambda event: wire(event)[: len(wire(event)) // 2]),
    ("not_json", lambda event: wire(event) * 2),
    ("not_utf8", lambda event: wire(event).replace(b'"kind"', b'"kin\xff"')),
    ("duplicate_key", lambda event: wire(event)[:-1] + b',"kind":"inference"}'),
    ("not_an_object", lambda event: b"[" + wire(event) + b"]"),
    ("unknown_kind", lambda event: wire({**event, "kind": "prediction"})),
    ("unknown_field", lambda event: wire({**event, "passenger": "Jane Doe"})),
)
INFERENCE: tuple[Breakage, ...] = (
    *EITHER,
    ("not_json", lambda event: wire({**event, "score": 0.5}).replace(b'"score":0.5', b'"score":NaN')),
    ("missing_field", lambda event: wire(without(event, "request_id"))),
    ("wrong_type", lambda event: wire({**event, "version": 1})),
    ("bad_time", lambda event: wire({**event, "served_at": event["served_at"].removesuffix("Z")})),
    ("out_of_range", lambda event: wire({**event, "score": 1.7})),
    ("prediction_required", lambda event: wire({**without(event, "prediction", "score"), "status": "ok"})),
    ("unknown_model", lambda event: wire({**event, "model": "arrival_dealy"})),
    ("undeclared_segment", lambda event: wire({**event, "segments": {"seat": "12A"}})),
    ("undeclared_measure", lambda event: wire({**event, "measures": {"tokens": 12}})),
    ("from_the_future", lambda event: _moved(event, "served_at", 90)),
    ("absurd_time", lambda event: _moved(event, "served_at", -40 * 365)),
)
FEEDBACK: tuple[Breakage, ...] = (
    *EITHER,
    ("not_json", lambda event: wire({**event, "value": 0.5}).replace(b'"value":0.5', b'"value":NaN')),
    ("missing_field", lambda event: wire(without(event, "feedback_id"))),
    ("wrong_type", lambda event: wire({**event, "value": True})),
    ("bad_time", lambda event: wire({**event, "given_at": "yesterday"})),
    ("out_of_range", lambda event: wire({**event, "feedback_id": ""})),
    ("target_ambiguous", lambda event: wire({**event, "session": "s-1"})),
    ("unit_not_enabled", lambda event: wire({**without(event, "request_id"), "session": "s-1"})),
    ("unknown_label", lambda event: wire({**event, "label": "on_time"})),
    ("unit_mismatch", lambda event: wire({**event, "item": "seat-12A"})),
    ("value_required", lambda event: wire(without(event, "value"))),
    ("value_not_allowed", lambda event: wire({**event, "action": "withdraw", "target_feedback_id": "f-1"})),
    ("wrong_value_type", lambda event: wire({**event, "value": "yes"})),
    ("target_required", lambda event: wire({**without(event, "rater"), "action": "correct"})),
    ("from_the_future", lambda event: _moved(event, "given_at", 90)),
    ("absurd_time", lambda event: _moved(event, "given_at", -40 * 365)),
)
