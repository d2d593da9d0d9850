"""One way for all sinks to speak HTTP."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException

from pipelines.errors import MachineError, causes
from pipelines.outgoing import OPENER

TIMEOUT = 30
"""Seconds that a server may take."""


_MOST = 65_536
"""Bytes of an answer that are read."""


class RefusedError(MachineError):
    """MachineError `sink_refused`: a server that answered, and did not take it; with the status and the words of its answer."""

    def __init__(self, url: str, status: int, told: str) -> None:
        super().__init__("sink_refused", f"{url}: {status} {told}")
        self.status, self.told = status, told


def post(url: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """What the server says. Raises MachineError `sink_unreachable` or `sink_host_unknown`, or `RefusedError`."""
    request = urllib.request.Request(url, body, dict(headers), method="POST")
    try:
        with OPENER.open(request, timeout=TIMEOUT) as answer:
            return bytes(answer.read(_MOST))
    except urllib.error.HTTPError as error:
        with error:
            told = error.read(300).decode("utf-8", "replace").strip()
        raise RefusedError(url, error.code, told) from error
    except (OSError, HTTPException) as error:
        raise unreachable(url, error) from error


def unreachable(url: str, error: Exception) -> MachineError:
    """MachineError `sink_host_unknown` where nobody knows the host, `sink_unreachable` otherwise."""
    said = [one for cause in causes(error) for one in (cause, getattr(cause, "reason", None))]
    unknown = any(isinstance(one, socket.gaierror) for one in said)
    return MachineError("sink_host_unknown" if unknown else "sink_unreachable", f"{url}: {error}")
