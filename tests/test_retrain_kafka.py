"""A Kafka topic as what trains, on a real broker: a message for each trigger, whatever crashes or is down meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.errors import MachineError
from pipelines.lake import Lake
from pipelines.retrain import targets
from pipelines.retrain.launch import Loop, turn
from pipelines.retrain.ledger import histories
from pipelines.watch.tables import TRIGGERS
from tests.frames import at
from tests.kafka import Broker, broker, messages
from tests.launching import ORDERED
from tests.retraining import fill, loop_of, model_file, steps, trigger

pytestmark = [
    pytest.mark.places,
    *(pytest.mark.filterwarnings(f"ignore::{kind}") for kind in ("DeprecationWarning", "FutureWarning", "UserWarning")),
]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with broker(tmp_path_factory.mktemp("kafka")) as found:
        yield found


def ready(root: Path, address: str, topic: str, fired: int = 1) -> Loop:
    """A launcher whose model is trained by whoever reads a topic, and before whom triggers of several models have fired."""
    models, lake = root.parent / "models", Lake(root)
    said = f'target = "kafka"\nurl = "{address}"\ntopic = "{topic}"'
    definitions = [model_file(models, said, name=f"m{i}") for i in range(fired)]
    fill(lake, TRIGGERS, [trigger(f"t{i}", model=f"m{i}", known_at=at(i)) for i in range(fired)])
    return loop_of(root, models, definitions)


def killed(loop: Loop, *points: str) -> None:
    """Launchers one after the other, each killed at its point, then one that comes through."""
    command = [sys.executable, "-m", "tests.launchers", str(loop.lake.root), str(loop.models), *points]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"})
    assert done.returncode == 0, done.stderr[-3000:]


def test_each_trigger_is_one_message_though_launchers_die_before_it_is_sent(running: Broker, tmp_path: Path) -> None:
    loop = ready(tmp_path / "lake", running.address, "once", fired=3)
    killed(loop, "claimed", "released", "run_created")
    sent = messages(running.address, "once")
    assert [key for key, _ in sent] == ["t0-1", "t1-1", "t2-1"]
    for (_, body), (row, *_) in zip(sent, (reversed(one) for one in histories(loop.lake).values()), strict=True):
        order = json.loads(body)
        assert (row["step"], order["run_id"], order["release"]) == ("started", row["run_id"], row["release"])
    assert turn(loop) == []
    assert len(messages(running.address, "once")) == 3


def test_what_was_sent_and_not_written_down_is_sent_again_as_the_same_order(running: Broker, tmp_path: Path) -> None:
    loop = ready(tmp_path / "lake", running.address, "twice", fired=2)
    killed(loop, ORDERED)
    sent = messages(running.address, "twice")
    assert Counter(key for key, _ in sent) == {"t0-1": 2, "t1-1": 1}
    assert len({body for _, body in sent}) == 2


def test_a_broker_that_is_down_is_told_and_gets_the_order_when_it_is_back(
    running: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    loop = ready(tmp_path / "lake", running.address, "later")
    monkeypatch.setattr(targets, "TIMEOUT", 1)
    running.stop()
    with pytest.raises(MachineError) as refused:
        turn(loop)
    assert refused.value.code == "target_refused"
    assert f"{running.address}, topic later" in refused.value.message
    assert "Connection refused" in refused.value.message
    assert "rdkafka" not in capfd.readouterr().err
    assert [row["step"] for row in histories(loop.lake)["t0"]] == ["claimed", "released"]
    running.start()
    monkeypatch.undo()
    assert list(steps(turn(loop))) == ["started"]
    assert [key for key, _ in messages(running.address, "later")] == ["t0-1"]
