"""A topic behind TLS and SASL is taken by settings alone; what is wrong with them is named, in bounded time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from pipelines import settings as configuration
from pipelines.cli import main
from pipelines.errors import HindsightError, MachineError
from pipelines.log import EmbeddedLog
from pipelines.log.intake import Intake
from pipelines.settings import Settings
from pipelines.sinks.changelog import Changelog, of_entry
from pipelines.sinks.ledger import Entry
from tests.kafka import PASSWORD, USER, Broker, broker, certify, messages

pytestmark = pytest.mark.places
LONGEST = 30
"""Seconds within which what is wrong must be named."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with broker(tmp_path_factory.mktemp("kafka"), secured=True) as found:
        admin = AdminClient({"bootstrap.servers": found.address, "log_level": 0})
        for one in admin.create_topics([NewTopic("events", 2)]).values():
            one.result()
        yield found


def settings(running: Broker, folder: Path, password: str = PASSWORD, port: int | None = None, **changed: Any) -> Settings:
    """Settings as a file has them; an option of None is left out."""
    options = {"security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-256", "sasl.username": USER}
    options |= {"ssl.ca.location": str(running.folder / "ca.pem")} | {name.replace("_", "."): value for name, value in changed.items()}
    lines = [f"{json.dumps(name)} = {json.dumps(value)}" for name, value in options.items() if value is not None]
    said = [f'brokers = "127.0.0.1:{port or running.secured}"', 'topic = "events"', f'password_file = "{folder / "password"}"']
    (folder / "password").write_text(password + "\n")
    (folder / "settings.toml").write_text("\n".join(["[kafka]", *said, "[kafka.options]", *lines]))
    return configuration.load(folder)


def refused(of: Settings, folder: Path) -> HindsightError:
    began = time.monotonic()
    with closing(EmbeddedLog(folder / "log.sqlite", durable=False)) as log, pytest.raises(HindsightError) as error:
        Intake(log, of.kafka).catch_up()
    assert time.monotonic() - began < LONGEST
    assert PASSWORD not in error.value.message
    return error.value


def test_a_topic_is_sent_to_and_taken_by_settings_alone(running: Broker, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    of = settings(running, tmp_path)
    (tmp_path / "events.ndjson").write_text("".join(f'{{"kind": "inference", "request_id": "r-{number}"}}\n' for number in range(50)))
    words = ["--conf", str(tmp_path), "--lake", str(tmp_path / "lake")]
    assert main(["import", str(tmp_path / "events.ndjson"), "--to", "kafka", *words]) == 0
    with closing(EmbeddedLog(tmp_path / "log.sqlite", durable=False)) as log, closing(Intake(log, of.kafka)) as intake:
        intake.catch_up()
        assert log.end() == 50
    Changelog(of.kafka, "alerts", of_entry).send([Entry({"incident": "i"}, {"state": "open"})])
    assert messages(running.address, "alerts") == [('{"incident": "i"}', '{"incident": "i", "state": "open"}')]
    assert PASSWORD not in "".join(capsys.readouterr())


def test_a_wrong_password_is_named(running: Broker, tmp_path: Path) -> None:
    error = refused(settings(running, tmp_path, password="guessed"), tmp_path)
    assert error.code == "kafka_refused", error.message
    assert "uthentication" in error.message
    assert "guessed" not in error.message


def test_a_missing_password_is_named(running: Broker, tmp_path: Path) -> None:
    error = refused(settings(running, tmp_path, password=""), tmp_path)
    assert error.code == "kafka_option_invalid", error.message
    assert "sasl.password" in error.message


def test_another_authority_is_named(running: Broker, tmp_path: Path) -> None:
    certify(tmp_path)
    error = refused(settings(running, tmp_path, ssl_ca_location=str(tmp_path / "ca.pem")), tmp_path)
    assert error.code == "kafka_refused", error.message
    assert "certificate verify failed" in error.message


def test_a_file_of_certificates_that_is_none_is_named(running: Broker, tmp_path: Path) -> None:
    error = refused(settings(running, tmp_path, ssl_ca_location=str(tmp_path / "none.pem")), tmp_path)
    assert error.code == "kafka_option_invalid", error.message
    assert "ssl.ca.location" in error.message


def test_plaintext_to_a_port_of_tls_is_named(running: Broker, tmp_path: Path) -> None:
    error = refused(settings(running, tmp_path, security_protocol=None, sasl_mechanism=None), tmp_path)
    assert error.code == "kafka_refused", error.message
    assert "speak TLS there, and are asked without" in error.message


def test_tls_to_a_port_of_plaintext_is_named(running: Broker, tmp_path: Path) -> None:
    error = refused(settings(running, tmp_path, port=running.port), tmp_path)
    assert error.code == "kafka_refused", error.message
    assert "SSL" in error.message


def test_an_option_that_is_none_is_named(running: Broker, tmp_path: Path) -> None:
    error = refused(settings(running, tmp_path, security_protcol="SSL"), tmp_path)
    assert error.code == "kafka_option_invalid", error.message
    assert "security.protcol" in error.message


def test_a_broker_that_dies_is_not_taken_for_one_that_refuses(running: Broker, tmp_path: Path) -> None:
    of = settings(running, tmp_path)
    with closing(EmbeddedLog(tmp_path / "log.sqlite", durable=False)) as log, closing(Intake(log, of.kafka)) as intake:
        intake.check()
        running.stop()
        with pytest.raises(MachineError) as error:
            intake.check()
        assert error.value.code == "kafka_unreachable", error.value.message
        running.start()
        intake.check()
