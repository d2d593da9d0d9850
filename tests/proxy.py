"""A proxy that spoils a share of the answers of what is behind it: refused, lost after the work was done, or late."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FAULTS = ("refused", "lost", "dropped", "late_work", "late_answer")
"""500 and nothing done; 500 and all done; done and no answer; done when nobody waits any more; done at once, and answered then."""
WEIGHTS = (9, 9, 9, 1, 1)


@dataclass
class Proxy:
    """Where it listens, and how often it did what."""

    port: int
    share: float
    delay: float
    chance: random.Random
    url: str = ""
    done: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fault(self) -> str | None:
        with self.lock:
            found = self.chance.choices(FAULTS, WEIGHTS)[0] if self.chance.random() < self.share else None
            self.done[found or "answered"] += 1
            return found


@contextmanager
def spoiling(port: int, *, share: float, delay: float, seed: int) -> Iterator[Proxy]:
    """A proxy before a port of this machine."""
    proxy = Proxy(port, share, delay, random.Random(seed))
    listening = ThreadingHTTPServer(("127.0.0.1", 0), _handler(proxy))
    listening.daemon_threads = True
    proxy.url = f"http://127.0.0.1:{listening.server_address[1]}"
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


def _handler(proxy: Proxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fault = proxy.fault()
            if fault == "refused":
                self._answer(500, b"spoilt")
                return
            if fault == "late_work":
                time.sleep(proxy.delay)
            status, content = self._asked(body)
            if fault == "late_answer":
                time.sleep(proxy.delay)
            if fault == "dropped":
                self.close_connection = True
            elif fault == "lost":
                self._answer(500, b"spoilt")
            else:
                self._answer(status, content)

        def _asked(self, body: bytes) -> tuple[int, bytes]:
            behind = HTTPConnection("127.0.0.1", proxy.port, timeout=60)
            kept = {name: value for name, value in self.headers.items() if name.lower() in ("content-type", "accept", "user-agent")}
            behind.request(self.command, self.path, body, kept)
            answer = behind.getresponse()
            content = answer.read()
            behind.close()
            return answer.status, content

        def _answer(self, status: int, content: bytes) -> None:
            try:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            except OSError:
                self.close_connection = True  # who asked waits no longer

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _pass_on  # noqa: N815 (their names)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    return Handler
