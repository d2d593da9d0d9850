"""A Kafka topic: how it is reached, what it holds, and what is sent to it."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import msgspec

from pipelines.errors import ConfigError, MachineError, StateError
from pipelines.extras import extra
from pipelines.log.receipt import BEYOND
from pipelines.secret import secret
from pipelines.sections import Kafka

PASSWORD = "SASL_PASSWORD"
RECEIVED = "received_at"
"""The header of history: when the record was received, as RFC 3339 has it."""
ANSWER = 10
"""Seconds within which a broker must answer."""
DELIVERY = 120
"""Seconds within which what was sent must be acknowledged."""
RETURN = 1000
"""The most milliseconds until a broker that went away is looked for again: librdkafka lets up to ten seconds pass."""
_BESIDE = re.compile(r"\w+://|/bootstrap(?=: )| \(after [^)]*\)")
"""What librdkafka says around a reason; a protocol's name in an address is none."""
_REFUSED = ("authenticat", "authoriz", "sasl", "certificate", "handshake failed")


@dataclass(frozen=True)
class Topic:
    """Which topic it is: of which cluster, under which id (a topic that is made anew has another), with which partitions."""

    cluster: str
    id: str
    partitions: tuple[int, ...]


Bounds = Mapping[int, tuple[int, int]]
"""By partition the offsets [first, end) that it holds."""


def library() -> ModuleType:
    """confluent_kafka, and its part `admin`, which it does not import itself. Raises MachineError `extra_missing`."""
    found = extra("confluent_kafka", "kafka")
    extra("confluent_kafka.admin", "kafka")
    return found


def received(message: Any) -> datetime | None:
    """When a message claims to have been received; None where it claims nothing that can be read."""
    said = dict(message.headers() or ()).get(RECEIVED)
    with suppress(ValueError):
        at = datetime.fromisoformat(said.decode()) if said else None
        return at if at is not None and at.tzinfo is not None and at.year < BEYOND else None
    return None


def options(kafka: Kafka) -> dict[str, Any]:
    """What every client is made with. Raises ConfigError `secret_in_conf` or `password_unreadable`."""
    stated = next((name for name in kafka.options if name.endswith("password")), None)
    if stated is not None:
        raise ConfigError(
            "secret_in_conf",
            f"kafka.options: {stated} is a secret; expected it in {PASSWORD} of the environment, or in the file kafka.password_file names.",
        )
    password = secret(PASSWORD, kafka.password_file, "kafka.password_file", "password_unreadable")
    secrets = {"sasl.password": password} if password else {}
    given = {"bootstrap.servers": kafka.brokers, "log_level": 0, "reconnect.backoff.max.ms": RETURN}
    return {**given, **kafka.options, **secrets}


def no_topic() -> ConfigError:
    return ConfigError(
        "no_topic",
        "kafka.brokers is not set; expected host:port of some brokers, in settings.toml or in HINDSIGHT_KAFKA_BROKERS of the environment.",
    )


class Asked:
    """A connection by which brokers are asked about the topic.

    All raise MachineError `kafka_unreachable`, ConfigError `kafka_refused` (credentials, rights, certificates) or
    `kafka_option_invalid`, StateError `topic_missing`.
    """

    def __init__(self, kafka: Kafka) -> None:
        self._kafka, self._told = kafka, list[str]()
        try:
            self._admin = library().admin.AdminClient({**options(kafka), "error_cb": lambda error: self._told.append(error.str())})
        except library().KafkaException as error:
            raise ConfigError(
                "kafka_option_invalid",
                f"kafka.options: {error.args[0].str()}; expected options of librdkafka, and files that are what they are said to be",
            ) from error

    def reach(self) -> None:
        """Hear from a broker, and nothing else."""
        with self._named():
            self._admin.list_topics(timeout=ANSWER)

    def topic(self) -> Topic:
        """Which topic it is now."""
        name = self._kafka.topic
        with self._named():
            known = self._admin.list_topics(timeout=ANSWER)
            if name not in known.topics:
                raise _missing(self._kafka, known.topics)
            described = self._admin.describe_topics(library().TopicCollection([name]), request_timeout=ANSWER)[name].result()
        parts = tuple(sorted(part.id for part in described.partitions))
        return Topic(str(known.cluster_id), str(described.topic_id), parts)

    def bounds(self, topic: Topic) -> Bounds:
        """What it holds now."""
        rd = library()
        first, end = rd.admin.OffsetSpec.earliest(), rd.admin.OffsetSpec.latest()
        with self._named():
            found = [self._offsets(topic, spec) for spec in (first, end)]
        return {part: (found[0][part], found[1][part]) for part in topic.partitions}

    def _offsets(self, topic: Topic, spec: Any) -> dict[int, int]:
        asked = {library().TopicPartition(self._kafka.topic, part): spec for part in topic.partitions}
        answers = self._admin.list_offsets(asked, request_timeout=ANSWER)
        return {place.partition: answer.result().offset for place, answer in answers.items()}

    @contextmanager
    def _named(self) -> Iterator[None]:
        self._told.clear()
        try:
            yield
        except library().KafkaException as error:
            self._admin.poll(0)  # why, it says only when it is asked
            raise failed(self._kafka, error, self._told) from error


