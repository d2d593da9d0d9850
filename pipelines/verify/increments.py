"""Signed increments of statistics before they are spread over cuts and grains, held in DuckDB.

Three tables: `increments` (what is added), `exposures` (one inference under one definition: model, version, cell),
`places` (the cuts, segments and grains that a definition spreads an inference with these segment values over).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pipelines.verify.beliefs import Belief, Entry
from pipelines.verify.definitions import Definition, Definitions
from pipelines.verify.events import Inference
from pipelines.verify.ground import Gathered, schema
from pipelines.verify.outcomes import Outcome, matures_at
from pipelines.verify.quality import Term, answer, is_judged, judged, service, silence
from pipelines.verify.report import DAY, MINUTE

_TABLES = {
    "increments": schema("basis statistic bucket", "e known_at", amounts="amount"),
    "exposures": schema("request_id model version label definition", "e place served_at day"),
    "places": schema("grain cut segment", "place"),
}


class Increments:
    """Collects increments into the three tables of a DuckDB connection, replacing what they held."""

    def __init__(self, db: Any) -> None:
        self._gathered = Gathered(db, _TABLES)
        self._places: dict[tuple[str, tuple[tuple[str, str], ...]], int] = {}
        self._exposures = 0

    def exposure(self, inference: Inference, definition: Definition) -> int:
        """The number of an inference under a definition."""
        number = self._exposures
        self._exposures += 1
        named = (inference.request_id, inference.model, inference.version, definition.label, definition.hash)
        served_at = inference.served_at
        place = self._place(definition, inference.segments)
        self._gathered.add("exposures", [(*named, number, place, served_at, served_at // DAY)])
        return number

    def post(self, exposure: int, basis: str, known_at: int, terms: list[Term], sign: int = 1) -> None:
        """Add so many times these terms, known in this minute."""
        minute = known_at - known_at % MINUTE
        if sign > 0:
            self._gathered.add("increments", [(basis, s, b, exposure, minute, a) for s, b, a in terms])
        else:
            self._gathered.add("increments", [(basis, s, b, exposure, minute, a.copy_negate()) for s, b, a in terms])

    def finish(self) -> None:
        """Hand over what is still held back."""
        self._gathered.finish()

    def _place(self, definition: Definition, segments: tuple[tuple[str, str], ...]) -> int:
        key = (definition.hash, segments)
        if key not in self._places:
            self._places[key] = len(self._places)
            held = dict(segments)
            self._gathered.add(
                "places",
                [
                    (grain, "*".join(cut) or "all", segment(definition, cut, held), self._places[key])
                    for grain in definition.grains
                    for cut in definition.cuts
                ],
            )
        return self._places[key]


def segment(definition: Definition, cut: tuple[str, ...], held: dict[str, str]) -> str:
    """The values of a cut's fields, as a JSON array; what is absent or not declared has a name of its own."""
    values = []
    for name in cut:
        value, declared = held.get(name), definition.segments.get(name, ())
        if value is None:
            value = "__missing__"
        elif declared and value not in declared:
            value = "__other__"
        values.append(value)
    return json.dumps(values, separators=(",", ":"), ensure_ascii=False)


def items(definition: Definition, inference: Inference) -> list[str]:
    """What silence is counted for: the request once (""), or each item of the slate."""
    if definition.unit == "request":
        return [""]
    return [item for item, _ in inference.items or ()]


def post_history(
    into: Increments,
    inference: Inference,
    definitions: Definitions,
    histories: Sequence[tuple[Outcome, list[Entry]]],
) -> None:
    """All increments of one inference: its exposure, its silence, and every change of belief about it."""
    for definition in definitions.applicable(inference.model, inference.offset):
        exposure = into.exposure(inference, definition)
        if not definition.label:
            into.post(exposure, "exposed", inference.received_at, service(definition, inference))
        elif inference.status == "ok":
            mature = matures_at(definition, inference)
            for item in items(definition, inference):
                into.post(exposure, "silent", mature, silence(definition, judged(inference, item)))
            for outcome, entries in histories:
                if definition in outcome.definitions and is_judged(inference, outcome.item):
                    on = judged(inference, outcome.item)
                    for known_at, sign, number, text in entries:
                        terms = answer(definition, Belief(number, text), on)
                        into.post(exposure, "answered", known_at, terms, sign)
                        into.post(exposure, "silent", max(mature, known_at), silence(definition, on), -sign)


def post_snapshot(
    into: Increments,
    inference: Inference,
    definitions: Definitions,
    standing: Sequence[tuple[Outcome, Belief | None]],
    *,
    before: int,
) -> None:
    """What one pass over the events received before a moment says of one inference: just what stands then."""
    stands = {(sharing.hash, outcome.item): belief for outcome, belief in standing for sharing in outcome.definitions}
    for definition in definitions.applicable(inference.model, inference.offset):
        exposure = into.exposure(inference, definition)
        if not definition.label:
            into.post(exposure, "exposed", 0, service(definition, inference))
        elif inference.status == "ok":
            mature = matures_at(definition, inference) < before
            for item in items(definition, inference):
                on = judged(inference, item)
                belief = stands.get((definition.hash, item))
                if belief is not None:
                    into.post(exposure, "answered", 0, answer(definition, belief, on))
                elif mature:
                    into.post(exposure, "silent", 0, silence(definition, on))
