"""The way in for a producer: a log whose models are declared, so that no event comes before its model."""

from __future__ import annotations

from pathlib import Path

from pipelines import checkpoint
from pipelines import settings as configuration
from pipelines.definitions import declare
from pipelines.gates.suite import declared
from pipelines.guards import refuse_a_short_log
from pipelines.lake import Lake
from pipelines.log import Log, log_at
from pipelines.log.kafka import TopicLog, no_topic
from pipelines.paths import checkpoints, place_log
from pipelines.settings import Settings
from pipelines.silver.tables import CONTROLS


def open_log(lake: Path | None = None, conf: Path | None = None) -> Log:
    """The log of a lake, to `append` to; the model files of the conf folder, and the row rules of
    their suites, are declared in it first, where they are new.

    An event of a model that is declared only after it is quarantined (`unknown_model`): what a record means never depends on
    what comes later. Close the log when done. Raises StateError `log_missing` or `log_short` where records that landed are gone from it.
    """
    return declared_log(configuration.load(conf, lake_path=lake))


def open_topic(settings: Settings | None = None) -> TopicLog:
    """The Kafka topic of the settings, to `append` to; `hindsight run` takes it into the log, and declares the models there.

    Raises ConfigError `no_topic`, `kafka_refused`, MachineError `kafka_unreachable`, `extra_missing`, StateError `topic_missing`.
    """
    kafka = (settings or configuration.load()).kafka
    if not kafka.brokers:
        raise no_topic()
    return TopicLog(kafka)


def declared_log(settings: Settings) -> Log:
    """The same, by settings."""
    root = settings.lake.path.resolve()
    wanted = declared(settings)
    path, tables = place_log(root, settings.log.kept), Lake(root)
    tables.create(CONTROLS)
    log = log_at(path, durable=settings.log.fsync)
    refuse_a_short_log(root, log.end(), checkpoint.landed(checkpoints(root)))
    declare(log, tables, wanted)
    return log
