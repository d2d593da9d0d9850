"""A sink as the settings name it: where it is, what it is told, and what of that cannot be right."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from pipelines.errors import ConfigError, MachineError
from pipelines.lake import Lake
from pipelines.page.sums import Kept
from pipelines.settings import Settings
from pipelines.sinks.changelog import Changelog, of_entry, of_revision
from pipelines.sinks.follow import Feed, Sink
from pipelines.sinks.influx import TOKEN, Influx
from pipelines.sinks.ledger import Ledger
from pipelines.sinks.otlp import Otlp
from pipelines.sinks.postgres import Postgres
from pipelines.sinks.remote_write import RemoteWrite
from pipelines.sinks.revisions import Metrics
from pipelines.sinks.told import FOLLOWS

PASSWORD = "PGPASSWORD"
_SECRETS = {"postgres": PASSWORD, "influx": TOKEN}


def feeds(lake: Lake, settings: Settings, names: list[str]) -> dict[str, Feed]:
    """What each sink is told: metrics, of which one copy is kept in memory, or a ledger."""
    metrics = Metrics(Kept(lake), settings.sinks.every)
    return {name: Ledger(lake, FOLLOWS[name]) if FOLLOWS[name] in Ledger.TOLD else metrics for name in names}


def opened(settings: Settings, name: str) -> Sink:
    """A sink, which is reached when it is first told. Raises ConfigError `secret_in_conf` or `no_brokers`."""
    to: str = getattr(settings.sinks, name)
    if name.startswith("kafka"):
        if not settings.kafka.brokers:
            raise ConfigError(
                "no_brokers",
                f"sinks.{name} names the topic {to!r}, and kafka.brokers is not set; expected host:port of some brokers, in settings.toml "
                "or in HINDSIGHT_KAFKA_BROKERS of the environment.",
            )
        return Changelog(settings.kafka, to, of_revision if name == "kafka" else of_entry)
    if urlsplit(to).password is not None:
        where = f"the variable {_SECRETS[name]} of the environment" if name in _SECRETS else "a server of yours in front of it"
        raise ConfigError("secret_in_conf", f"sinks.{name}: there is a password in the address; expected it in {where}.")
    makers: dict[str, Callable[[], Sink]] = {
        "postgres": lambda: Postgres(to, os.environ.get(PASSWORD)),
        "influx": lambda: Influx(to),
        "prometheus": lambda: RemoteWrite(to),
        "otlp": lambda: Otlp(to),
    }
    return makers[name]()


def unknown_hosts(settings: Settings, names: list[str]) -> Iterator[MachineError]:
    """An error `sink_host_unknown` for each host that nobody knows now; it may be known later, so the sink is told all the same."""
    for name in names:
        to = settings.kafka.brokers if name.startswith("kafka") else getattr(settings.sinks, name)
        setting = "kafka.brokers" if name.startswith("kafka") else f"sinks.{name}"
        for part in to.split(",") if name.startswith("kafka") else [to]:
            host = urlsplit(part if "//" in part else f"//{part.strip()}").hostname
            try:
                socket.getaddrinfo(host, None)
            except (OSError, UnicodeError) as error:
                yield MachineError("sink_host_unknown", f"{setting}: the host {host!r} is not known here ({error}). Is its name right?")
