"""What librdkafka says, as errors: of a topic that is not reached, why."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import pytest
from confluent_kafka import KafkaError, KafkaException

from pipelines.log.kafka import failed, received
from pipelines.settings import Kafka

TRANSPORT = KafkaException(KafkaError(KafkaError._TRANSPORT, "Failed to get metadata: Local: Broker transport failure"))
AT = "sasl_ssl://127.0.0.1:1/bootstrap: "
REFUSED = f"{AT}Connect to ipv4#127.0.0.1:1 failed: Connection refused (after 0ms in state CONNECT)"
CLOSED = f"{AT}Disconnected: SSL connection closed by peer (after 5ms in state UP)"


@pytest.mark.parametrize(
    ("told", "code", "said"),
    [
        ([REFUSED, "1/1 brokers are down"], "kafka_unreachable", "Connection refused"),
        ([f"{AT}SASL authentication error: Authentication failed (after 361ms in state AUTH_REQ)", "1/1 brokers are down"],
         "kafka_refused", "Authentication failed"),
        ([f"{AT}SSL handshake failed: certificate verify failed (after 7ms in state SSL_HANDSHAKE)"], "kafka_refused", "certificate"),
        ([f"{AT}SSL handshake failed: connecting to a PLAINTEXT broker listener? (after 9ms in state SSL_HANDSHAKE)"],
         "kafka_refused", "PLAINTEXT"),
        ([f"{AT}SASL PLAIN mechanism handshake failed: Broker: Unsupported SASL mechanism"], "kafka_refused", "mechanism"),
        (["sasl_ssl://nosuch.invalid:9092/bootstrap: Failed to resolve 'nosuch.invalid:9092'"], "kafka_unreachable", "Failed to resolve"),
        ([CLOSED], "kafka_unreachable", "closed by peer"),
        ([f"{AT}SASL authentication error: not yet", CLOSED, REFUSED], "kafka_unreachable", "Connection refused"),
    ],
)  # fmt: skip
def test_a_broker_that_refuses_is_told_from_one_that_is_not_there(told: list[str], code: str, said: str) -> None:
    kafka = Kafka(brokers="127.0.0.1:1", topic="t", options={"security.protocol": "SASL_SSL"}, password_file="")
    error = failed(kafka, TRANSPORT, told)
    assert error.code == code
    assert said in error.message
    assert "(after" not in error.message


def test_a_process_that_imports_nothing_of_kafka_before_can_ask_about_a_topic() -> None:
    asks = "from pipelines.log.kafka import Asked, Kafka; Asked(Kafka('127.0.0.1:1', 'topic', {}, ''))"
    done = subprocess.run([sys.executable, "-c", asks], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


class Message:
    """A message of the consumer, of which only the headers are asked."""

    def __init__(self, *said: bytes | None) -> None:
        self.said = said

    def headers(self) -> list[tuple[str, bytes | None]]:
        return [("received_at", one) for one in self.said]


@pytest.mark.parametrize(
    "said",
    [None, b"", b"yesterday", b"\xff", b"2026-03-01T10:00:00", b"9999-12-31T23:00:00Z", b"9999-12-31T23:00:00-12:00"],
)
def test_a_header_that_claims_nothing_that_can_be_believed_claims_nothing(said: bytes | None) -> None:
    assert received(Message(said)) is None
    assert received(Message(b"2026-03-01T10:00:00Z", said)) is None
    assert received(Message(said, b"2026-03-01T10:00:00Z")) == datetime(2026, 3, 1, 10, tzinfo=UTC)
