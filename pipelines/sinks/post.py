"""One way for all sinks to speak HTTP."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Mapping

from pipelines.errors import MachineError, causes

TIMEOUT = 30
"""Seconds that a server may take."""


def post(url: str, body: bytes, headers: Mapping[str, str]) -> None:
    """Raises MachineError `sink_unreachable` or `sink_host_unknown`, or `sink_refused` with what the server says."""
    request = urllib.request.Request(url, body, dict(headers), method="POST")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT):
            return
    except urllib.error.HTTPError as error:
        with error:
            told = error.read(300).decode("utf-8", "replace").strip()
        raise MachineError("sink_refused", f"{url}: {error.code} {told}") from error
    except OSError as error:
        raise unreachable(url, error) from error


def unreachable(url: str, error: Exception) -> MachineError:
    """MachineError `sink_host_unknown` where nobody knows the host, `sink_unreachable` otherwise."""
    said = [one for cause in causes(error) for one in (cause, getattr(cause, "reason", None))]
    unknown = any(isinstance(one, socket.gaierror) for one in said)
    return MachineError("sink_host_unknown" if unknown else "sink_unreachable", f"{url}: {error}")
