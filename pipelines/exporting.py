"""The command `exporter`: what Prometheus scrapes. The page is another address: it shows request ids and raters, this one numbers alone."""

from __future__ import annotations

import json
import socket
import sys
from argparse import Namespace
from http.server import ThreadingHTTPServer
from textwrap import fill
from typing import Any

from pipelines import settings as configuration
from pipelines.arguments import Commands, command, offset
from pipelines.commands import stoppable
from pipelines.console import told
from pipelines.extras import extra
from pipelines.lake import Lake
from pipelines.paths import existing
from pipelines.serving import LOOPBACK, listening, url_of

SHOWN = (
    "The newest final and provisional values of each metric in windows of sinks.every, by version and declared cut, sinks.series of them "
    "at most; the lag of jobs and sinks, the frontier, quarantine by reason, open alerts. No event, id or person. It only reads, beside a "
    "running application, and without Spark. A dashboard and alert rules over it: conf/grafana and conf/prometheus."
)


def add(known: Commands) -> None:
    """Add the command to those that are known."""
    made = command(known, "exporter", exporter, "metrics and lags for Prometheus to scrape, at /metrics", "hindsight exporter --port 8601")
    made.description = fill(f"{made.description} {SHOWN}", 100)
    made.add_argument("--host", default=LOOPBACK, metavar="NAME", help=f"address to listen at ({LOOPBACK})")
    made.add_argument("--port", type=offset, default=8601, metavar="N", help="port to listen at; 0: any that is free (8601)")
    made.add_argument("--once", action="store_true", help="print what would be scraped now, and stop")


def exporter(asked: Namespace) -> int:
    """Exit code 1 with --once where a part cannot be read. Raises MachineError `extra_missing`, and what `listening` raises."""
    library: Any = extra("prometheus_client", "sinks")
    from pipelines.sinks.exposition import Exposition, registry

    settings = configuration.load(asked.conf, lake_path=asked.lake)
    root = existing(settings.lake.path)
    shown = Exposition(settings, Lake(root)).samples
    if asked.once:
        samples = shown()
        text = library.generate_latest(registry(lambda: samples)).decode()
        sys.stdout.write(json.dumps(_plain(samples), indent=2) + "\n" if asked.json else text)
        return int(any(name == "hindsight_readable" and not value for name, _, value in samples))
    answers = library.MetricsHandler.factory(registry(shown))
    with listening(asked.host, asked.port) as at, stoppable() as stop, _Server(at, answers) as server:
        url = f"{url_of(at)}/metrics"
        print(json.dumps({"url": url}) if asked.json else url, flush=True)
        told.print(f"metrics of {root}: Ctrl-C stops", soft_wrap=True, markup=False, highlight=False)
        server.timeout = 0.5
        while not stop.is_set():
            server.handle_request()
    return 0


def _plain(samples: list[Any]) -> list[dict[str, Any]]:
    return [{"name": name, "labels": labels, "value": value} for name, labels, value in samples]


class _Server(ThreadingHTTPServer):
    """Over a socket that listens already."""

    daemon_threads = True

    def __init__(self, at: socket.socket, handler: Any) -> None:
        super().__init__(at.getsockname()[:2], handler, bind_and_activate=False)
        self.socket.close()
        self.socket = at

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A scraper that has hung up, as it does when its time is over, is no error of ours."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)
