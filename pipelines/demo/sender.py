"""What is sent about one flight: the inference, what is said about its arrival, and the mischief done to both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any, NamedTuple

from pipelines.demo import mischief, model
from pipelines.demo.mischief import Breakage, Event, respelled, rfc3339, wire

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
LABEL = "late"
PER_CALL, PER_MILLISECOND = 0.0001, 0.000002
"""What a prediction costs, in dollars: it is the time on a machine that costs."""


class Record(NamedTuple):
    """A payload: when it is received, the fields of Mischief in which it counts, and why it must be refused (or "")."""

    received_at: datetime
    payload: bytes
    marks: tuple[str, ...]
    reason: str = ""


class Said(NamedTuple):
    """What was said of a flight: the version that served it with its score, and the named scores beside it."""

    version: str
    score: float
    beside: Mapping[str, float] = {}


@dataclass(frozen=True)
class Sender:
    """Sends one flight after the other. All chance comes from `dice`: equal flights and dice, equal bytes."""

    dice: Random

    def flight(self, row: dict[str, Any], said: Said) -> Iterator[Record]:
        """Everything about a flight, in no order. `row` is one of `flights.load`, without what is null."""
        served, arrived = row["scheduled_at"], row.get("arrived_at")
        received = self._after(served, SECOND / 100, 2 * SECOND)
        marks: tuple[str, ...] = ("inferences",)
        if arrived is None:
            marks += ("unanswered",)
        else:
            late = self._chance(mischief.LATE)
            told = self._after(arrived, HOUR, 30 * HOUR) if late else self._after(arrived, 5 * SECOND, 5 * MINUTE)
            if not late and self._chance(mischief.OUT_OF_ORDER):
                received = self._after(told, SECOND, 3 * HOUR)
                marks += ("out_of_order",)
            yield from self._judgements(row, told, ("labels", "late") if late else ("labels",))
        yield from self._inference(row, said, received, marks)
        if self._chance(mischief.ORPHANED):
            given = self._after(served, HOUR, 4 * HOUR)
            stray = _feedback(f"{row['request_id']}-unlogged", "", "assert", given, value=1)
            yield Record(self._after(given, SECOND, MINUTE), wire(stray), ("orphans",))

    def _inference(
        self, row: dict[str, Any], said: Said, received: datetime, marks: tuple[str, ...]
    ) -> Iterator[Record]:
        latency = round(self.dice.lognormvariate(2.5, 0.5), 3)
        event: Event = {
            "kind": "inference",
            "request_id": row["request_id"],
            "model": model.NAME,
            "version": said.version,
            "served_at": rfc3339(row["scheduled_at"]),
            "status": "ok",
            "prediction": int(said.score >= model.THRESHOLD),
            "score": said.score,
            **({"scores": said.beside} if said.beside else {}),
            "features": {name: row[name] for name in model.FEATURES if name in row},
            "segments": {"origin": row["origin"], "carrier": row["carrier"]},
            "measures": {"latency_ms": latency, "cost": round(PER_CALL + PER_MILLISECOND * latency, 9)},
        }
        if self._chance(mischief.FAILED):
            event = {**mischief.without(event, "prediction", "score", "scores"), "status": "error"}
            marks += ("failed",)
        other = {**event, "measures": {**event["measures"], "latency_ms": round(latency + 1, 3)}}
        yield from self._sent(event, received, marks, other, mischief.INFERENCE)

    def _judgements(self, row: dict[str, Any], told: datetime, marks: tuple[str, ...]) -> Iterator[Record]:
        """The label, and what is made of it later."""
        request, arrived = row["request_id"], row["arrived_at"]
        truth = int(row["delay"] >= model.LATE)
        corrected = self._chance(mischief.CORRECTED)
        first = _feedback(request, "", "assert", arrived, value=1 - truth if corrected else truth)
        yield from self._sent(first, told, marks, {**first, "value": 1 - first["value"]}, mischief.FEEDBACK)
        if corrected:
            given = self._after(arrived, 10 * MINUTE, 6 * HOUR)
            event = _feedback(request, "-corrected", "correct", given, target=first["feedback_id"], value=truth)
            yield from self._sent(event, self._after(given, SECOND, MINUTE), ("corrected",))
        if self._chance(mischief.WITHDRAWN):
            given = self._after(arrived, HOUR, 12 * HOUR)
            event = _feedback(request, "-withdrawn", "withdraw", given, target=first["feedback_id"])
            yield from self._sent(event, self._after(given, SECOND, MINUTE), ("withdrawn",))

    def _sent(
        self,
        event: Event,
        received: datetime,
        marks: tuple[str, ...],
        other: Event | None = None,
        breakages: tuple[Breakage, ...] = (),
    ) -> Iterator[Record]:
        """An event, and what may follow it: the same again, `other` under its id, a broken copy."""
        yield Record(received, wire(event), marks)
        if self._chance(mischief.DUPLICATED):
            again = self._after(received, SECOND, 10 * MINUTE if self._chance(0.9) else 40 * HOUR)
            yield Record(again, wire(event) if self._chance(0.5) else respelled(event), ("duplicates",))
        if other and self._chance(mischief.CONFLICTING):
            yield Record(self._after(received, SECOND, HOUR), wire(other), ("conflicts",), "id_conflict")
        if breakages and self._chance(mischief.BROKEN):
            reason, broken = self.dice.choice(breakages)
            yield Record(self._after(received, SECOND, 10 * MINUTE), broken(event), ("broken",), reason)

    def _chance(self, share: float) -> bool:
        return self.dice.random() < share

    def _after(self, instant: datetime, least: timedelta, most: timedelta) -> datetime:
        return instant + least + self.dice.random() * (most - least)


def _feedback(request: str, suffix: str, action: str, given: datetime, *, target: str = "", **value: int) -> Event:
    """A statement about the arrival: by the aircraft's own messages, or by a dispatcher who takes one back."""
    event: Event = {
        "kind": "feedback",
        "feedback_id": f"{request}-{LABEL}{suffix}",
        "request_id": request,
        "label": LABEL,
        "action": action,
        "given_at": rfc3339(given),
        "rater": "dispatch" if target else "acars",
        "role": "user" if target else "system",
        **value,
    }
    return {**event, "target_feedback_id": target} if target else event
