"""Kafka to gold beside the embedded log to gold, one after the other in one process: how soon, and how fast. Run: pytest -m bench -s.

What the broker itself costs stands apart: it is a machine of its own where it matters.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from pyspark.sql import SparkSession

from pipelines.app import Application
from pipelines.contract import Table
from pipelines.lake import Lake
from pipelines.silver.tables import INFERENCES, LABELLED
from tests.bench.load import Load, definitions, fill, topic_of
from tests.bench.measure import measured, option, report, settings_for, show
from tests.bench.oneshot import gold
from tests.bench.sender import Sent, started
from tests.bench.stages import stages
from tests.bench.test_live import Numbers, commits, exact
from tests.kafka import Broker, broker

pytestmark = pytest.mark.bench

EVENTS = option("EVENTS_KAFKA", 300_000)
"""Distinct events of the backlog."""
WARM = option("WARM", 60_000)
RATE = option("RATE_LIVE", 1_500)
"""Live events per second."""
WARM_SECONDS = option("WARM_SECONDS", 20)
SECONDS = option("SECONDS_KAFKA", 40)
PATIENCE = option("PATIENCE", 300)
"""Seconds after the last event in which everything must have come through."""


@dataclass(frozen=True)
class Way:
    """How records come to gold: through a topic or not, and where the log is kept."""

    name: str
    kafka: bool
    kept: str


WAYS = (
    Way("embedded log", kafka=False, kept="sqlite"),
    Way("Kafka, log in SQLite", kafka=True, kept="sqlite"),
    Way("Kafka, log is bronze.events", kafka=True, kept="bronze"),
)
Row = tuple[float, ...]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with broker(tmp_path_factory.mktemp("kafka")) as found:
        yield found


@dataclass(frozen=True)
class Place:
    """A lake, the brokers of its topic where it has one, and an application over both."""

    way: Way
    lake: Path
    brokers: str

    @classmethod
    def made(cls, way: Way, lake: Path, running: Broker) -> Place:
        if way.kafka:
            admin = AdminClient({"bootstrap.servers": running.address, "log_level": 0})
            for one in admin.create_topics([NewTopic(lake.name, 1)]).values():
                one.result()
        return cls(way, lake, running.address if way.kafka else "")

    def application(self, spark: SparkSession) -> Application:
        settings = settings_for(self.lake, log_kept=self.way.kept)
        topic = topic_of(self.lake, self.brokers) if self.brokers else None
        return Application(settings, spark, given=definitions(self.lake.parent), topic=topic)


def test_a_backlog_in_kafka_beside_one_in_the_embedded_log(spark: SparkSession, folder: Path, running: Broker) -> None:
    def drained(name: str, way: Way, load: Load) -> Row:
        place = Place.made(way, folder / name, running)
        fill(place.lake, load, place.brokers)
        began = busy(running)
        with stages() as found, measured() as usage, place.application(spark) as app:
            app.drain()
            records = app.log.end()
        theirs = busy(running) - began
        intake = sum(call.wall for call in found.calls["intake"])
        return records, usage.wall, usage.cpu - theirs, records / usage.wall, intake, theirs

    for number, way in enumerate(WAYS):
        drained(f"warm{number}", way, Load(WARM, seed=1))
    rows = [drained(f"lake{number}", way, Load(EVENTS)) for number, way in enumerate(WAYS)]
    columns = ("records", "wall s", "CPU s", "records/s", "of it intake s", "broker CPU s")
    told("kafka_backlog", f"Backlog of {EVENTS:,} events, to gold", columns, rows)
    first, *others = (gold(folder / f"lake{number}") for number in range(len(WAYS)))
    assert all(other == first for other in others)


def test_live_events_through_kafka_beside_the_embedded_log(spark: SparkSession, folder: Path, running: Broker) -> None:
    def ran(name: str, way: Way, warm: int, seconds: int) -> Row:
        place = Place.made(way, folder / name, running)
        with place.application(spark) as app:
            app.start()
            cpu = busy(running)
            with measured() as usage:
                output, _ = started(place.lake, RATE, warm + seconds, place.brokers).communicate()
            cpu, sent = busy(running) - cpu, Sent(**json.loads(output))
            through(app, place, sent.inferences + sent.feedback + sent.repeated)
        exact(place.lake, folder, sent)
        lags = [lag(place.lake, *about, warm) for about in ((INFERENCES, "served_at"), (LABELLED, "given_at"))]
        quantiles = [float(q) for each in lags for q in np.quantile(each, [0.5, 0.99])]
        return *quantiles, (usage.cpu - cpu - sent.cpu_seconds) / usage.wall, cpu / usage.wall, sent.most_behind_seconds

    ran("warm", WAYS[0], 0, WARM_SECONDS)
    rows = [ran(f"live{number}", way, WARM_SECONDS, SECONDS) for number, way in enumerate(WAYS)]
    columns = ("exposed p50 s", "exposed p99 s", "answered p50 s", "answered p99 s", "CPU/s", "broker CPU/s", "behind s")
    told("kafka_live", f"Live: {RATE:,} events/s for {SECONDS} s, from sent to gold", columns, rows)


def through(app: Application, place: Place, records: int) -> None:
    """Wait until all that was sent has gone all the way: what is sent to Kafka is not in the log at once."""
    until, topic = time.monotonic() + PATIENCE, place.lake.name

    def wait(holds: Callable[[], bool]) -> None:
        while not holds():
            assert time.monotonic() < until, f"not everything came through within {PATIENCE} s"
            app.check()
            time.sleep(0.5)

    if place.brokers:
        wait(lambda: (taken := app.log.taken(topic)) is not None and taken.next[0] >= records)
    end = app.log.end()
    wait(lambda: app.settled(end))


def lag(lake: Path, table: Table, clock: str, warm: int) -> Numbers:
    """Seconds from an event's own time, when its sender began to send it, to the commit that shows it; without the first seconds."""
    times, visible = zip(*commits(Lake(lake).path(table), clock), strict=True)
    sent = np.concatenate(times) / 1e6
    seen = np.repeat(np.array(visible) / 1e3, [len(part) for part in times])
    found: Numbers = (seen - sent)[sent >= sent.min() + warm]
    return found


def busy(running: Broker) -> float:
    """CPU seconds of the broker so far."""
    assert running.process is not None
    times = psutil.Process(running.process.pid).cpu_times()
    return float(times.user + times.system)


def told(name: str, title: str, columns: tuple[str, ...], rows: list[Row]) -> None:
    """Show what was measured, and each way as a ratio to the first."""
    ways = [way.name for way in WAYS]
    ratios = [
        (f"{way} / {ways[0]}", *(a / b if b else 0.0 for a, b in zip(row, rows[0], strict=True)))
        for way, row in zip(ways, rows, strict=True)
    ]
    show(title, ("", *columns), [*((way, *row) for way, row in zip(ways, rows, strict=True)), *ratios[1:]])
    report(name, {way: dict(zip(columns, row, strict=True)) for way, row in zip(ways, rows, strict=True)})
