"""Metrics over time as `hindsight metrics` gives them, from sums in memory and without Spark."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.explain.sources import Row, micros, moment
from pipelines.gold.metrics.catalogue import evaluate, needs, sums_of
from pipelines.gold.metrics.plan import ORIGIN, Question, Source, Target, is_final
from pipelines.page.sums import Kept, summed

BESIDE = ("coverage", "maturity")
"""What every metric of a label is shown with."""
REMEMBERED = 64
"""Answers that are kept."""
_CELL = ("basis", "statistic", "bucket")
Key = tuple[str | None, tuple[str, ...], int]
"""Version, values of the segment fields, start of the window in microseconds."""
_MICROS = timedelta(microseconds=1)


@dataclass(frozen=True)
class Window:
    """One group in one window: the metrics by the columns of `hindsight metrics`, and whether it is final."""

    version: str | None
    segment: dict[str, str]
    start: datetime
    end: datetime
    values: Row
    final: bool


@dataclass
class Answers:
    """The last answers: several readers of a page ask the same, and ask again when they come back."""

    kept: Kept
    _said: OrderedDict[Any, list[Window]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def windows(self, question: Question, name: str) -> list[Window]:
        """As `windows`, computed once as long as gold.statistics stays as it is."""
        with self._lock:  # who asks the same meanwhile gets the same answer
            key = (question, name, self.kept.version())
            found = self._said.pop(key) if key in self._said else windows(self.kept, question, [name])
            self._said[key] = found
            if len(self._said) > REMEMBERED:
                self._said.popitem(last=False)
            return found


def windows(kept: Kept, question: Question, names: Sequence[str]) -> list[Window]:
    """The windows of a question's one target, which start and end somewhere and do not slide, in order of group and time."""
    (target,) = question.targets
    only = {*names, *BESIDE}
    found: dict[Key, list[Row]] = {}
    for source in target.sources:
        for key, increments in _increments(kept, question, source, target, needs(target, only)).items():
            found.setdefault(key, []).extend(increments)
    return [_evaluated(question, target, key, found[key], only) for key in sorted(found, key=str)]


def latest(kept: Kept, question: Question, count: int, until: datetime | None) -> Question:
    """The same question about its last windows that anything is known of; of those that end by a time, where one is said."""
    (target,) = question.targets
    cell = kept.newest(target.sources[0], question.as_of)
    width = question.windows.width
    last = (cell or question.as_of) - ((cell or question.as_of) - ORIGIN) % width + width
    end = last if until is None else min(last, until - (until - ORIGIN) % width)
    return replace(question, windows=replace(question.windows, start=end - count * width, end=end))


def _increments(kept: Kept, question: Question, source: Source, target: Target, wanted: set[str]) -> dict[Key, list[Row]]:
    """The sums of one source, by group and window."""
    span = question.windows
    assert span.start is not None
    assert span.end is not None
    rows = kept.sums(
        source,
        exposures=source.definition != target.definition.hash,
        first=span.start.date(),
        last=(span.end - _MICROS).date(),
        before=question.as_of,
    )
    at, width = rows["cell_at"].cast(pa.int64()).to_numpy(), span.width // _MICROS
    start = at - (at - micros(ORIGIN)) % width
    inside = (start >= micros(span.start)) & (start < micros(span.end))
    asked = pc.is_in(rows["statistic"], pa.array(sorted(wanted)))
    rows = rows.append_column("start", pa.array(start)).filter(pc.and_(asked, pa.array(np.asarray(inside))))
    groups = ("version", "segment", "start") if question.version else ("segment", "start")
    sums = summed(rows, (*groups, *_CELL))
    segments = {text: values_of(text, source, question.fields) for text in pc.unique(sums["segment"]).to_pylist()}
    versions = _values(sums["version"]) if question.version else [None] * len(sums)
    places = zip(versions, _values(sums["segment"]), sums["start"].to_numpy().tolist(), strict=True)
    increments = zip(*(_values(sums[name]) for name in (*_CELL, "amount")), strict=True)
    found: dict[Key, list[Row]] = {}
    for (version, segment, at_start), increment in zip(places, increments, strict=True):
        row = dict(zip((*_CELL, "amount"), increment, strict=True))
        found.setdefault((version, segments[segment], at_start), []).append(row)
    return found


def values_of(segment: str, source: Source, fields: Sequence[str]) -> tuple[str, ...]:
    """The values of a segment by the fields that are asked for, in their order."""
    names = () if source.cut == "all" else source.cut.split("*")
    values = dict(zip(names, json.loads(segment), strict=True))
    return tuple(values[name] for name in fields)


def _values(column: pa.ChunkedArray) -> list[Any]:
    """Values of which there are few different ones: each is made once."""
    encoded = column.combine_chunks().dictionary_encode()
    known = encoded.dictionary.to_pylist()
    return [known[at] for at in encoded.indices.to_numpy().tolist()]


def _evaluated(question: Question, target: Target, key: Any, increments: list[Row], only: set[str]) -> Window:
    version, segment, start = key
    sums = sums_of(target, increments, width=question.windows.width, mature=question.mature)
    begin = moment(start)
    end = begin + question.windows.width
    final = is_final(target.definition, end, question.as_of)
    return Window(version, dict(zip(question.fields, segment, strict=True)), begin, end, evaluate(target, sums, only), final)
