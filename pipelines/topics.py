"""The command `topic`: how far the Kafka topic has been taken into the log, and how to go on after a loss."""

from __future__ import annotations

from argparse import Namespace
from contextlib import closing
from typing import Any

from rich.table import Table

from pipelines import leases
from pipelines import settings as configuration
from pipelines.arguments import Commands, command
from pipelines.console import answer
from pipelines.paths import existing, log_path


def add(known: Commands) -> None:
    """Add the command to those that are known."""
    made = command(known, "topic", topic, "how far the Kafka topic has been taken into the log", "hindsight topic --again")
    made.add_argument(
        "--again",
        action="store_true",
        help="take it from its start again, after a loss that nothing can bring back: what is there already is a duplicate",
    )


def topic(asked: Namespace) -> int:
    """Print each partition; exit code 1 where the topic cannot be gone on with."""
    from pipelines.log import log_at
    from pipelines.log.intake import standing
    from pipelines.log.kafka import no_topic

    settings = configuration.load(asked.conf, lake_path=asked.lake)
    kafka, root = settings.kafka, existing(settings.lake.path)
    if not kafka.brokers:
        raise no_topic()
    with closing(log_at(log_path(root))) as log:
        if asked.again:
            with leases.hold_by_process(root, ["land"], "topic --again"):
                log.forget(kafka.topic)
        rows, error = standing(log, kafka)
    said: dict[str, Any] = {"topic": kafka.topic, "partitions": rows, "error": None if error is None else error.code}
    answer(asked, said, lambda: _table(kafka.topic, rows))
    if error is not None:
        raise error
    return 0


def _table(name: str, rows: list[dict[str, int]]) -> Table:
    table = Table(title=name, title_justify="left", header_style="bold")
    for column in ("partition", "first", "end", "taken", "waiting"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(*(f"{value:,}" for value in row.values()))
    return table
