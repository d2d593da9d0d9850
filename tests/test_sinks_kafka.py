"""A real broker holds what stands of metrics, alerts, triggers and quarantine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli import main
from pipelines.lake import Lake
from pipelines.silver.tables import QUARANTINE
from pipelines.watch.tables import ALERTS
from tests.kafka import Broker, broker, messages
from tests.pages import decided, filled
from tests.watching import DAY, MONDAY, append

pytestmark = pytest.mark.places
TOPICS = {"kafka": "metrics", "kafka_alerts": "alerts", "kafka_triggers": "triggers", "kafka_quarantine": "quarantine"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with broker(tmp_path_factory.mktemp("kafka")) as found:
        yield found


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    found = filled(tmp_path / "lake")[0]
    decided(found)
    return found


def conf(lake: Lake, running: Broker, folder: Path) -> str:
    lines = [f'{name} = "{folder.name}-{topic}"' for name, topic in TOPICS.items()]
    said = ["[kafka]", f'brokers = "{running.address}"', "[sinks]", 'every = "1 day"', *lines]
    (lake.root.parent / "conf" / "settings.toml").write_text("\n".join(said))
    return str(lake.root.parent / "conf")


def newest(running: Broker, topic: str) -> dict[str, Any]:
    """What a compacted topic would keep."""
    return {key: json.loads(value) for key, value in messages(running.address, topic)}


def test_a_topic_each_holds_what_stands_and_is_told_no_more_than_is_new(lake: Lake, running: Broker, tmp_path: Path) -> None:
    words = ["sinks", "--once", "--lake", str(lake.root), "--conf", conf(lake, running, tmp_path)]
    assert main(words) == 0
    topics = {name: f"{tmp_path.name}-{topic}" for name, topic in TOPICS.items()}
    held = {name: newest(running, topic) for name, topic in topics.items()}
    assert [one["state"] for one in held["kafka_alerts"].values()] == ["open"]
    assert [one["state"] for one in held["kafka_triggers"].values()] == ["fired"]
    assert [one["reason"] for one in held["kafka_quarantine"].values()] == ["not_json"] * 3
    assert {one["metric"] for one in held["kafka"].values()} > {"recall", "coverage"}
    (alert,) = held["kafka_alerts"].values()
    about = {name: alert[name] for name in ("model", "label", "rule", "cut", "segment", "version", "incident")}
    times = {"window_start": MONDAY, "window_end": MONDAY + DAY, "known_at": MONDAY + 5 * DAY}
    append(lake, ALERTS, [ALERTS.row(**about, **times, tenant="default", policy="p", state="cleared", sign=1, evidence="{}")])
    append(lake, QUARANTINE, [QUARANTINE.row(reason="not_utf8", offset=9, received_at=MONDAY, received_date=MONDAY.date())])
    assert main(words) == 0
    assert [one["state"] for one in newest(running, topics["kafka_alerts"]).values()] == ["cleared"]
    assert len(messages(running.address, topics["kafka_quarantine"])) == 4
    assert len(messages(running.address, topics["kafka_triggers"])) == 1


def test_a_broker_that_is_down_is_told_what_it_has_missed(
    lake: Lake, running: Broker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["sinks", "kafka_quarantine", "--once", "--json", "--lake", str(lake.root), "--conf", conf(lake, running, tmp_path)]
    running.stop()
    assert main(words) == 1
    (said,) = json.loads(capsys.readouterr().out)
    assert "[kafka_unreachable]" in said["error"]
    running.start()
    assert main(words) == 0
    assert len(newest(running, f"{tmp_path.name}-quarantine")) == 3
