"""What a changelog says of alerts, triggers and quarantine: what stands of each, after every turn, and no word of what was sent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pipelines.bronze.tables import EVENTS
from pipelines.contract import Table
from pipelines.errors import MachineError
from pipelines.lake import Lake
from pipelines.silver.tables import QUARANTINE
from pipelines.sinks.changelog import of_entry
from pipelines.sinks.follow import tell
from pipelines.sinks.ledger import Ledger, column
from pipelines.sinks.told import told
from pipelines.watch.tables import ALERTS, TRIGGERS
from tests.watching import DAY, MONDAY, append, lake_of, model, reach

ABOUT = {"tenant": "default", "model": "m", "label": "late", "policy": "p"}
GROUP = {"cut": "all", "segment": "[]", "version": "", "window_start": MONDAY, "window_end": MONDAY + DAY, "evidence": '{"seen": 3}'}


class Topic:
    """A compacted topic: the newest value of each key. `fails`: once, after so many parts."""

    def __init__(self) -> None:
        self.newest: dict[str, Any] = {}
        self.sent, self.fails = 0, False

    def send(self, revisions: list[Any]) -> Sequence[str]:
        for one in revisions:
            key, value = of_entry(one)
            self.sent += 1
            if value is None:
                self.newest.pop(key.decode(), None)
            else:
                self.newest[key.decode()] = json.loads(value)
        if self.fails:
            self.fails = False
            raise MachineError("kafka_unreachable", "down")
        return ()

    def values(self, name: str) -> list[Any]:
        return [one[name] for one in self.newest.values()]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    found = lake_of(tmp_path / "lake", model(tmp_path / "models", ""))
    found.create(EVENTS, QUARANTINE)
    reach(found, MONDAY)
    return found


def alert(state: str, day: int, incident: str = "i", sign: int = 1) -> dict[str, Any]:
    known = MONDAY + day * DAY
    return ALERTS.row(**ABOUT, **GROUP, rule="low", incident=incident, state=state, sign=sign, value=0.4, known_at=known, recorded_at=known)


def tells(lake: Lake, table: Table, topic: Topic, *turns: list[dict[str, Any]]) -> None:
    for rows in turns:
        append(lake, table, rows)
        assert tell(Ledger(lake, table), "kafka_alerts", topic)
        assert not tell(Ledger(lake, table), "kafka_alerts", topic)


def test_an_alert_is_told_as_it_stands_and_again_when_that_changes(lake: Lake) -> None:
    topic = Topic()
    tells(lake, ALERTS, topic, [alert("raised", 1), alert("raised", 1, "j")])
    assert topic.values("state") == ["open", "open"]
    assert topic.values("evidence")[0] == {"seen": 3}
    tells(lake, ALERTS, topic, [alert("cleared", 2)])
    assert (topic.values("state"), topic.sent) == (["cleared", "open"], 3)
    tells(lake, ALERTS, topic, [alert("raised", 1, "j", -1)])
    assert topic.values("incident") == ["i"]


def test_a_trigger_is_told_by_its_last_step(lake: Lake) -> None:
    topic, about = Topic(), {**ABOUT, "trigger": "anew", "evidence": "{}"}

    def step(state: str, day: int, trigger_id: str = "t1") -> dict[str, Any]:
        at = MONDAY + day * DAY
        return TRIGGERS.row(**about, trigger_id=trigger_id, incident=trigger_id, state=state, known_at=at, recorded_at=at)

    tells(lake, TRIGGERS, topic, [step("declared", 0, ""), step("awaiting", 1)], [step("approved", 2)])
    assert list(zip(topic.values("trigger_id"), topic.values("state"), strict=True)) == [("", "declared"), ("t1", "approved")]


def test_what_was_sent_is_not_told_of_a_refused_record(lake: Lake) -> None:
    topic = Topic()
    said = b'{"kind": "inference", "model": "m", "subject": "ann@example.org", "score": 7}'
    other = b'{"kind": "inference", "model": "ann@example.org"}'
    append(lake, EVENTS, [EVENTS.row(offset=number, payload=payload) for number, payload in enumerate((said, other, b"ann@"))])
    refused = {"kind": "inference", "event_id": "ann@example.org", "reason": "out_of_range"}
    rows = [QUARANTINE.row(**refused, offset=number, detail="Expected `float` <= 1.0 - at `$.score`") for number in range(3)]
    tells(lake, QUARANTINE, topic, rows)
    assert (topic.values("offset"), topic.values("model"), topic.values("column")) == ([0, 1, 2], ["m", None, None], ["score"] * 3)
    assert "ann@" not in json.dumps(topic.newest)
    assert set(next(iter(topic.newest.values()))) == {*Ledger.TOLD[QUARANTINE], "reason", "kind", "received_at", "model", "column"}


@pytest.mark.parametrize(
    ("reason", "detail", "expected"),
    [
        ("missing_field", "Object missing required field `served_at`", "served_at"),
        ("unknown_field", "Object contains unknown field `ann`", None),
        ("wrong_type", "Expected `str`, got `int` - at `$.ann`", None),
        ("wrong_type", "Expected `str`, got `int` - at `$.features`", "features"),
        ("absurd_time", "given_at is before the year 2000", "given_at"),
        ("expectation_failed", "features.distance is -3; expected at least 0", "features.distance"),
        ("not_json", "ann is no JSON", None),
    ],
)
def test_a_column_is_told_where_it_is_declared(reason: str, detail: str, expected: str | None) -> None:
    assert column(reason, detail) == expected


def test_after_a_failure_nothing_is_left_out_though_more_has_come(lake: Lake) -> None:
    topic = Topic()
    topic.fails = True
    append(lake, ALERTS, [alert("raised", 1)])
    with pytest.raises(MachineError):
        tell(Ledger(lake, ALERTS), "kafka_alerts", topic)
    append(lake, ALERTS, [alert("cleared", 2), alert("raised", 3, "j")])
    while tell(Ledger(lake, ALERTS), "kafka_alerts", topic):
        pass
    assert topic.values("state") == ["cleared", "open"]


def test_what_was_compacted_and_deleted_meanwhile_is_told_again(lake: Lake) -> None:
    topic = Topic()
    tells(lake, ALERTS, topic, [alert("raised", 1)])
    append(lake, ALERTS, [alert("raised", 2, "j")])
    lake.open(ALERTS).optimize.compact()
    lake.open(ALERTS).vacuum(0, enforce_retention_duration=False, dry_run=False)
    assert tell(Ledger(lake, ALERTS), "kafka_alerts", topic)
    assert topic.values("state") == ["open", "open"]
    assert told(lake.root, "kafka_alerts").reached == Ledger(lake, ALERTS).now()
