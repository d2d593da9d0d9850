"""The command `sinks`: metrics, and ledgers, sent to where people look, until Ctrl-C."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict
from functools import partial
from textwrap import fill
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from pipelines import leases, view
from pipelines import settings as configuration
from pipelines.arguments import Commands, command
from pipelines.commands import stoppable
from pipelines.console import answer, told
from pipelines.errors import ConfigError, InputError, nearest
from pipelines.explain.sources import plain
from pipelines.lake import Lake
from pipelines.paths import existing
from pipelines.settings import Settings
from pipelines.sinks.told import FOLLOWS, addressed, standing

if TYPE_CHECKING:
    from pipelines.sinks.follow import Sink

NAMES = tuple(FOLLOWS)
FOLLOWED = (
    "Each revision of a metric is sent, in windows of sinks.every, as soon as the frontier has passed it; of alerts, triggers and "
    "quarantine (reason, position, model and column, nothing of what was sent) what stands of each; what was sent before a crash is sent "
    "again, and changes nothing. A sink that is down is tried again with growing pauses, holds up no other, and catches up. It runs "
    "beside a running application, and without Spark."
)


def add(known: Commands) -> None:
    """Add the command to those that are known."""
    meaning = "send metrics to PostgreSQL, InfluxDB, Prometheus, OpenTelemetry or Kafka, and alerts, triggers and quarantine to Kafka"
    made = command(known, "sinks", sinks, meaning, "hindsight sinks --once")
    made.description = fill(f"{made.description} {FOLLOWED}", 100)
    made.add_argument("names", nargs="*", metavar="SINK", help=f"which: {', '.join(NAMES)} (all that have an address in the settings)")
    made.add_argument("--once", action="store_true", help="send what is new and stop")
    made.add_argument("--status", action="store_true", help="send nothing; say how far each has been told")


def sinks(asked: Namespace) -> int:
    """Exit code 1 where a sink could not be told, with --once. Raises what `chosen` and `opened` raise."""
    from pipelines.sinks.follow import follow, once
    from pipelines.sinks.opened import feeds, opened, unknown_hosts

    settings = configuration.load(asked.conf, lake_path=asked.lake)
    root, names = existing(settings.lake.path), chosen(settings, asked.names)
    failed = False
    if not asked.status:
        of, told_to = feeds(Lake(root), settings, names), {name: opened(settings, name) for name in names}
        say = partial(told.print, soft_wrap=True, markup=False, highlight=False)
        for error in unknown_hosts(settings, names):
            say(str(error))
        with leases.hold_by_process(root, [f"sink-{name}" for name in names], "sinks"):
            if asked.once:
                failed = bool(sum(not once(of[name], name, sink) for name, sink in told_to.items()))
            else:
                with stoppable() as stop:
                    _follow_all(told_to, lambda name, sink: follow(of[name], name, sink, stop, say), stop)
    found = standing(Lake(root), names)
    answer(asked, [plain(asdict(one)) for one in found], lambda: view.sinks(found))
    return 1 if failed else 0


def chosen(settings: Settings, names: list[str]) -> list[str]:
    """The sinks that are asked for. Raises InputError `unknown_sink`, ConfigError `no_sink`."""
    for name in names:
        if name not in NAMES:
            raise InputError("unknown_sink", f"no sink is called {name}{nearest(name, NAMES)}; there are {', '.join(NAMES)}")
    found = [name for name in addressed(settings.sinks) if not names or name in names]
    missing = [name for name in names if name not in found]
    if missing or not found:
        raise ConfigError(
            "no_sink",
            f"sinks.{(missing or ['…'])[0]} of the settings has no address; expected one, such as "
            'HINDSIGHT_SINKS_POSTGRES="postgresql://user@host:5432/database" in the environment.',
        )
    return found


def _follow_all(told_to: dict[str, Sink], one: Any, stop: Event) -> None:
    threads = [Thread(target=one, args=pair, name=pair[0], daemon=True) for pair in told_to.items()]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        stop.wait(0.5)
        if stop.is_set():
            for thread in threads:
                thread.join(timeout=30)
            return
