"""How far a Kafka topic has been taken into a log: a row per partition, in the log's own file, and what no longer fits to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pipelines.errors import StateError
from pipelines.log.block import checksum, unreadable
from pipelines.log.kafka import Asked, Bounds, Topic
from pipelines.log.sound import opened
from pipelines.sections import Kafka

_SCHEMA = """
CREATE TABLE IF NOT EXISTS taken (
  topic TEXT NOT NULL, partition INTEGER NOT NULL, cluster TEXT NOT NULL, id TEXT NOT NULL, next INTEGER NOT NULL,
  checksum INTEGER NOT NULL, PRIMARY KEY (topic, partition)
)
"""


@dataclass(frozen=True)
class Taken:
    """How far a topic has been taken: of which cluster, under which id, and the next offset by partition."""

    cluster: str
    id: str
    next: Mapping[int, int]


def taken(path: Path, topic: str) -> Taken | None:
    """What the log says of a topic; None before the first record of it. Raises StateError `log_unreadable`."""
    with closing(opened(path)) as db:
        try:
            rows = db.execute("SELECT topic, partition, cluster, id, next, checksum FROM taken WHERE topic = ?", (topic,)).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return None
            raise
    if any(checksum(*row[:-1]) != row[-1] for row in rows):
        raise unreadable(str(path), f"how far the topic {topic} was taken does not match its checksum")
    return Taken(rows[0][2], rows[0][3], {row[1]: row[4] for row in rows}) if rows else None


def note(db: sqlite3.Connection, name: str, topic: Topic, ends: Mapping[int, int]) -> None:
    """State how far partitions of a topic have been taken, in the transaction that is open."""
    db.execute(_SCHEMA)
    for part, end in ends.items():
        row = (name, part, topic.cluster, topic.id, end)
        db.execute("INSERT OR REPLACE INTO taken VALUES (?, ?, ?, ?, ?, ?)", (*row, checksum(*row)))


def forget(path: Path, topic: str) -> None:
    """Take a topic from its start again: what is in the log already is a duplicate then, and counts once."""
    with closing(opened(path, "rw")) as db:
        db.execute(_SCHEMA)
        db.execute("DELETE FROM taken WHERE topic = ?", (topic,))


def standing(path: Path, kafka: Kafka) -> tuple[list[dict[str, int]], StateError | None]:
    """By partition what the topic holds, how far it was taken, what waits; and why it cannot be gone on with, where it cannot."""
    asked, before = Asked(kafka), taken(path, kafka.topic)
    found = asked.topic()
    bounds, reached, lost = asked.bounds(found), before.next if before else {}, None
    try:
        if before is not None:
            refuse_another(kafka, found, before)
            refuse_lost(kafka, bounds, before)
    except StateError as error:
        lost = error
    rows = []
    for part, (first, end) in bounds.items():
        reach = reached.get(part, first)
        rows.append({"partition": part, "first": first, "end": end, "taken": reach, "waiting": max(0, end - reach)})
    return rows, lost


def refuse_another(kafka: Kafka, found: Topic, before: Taken) -> None:
    """Raises StateError `kafka_other_cluster` or `topic_recreated` where a topic is not the one that was taken so far."""
    if found.cluster != before.cluster:
        what = f"of the cluster {before.cluster}; this is the cluster {found.cluster}. Is kafka.brokers right?"
        raise _lost("kafka_other_cluster", kafka, before, what)
    if found.id != before.id:
        what = f"of a topic with the id {before.id}, which was deleted since; this is another, {found.id}."
        raise _lost("topic_recreated", kafka, before, what)


def refuse_lost(kafka: Kafka, bounds: Bounds, before: Taken) -> None:
    """Raises StateError `offsets_aged_out` or `offsets_gone` where a topic no longer holds what comes next."""
    for part, reach in sorted(before.next.items()):
        first, end = bounds.get(part, (0, 0))
        if reach < first:
            what = f"and offsets {reach:,} to {first - 1:,} of partition {part} have gone by its retention, without having been taken."
            raise _lost("offsets_aged_out", kafka, before, what)
        if reach > end:
            what = f"but offsets {end:,} to {reach - 1:,} of partition {part} are no longer there: it ends at {end:,}."
            raise _lost("offsets_gone", kafka, before, what)


def _lost(code: str, kafka: Kafka, before: Taken, what: str) -> StateError:
    reached = ", ".join(f"{part}: {end:,}" for part, end in sorted(before.next.items()))
    return StateError(
        code,
        f"{kafka.brokers}, topic {kafka.topic!r}: taken so far up to (partition: offset) {reached}, {what} If nothing can bring back "
        "what is missing, go on with what is there: hindsight topic --again",
    )
