"""Records of a Kafka topic into the log, each once.

The log stays what everything rests on: Kafka forgets by its retention, and cannot erase one person. How far the topic has been
taken is written in the transaction that appends the records, so a crash at any moment takes none twice and leaves none out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import groupby
from threading import Event
from time import monotonic
from typing import Any

from pipelines.errors import MachineError, StateError
from pipelines.log import Log
from pipelines.log.kafka import Asked, Bounds, Topic, failed, library, options, received
from pipelines.log.taken import Taking, refuse_another, refuse_lost
from pipelines.sections import Kafka

AT_ONCE = 20_000
"""The most records of one append."""
_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
"""Seconds before a broker that did not answer is asked again: at first, and at last."""
LOOK = 10.0
"""Seconds without a record after which the topic is looked at: records may come in partitions that were not there before."""


class Intake:
    """Takes a topic into a log. One at a time: the lease of `land` sees to it."""

    def __init__(self, log: Log, kafka: Kafka) -> None:
        self._log, self._kafka = log, kafka
        self._asked = Asked(kafka)
        self._consumer: Any = None
        self._topic: Topic | None = None
        self._reached: dict[int, int] = {}
        self._looked = monotonic()

    def check(self) -> Bounds:
        """What the topic holds. Raises what `Asked`, `refuse_another` and `refuse_lost` raise.

        Where it begins is noted before anything is taken: what ages out before the first record would be missed by nobody else.
        """
        found = self._same()
        self._grow(found)
        bounds = self._asked.bounds(found)
        before = self._log.taken(self._kafka.topic)
        known = before.next if before else {}
        # of a partition that has come since, all is to be taken
        new = {part: first if before is None else 0 for part, (first, _) in bounds.items() if part not in known}
        if before is not None:
            refuse_lost(self._kafka, bounds, replace(before, next=new | dict(known)))
        if new:
            self._log.pass_over(Taking(self._kafka.topic, found, {}, new))
        return bounds

    def catch_up(self, progress: Callable[[], None] = lambda: None) -> None:
        """Take what the topic holds now."""
        goal = {part: end for part, (first, end) in self.check().items() if end > first}
        while any(self._reached.get(part, 0) < end for part, end in goal.items()):
            self.take()
            progress()

    def run(self, stopping: Event) -> None:
        """Take what comes, until told to stop. A broker that does not answer is asked again, after growing pauses."""
        pause = _PAUSE
        while not stopping.is_set():
            try:
                self.take()
                pause = _PAUSE
            except MachineError as error:
                if error.code != "kafka_unreachable":
                    raise
                stopping.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    def take(self) -> int:
        """Take one batch; how many records, 0 where none came for a moment. Raises what `check` raises."""
        try:
            if self._consumer is None:
                self._open()
            return self._take(self._consumer.consume(AT_ONCE, timeout=self._log.wait))
        except BaseException as error:
            self.close()  # it has read on; the next one begins where the log ends
            if isinstance(error, library().KafkaException):
                raise failed(self._kafka, error) from error
            raise

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = self._topic = None

    def _take(self, messages: Sequence[Any]) -> int:
        records = [message for message in messages if message.error() is None]
        if records:
            # asked after they came: those of a topic that was made anew meanwhile are not taken for the old one's
            found = self._same()
            for claimed, run in groupby(records, key=lambda message: received(message) is not None):
                self._append(list(run), found, claimed=claimed)
            self._grow(found)
            self._looked = monotonic()
        elif monotonic() - self._looked > LOOK:
            with suppress(MachineError):  # a broker that went away is looked for by the consumer, which loses no time
                self._grow(self._same())
            self._looked = monotonic()
        end_of_partition, ends = library().KafkaError._PARTITION_EOF, dict[int, int]()
        for message in messages:
            if message.error() is None:
                self._reached[message.partition()] = message.offset() + 1
            elif message.error().code() == end_of_partition:
                self._reached[message.partition()] = ends[message.partition()] = message.offset()
            else:
                self.check()
                raise library().KafkaException(message.error())
        self._pass_over(ends)
        return len(records)

    def _pass_over(self, ends: Mapping[int, int]) -> None:
        """Note ends that lie beyond the last record: markers of transactions, and what was aborted, may age out without loss."""
        before = self._log.taken(self._kafka.topic)
        if before is not None and any(end > before.next.get(part, 0) for part, end in ends.items()):
            self._log.pass_over(Taking(self._kafka.topic, self._same(), {}, ends))

    def _same(self) -> Topic:
        """The topic, still the same."""
        found = self._asked.topic()
        before = self._log.taken(self._kafka.topic)
        if before is not None:
            refuse_another(self._kafka, found, before)
        return found

    def _grow(self, found: Topic) -> None:
        """Take from partitions that have come since, too. Only when all that was read is in the log: it goes on from there."""
        if self._topic is not None and found.partitions != self._topic.partitions:
            self._assign(found)

    def _open(self) -> None:
        self.check()
        self._consumer = library().Consumer(
            {
                **options(self._kafka),
                "group.id": "hindsight",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "error_cb": lambda _: None,
            }
        )
        self._assign(self._asked.topic())

    def _assign(self, found: Topic) -> None:
        """From where it was taken to; a partition that has come since, from its start."""
        before = self._log.taken(self._kafka.topic)
        start = dict.fromkeys(found.partitions, 0) | dict(before.next if before else {})
        self._consumer.assign([library().TopicPartition(self._kafka.topic, part, at) for part, at in start.items()])
        self._topic = found

    def _append(self, messages: Sequence[Any], found: Topic, *, claimed: bool) -> None:
        ends = {message.partition(): message.offset() + 1 for message in messages}
        starts = {message.partition(): message.offset() for message in reversed(messages)}
        times = [at for message in messages if (at := received(message)) is not None] if claimed else None
        taking = Taking(self._kafka.topic, found, starts, ends)
        self._log.append([message.value() or b"" for message in messages], times, taking)


def standing(log: Log, kafka: Kafka) -> tuple[list[dict[str, int]], StateError | None]:
    """By partition what the topic holds, how far it was taken, what waits; and why it cannot be gone on with, where it cannot."""
    asked, before = Asked(kafka), log.taken(kafka.topic)
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
