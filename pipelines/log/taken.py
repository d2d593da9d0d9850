"""How far a Kafka topic has been taken into a log, and what no longer fits to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.errors import StateError
from pipelines.log.kafka import Bounds, Topic
from pipelines.sections import Kafka


@dataclass(frozen=True)
class Taken:
    """How far a topic has been taken: of which cluster, under which id, and the next offset by partition."""

    topic: str
    cluster: str
    id: str
    next: Mapping[int, int]


@dataclass(frozen=True)
class Taking:
    """What an append takes of a topic: by partition, from its lowest offset `first` up to `next`; without `first`, no record of it."""

    topic: str
    found: Topic
    first: Mapping[int, int]
    next: Mapping[int, int]

    def after(self, before: Taken | None) -> Taken:
        """How far the topic has been taken then. Raises StateError `topic_taken` where another took some of it meanwhile."""
        reached = dict(before.next) if before is not None else {}
        twice = [part for part, at in sorted(self.first.items()) if at < reached.get(part, 0)]
        if twice:
            raise StateError(
                "topic_taken",
                f"topic {self.topic!r}, partition {twice[0]}: offsets {self.first[twice[0]]:,} to {reached[twice[0]] - 1:,} are in the log "
                "by now, which another process has taken. One at a time: let one application run the job land.",
            )
        further = {part: max(at, reached.get(part, 0)) for part, at in self.next.items()}
        return Taken(self.topic, self.found.cluster, self.found.id, reached | further)


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
    held = {part: (reach, *bounds.get(part, (0, 0))) for part, reach in sorted(before.next.items())}
    aged = {part: (reach, first) for part, (reach, first, _) in held.items() if reach < first}
    if aged:
        what = f"and {_ranges(aged)} have gone by its retention, without having been taken."
        raise _lost("offsets_aged_out", kafka, before, what)
    gone = {part: (end, reach) for part, (reach, _, end) in held.items() if reach > end}
    if gone:
        ends = ", ".join(f"{end:,}" for end, _ in gone.values())
        what = f"but {_ranges(gone)} are no longer there: it ends at {ends}."
        raise _lost("offsets_gone", kafka, before, what)


def _ranges(missing: Mapping[int, tuple[int, int]]) -> str:
    return ", ".join(f"offsets {start:,} to {end - 1:,} of partition {part}" for part, (start, end) in missing.items())


def _lost(code: str, kafka: Kafka, before: Taken, what: str) -> StateError:
    reached = ", ".join(f"{part}: {end:,}" for part, end in sorted(before.next.items()))
    return StateError(
        code,
        f"{kafka.brokers}, topic {kafka.topic!r}: taken so far up to (partition: offset) {reached}, {what} If nothing can bring back "
        "what is missing, go on with what is there: hindsight topic --again",
    )
