"""One way for all sinks to speak HTTP."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Mapping

from pipelines.errors import MachineError

TIMEOUT = 30
"""Seconds that a server may take."""


def post(url: str, body: bytes, headers: Mapping[str, str]) -> None:
    """Raises MachineError `sink_unreachable`, or `sink_refused` with what the server says."""
    request = urllib.request.Request(url, body, dict(headers), method="POST")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT):
            return
    except urllib.error.HTTPError as error:
        with error:
            told = error.read(300).decode("utf-8", "replace").strip()
        raise MachineError("sink_refused", f"{url}: {error.code} {told}") from error
    except OSError as error:
        raise MachineError("sink_unreachable", f"{url}: {error}") from error
