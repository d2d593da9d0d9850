"""A seeded generator of events that meet everything: all label types, every action, every mistake, every lateness.

`events` have unique ids, so that any order of them says the same; `history` is a whole log: definitions, events about
in the order of receipt, repetitions, contradictions, frontiers and a closing one.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pipelines.definition import Definition
from pipelines.models import load_model

Record = tuple[bytes, datetime]
"""Payload, and when it claims to have been received."""
Made = tuple[dict[str, Any], datetime]
"""An event, and the same."""

SHOP = """
model = "shop"
measures = ["latency_ms", "cost"]

[labels.late]
type = "binary"
positive = 1
judges = "prediction"
threshold = 0.3
attribution_window = "2 hours"
resolve = "latest"

[labels.click]
type = "binary"
unit = "item"
positive = 1
threshold = 0.5
attribution_window = "30 minutes"
absent = "negative"
resolve = "first"

[labels.spam]
type = "binary"
positive = "yes"
judges = "scores.spam"
threshold = 0.29
attribution_window = "90 minutes"
absent = "negative"
resolve = "majority"

[labels.delay]
type = "number"
judges = "prediction"
positive_at = 15
range = [-1000, 1000]
attribution_window = "3 hours"
absent = 0
resolve = "mean"

[labels.kind]
type = "category"
classes = ["cat", "dog"]
attribution_window = "3 hours"
resolve = "priority"
roles = ["expert", "user"]

[segments]
origin = ["EWR", "JFK"]
device = "any"

[statistics]
grains = ["1 hour", "1 day"]
cuts = ["all", "origin*device"]

[drift]
every = "1 hour"
[drift.features.distance]
edges = [-1, 0, 0.3, 15]
[drift.features."kind of, that"]
values = ["cat", "true", "é"]
[drift.scores.score]
edges = [0.29, 0.3, 0.5]
[drift.scores.spam]
edges = [0.5]
"""
ADS = """
model = "ads"

[labels.late]
type = "binary"
positive = 1
judges = "none"
attribution_window = "1 hour"
resolve = "any"
absent = "negative"

[labels.spent]
type = "number"
unit = "item"
attribution_window = "2 hours"
resolve = "sum"
cap = 2

[labels.best]
type = "number"
judges = "scores.best"
attribution_window = "2 hours"
resolve = "max"

[segments]
device = ["phone"]

