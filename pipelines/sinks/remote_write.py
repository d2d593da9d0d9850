"""Prometheus, by remote write 1.0 (https://prometheus.io/docs/specs/prw/remote_write_spec/).

A sample cannot be rewritten there, so a window is sent once, when it becomes final, under its end; what a correction says of it
later the other sinks tell. Series are bounded by the versions, segments and metrics that the model files declare. At least once: after a
crash the same values are sent again, which Prometheus passes over. What it refuses for good, as too old or out of its order, is counted.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from pipelines.sinks.post import RefusedError, post
from pipelines.sinks.revisions import Revision

_HEADERS = {
    "Content-Type": "application/x-protobuf", "Content-Encoding": "snappy", "X-Prometheus-Remote-Write-Version": "0.1.0",
    "User-Agent": "hindsight",
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FOR_GOOD = (400, 409, 413, 422)
"""Answers that stay the same however often it is asked: too old, out of order, too large. All others pass, or can be mended."""
Series = tuple[tuple[str, str], ...]


class RemoteWrite:
    """`url`: such as http://127.0.0.1:9090/api/v1/write."""

    def __init__(self, url: str) -> None:
        self._url = url

    def send(self, revisions: Sequence[Revision]) -> Sequence[str]:
        """Of each sample that was refused for good what Prometheus says. Raises MachineError `sink_unreachable` or `sink_refused`."""
        samples: dict[Series, list[tuple[int, float]]] = {}
        for one in revisions:
            for name, value in (("", one.value), ("_low", one.low), ("_high", one.high)):
                if one.settled and value is not None:
                    samples.setdefault(series(one, name), []).append((millis(one.end), value))
        return self._posted(samples)

    def _posted(self, samples: Mapping[Series, Sequence[tuple[int, float]]]) -> Sequence[str]:
        """Of a request that is refused, each series by itself."""
        if not samples:
            return ()
        try:
            post(self._url, pa.compress(request(samples), codec="snappy", asbytes=True), _HEADERS)
        except RefusedError as error:
            if error.status not in _FOR_GOOD:
                raise
            if len(samples) == 1:
                return [error.message] * sum(map(len, samples.values()))
            return [said for labels, values in samples.items() for said in self._posted({labels: values})]
        return ()


def series(one: Revision, end: str) -> Series:
    """The labels of a series, in order of their names."""
    labels = {"__name__": f"hindsight_metric{end}", "model": one.model, "label": one.label, "version": one.version, "metric": one.name}
    labels |= {"of": one.of, "every": f"{int(one.every.total_seconds())}s"}
    labels |= {f"segment_{legal(name)}": value for name, value in one.segment.items()}
    return tuple(sorted((name, value) for name, value in labels.items() if value))


def legal(name: str) -> str:
    """A field's name in letters, digits and underscores, as Prometheus has them."""
    return "".join(letter if letter.isascii() and (letter.isalnum() or letter == "_") else "_" for letter in name)


def millis(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(milliseconds=1)


def request(samples: Mapping[Series, Sequence[tuple[int, float]]]) -> bytes:
    """A WriteRequest: series 1 of labels 1 (name 1, value 2) and samples 2 (value 1, timestamp 2)."""
    return b"".join(_field(1, b"".join(_series(labels, values))) for labels, values in samples.items())


def _series(labels: Series, values: Sequence[tuple[int, float]]) -> Iterator[bytes]:
    for name, value in labels:
        yield _field(1, _field(1, name.encode()) + _field(2, value.encode()))
    for at, number in sorted(values):
        yield _field(2, b"\x09" + struct.pack("<d", number) + b"\x10" + _varint(at))


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    found = bytearray()
    number &= (1 << 64) - 1
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)
