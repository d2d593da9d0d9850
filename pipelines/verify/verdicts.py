"""One pass over the log: what each record is, and which events are accepted."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.verify import events
from pipelines.verify.definitions import Definitions, definition
from pipelines.verify.document import Reader, RefusedError
from pipelines.verify.erased import Erased
from pipelines.verify.events import Feedback, Inference
from pipelines.verify.expectations import Expectations

SKEW = 300_000_000
"""A client clock may be ahead by five minutes, in microseconds."""
EARLIEST = 946_684_800_000_000
"""2000-01-01T00:00:00Z in microseconds."""

INFERENCE, FEEDBACK, CONTROL, QUARANTINED, DUPLICATE = "inference", "feedback", "control", "quarantined", "duplicate"


class Verdicts:
    """The homes of all records by offset, and the accepted events.

    `homes[i]` is the verdict on offset i; `reasons` and `details` hold why a record is quarantined; `firsts` where a
    duplicate's event stands. `key` is the file of the key by which erased subjects are known. `distributed`: whether any definition
    counts them.
    """

    def __init__(self, given: Sequence[dict[str, Any]] = (), *, key: Path | None = None, distributed: bool = True) -> None:
        self._distributed = distributed
        self.definitions = Definitions(given)
        self.erased = Erased(key)
        self.expectations = Expectations()
        self.homes: list[str] = []
        self.reasons: dict[int, str] = {}
        self.details: dict[int, str] = {}
        self.firsts: dict[int, int] = {}
        self.inferences: dict[str, Inference] = {}
        self.feedback: dict[str, Feedback] = {}
        self._frontiers: list[tuple[int, int]] = []
        self._contents: dict[str, bytes] = {}
        self._reader = Reader()

    def take(self, payload: bytes, received_at: int, appended_at: int | None = None) -> None:
        """Judge the next record of the log. `appended_at`: the wall clock of its append; by default, of its receipt."""
        offset = len(self.homes)
        try:
            found = events.content(self._reader.read(payload))
            home = self._place(found, received_at, offset, received_at if appended_at is None else appended_at)
        except RefusedError as refused:
            home = QUARANTINED
            self.reasons[offset] = refused.reason
            self.details[offset] = refused.detail
        self.homes.append(home)

    def asserted(self, before: int) -> int | None:
        """The greatest frontier that an accepted event below an offset asserts, in microseconds; None: there is none."""
        number = bisect_left(self._frontiers, before, key=lambda frontier: frontier[0])
        return self._frontiers[number - 1][1] if number else None

    def _place(self, found: dict[str, Any], received_at: int, offset: int, appended_at: int) -> str:
        kind = found["kind"]
        if kind == INFERENCE:
            inference = events.inference(found, received_at, offset, distributed=self._distributed)
            self.erased.refuse(found)
            check_inference(inference, self.definitions)
            self.expectations.refuse(found)
            first = self.inferences.setdefault(inference.request_id, inference)
            return self._stands(kind, inference.request_id, first.offset, offset, found)
        if kind == FEEDBACK:
            feedback = events.feedback(found, received_at, offset)
            self.erased.refuse(found)
            check_feedback(feedback, found, self.definitions)
            standing = self.feedback.setdefault(feedback.feedback_id, feedback)
            return self._stands(kind, feedback.feedback_id, standing.offset, offset, found)
        self._control(found, offset, appended_at)
        return CONTROL

    def _stands(self, kind: str, name: str, first: int, offset: int, found: dict[str, Any]) -> str:
        """Whether a valid event is the first of its id, repeats it, or contradicts it."""
        key, content = f"{kind}:{name}", events.digest(found)
        if first == offset:
            self._contents[key] = content
            return kind
        if self._contents[key] != content:
            raise RefusedError("id_conflict", f"{kind} {name} stands at offset {first} with another content")
        self.firsts[offset] = first
        return DUPLICATE

    def _control(self, found: dict[str, Any], offset: int, appended_at: int) -> None:
        if found["action"] == "frontier":
            if "at" not in found:
                raise RefusedError("missing_field", "at")
            if found["at"] > appended_at + SKEW:
                late = (found["at"] - appended_at) / 1e6
                raise RefusedError("frontier_from_the_future", f"at lies {late:.0f} s after the append")
            if not self._frontiers or found["at"] > self._frontiers[-1][1]:
                self._frontiers.append((offset, found["at"]))
            return
        if found["action"] == "redrive" and not found.get("offsets"):
            raise RefusedError("missing_field", "offsets")
        if found["action"] == "erase":
            self.erased.take(found.get("body"))
        if found["action"] in ("redrive", "erase", "erased"):
            return
        missing = [name for name in ("model", "definition", "body") if name not in found]
        if missing:
            raise RefusedError("missing_field", ", ".join(missing))
        if found["action"] == "expect":
            self.expectations.take(found["model"], found["definition"], found["body"])
            return
        declared = definition(found["body"], offset)
        if declared.hash != found["definition"]:
            raise RefusedError("definition_invalid", f"the body's hash is {declared.hash}, not {found['definition']}")
        if declared.model != found["model"]:
            raise RefusedError("definition_invalid", f"the body is of model {declared.model}, not {found['model']}")
        self.definitions.declare(declared, backfill=found.get("backfill", False))


def check_inference(inference: Inference, definitions: Definitions) -> None:
    """The rules over a whole inference, in order. Raises RefusedError with the first that is broken."""
    if inference.status == "ok" and inference.prediction is None and not inference.items:
        raise RefusedError("prediction_required", "status ok, and neither a prediction nor items")
    if inference.model not in definitions.of_model:
        raise RefusedError("unknown_model", f"model {inference.model}")
    service = definitions.service(inference.model)
    segments, measures = (service.segments, service.measures) if service else ({}, ())
    strange = [name for name, _ in inference.segments if name not in segments]
    if strange:
        raise RefusedError("undeclared_segment", f"{strange[:3]}; declared are {sorted(segments)}")
    strange = [name for name, _ in inference.measures if name not in measures]
    if strange:
        raise RefusedError("undeclared_measure", f"{strange[:3]}; declared are {sorted(measures)}")
    _check_time("served_at", inference.served_at, inference.received_at)
    names = [item for item, _ in inference.items or ()]
    if len(set(names)) != len(names):
        raise RefusedError("duplicate_item", "an item stands twice in one slate")


def check_feedback(feedback: Feedback, found: dict[str, Any], definitions: Definitions) -> None:
    """The rules over a whole judgement, in order. Raises RefusedError with the first that is broken."""
    named = [name for name in ("request_id", "session", "subject") if name in found]
    if len(named) != 1:
        raise RefusedError("target_ambiguous", f"names {named}; expected exactly one of request_id, session, subject")
    if named != ["request_id"]:
        raise RefusedError("unit_not_enabled", f"judges a {named[0]}")
    known = definitions.of_label.get(feedback.label, [])
    if not known:
        raise RefusedError("unknown_label", f"label {feedback.label}")
    unit = "item" if feedback.item else "request"
    if all(declared.unit != unit for declared in known):
        raise RefusedError("unit_mismatch", f"judges the {unit}; label {feedback.label} does not")
    if feedback.value is None and feedback.action != "withdraw":
        raise RefusedError("value_required", f"{feedback.action} without value")
    if feedback.value is not None:
        if feedback.action == "withdraw":
            raise RefusedError("value_not_allowed", "withdraw with a value")
        value = feedback.value
        accepting = [declared for declared in known if declared.accepts(value)]
        if not accepting:
            raise RefusedError("wrong_value_type", f"value {value!r:.80} for label {feedback.label}")
        if not any(declared.in_range(value) for declared in accepting):
            raise RefusedError("value_out_of_range", f"value {value!r:.80} for label {feedback.label}")
    if feedback.action in ("correct", "withdraw") and feedback.target is None and feedback.rater is None:
        raise RefusedError("target_required", f"{feedback.action} with neither target nor rater")
    _check_time("given_at", feedback.given_at, feedback.received_at)


def _check_time(name: str, at: int, received_at: int) -> None:
    if at > received_at + SKEW:
        raise RefusedError("from_the_future", f"{name} lies {(at - received_at) / 1e6:.0f} s after the receipt")
    if at < EARLIEST:
        raise RefusedError("absurd_time", f"{name} lies before 2000")
