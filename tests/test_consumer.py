"""A training job outside: it follows releases by asking or by messages, trains from each once, and needs no Spark."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import joblib
import pyarrow as pa
import pytest

from pipelines.dataset import inputs, load, releases
from pipelines.dataset.erased import succeed
from pipelines.dataset.manifest import Manifest
from pipelines.dataset.release import release
from pipelines.dataset.spec import spec_of
from pipelines.dataset.tables import RELEASED
from pipelines.erasure.rewrite import drop
from pipelines.lake import Lake
from pipelines.retrain import consumer
from pipelines.retrain.launch import Loop, turn
from pipelines.retrain.tables import RETRAININGS
from pipelines.retrain.tracking import Tracking
from pipelines.watch.tables import TRIGGERS
from tests.examples import DAY, FRONTIER, example, lake_with
from tests.kafka import broker, messages
from tests.retraining import fill, model_file, steps, trigger

pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}") for kind in ("DeprecationWarning", "FutureWarning", "UserWarning")]
SPARK = "sys.exit('pyspark' in sys.modules and 'mlflow' not in sys.modules)"
"""Ends with 1 where Spark was imported; MLflow does that by itself, where there is one."""
Follow = Callable[[str], list[str]]
DIE = "os.kill(os.getpid(), 9)"
"""What a job does that is killed."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return lake_with(tmp_path / "lake", [example(number) for number in range(100)])


def cut(root: Path, **said: Any) -> Manifest:
    split = {"split": ["time"], "shares": [0.6, 0.2, 0.2]}
    return release(root, spec_of("m", "late", {**split, **said}, "test"))


def job(tmp_path: Path, *words: str, instead: str = "pass", **environment: str) -> subprocess.CompletedProcess[str]:
    """The job as a process of its own, which ends when nothing is left to do; `instead`: what is done before, to break it."""
    script = f"import os, sys; from pipelines.retrain import consumer; {instead}; consumer.main(); {SPARK}"
    said = ["--lake", str(tmp_path / "lake"), "--state", str(tmp_path / "state"), "--once", *words]
    known = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    known |= {"MLFLOW_DISABLE_TELEMETRY": "true", **environment}
    return subprocess.run([sys.executable, "-c", script, *said], check=False, capture_output=True, text=True, env=known, cwd=tmp_path)


def trained(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The releases that a job has trained from, in its order."""
    assert done.returncode == 0, done.stderr[-3000:]
    return told(done.stderr)


def told(said: str) -> list[str]:
    return [line.split()[2].rstrip(":") for line in said.splitlines() if line.startswith("trained from")]


@pytest.fixture
def follow(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Follow:
    """Follow a label in this process, which has imported already what takes seconds; the releases that were trained from."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def following(label: str) -> list[str]:
        capsys.readouterr()
        consumer.main(["--lake", str(tmp_path / "lake"), "--state", str(tmp_path / "state"), "--once", "--follow", label])
        return told(capsys.readouterr().err)

    return following


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--follow", "m/late"], "no_lake"), (["--brokers", "127.0.0.1:1", "--topic", "orders"], "127.0.0.1:1: ")],
    ids=["no lake", "no broker"],
)
def test_what_is_not_there_ends_it_in_a_line(tmp_path: Path, words: list[str], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer, "PATIENCE", 1)
    with pytest.raises(SystemExit, match=said) as ended:
        consumer.main(["--lake", str(tmp_path / "lake"), "--state", str(tmp_path / "state"), "--once", *words])
    assert "\n" not in str(ended.value)


def test_of_hindsight_it_imports_the_datasets_alone() -> None:
    tree = ast.parse(Path(consumer.__file__).read_text())
    named = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    named |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert {name for name in named if name and name.startswith(("pipelines", "pyspark", "tests"))} == {"pipelines.dataset"}


def test_each_release_is_trained_from_once_and_without_spark(root: Path, tmp_path: Path, follow: Follow) -> None:
    first = cut(root)
    assert trained(job(tmp_path, "--follow", "m/late")) == [first.name]
    second = cut(root, basis=["answered"])
    assert follow("m/late") == [second.name]
    assert follow("m/late") == []
    place = tmp_path / "state" / second.digest
    kept = json.loads((place / "told.json").read_text())
    assert (kept["release"], kept["rows"]) == (second.name, second.splits["train"])
    rows = load(root, second.name, split="validation")
    assert joblib.load(place / "model.joblib").predict_proba(inputs(rows)).shape == (second.splits["validation"], 2)


