"""InfluxDB, by its line protocol (v1 `/write`, v2 `/api/v2/write`).

At least once, and the same afterwards: a point is its tags and the start of its window, so what is sent again takes its own place. A
value that is no more cannot be taken out of a point: its `count` says 0.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from pipelines.sinks.post import RefusedError, post
from pipelines.sinks.revisions import Revision

TOKEN = "INFLUX_TOKEN"
_DROPPED = re.compile(r"partial write: .*dropped=(\d+)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ESCAPED = str.maketrans({",": "\\,", "=": "\\=", " ": "\\ ", "\n": "\\n", "\r": "\\r"})


class Influx:
    """`url`: with the database or bucket, such as http://127.0.0.1:8086/write?db=hindsight."""

    def __init__(self, url: str) -> None:
        self._url = url

    def send(self, revisions: Sequence[Revision]) -> Sequence[str]:
        """Of each point that it dropped as too old, what it said. Raises MachineError `sink_unreachable` or `sink_refused`."""
        token = os.environ.get(TOKEN, "")
        body = "\n".join(map(line, revisions)).encode()
        try:
            post(self._url, body, {"Content-Type": "text/plain; charset=utf-8", **({"Authorization": f"Token {token}"} if token else {})})
        except RefusedError as error:
            if (dropped := _DROPPED.search(error.told)) is None:
                raise
            return [error.message] * min(int(dropped[1]), len(revisions))  # the others it has taken
        return ()


def line(one: Revision) -> str:
    """One point."""
    tags = {"model": one.model, "label": one.label, "version": one.version, "metric": one.name, "of": one.of}
    tags |= {"every": f"{int(one.every.total_seconds())}s", **{f"segment.{name}": value for name, value in one.segment.items()}}
    numbers = {"value": one.value, "low": one.low, "high": one.high}
    fields = [f"{name}={value!r}" for name, value in numbers.items() if value is not None]
    fields += [f"count={one.count}i", f"final={'true' if one.final else 'false'}"]
    named = ",".join(f"{_spelled(name)}={_spelled(value)}" for name, value in sorted(tags.items()) if value)
    return f"hindsight,{named} {','.join(fields)} {(one.start - _EPOCH) // timedelta(microseconds=1) * 1000}"


def _spelled(text: str) -> str:
    """A tag's name or value. A backslash cannot be escaped, and at the end would be taken for one that escapes: a space follows it then."""
    return (text + " " if text.endswith("\\") else text).translate(_ESCAPED)
