"""The settings by section: each one here, once, with its type, default and meaning; `conf/settings.toml` holds the same."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pipelines.quantities import (
    COUNT,
    DATABASE,
    DURATION,
    FLAG,
    HTTP,
    LAKE,
    MAYBE,
    OPTIONS,
    PATH,
    PERIOD,
    SIZE,
    TEXT,
    Kind,
    Setting,
    one_of,
    schema,
)

COMMITTER = Kind(str, "a string", one_of("arrow", "spark"))
SCHEMA = Kind(str, "a string", schema)
KEPT = Kind(str, "a string", one_of("sqlite", "bronze"))
STATE_STORE = Kind(str, "a string", one_of("memory", "rocksdb"))


@dataclass(frozen=True)
class Lake:
    """Where the tables lie, and who writes them."""

    path: Annotated[
        Path,
        Setting(
            "lake", LAKE, "the folder that holds everything: tables, log, checkpoints; relative to where you start"
        ),
    ]
    committer: Annotated[
        str,
        Setting(
            "arrow",
            COMMITTER,
            '"arrow" (one machine: the driver appends) or "spark" (a cluster or a cloud store: the executors write)',
        ),
    ]
    catalog: Annotated[
        str, Setting("", SCHEMA, 'the CATALOG.SCHEMA in which Spark finds the tables by name, as layer_noun; "": it goes by path')
    ]


@dataclass(frozen=True)
class Log:
    """The log, which everything rests on."""

    kept: Annotated[
        str, Setting("sqlite", KEPT, 'where it lies, for good: "sqlite" (a file) or "bronze" (bronze.events, where hosts share a folder)')
    ]
    batch_records: Annotated[int, Setting(100_000, COUNT, "the most records that one micro-batch takes from the log")]
    fsync: Annotated[
        bool,
        Setting(True, FLAG, "whether an append is on disk before it returns; false loses the last ones with the power"),
    ]


@dataclass(frozen=True)
class Kafka:
    """The topic whose records are taken into the log."""

    brokers: Annotated[str, Setting("", MAYBE, 'host:port of some brokers, with commas between; "": no Kafka')]
    topic: Annotated[str, Setting("hindsight", TEXT, "the topic to take records from, and to `import --to kafka`")]
    options: Annotated[
        dict[str, str],
        Setting({}, OPTIONS, 'further options of librdkafka, such as {"security.protocol" = "SASL_SSL"}; no secrets'),
    ]
    password_file: Annotated[
        str, Setting("", MAYBE, "a file of the SASL password, in place of the variable SASL_PASSWORD of the environment")
    ]


@dataclass(frozen=True)
class Sinks:
    """Where `hindsight sinks` sends metrics and ledgers, and what `hindsight exporter` shows. A sink with an empty address is off."""

    every: Annotated[timedelta, Setting("1 hour", PERIOD, "width of the windows that sinks are told, of grains that models declare")]
    postgres: Annotated[str, Setting("", DATABASE, "a database, such as postgresql://user@host:5432/database; the password in PGPASSWORD")]
    influx: Annotated[str, Setting("", HTTP, "InfluxDB's address, such as http://host:8086/write?db=hindsight; the token in INFLUX_TOKEN")]
    prometheus: Annotated[str, Setting("", HTTP, "Prometheus' remote write, such as http://host:9090/api/v1/write")]
    otlp: Annotated[str, Setting("", HTTP, "an OpenTelemetry collector, such as http://host:4318/v1/metrics")]
    kafka: Annotated[str, Setting("", MAYBE, "a topic of kafka.brokers for a changelog of metrics")]
    kafka_alerts: Annotated[str, Setting("", MAYBE, "a topic for a changelog of alerts: what stands of each incident")]
    kafka_triggers: Annotated[str, Setting("", MAYBE, "a topic for a changelog of triggers: the last step of each")]
    kafka_quarantine: Annotated[
        str, Setting("", MAYBE, "a topic for what is refused: reason, position, model and column, nothing of what was sent")
    ]
    series: Annotated[
        int, Setting(10_000, COUNT, "the most series of metrics that `hindsight exporter` shows; how many more there are it says")
    ]


@dataclass(frozen=True)
class Spark:
    """The Spark application."""

    cores: Annotated[int, Setting(2, COUNT, "cores that Spark works with: local[cores]")]
    memory: Annotated[int, Setting("2 GB", SIZE, "heap of the driver, which is everything on one machine")]
    shuffle_partitions: Annotated[
        int, Setting(2, COUNT, "partitions of a shuffle; as many as cores. Frozen in a checkpoint")
    ]
    delta_package: Annotated[
        str, Setting("io.delta:delta-spark_4.2_2.13:4.4.0", TEXT, "Maven coordinate of Delta Lake, fetched once")
    ]
    state_store: Annotated[
        str, Setting("memory", STATE_STORE, 'where the join keeps its state: "memory", or "rocksdb" when it is big')
    ]
    extra: Annotated[
        dict[str, str], Setting({}, OPTIONS, 'further Spark options, such as {"spark.ui.enabled" = "true"}')
    ]


@dataclass(frozen=True)
class Run:
    """How the jobs run."""

    trigger: Annotated[timedelta, Setting("0 seconds", DURATION, "least time between two micro-batches; 0: at once")]
    reconcile_every: Annotated[
        timedelta, Setting("1 minute", PERIOD, "how often feedback that came too late for the join is looked up")
    ]
    frontier_every: Annotated[
        timedelta, Setting("1 minute", PERIOD, "how often a running log states that everything before now is in it")
    ]
    join_horizon: Annotated[
        timedelta,
        Setting(
            "1 hour",
            PERIOD,
            "how long the join waits for the other side, at about 1 KB of heap per inference of that time; reconcile finds "
            "the rest",
        ),
    ]
    bytes_per_trigger: Annotated[
        int, Setting("16 MB", SIZE, "about how much of a table one micro-batch takes, in whole files: what bounds its memory")
    ]
    status_every: Annotated[timedelta, Setting("1 second", PERIOD, "how often the live view is drawn")]


@dataclass(frozen=True)
class Maintain:
    """What `hindsight maintain` keeps in shape."""

    target_file: Annotated[
        int, Setting("16 MB", SIZE, "size of a compacted file; a micro-batch takes whole files, so keep it small")
    ]
    small_files: Annotated[int, Setting(32, COUNT, "a partition with more files than this is compacted")]
    checkpoint_every: Annotated[int, Setting(20, COUNT, "commits between two checkpoints of a table's log")]
    retain: Annotated[timedelta, Setting("7 days", PERIOD, "how long replaced files stay before they are deleted")]


@dataclass(frozen=True)
class Models:
    """Where the model files lie."""

    directory: Annotated[Path, Setting("models", PATH, "the folder of the model files, relative to this one")]