def test_weights_count() -> None:
    columns = {"distance": [1.0] * 100, "carrier": ["UA", "UA", None, None] * 25}
    rows = pa.table({"label": [0.0, 1.0] * 50, **columns, "weight": [1.0, 9.0] * 50})
    even = rows.set_column(3, "weight", pa.array([1.0] * 100))
    said = [consumer.fit(one).predict_proba(inputs(one))[:, 1].mean() for one in (rows, even)]
    assert said[0] > said[1] + 0.1


def test_what_an_erasure_leaves_of_a_release_is_trained_from_anew(root: Path, follow: Follow) -> None:
    first = cut(root)
    assert follow("m/late") == [first.name]
    drop(root, RELEASED, pa.array([3], pa.int64()))
    (heir,) = succeed(Lake(root), 4711)
    assert [one.name for one in releases(root)] == [heir.name]
    assert follow("m/late") == [heir.name]


def test_of_another_label_or_an_empty_lake_there_is_nothing_to_follow(root: Path, follow: Follow) -> None:
    assert releases(root) == []
    cut(root)
    assert (len(releases(root)), releases(root, "m", "kind")) == (1, [])
    assert follow("m/kind") == []


def test_a_job_that_is_killed_goes_on_in_the_same_run(root: Path, tmp_path: Path) -> None:
    mlflow = f"sqlite:///{tmp_path / 'mlflow.db'}"
    first, follow = cut(root), ("--follow", "m/late")
    killed = job(tmp_path, *follow, instead=f"consumer.loss = lambda *_: {DIE}", MLFLOW_TRACKING_URI=mlflow)
    assert killed.returncode == -signal.SIGKILL
    assert [path.suffix for path in (tmp_path / "state").iterdir()] == [".tmp"]
    assert trained(job(tmp_path, *follow, MLFLOW_TRACKING_URI=mlflow)) == [first.name]
    assert [path.name for path in (tmp_path / "state").iterdir()] == [first.digest]
    client = Tracking(root).client.__class__(mlflow)
    (run,) = client.search_runs([client.get_experiment_by_name("m/late").experiment_id])
    assert (run.info.status, run.data.params["release"]) == ("FINISHED", first.name)
    assert run.data.metrics["validation_log_loss"] > 0


# told by Kafka


@pytest.mark.parametrize("said", [b"", b"\xff{", b"[]", b'{"release": "m/late/1"}', b'{"release": 1, "digest": 2, "run_id": 3}'])
def test_a_message_that_orders_nothing_is_none(said: bytes) -> None:
    assert consumer._order(said) is None


def launcher(root: Path, address: str) -> Loop:
    """A launcher that orders training over a topic, and releases what there is."""
    definition = model_file(root.parent / "models", f'target = "kafka"\nurl = "{address}"\ntopic = "orders"')
    rows = [example(number, definition, served_at=FRONTIER - DAY - timedelta(minutes=number)) for number in range(400)]
    lake_with(root, rows, [definition])
    lake = Lake(root)
    lake.create(RETRAININGS)
    fill(lake, TRIGGERS, [trigger(known_at=FRONTIER)])
    held_out = load  # of the release's test split
    return Loop(lake, root.parent / "models", [definition], Tracking(root), lambda *_: cut(root), lambda name: held_out(root, name, "test"))


@pytest.mark.places
def test_an_order_is_trained_once_though_it_comes_twice_and_the_job_is_killed(tmp_path: Path) -> None:
    from confluent_kafka import Producer

    (tmp_path / "kafka").mkdir()
    with broker(tmp_path / "kafka") as running:
        loop = launcher(tmp_path / "lake", running.address)
        assert list(steps(turn(loop))) == ["claimed", "released", "started"]
        told = ("--brokers", running.address, "--topic", "orders")
        broken = f"register = consumer._register; consumer._register = lambda *given: (register(*given), {DIE})"
        assert job(tmp_path, *told, instead=broken).returncode == -signal.SIGKILL
        ((key, order),) = messages(running.address, "orders")
        assert trained(job(tmp_path, *told)) == ["m/late/1"]
        producer = Producer({"bootstrap.servers": running.address})
        producer.produce("orders", b"no order")
        producer.produce("orders", order.encode(), key.encode())
        producer.flush(10)
        passed = job(tmp_path, *told)
        assert trained(passed) == []
        assert "offset 1: no order, passed over" in passed.stderr
        run_id = json.loads(order)["run_id"]
        assert loop.tracking.status(run_id)[0] == "FINISHED"
        assert len(loop.tracking.client.search_model_versions(f"run_id = '{run_id}'")) == 1
        assert list(steps(turn(loop)))[:2] == ["trained", "judged"]