[statistics]
grains = ["1 minute", "1 hour"]
cuts = ["all", "device"]
"""
START = datetime(2026, 3, 1, 10, tzinfo=UTC)
VALUES: dict[str, tuple[str, list[Any]]] = {
    "late": ("request", [0, 1, 1.0, 0.5]),
    "click": ("item", [0, 1]),
    "spam": ("request", ["yes", "no"]),
    "delay": ("request", [0, 15, 14.999, -3.25, 0.1, 0.2, 0.3, 333.333333333, 1e-7]),
    "kind": ("request", ["cat", "dog", "axolotl"]),
    "spent": ("item", [0.1, 0.2, 0.7, 1e9, -5]),
    "best": ("request", [0.1, 0.25, 12.5]),
}
"""Unit and possible values by label; `late` is a label of both models."""
SCORES = [0.0, 1.0, 0.3, 0.29, 0.1 + 0.2, 0.057, 0.58, 0.999, 0.5, 0.123456789012345]
"""Some of them lie on the edge of a bucket or a threshold, where float arithmetic goes wrong."""
GIVEN = [-6, -5, -1, 0, 1, 5, 5, 5, 10, 10, 20, 29, 30, 45, 60, 89, 90, 119, 120, 179, 200]
"""Minutes between an inference and feedback on it; some on the edge of a window, many the same, for ties."""
ACTIONS = ["assert"] * 6 + ["correct"] * 2 + ["withdraw"] * 2 + ["adjudicate"]
MINUTE = timedelta(minutes=1)


def definitions() -> list[Definition]:
    """What the two model files declare."""
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for text in (SHOP, ADS):
            path = Path(folder) / "model.toml"
            path.write_text(text)
            found += load_model(path)
        return found


def declarations() -> list[Record]:
    """The control events that declare the models."""
    return [(definition.control(), START) for definition in definitions()]


def _features(number: int) -> dict[str, Any] | None:
    """Features of all types, some on an edge, some missing; by the number alone, so that all else is as it was without them."""
    rng = random.Random(f"features {number}")
    values = {"distance": [0.3, 0.1 + 0.2, 0, -1, 15, 14.999, "15", True, None], "kind of, that": ["cat", "é", "dog", True, False, 1, None]}
    found = {name: rng.choice(of) for name, of in values.items() if rng.random() < 0.8}
    return found if rng.random() < 0.8 else None


def events(seed: int, count: int, start: datetime = START) -> list[Record]:
    """About so many inferences and feedback with unique ids, and broken records, in the order of receipt."""
    made = _Maker(random.Random(seed), start)
    inferences = [made.inference(number) for number in range(count // 3)]
    feedback = [made.feedback(number, inferences) for number in range(count - count // 3)]
    records = [(_payload(event), at) for event, at in inferences + feedback]
    return sorted([*records, *_broken(start + 90 * MINUTE)], key=lambda record: record[1])


def history(seed: int, count: int) -> list[Record]:
    """A whole log: declarations, events, repetitions and contradictions of them, a changed definition, frontiers."""
    rng = random.Random(f"history {seed}")
    log = declarations()
    body = events(seed, count)
    for number, (payload, at) in enumerate(body):
        log += [(payload, at), *_again(rng, body, number)]
        if number % 60 == 59:
            log.append((_frontier(at - 10 * MINUTE), at))
        if number == count // 2:
            log += [(changed.control(), at) for changed in _changed()]
    return [*log, closing(body)]


def restless(seed: int, count: int, start: datetime) -> list[Record]:
    """Events with repetitions and contradictions. In any order that `shuffled` gives, they say the same."""
    rng = random.Random(f"restless {seed}")
    body = events(seed, count, start)
    return [record for number, said in enumerate(body) for record in (said, *_again(rng, body, number))]


def shuffled(records: list[Record], rng: random.Random) -> list[Record]:
    """Another order, in which those of one id come in the order in which they came: the first of them is what counts."""
    places = list(range(len(records)))
    rng.shuffle(places)
    of_id: dict[str, list[int]] = {}
    for number, (payload, _) in enumerate(records):
        of_id.setdefault(_id(payload) or f"{number}", []).append(number)
    placed = {}
    for numbers in of_id.values():
        placed |= dict(zip(sorted(places[number] for number in numbers), numbers, strict=True))
    return [records[placed[place]] for place in range(len(records))]


def closing(body: list[Record]) -> Record:
    """The frontier by which everything has matured."""
    at = max(at for _, at in body) + timedelta(days=1)
    return _frontier(at), at


def _again(rng: random.Random, body: list[Record], number: int) -> Iterator[Record]:
    """What may come after an event: a repetition of it or an earlier one, a contradiction of any."""
    _, at = body[number]
    if rng.random() < 0.08:
        yield _respelled(rng.choice(body[: number + 1])[0]), at + rng.randrange(60) * MINUTE
    if rng.random() < 0.05:
        yield _contradicted(rng.choice(body)[0]), at


def _id(payload: bytes) -> str | None:
    """The id of an event of either kind; None where there is none to be read."""
    try:
        event = json.loads(payload)
        return str(event.get("request_id" if event["kind"] == "inference" else "feedback_id"))
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def _taught(number: int) -> dict[str, Any]:
    """What only training needs of an inference, more or less of it."""
    numbers = [0, -0.0, 1089, 0.1, -12.5, 1e-5, 1.5e-7, 123456789012, 1e11 / 3]
    features = {"carrier": ["AA", 'a"b\\c é\n', "", "\u2028\x7f/<"][number % 4], "wet": number % 2 == 0, "gate": None}
    arms = {"price": {"arm": "high", "unit_id": f"u{number}", "propensity": 0.25}, "canary": {"arm": "champion"}}
    every: dict[str, Any] = {
        "features": {"number": numbers[number % len(numbers)], **features} if number % 5 else {},
        "asked": [0.1, 1, 1 / 3][number % 3],
        "experiments": arms if number % 7 else {},
        "subject": f"subject {number % 20}",
        "session": f"session {number}",
    }
    return {name: value for at, (name, value) in enumerate(every.items()) if number % 11 != at}


class _Maker:
    """Makes events; the order of calls and the seed decide everything."""

    def __init__(self, rng: random.Random, start: datetime) -> None:
        self.rng, self.start = rng, start
        self.said: dict[tuple[str, str, str | None], list[str]] = {}

    def inference(self, number: int) -> Made:
        rng = self.rng
        served = self.start + rng.randrange(240 * 60) * timedelta(seconds=1)
        delay = rng.choice([0, 0, 0, 1, -4, 5, 90, 200]) * MINUTE
        model = rng.choice(["shop", "shop", "ads"])
        event: dict[str, Any] = {
            "kind": "inference",
            "request_id": f"r{number}",
            "model": model,
            "version": rng.choice(["1", "2"]),
            "served_at": _time(served),
            "status": rng.choice(["ok"] * 9 + ["timeout"]),
        }
        if event["status"] == "ok" or rng.random() < 0.3:
            event["prediction"] = rng.choice([0, 1, 12.5, 15, "cat", "dog", "yes", "emu"])
        if rng.random() < 0.8:
            event["score"] = self._score()
        if rng.random() < 0.6:
            event["scores"] = {name: self._score() for name in ("spam", "best") if rng.random() < 0.8}
        if rng.random() < 0.6:
            places = enumerate(rng.sample("abcdef", rng.randrange(1, 4)))
            event["items"] = [{"item": item, "position": at, "score": self._score()} for at, item in places]
        if rng.random() < 0.7:
            event["segments"] = {"device": rng.choice(["phone", "tv", 'a"b\\c é'])}
            if model == "shop" and rng.random() < 0.7:
                event["segments"]["origin"] = rng.choice(["EWR", "JFK", "LGA"])
        if (features := _features(number)) is not None:
            event["features"] = features
        if model == "shop" and rng.random() < 0.7:
            event["measures"] = {"latency_ms": rng.choice([0.001, 0.00102, 3.3, 12.7, 250, -1, 1e12]), "cost": 0.0003}
        return event | _taught(number), served + delay

    def feedback(self, number: int, inferences: list[Made]) -> Made:
        rng = self.rng
        about, _ = rng.choice(inferences[: max(1, len(inferences) // 10)] if rng.random() < 0.7 else inferences)
        served = datetime.fromisoformat(about["served_at"])
        of_model = ["late", "click", "spam", "delay", "kind"] if about["model"] == "shop" else ["late", "spent", "best"]
        label = rng.choice(of_model if rng.random() < 0.95 else list(VALUES))
        unit, values = VALUES[label]
        given = served + rng.choice(GIVEN) * MINUTE
        event: dict[str, Any] = {
            "kind": "feedback",
            "feedback_id": f"f{number}",
            "request_id": about["request_id"] if rng.random() < 0.96 else f"never-{number}",
            "label": label,
            "action": rng.choice(ACTIONS),
            "given_at": _time(given),
        }
        if unit == "item":
            slate = [place["item"] for place in about.get("items", [])]
            event["item"] = rng.choice([*slate, "a"])
        if event["action"] != "withdraw":
            event["value"] = rng.choice(values)
        for name, choices in (("rater", ["ann", "bob", None, None]), ("role", ["expert", "user", "crowd", None])):
            if (chosen := rng.choice(choices)) is not None:
                event[name] = chosen
        self._aim(event, number)
        return event, given + rng.choice([-4, 0, 0, 1, 7, 150]) * MINUTE

    def _aim(self, event: dict[str, Any], number: int) -> None:
        """Give a correct or withdraw its target: one of the same key, of another key, itself, a later one, nothing."""
        rng, key = self.rng, (event["request_id"], event["label"], event.get("item"))
        if event["action"] in ("correct", "withdraw") and (rng.random() < 0.6 or "rater" not in event):
            same = self.said.get(key, [])
            wild = [event["feedback_id"], f"f{number + 1}", "f-never", f"f{rng.randrange(number + 1)}"]
            event["target_feedback_id"] = rng.choice(same) if same and rng.random() < 0.85 else rng.choice(wild)
        self.said.setdefault(key, []).append(event["feedback_id"])

    def _score(self) -> float:
        return self.rng.choice(SCORES) if self.rng.random() < 0.5 else round(self.rng.random(), 3)


def _changed() -> list[Definition]:
    """Later definitions beside the first: another threshold, and another policy, of two labels."""
    late = next(d for d in definitions() if (d.model, d.label) == ("shop", "late"))
    delay = next(d for d in definitions() if d.label == "delay")
    assert delay.policy is not None
    return [replace(late, threshold=0.58), replace(delay, policy=replace(delay.policy, resolve="sum", cap=3))]


def _broken(at: datetime) -> Iterator[Record]:
    """One record of each kind of mistake."""
    time = _time(at)
    served = {"kind": "inference", "request_id": "b", "model": "shop", "version": "1", "status": "ok"}
    served["served_at"] = time
    good = {**served, "prediction": 1}
    said = {"kind": "feedback", "feedback_id": "b", "request_id": "r1", "label": "late", "action": "assert"}
    said["given_at"] = time
    fine = {**said, "value": 1}
    inferences: list[dict[str, Any]] = [
        served,
        {**good, "model": "nobody"},
        {**good, "segments": {"planet": "x"}},
        {**good, "measures": {"planet": 1}},
        {**good, "served_at": _time(at + 6 * MINUTE)},
        {**good, "served_at": "1999-12-31T23:59:59Z"},
        {**good, "items": [{"item": "a"}, {"item": "a"}]},
        {**good, "served_at": "2026-03-01 at noon"},
        {**good, "score": 1.5},
        {**good, "score": True},
        {**good, "colour": "red"},
        {name: value for name, value in good.items() if name != "version"},
    ]
    feedback: list[dict[str, Any]] = [
        {**fine, "session": "s"},
        {**{name: value for name, value in fine.items() if name != "request_id"}, "session": "s"},
        {**fine, "label": "nothing"},
        {**fine, "item": "a", "label": "spam", "value": "yes"},
        said,
        {**fine, "action": "withdraw", "rater": "ann"},
        {**fine, "value": "late"},
        {**fine, "label": "delay", "value": 1001},
        {**fine, "action": "correct"},
        {**fine, "given_at": _time(at + 6 * MINUTE)},
    ]
    controls: list[dict[str, Any]] = [
        {"kind": "control", "action": "frontier"},
        {"kind": "control", "action": "frontier", "at": "2999-01-01T00:00:00Z"},
        {"kind": "control", "action": "define", "model": "shop", "definition": "0" * 16, "body": {}},
        {"kind": "riddle"},
    ]
    whole = _payload(fine)
    twice = b'{"kind": "feedback",' + whole[1:]
    damaged = [b"", whole[:-9], whole + b"{}", b"\xff" + whole, b"[]", twice, b'{"a": NaN}']
    for number, payload in enumerate([*damaged, *map(_payload, [*inferences, *feedback, *controls])]):
        yield payload, at + number * timedelta(seconds=1)


def _respelled(payload: bytes) -> bytes:
    """The same event in other words: other order, offset and spacing, nulls said out loud. Broken ones stay broken."""
    try:
        event = json.loads(payload)
        name = next(name for name in ("served_at", "given_at") if name in event)
        spelled = datetime.fromisoformat(event[name]).astimezone(_EAST).isoformat()
    except (ValueError, TypeError, StopIteration):
        return payload
    turned = {key: event[key] for key in reversed(event)} | {name: spelled}
    nothing = "subject" if event.get("kind") == "inference" else "text"
    return json.dumps({nothing: None, **turned}, indent=1).encode()


def _contradicted(payload: bytes) -> bytes:
    """The same id with other content, where there is one."""
    try:
        event = json.loads(payload)
    except ValueError:
        return payload
    if isinstance(event, dict) and event.get("kind") == "feedback":
        return _payload({**event, "role": "crowd", "text": "on second thoughts"})
    return _payload({**event, "version": "9"}) if isinstance(event, dict) and "version" in event else payload


_EAST = datetime.strptime("+02:00", "%z").tzinfo


def _frontier(at: datetime) -> bytes:
    return _payload({"kind": "control", "action": "frontier", "at": _time(at)})


def _payload(event: Any) -> bytes:
    return json.dumps(event).encode()


def _time(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
