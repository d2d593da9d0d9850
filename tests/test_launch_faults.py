"""Exactly one run per trigger: two hundred of them, fifty launchers killed, and a third of the tracking server's answers spoilt."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pipelines.extras import extra
from pipelines.lake import Lake
from pipelines.retrain.ledger import histories
from pipelines.retrain.tables import RETRAININGS
from pipelines.retrain.tracking import ATTEMPT, CHAMPION, TRIGGER
from pipelines.watch.tables import TRIGGERS
from tests.frames import at
from tests.proxy import spoiling
from tests.retraining import fill, model_file, trigger

pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}") for kind in ("DeprecationWarning", "FutureWarning", "UserWarning")]
PROJECT = Path(__file__).parent / "project"
DELAY = 1.5
"""Seconds by which an answer is late; the launcher waits one."""


@contextmanager
def tracking_server(folder: Path, port: int = 0) -> Iterator[int]:
    """A real tracking server on a port of this machine; killed in the end."""
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", port))
        port = int(free.getsockname()[1])
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'served.db'}", "--default-artifact-root", str(folder / "artifacts")]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "server.log").open("ab") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, env=environment)
        try:
            _wait_for(f"http://127.0.0.1:{port}/health", server)
            yield port
        finally:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert server.poll() is None, "the tracking server ended"
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the tracking server did not come up")


@contextmanager
def trainer(port: int) -> Iterator[tuple[str, Counter[str]]]:
    """Takes orders over HTTP and finishes their runs at once, without a model; how often each order came."""
    orders: Counter[str] = Counter()
    client = extra("mlflow").MlflowClient(f"http://127.0.0.1:{port}")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            order = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            orders[self.headers["Idempotency-Key"]] += 1
            client.set_terminated(order["run_id"], "FINISHED")
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.server_address[1]}", orders
    listening.shutdown()
    thread.join()
    listening.server_close()


def launchers(root: Path, models: Path, kills: int, seed: int, uri: str) -> subprocess.Popen[str]:
    """Launchers one after the other: so many are killed, at any point; then one comes through."""
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": uri,
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "1",
        "PYTHONWARNINGS": "ignore",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    }
    command = [sys.executable, "-m", "tests.launchers", str(root), str(models), f"{kills}:{seed}"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)


def killed_launchers(*given: Any) -> None:
    """Until the last of them has come through."""
    with launchers(*given) as done:
        _, told = done.communicate()
    assert done.returncode == 0, told[-3000:]


def one_run_each(tmp_path: Path, count: int, kills: int, seed: int) -> None:
    root, models = tmp_path / "lake", tmp_path / "models"
    lake = Lake(root)
    with tracking_server(tmp_path) as port, trainer(port) as (url, orders), spoiling(port, share=0.3, delay=DELAY, seed=seed) as proxy:
        model_file(models, f'target = "webhook"\nurl = "{url}"')
        fill(lake, TRIGGERS, [trigger(f"t{i:03d}", known_at=at(i)) for i in range(count)])
        killed_launchers(root, models, kills, seed, proxy.url)
        time.sleep(DELAY)  # what is late arrives, and the next launcher sweeps it
        killed_launchers(root, models, 0, seed, proxy.url)
        client = extra("mlflow").MlflowClient(f"http://127.0.0.1:{port}")
        (experiment,) = [one for one in client.search_experiments() if one.name == "loop"]
        alive = client.search_runs([experiment.experiment_id], max_results=5000)
        every = client.search_runs([experiment.experiment_id], run_view_type=3, max_results=5000)
    known = histories(lake)
    told = f"{len(every) - len(alive)} runs deleted, orders {dict(Counter(orders.values()))}"
    print(f"\n{count} triggers, {kills} launchers killed, {dict(proxy.done)}; {told}")
    assert Counter(run.data.tags[TRIGGER] for run in alive) == Counter({f"t{i:03d}": 1 for i in range(count)})
    assert all(run.data.tags[ATTEMPT] == "1" for run in alive)
    assert {name: [row["step"] for row in steps] for name, steps in known.items()} == {
        f"t{i:03d}": ["claimed", "released", "started", "failed"] for i in range(count)
    }
    assert {steps[2]["run_id"] for steps in known.values()} == {run.info.run_id for run in alive}
    assert lake.read(RETRAININGS).num_rows == 4 * count
    assert orders.keys() == {f"t{i:03d}-1" for i in range(count)}


@pytest.mark.long
@pytest.mark.parametrize("part", range(5))
def test_two_hundred_triggers_fifty_crashes_a_third_of_the_answers_spoilt(tmp_path: Path, part: int) -> None:
    one_run_each(tmp_path, 40, 10, part)


@pytest.mark.long
@pytest.mark.parametrize("seconds", [0, 3, 6])
def test_a_tracking_server_that_dies_under_a_training_leaves_one_run(tmp_path: Path, seconds: int) -> None:
    root, models = tmp_path / "lake", tmp_path / "models"
    model_file(models, f'project = "{PROJECT}"')
    fill(Lake(root), TRIGGERS, [trigger()])
    with tracking_server(tmp_path) as port:
        launching = launchers(root, models, 0, 1, f"http://127.0.0.1:{port}")
        wait_until(lambda: [*(root / "_mlflow" / "runs").glob("*.pid")])
        time.sleep(seconds)
    time.sleep(2)  # nobody answers
    with tracking_server(tmp_path, port):
        with launching:
            _, told = launching.communicate(timeout=170)
        assert launching.returncode == 0, told[-3000:]
        client = extra("mlflow").MlflowClient(f"http://127.0.0.1:{port}")
        (experiment,) = [one for one in client.search_experiments() if one.name == "loop"]
        (run,) = client.search_runs([experiment.experiment_id], run_view_type=3)
        (version,) = client.search_model_versions("name = 'm'")
        champion = client.get_model_version_by_alias("m", CHAMPION).version
    (steps,) = histories(Lake(root)).values()
    print(f"\ndied {seconds} s after the training began: {[row['step'] for row in steps]}, run {run.info.status}")
    assert [row["step"] for row in steps] == ["claimed", "released", "started", "trained", "judged", "promoted"]
    assert (steps[-1]["run_id"], steps[-1]["version"], champion) == (run.info.run_id, version.version, version.version)


def wait_until(holds: Callable[[], Any]) -> None:
    for _ in range(1200):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come to that")
