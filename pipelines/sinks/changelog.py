"""A Kafka topic as a changelog of metrics, or of a ledger: each message says all that stands about its key.

At least once, in order for each key; the key is what the message is about, so that what is sent again takes its own place, and a
compacted topic keeps the newest of each. What does not stand any more is a message without a value.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from pipelines.errors import MachineError
from pipelines.log.kafka import Asked, failed, library, options
from pipelines.moments import rfc3339
from pipelines.sections import Kafka
from pipelines.sinks.ledger import Entry
from pipelines.sinks.post import TIMEOUT
from pipelines.sinks.revisions import Revision

Message = tuple[bytes, bytes | None]
"""Key and value, both JSON."""


class Changelog:
    """A topic of the brokers of the settings; `spelled` makes messages of what it is told."""

    def __init__(self, kafka: Kafka, topic: str, spelled: Callable[[Any], Message]) -> None:
        self._kafka, self._spelled = replace(kafka, topic=topic), spelled
        self._producer: Any = None

    def send(self, revisions: Sequence[Any]) -> Sequence[str]:
        """Until all in-sync replicas have them. Raises MachineError `kafka_unreachable`, ConfigError `kafka_refused`."""
        if self._producer is None:
            Asked(self._kafka).reach()
            self._producer = library().Producer({
                **options(self._kafka), "acks": "all", "enable.idempotence": True, "delivery.timeout.ms": TIMEOUT * 1000,
                "error_cb": lambda _: None,
            })
        try:
            self._send(revisions)
        except BaseException:
            self._producer = None  # one that has failed may never do again; what it still holds is told anew
            raise
        return ()

    def _send(self, revisions: Sequence[Any]) -> None:
        errors: list[Any] = []
        for one in revisions:
            self._produce(*self._spelled(one), errors)
        left = self._producer.flush(TIMEOUT + 5)
        wrong = next(filter(None, errors), None)
        if wrong is not None:
            raise failed(self._kafka, library().KafkaException(wrong))
        if left:
            raise MachineError("kafka_unreachable", f"{self._kafka.brokers}: {left} messages are not acknowledged")

    def _produce(self, key: bytes, value: bytes | None, errors: list[Any]) -> None:
        while True:
            try:
                self._producer.produce(self._kafka.topic, value, key, on_delivery=lambda error, _: errors.append(error))
                break
            except BufferError:  # its queue is full
                self._producer.poll(0.1)
        self._producer.poll(0)


def of_revision(one: Revision) -> Message:
    """A metric of a window and group."""
    about = {
        **{"model": one.model, "label": one.label, "version": one.version, "segment": one.segment},
        **{"every_seconds": int(one.every.total_seconds()), "start": rfc3339(one.start), "metric": one.name, "of": one.of},
    }
    said = {
        **{"value": one.value, "low": one.low, "high": one.high, "count": one.count, "final": one.final},
        **{"definition": one.definition, "as_of": rfc3339(one.as_of), "revision": one.version_at},
    }
    return _message(about, said)


def of_entry(one: Entry) -> Message:
    """What stands of a thing that a ledger tells of."""
    return _message(one.about, one.said)


def _message(about: dict[str, Any], said: dict[str, Any] | None) -> Message:
    return json.dumps(about, sort_keys=True).encode(), None if said is None else json.dumps({**about, **said}).encode()
