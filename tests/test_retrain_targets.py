"""Targets elsewhere: what each is told, that it is told the same again, and what becomes of a refusal."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import ConfigError, MachineError
from pipelines.retrain.declared import Retrain
from pipelines.retrain.targets import TARGETS, TOKEN
from tests.test_sinks_refused import answering

ORDER = {"trigger_id": "t1", "attempt": "1", "run_id": "r1", "model": "m", "release": "m/late/1"}


@dataclass
class Server:
    """What was asked of it, and how it answers."""

    url: str = ""
    status: int = 200
    asked: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found.asked.append((self.path, dict(self.headers), body))
            self.send_response(found.status)
            self.end_headers()
            self.wfile.write(b'{"run_id": 7}')

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{listening.server_address[1]}"
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    yield found
    listening.shutdown()
    thread.join()
    listening.server_close()


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, "secret")


def test_databricks_gets_a_token_that_makes_a_second_order_none(server: Server) -> None:
    retrain = Retrain("databricks", url=f"{server.url}/", job="12")
    for _ in range(2):
        TARGETS["databricks"](retrain, ORDER)
    (path, headers, body), again = server.asked
    assert (path, headers["Authorization"]) == ("/api/2.1/jobs/run-now", "Bearer secret")
    assert body == {"job_id": 12, "idempotency_token": "t1-1", "job_parameters": ORDER}
    assert again[2] == body


def test_airflow_gets_a_run_named_after_the_trigger_and_has_it_once(server: Server) -> None:
    retrain = Retrain("airflow", url=server.url, dag="train")
    TARGETS["airflow"](retrain, ORDER)
    server.status = 409
    TARGETS["airflow"](retrain, ORDER)
    path, _, body = server.asked[0]
    assert (path, body["dag_run_id"], body["conf"]) == ("/api/v2/dags/train/dagRuns", "t1-1", ORDER)


def test_a_webhook_gets_the_order_under_a_key(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN)
    (tmp_path / "token").write_text("from a file\n")
    TARGETS["webhook"](Retrain("webhook", url=f"{server.url}/hook", token_file=str(tmp_path / "token")), ORDER)
    ((path, headers, body),) = server.asked
    assert (path, headers["Idempotency-Key"], headers["Authorization"], body) == ("/hook", "t1-1", "Bearer from a file", ORDER)


@pytest.mark.parametrize("target", ["databricks", "airflow", "webhook"])
def test_a_refusal_is_told(server: Server, target: str) -> None:
    server.status = 503
    with pytest.raises(MachineError) as refused:
        TARGETS[target](Retrain(target, url=server.url, job="1", dag="d"), ORDER)
    assert refused.value.code == "target_refused"
    assert "503" in refused.value.message


def test_a_redirection_is_no_acknowledgement_and_gets_no_secret() -> None:
    with answering(lambda _, method: (302 if method == "POST" else 200, {"Location": "/elsewhere"}, b"")) as (url, asked):
        with pytest.raises(MachineError) as refused:
            TARGETS["webhook"](Retrain("webhook", url=url), ORDER)
        assert asked == ["POST"]
    assert refused.value.code == "target_refused"


def test_a_target_that_is_not_there_is_told() -> None:
    with pytest.raises(MachineError) as refused:
        TARGETS["webhook"](Retrain("webhook", url="http://127.0.0.1:9"), ORDER)
    assert refused.value.code == "target_refused"


def test_a_secret_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN)
    with pytest.raises(ConfigError) as refused:
        TARGETS["webhook"](Retrain("webhook", url="http://127.0.0.1:9", token_file=str(tmp_path / "none")), ORDER)
    assert refused.value.code == "token_unreadable"


def test_without_its_library_a_topic_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(MachineError) as refused:
        TARGETS["kafka"](Retrain("kafka", url="broker:9092", topic="train"), ORDER)
    assert refused.value.code == "extra_missing"
    assert "hindsight-lakehouse[kafka]" in refused.value.message
