"""The command `serve`: what may be asked of it, and the server that it runs until Ctrl-C."""

from __future__ import annotations

import errno
import ipaddress
import json
import socket
from argparse import Namespace
from contextlib import suppress
from pathlib import Path
from textwrap import fill
from urllib.parse import urlencode

from pipelines import settings as configuration
from pipelines.arguments import Commands, command, offset
from pipelines.console import told
from pipelines.errors import HindsightError, InputError, MachineError, StateError
from pipelines.extras import extra
from pipelines.paths import existing
from pipelines.settings import Settings

LOOPBACK = "127.0.0.1"
NAMES = ("localhost", LOOPBACK, "[::1]")
"""The names of this machine for itself."""
OPEN = (
    "Whoever can reach the address can read the lake's numbers, request ids and raters: without --host that is this machine alone, "
    "and a server of yours in front of it may ask who it is. The page only reads, beside a running application, and without Spark."
)


def add(known: Commands) -> None:
    """Add the command to those that are known."""
    meaning = "the live state in a browser: flow, metrics, alerts, drift, releases, the loop, quarantine"
    made = command(known, "serve", serve, meaning, "hindsight serve --model arrival_delay")
    made.description = fill(f"{made.description} {OPEN}", 100)
    made.add_argument("--model", help="the model that the page begins with (the first)")
    made.add_argument("--host", default=LOOPBACK, metavar="NAME", help=f"address to listen at ({LOOPBACK})")
    made.add_argument("--port", type=offset, default=8600, metavar="N", help="port to listen at; 0: any that is free (8600)")


def serve(asked: Namespace) -> int:
    """Raises MachineError `port_in_use`, `address_not_ours`, `extra_missing`; InputError `unknown_model`, `not_a_port`."""
    uvicorn = extra("uvicorn", "serve")
    extra("starlette", "serve")
    from pipelines.page.site import site

    settings = configuration.load(asked.conf, lake_path=asked.lake)
    root = existing(settings.lake.path)
    if asked.model is not None:
        _known(settings, root, asked.model)
    with listening(asked.host, asked.port) as at:
        address = at.getsockname()[0]
        server = uvicorn.Server(uvicorn.Config(None, log_level="warning", timeout_graceful_shutdown=3, lifespan="off", server_header=False))
        hosts = frozenset({*NAMES, asked.host.lower()}) if ipaddress.ip_address(address).is_loopback else None
        server.config.app = site(root, hosts=hosts, model=asked.model, ended=lambda: server.should_exit)
        url = f"{url_of(at)}/{'?' + urlencode({'model': asked.model}) if asked.model else ''}"
        print(json.dumps({"url": url}) if asked.json else url, flush=True)
        told.print(f"the page of {root}: Ctrl-C stops", soft_wrap=True, markup=False, highlight=False)
        server.run(sockets=[at])
    return 0


def _known(settings: Settings, root: Path, model: str) -> None:
    """Raises InputError `unknown_model` where neither the lake nor a model file declares it."""
    from pipelines.explain import Sources
    from pipelines.models import load_models
    from pipelines.opened import named

    definitions = load_models(settings.models_path)
    with suppress(StateError):  # nothing has landed yet
        definitions = [*Sources(root).definitions, *definitions]
    named(definitions, model=model, label=None)


def url_of(at: socket.socket) -> str:
    """Where a socket listens, as an address."""
    address, port = at.getsockname()[:2]
    return f"http://{f'[{address}]' if ':' in address else address}:{port}"


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens at the address.

    Raises MachineError `port_in_use`, `no_permission` or `address_not_ours`, InputError `not_a_port`.
    """
    if port > 65535:
        raise InputError("not_a_port", f"--port {port}: expected a number from 0 to 65535, such as 8600")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server((str(address[0]), port), family=family)
    except OSError as error:
        raise _refused(host, port, error) from error


def _refused(host: str, port: int, error: OSError) -> HindsightError:
    if error.errno == errno.EADDRINUSE:
        return MachineError(
            "port_in_use", f"port {port} of {host} is taken by another program. Name another with --port, or 0 for any that is free."
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return MachineError("no_permission", f"port {port} of {host} is not for this user ({error}). Name one above 1023 with --port.")
    return MachineError(
        "address_not_ours", f"--host {host}: no address of this machine ({error}). Expected one, such as {LOOPBACK}, or 0.0.0.0 for all."
    )
