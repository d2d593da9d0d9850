"""Order: the events of one night in three to ten orders, each in batches, partitions, cores and time zones of its own. One content.

The night is one in which a host's clock is put back: local times come twice. Repetitions and contradictions are among the events.
"""

from __future__ import annotations

import random
import shutil
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import SparkSession

from pipelines.app import Application
from pipelines.bronze.tables import EVENTS
from pipelines.content import come_to, content_of
from pipelines.lake import Lake
from pipelines.log import EmbeddedLog
from pipelines.paths import log_path
from pipelines.rebuild import FOLLOWING
from pipelines.verify import verify
from tests import generator, lakes
from tests.reliability.application import Place, short_lived
from tests.reliability.check import Check, Figures, at_least, exactly
from tests.reliability.ground import MOST_EXAMPLES

TABLES = tuple(table for table in FOLLOWING if table is not EVENTS)
EMPTY = f"{0:016x}"
PLACES = ("offset", "partition", "first_offset", "first_partition", "appended_at", "detail")
"""Columns that say where in the log something stands, or name such a place; another order has other places."""
NIGHT = datetime(2025, 11, 2, 3, tzinfo=UTC)
"""Four hours in which New York comes to another day, and to one o'clock twice."""
SHORT, ORDERS = 2_000, 3
"""Up to this size so many orders do, one of them on another host too; above it all are taken, and each host once."""


@dataclass(frozen=True)
class Way:
    """How a log is processed: in so many batches, with so many partitions of a shuffle, in a time zone."""

    batches: int
    partitions: int
    zone: str


WAYS = (
    *(Way(1, 2, "UTC"), Way(4, 1, "America/New_York"), Way(2, 4, "Pacific/Apia"), Way(1, 3, "Asia/Kathmandu")),
    *(Way(2, 1, "Australia/Lord_Howe"), Way(9, 4, "America/New_York"), Way(1, 7, "America/St_Johns"), Way(7, 2, "UTC")),
    *(Way(3, 5, "Europe/London"), Way(2, 3, "America/Havana")),
)
"""One for each order; the zone is the session's."""
HOSTS = ((1, "America/New_York"), (3, "Pacific/Apia"), (2, "Asia/Kathmandu"))
"""Cores, and the time zone of host, process and session, of the runs in processes of their own."""

Contents = dict[str, str]
"""The hash of each table."""


def run(seed: int, size: int, folder: Path, spark: SparkSession) -> Figures:
    night = generator.restless(seed, size, NIGHT)
    contents: list[Contents] = []
    examples: list[str] = []
    differences = 0
    orders, hosts = (len(WAYS), len(HOSTS)) if size > SHORT else (ORDERS, 1)
    for number, way in enumerate(WAYS[:orders]):
        lake = folder / f"{number}" / "lake"
        records = night if number == 0 else generator.shuffled(night, random.Random(f"order {seed} {number}"))
        fill(lake, [*declared(), *records, generator.closing(night)])
        drain(spark, lake, way, len(records))
        contents.append(by_table(lake))
        examples += apart(f"order {number}, {way}", contents[0], contents[-1])
        if number < hosts:
            differences += found_by_verifier(lake)
            host = HOSTS[number]
            other = elsewhere(lake, WAYS[-1 - number], *host, len(records))
            examples += apart(f"order {number}, {host}", exactly_by_table(lake), exactly_by_table(other))
            differences += found_by_verifier(other)
        shutil.rmtree(lake.parent)
    return {
        "records": len(night),
        "orders": len(contents),
        "runs_on_other_hosts": hosts,
        "tables": len(contents[0]),
        "hashes_of_empty_tables": sum(each == EMPTY for each in contents[0].values()),
        "hashes_apart": len(examples),
        "verifier_differences": differences,
        "examples": examples[:MOST_EXAMPLES],
    }


CHECK = Check(
    "order",
    "One content of every table, whatever the order of the log, the batches, partitions, cores and time zones",
    run,
    short=400,
    full=300_000,
    wanted={
        "orders": at_least(ORDERS),
        "runs_on_other_hosts": at_least(1),
        "tables": exactly(len(TABLES)),
        "hashes_of_empty_tables": exactly(0),
        "hashes_apart": exactly(0),
        "verifier_differences": exactly(0),
    },
)


def declared() -> list[generator.Record]:
    return [(definition.control(), NIGHT) for definition in generator.definitions()]


def fill(lake: Path, records: list[generator.Record]) -> None:
    most = max(20, len(records) // 200)
    with closing(EmbeddedLog(log_path(lake), durable=False)) as log:
        for start in range(0, len(records), most):
            log.append(*zip(*records[start : start + most], strict=True))


def drain(spark: SparkSession, lake: Path, way: Way, records: int) -> None:
    """Process a log in this way."""
    settings = lakes.settings_for(lake, log_batch_records=most_of(way, records), run_join_horizon="10 minutes")
    options = {"spark.sql.session.timeZone": way.zone, "spark.sql.shuffle.partitions": str(way.partitions)}
    before = {name: spark.conf.get(name) for name in options}
    try:
        for name, value in options.items():
            spark.conf.set(name, value)
        with Application(settings, spark) as app:
            app.drain()
    finally:
        for name, value in before.items():
            spark.conf.set(name, value)


def elsewhere(lake: Path, way: Way, cores: int, zone: str, records: int) -> Path:
    """The same log, processed by `hindsight run --once` on a host in another zone; the lake."""
    place = Place.made(lake.parent / "elsewhere", batch_records=most_of(way, records))
    log_path(place.lake).parent.mkdir(parents=True)
    shutil.copy(log_path(lake), log_path(place.lake))
    options = {"spark.sql.session.timeZone": zone, "spark.driver.extraJavaOptions": short_lived()}
    host = {
        "TZ": zone,
        "HINDSIGHT_SPARK_CORES": f"{cores}",
        "HINDSIGHT_SPARK_SHUFFLE_PARTITIONS": f"{way.partitions}",
        "HINDSIGHT_SPARK_EXTRA": "{" + ", ".join(f'"{name}" = "{value}"' for name, value in options.items()) + "}",
    }
    process = place.start("run", "--once", environment=host)
    assert process.wait() == 0, place.told(process)
    return place.lake


def most_of(way: Way, records: int) -> int:
    return records // way.batches + 1


def by_table(lake: Path) -> Contents:
    """What each table says, places in the log apart."""
    return {table.name: come_to(without_places(Lake(lake).read(table)).to_reader()).hash for table in TABLES}


def exactly_by_table(lake: Path) -> Contents:
    """What each table says, places in the log among it."""
    return {table.name: content_of(Lake(lake), table).hash for table in TABLES}


def without_places(rows: pa.Table) -> pa.Table:
    rows = rows.drop_columns([name for name in PLACES if name in rows.column_names])
    if "context" in rows.column_names:
        at, context = rows.column_names.index("context"), rows["context"].combine_chunks()
        kept = [field.name for field in context.type if field.name not in PLACES]
        parts = [pc.struct_field(context, name) for name in kept]
        rows = rows.set_column(at, "context", pa.StructArray.from_arrays(parts, kept))
    return rows


def apart(what: str, one: Contents, other: Contents) -> list[str]:
    return [f"{what}: {table}" for table in one if one[table] != other[table]]


def found_by_verifier(lake: Path) -> int:
    report = verify(lake)
    return report.differences + report.pending
