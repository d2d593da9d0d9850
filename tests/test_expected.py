"""Row rules in a lake: declared once, kept from there on, proved by the verifier, and redriven when the suite has changed."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from pipelines import redrive
from pipelines import settings as configuration
from pipelines.app import Application
from pipelines.definitions import declare
from pipelines.explain import Sources, event
from pipelines.gates.suite import declared
from pipelines.lake import Lake
from pipelines.log import EmbeddedLog
from pipelines.producer import declared_log
from pipelines.settings import Settings
from pipelines.silver.rules import RowRules
from pipelines.silver.tables import CONTROLS, INFERENCES, QUARANTINE
from tests import lakes

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)
MODEL = """
model = "{name}"
[labels.late]
type = "binary"
positive = 1
attribution_window = "1 hour"
resolve = "latest"
"""


def between(high: float) -> dict[str, Any]:
    kwargs = {"column": "features.hour", "min_value": 0, "max_value": high}
    return {"type": "expect_column_values_to_be_between", "kwargs": kwargs}


def suite(folder: Path, *expectations: dict[str, Any]) -> None:
    file = folder / "conf" / "expectations" / "m.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({"name": "m", "expectations": expectations}))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of a lake to be made, with two models; m expects hours up to 23."""
    (tmp_path / "conf" / "models").mkdir(parents=True)
    shutil.copy(lakes.CONF / "settings.toml", tmp_path / "conf")
    for name in ("m", "other"):
        (tmp_path / "conf" / "models" / f"{name}.toml").write_text(MODEL.format(name=name))
    suite(tmp_path, between(23))
    return configuration.load(tmp_path / "conf", lake_path=tmp_path / "lake", log_fsync=False)


def inference(name: str, hour: float | str | None = None, model: str = "m", **more: Any) -> dict[str, Any]:
    said = {"kind": "inference", "request_id": name, "model": model, "version": "1", "served_at": T0.isoformat()}
    return {**said, "status": "ok", "prediction": 1, "features": {"hour": hour}, **more}


def judgement(request: str) -> dict[str, Any]:
    said = {"kind": "feedback", "feedback_id": f"on-{request}", "request_id": request, "label": "late", "action": "assert"}
    return {**said, "value": 1, "given_at": (T0 + timedelta(minutes=5)).isoformat()}


SENT = [
    inference("good", 7), inference("null"), inference("late", 31), inference("text", "noon"), inference("failed", 31, status="error"),
    inference("elsewhere", 31, "other"), inference("late", 31), judgement("good"), judgement("late"),
    inference("good", 31), inference("25", 25),
]  # fmt: skip
REFUSED = {"late", "text", "good", "25"}
"""Twice `late`; and what contradicts `good` breaks a rule before its identity is asked for."""


def send(settings: Settings, spark: SparkSession, *events: dict[str, Any], **options: Any) -> None:
    """Append events behind what the conf folder declares, and drain."""
    chosen = configuration.load(settings.conf, lake_path=settings.lake.path, log_fsync=False, **options)
    with Application(chosen, spark, definitions=declared(chosen)) as app:
        if events:
            app.log.append([json.dumps(one).encode() for one in events])
        app.drain()


def refused(lake: Path) -> Counter[str]:
    rows = lakes.rows_of(lake, QUARANTINE).to_pylist()
    assert {row["reason"] for row in rows} <= {"expectation_failed"}
    return Counter(row["event_id"] for row in rows)


def expects(lake: Path) -> list[int]:
    """How many rules each `expect` of the log has that has landed."""
    rows = sorted((row for row in lakes.rows_of(lake, CONTROLS).to_pylist() if row["action"] == "expect"), key=lambda row: row["offset"])
    return [len(json.loads(row["body"])["rules"]) for row in rows]


def test_what_breaks_a_rule_is_refused_proved_explained_and_taken_in_when_the_suite_has_changed(
    settings: Settings, spark: SparkSession, tmp_path: Path
) -> None:
    lake = settings.lake.path
    send(settings, spark, *SENT)
    send(settings, spark, inference("late-too", 24), lake_committer="spark")
    lakes.proven(lake)
    assert refused(lake) == Counter({**dict.fromkeys(REFUSED, 1), "late": 2, "late-too": 1})
    assert expects(lake) == [1]
    (first, *_) = event(Sources(lake), name="25")
    assert first.facts["reason"] == "expectation_failed"
    assert first.facts["detail"].startswith("features.hour is 25.0; expected expect_column_values_to_be_between")

    assert [one.accepted for one in redrive.redrive(settings)] == [0]
    suite(tmp_path, between(26))
    foreseen, (sent,) = redrive.redrive(settings, dry_run=True), redrive.redrive(settings)
    assert foreseen == [sent]
    assert (sent.reason, sent.accepted, sent.refused) == ("expectation_failed", 2, 4)
    send(settings, spark)
    lakes.proven(lake)
    assert expects(lake) == [1, 1]
    taken = {row["request_id"] for row in lakes.rows_of(lake, INFERENCES).to_pylist()}
    assert taken == {"good", "null", "failed", "elsewhere", "25", "late-too"}


def logged(settings: Settings) -> list[int]:
    """The same of the whole log, by a producer that opens it."""
    with closing(declared_log(settings)) as log:
        payloads = [payload for append in log.read(0, log.end()) for payload in append.records()["payload"].to_pylist()]
    said = [json.loads(payload) for payload in payloads]
    return [len(one["body"]["rules"]) for one in said if one["action"] == "expect"]


def test_rules_that_have_not_landed_yet_count_as_declared(settings: Settings, tmp_path: Path) -> None:
    assert [logged(settings), logged(settings)] == [[1], [1]]
    suite(tmp_path, between(23), between(22))
    assert logged(settings) == [1, 2]
    suite(tmp_path, between(23))
    assert [logged(settings), logged(settings)] == [[1, 2, 1], [1, 2, 1]]


def test_a_suite_that_is_gone_expects_nothing_any_more(settings: Settings, spark: SparkSession, tmp_path: Path) -> None:
    lake = settings.lake.path
    send(settings, spark, inference("late", 31))
    (tmp_path / "conf" / "expectations" / "m.json").unlink()
    send(settings, spark, inference("later", 31))
    send(settings, spark)
    lakes.proven(lake)
    assert expects(lake) == [1, 0]
    assert refused(lake) == Counter({"late": 1})


def test_only_what_is_new_of_a_model_is_declared(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.create(CONTROLS)
    with closing(EmbeddedLog(tmp_path / "log.sqlite", durable=False)) as log:
        assert declare(log, lake, [RowRules("m", ()), RowRules("other", ())]) == []
        assert log.end() == 0
