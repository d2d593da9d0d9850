"""The oracle: a log that is written together with the truth about it. Nothing of the pipeline is used here.

Whoever writes a record says what becomes of it, where that follows from the record alone; who is first of an id, who finds
whom and who stays alone follows from the finished log, in plain Python over exact strings.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

START = datetime(2024, 3, 1, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
GRACE = HOUR
"""So long after its receipt feedback without its inference is an orphan."""
SKEW = 5 * MINUTE

Event = dict[str, Any]


@dataclass(frozen=True)
class Record:
    """One record of the log. `home`: inference, feedback, control, duplicate or quarantined, the last with a `reason`."""

    payload: bytes
    received_at: datetime
    home: str
    reason: str | None = None


@dataclass(frozen=True)
class _Said:
    """What is to be logged: bytes, and the event they hold; or the reason why they hold none."""

    payload: bytes
    received_at: datetime
    event: Event | None
    reason: str | None = None


def spelled(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def written(event: Event) -> bytes:
    return json.dumps(event).encode()


class World:
    """Takes what is sent in any order; `truth` puts it into the order of receipt."""

    def __init__(self, preamble: list[bytes]) -> None:
        """`preamble`: the control events that declare the models."""
        self.said = [_Said(payload, START - DAY, {"kind": "control"}) for payload in preamble]

    def infer(self, request_id: str, served: datetime, received: datetime, **more: Any) -> Event:
        event = {"kind": "inference", "request_id": request_id, "model": "m", "version": "1", "status": "ok"}
        return self.send({**event, "served_at": spelled(served), "prediction": 1, "score": 0.75, **more}, received)

    def judge(
        self, feedback_id: str, request_id: str, value: Any, given: datetime, received: datetime, **more: Any
    ) -> Event:
        event = {"kind": "feedback", "feedback_id": feedback_id, "request_id": request_id, "label": "late"}
        event |= {"action": "assert", "given_at": spelled(given)} | ({} if value is None else {"value": value})
        return self.send({**event, **more}, received)

    def send(self, event: Event, received: datetime) -> Event:
        self.said.append(_Said(written(event), received, event))
        return event

    def respell(self, event: Event, received: datetime) -> None:
        """The same event in other words: another order, other offsets of its times, more space."""
        east = timedelta(hours=2)
        other = dict(reversed(event.items()))
        for name in {"served_at", "given_at"} & other.keys():
            local = datetime.fromisoformat(other[name]) + east
            other[name] = local.replace(tzinfo=None).isoformat() + "+02:00"
        self.said.append(_Said(json.dumps(other, indent=2).encode(), received, event))

    def refuse(self, payload: bytes, received: datetime, reason: str) -> None:
        """Something that must be quarantined for this reason."""
        self.said.append(_Said(payload, received, None, reason))

    def frontier(self, at: datetime) -> None:
        event = {"kind": "control", "action": "frontier", "at": spelled(at)}
        self.said.append(_Said(written(event), at, event))

    def truth(self, *, sort: bool = True) -> Truth:
        """The log, by receipt (or as it was said), and what follows from it."""
        said = sorted(self.said, key=lambda each: each.received_at) if sort else self.said
        return Truth(said)


class Truth:
    """What a lake must say of a log."""

    def __init__(self, said: list[_Said]) -> None:
        self.records: list[Record] = []
        self.inferences: dict[str, tuple[Event, datetime]] = {}
        self.feedback: dict[str, tuple[Event, datetime]] = {}
        self.frontier: datetime | None = None
        for each in said:
            home, reason = self._home(each)
            self.records.append(Record(each.payload, each.received_at, home, reason))

    def _home(self, said: _Said) -> tuple[str, str | None]:
        event = said.event
        if event is None:
            return "quarantined", said.reason
        kind = event["kind"]
        if kind == "control":
            if event.get("action") == "frontier":
                self.frontier = max(filter(None, (self.frontier, datetime.fromisoformat(event["at"]))))
            return "control", None
        standing = self.inferences if kind == "inference" else self.feedback
        name = event["request_id" if kind == "inference" else "feedback_id"]
        if name not in standing:
            standing[name] = event, said.received_at
            return kind, None
        return ("duplicate", None) if standing[name][0] == event else ("quarantined", "id_conflict")

    def homes(self) -> Counter[tuple[int, str, str | None]]:
        """Offset, home and reason of every record."""
        return Counter((offset, record.home, record.reason) for offset, record in enumerate(self.records))

    def pairs(self) -> set[tuple[str, str]]:
        """Feedback and request of everything that found its inference."""
        return {(name, e["request_id"]) for name, (e, _) in self.feedback.items() if e["request_id"] in self.inferences}

    def orphans(self) -> Counter[tuple[str, int, datetime]]:
        """Feedback, sign and moment of every entry about orphans."""
        found: Counter[tuple[str, int, datetime]] = Counter()
        for name, (event, received) in self.feedback.items():
            inference = self.inferences.get(event["request_id"])
            until = received + GRACE
            if inference is None and self.frontier is not None and until <= self.frontier:
                found[name, 1, until] += 1
            elif inference is not None and inference[1] > until:
                found[name, 1, until] += 1
                found[name, -1, inference[1]] += 1
        return found

    def fates(self) -> dict[str, str]:
        """labelled, orphaned or waiting, by feedback."""
        labelled = {name for name, _ in self.pairs()}
        lost = {name for name, _, _ in self.orphans()}
        return {n: "labelled" if n in labelled else "orphaned" if n in lost else "waiting" for n in self.feedback}

    def latest(self, window: timedelta) -> dict[tuple[str, str], Any]:
        """The outcome of every request and label under `latest`, of asserts without raters alone."""
        best: dict[tuple[str, str], tuple[str, str, Any]] = {}
        for name, (event, _) in self.feedback.items():
            if event["request_id"] not in self.inferences:
                continue
            served = datetime.fromisoformat(self.inferences[event["request_id"]][0]["served_at"])
            given = datetime.fromisoformat(event["given_at"])
            if served - SKEW <= given < served + window:
                key = event["request_id"], event["label"]
                found = given.isoformat(timespec="microseconds"), name, event["value"]
                best[key] = max(best.get(key, found), found, key=lambda each: each[:2])
        return {key: value for key, (_, _, value) in best.items()}
