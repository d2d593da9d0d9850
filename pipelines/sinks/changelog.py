"""A Kafka topic as a changelog: each revision a message, keyed by what it is about, so a compacted topic keeps the newest of each.

At least once, in order for each key; what is sent again is the same message.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pipelines.errors import MachineError
from pipelines.log.kafka import DELIVERY, failed, library, options
from pipelines.moments import rfc3339
from pipelines.settings import Kafka
from pipelines.sinks.revisions import Revision


class Changelog:
    """Over the brokers of the settings."""

    def __init__(self, kafka: Kafka, topic: str) -> None:
        self._kafka, self._topic = kafka, topic
        self._producer: Any = None

    def send(self, revisions: Sequence[Revision]) -> int:
        """Until all in-sync replicas have them. Raises MachineError `kafka_unreachable`, ConfigError `kafka_refused`."""
        if self._producer is None:
            self._producer = library().Producer({
                **options(self._kafka), "acks": "all", "enable.idempotence": True, "delivery.timeout.ms": DELIVERY * 1000,
                "error_cb": lambda _: None,
            })
        errors: list[Any] = []
        for one in revisions:
            about, said = message(one)
            self._producer.produce(self._topic, said, about, on_delivery=lambda error, _: errors.append(error))
            self._producer.poll(0)
        left = self._producer.flush(DELIVERY)
        wrong = next(filter(None, errors), None)
        if wrong is not None:
            raise failed(self._kafka, library().KafkaException(wrong))
        if left:
            raise MachineError("kafka_unreachable", f"{self._kafka.brokers}: {left} messages are not acknowledged")
        return 0


def message(one: Revision) -> tuple[bytes, bytes]:
    """Key and value, both JSON."""
    about = {
        **{"model": one.model, "label": one.label, "version": one.version, "segment": one.segment},
        **{"every_seconds": int(one.every.total_seconds()), "start": rfc3339(one.start), "metric": one.name, "of": one.of},
    }
    said = {
        **{"value": one.value, "low": one.low, "high": one.high, "count": one.count, "final": one.final},
        **{"definition": one.definition, "as_of": rfc3339(one.as_of), "revision": one.version_at},
    }
    return json.dumps(about, sort_keys=True).encode(), json.dumps({**about, **said}).encode()