def failed(kafka: Kafka, error: Any, told: Sequence[str] = ()) -> ConfigError | MachineError | StateError:
    """What librdkafka says, as an error that a person can act on."""
    reasons = list(dict.fromkeys(_BESIDE.sub("", one) for one in [error.args[0].str(), *told] if "brokers are down" not in one))
    said = "; ".join([*reasons[:1], *reasons[1:][-2:]])
    code = error.args[0].name()
    if code in ("UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "UNKNOWN_TOPIC_ID"):
        return _missing(kafka, {})
    # the last: before, it may have been another thing; that a connection was closed may follow why
    why = next((one for one in reversed(reasons) if "handshake" in one or ": Disconnected" not in one), "")
    if any(word in f"{code} {why}".lower() for word in _REFUSED):
        return ConfigError(
            "kafka_refused",
            f"{kafka.brokers}: the brokers do not let us in ({said}); expected what they want under kafka.options, such as "
            f"security.protocol, sasl.mechanism, sasl.username and ssl.ca.location, and the password in {PASSWORD}.",
        )
    if "ssl" not in kafka.options.get("security.protocol", "").lower() and _speaks_tls(kafka.brokers):
        return ConfigError(
            "kafka_refused",
            f"{kafka.brokers}: the brokers speak TLS there, and are asked without ({said}); expected security.protocol under "
            "kafka.options, SSL or SASL_SSL.",
        )
    return MachineError(
        "kafka_unreachable",
        f"{kafka.brokers}: no broker answers within {ANSWER} seconds ({said}). Is kafka.brokers right, and does one run there?",
    )


def _speaks_tls(brokers: str) -> bool:
    """Whether the first of some brokers does: one that is asked without only hangs up."""
    host, _, port = brokers.partition(",")[0].strip().rpartition(":")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # whether, not with whom
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=3) as at, context.wrap_socket(at):
            return True
    except (OSError, ValueError, OverflowError):
        return False


def _missing(kafka: Kafka, known: Mapping[str, Any]) -> StateError:
    there = sorted(name for name in known if not name.startswith("__"))
    others = f"there are {', '.join(there)}" if there else "there is none yet"
    return StateError(
        "topic_missing",
        f"{kafka.brokers}: no topic is called {kafka.topic!r}; {others}. Make it, or name another: kafka.topic of settings.toml.",
    )


class TopicLog:
    """Appends to a topic: what `EmbeddedLog` is to a producer on one machine. Durable at all in-sync replicas when it returns.

    Records of one request (else session, else subject) keep their order. History goes to partition 0, whose order keeps what
    was claimed. A send that no broker acknowledges raises, and may have been taken: sent again, it is a duplicate, counted once.
    """

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        Asked(kafka).topic()
        self._producer = library().Producer({
            **options(kafka), "acks": "all", "enable.idempotence": True, "linger.ms": 5, "delivery.timeout.ms": DELIVERY * 1000,
            "queue.buffering.max.messages": 1_000_000,
        })

    def append(self, payloads: Sequence[bytes], received_at: Sequence[datetime] | None = None) -> int:
        """Send records; how many. Raises MachineError `kafka_unreachable`, ConfigError `kafka_refused`."""
        errors: list[Any] = []
        for number, payload in enumerate(payloads):
            placed: dict[str, Any] = {"key": _key(payload)}
            if received_at is not None:
                placed = {"partition": 0, "headers": [(RECEIVED, received_at[number].isoformat().encode())]}
            while True:
                try:
                    self._producer.produce(self._kafka.topic, payload, on_delivery=lambda error, _: errors.append(error), **placed)
                    break
                except BufferError:  # its queue is full
                    self._producer.poll(0.1)
            self._producer.poll(0)
        self._producer.flush(DELIVERY + ANSWER)
        wrong = next(filter(None, errors), None)
        if wrong is not None:
            raise failed(self._kafka, library().KafkaException(wrong))
        return len(payloads)

    def assert_frontier(self, at: datetime) -> int:
        """Send the control event that says: everything known before `at` has been sent. Of history alone."""
        text = at.astimezone(UTC).isoformat().replace("+00:00", "Z")
        return self.append([msgspec.json.encode({"kind": "control", "action": "frontier", "at": text})], [at])

    def clock(self) -> tuple[datetime, bool]:
        """Nothing is known here of what was received before."""
        return datetime.fromtimestamp(0, UTC), False

    def close(self) -> None:
        self._producer.flush(DELIVERY)


class _Named(msgspec.Struct):
    request_id: str | None = None
    session: str | None = None
    subject: str | None = None


def _key(payload: bytes) -> bytes | None:
    """What a record is about; of one that cannot be read, nothing."""
    try:
        named = msgspec.json.decode(payload, type=_Named)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    about = named.request_id or named.session or named.subject
    return about.encode() if about else None

