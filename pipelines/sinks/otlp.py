"""OpenTelemetry: gauges over OTLP/HTTP, in its JSON form (https://opentelemetry.io/docs/specs/otlp/#otlphttp).

At least once: a data point is its attributes and the end of its window, which is its time; what is sent again is the same point, and
what a collector makes of two is its own affair. Each revision is sent, so the newest that was received is the one to take.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec

from pipelines.sinks.post import post
from pipelines.sinks.revisions import Revision

AT_ONCE = 1_000
"""Data points of one request."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Otlp:
    """`url`: of a collector's HTTP receiver, such as http://127.0.0.1:4318/v1/metrics."""

    def __init__(self, url: str) -> None:
        self._url = url

    def send(self, revisions: Sequence[Revision]) -> Sequence[str]:
        """Why, of each data point that was refused for good. Raises MachineError `sink_unreachable` or `sink_refused`."""
        known, refused = [one for one in revisions if one.value is not None], list[str]()
        for start in range(0, len(known), AT_ONCE):
            part = known[start : start + AT_ONCE]
            answer = post(self._url, json.dumps(request(part)).encode(), {"Content-Type": "application/json"})
            refused += _rejected(answer, 3 * len(part))
        return refused


def _rejected(answer: bytes, most: int) -> list[str]:
    """Why, of each data point (so many at most) that a collector says that it has not taken, of a request that it otherwise did."""
    with suppress(msgspec.MsgspecError):
        part = msgspec.json.decode(answer, type=_Answer).partial_success
        return [part.error_message] * min(int(part.rejected_data_points), most)
    return []


class _Partial(msgspec.Struct, frozen=True, rename="camel"):
    rejected_data_points: int | Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,9}$")] = 0
    error_message: str = ""


class _Answer(msgspec.Struct, frozen=True, rename="camel"):
    partial_success: _Partial = _Partial()


def request(revisions: Sequence[Revision]) -> dict[str, Any]:
    """An ExportMetricsServiceRequest: one gauge per metric and end of its interval."""
    points: dict[str, list[dict[str, Any]]] = {}
    for one in revisions:
        for end, value in (("", one.value), (".low", one.low), (".high", one.high)):
            if value is not None:
                points.setdefault(f"hindsight.{one.name}{end}", []).append(_point(one, value))
    gauges = [{"name": name, "gauge": {"dataPoints": of}} for name, of in points.items()]
    resource = {"attributes": [_attribute("service.name", "hindsight")]}
    return {"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"scope": {"name": "hindsight"}, "metrics": gauges}]}]}


def _point(one: Revision, value: float) -> dict[str, Any]:
    about = {"model": one.model, "label": one.label, "version": one.version, "of": one.of}
    about |= {f"segment.{name}": part for name, part in one.segment.items()} | {"every": f"{int(one.every.total_seconds())}s"}
    attributes = [_attribute(name, text) for name, text in about.items() if text]
    attributes.append({"key": "final", "value": {"boolValue": one.final}})
    return {
        "attributes": attributes,
        "startTimeUnixNano": _nanos(one.start),
        "timeUnixNano": _nanos(one.end),
        "asDouble": value,
    }


def _attribute(name: str, text: str) -> dict[str, Any]:
    return {"key": name, "value": {"stringValue": text}}


def _nanos(at: datetime) -> str:
    return str((at - _EPOCH) // timedelta(microseconds=1) * 1000)
