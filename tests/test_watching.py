"""The commands `alerts` and `triggers`: what they answer, what they record, and that a dry run and a backtest write nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli import main
from pipelines.gold.tables import STATISTICS
from pipelines.kept import noted
from pipelines.lake import Lake
from pipelines.paths import log_path
from pipelines.watch.rules import Watched
from pipelines.watch.tables import ALERTS, TABLES, TRIGGERS
from tests.watching import DAY, MODEL, MONDAY, answered, append, lake_of, matures, model, watch

RULES = """
[alerts.low]
label = "late"
metric = "recall"
every = "1 day"
below = 0.5
support = 50
[triggers.retrain]
when = {any = ["low"]}
approve = "by hand"
"""
WHO = ("--who", "ann", "--why", "new sensors")


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A conf folder with one model file."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "settings.toml").write_text("")
    return tmp_path / "conf"


@pytest.fixture
def watched(conf: Path) -> Watched:
    return model(conf / "models", RULES)


@pytest.fixture
def lake(tmp_path: Path, watched: Watched) -> Lake:
    """Watched from Monday on; on Tuesday recall was low."""
    lake = lake_of(tmp_path / "lake", watched)
    log_path(lake.root).parent.mkdir()
    log_path(lake.root).write_bytes(b"a log")
    watch(lake, watched, MONDAY)
    append(lake, STATISTICS, [*answered(watched, 0, 80, 20), *answered(watched, 1, 40, 60)])
    watch(lake, watched, MONDAY + 10 * DAY)
    return lake


Ask = Callable[..., Any]


@pytest.fixture
def ask(lake: Lake, conf: Path, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Run a command: what it answers as JSON, where it ends with this code."""

    def run(*words: str, code: int = 0) -> Any:
        assert main([*words, "--lake", str(lake.root), "--conf", str(conf), "--json"]) == code
        return json.loads(capsys.readouterr().out)

    return run


def sizes(lake: Lake) -> list[int]:
    return [lake.open(table).version() for table in TABLES]


def states(lake: Lake) -> list[str]:
    rows = lake.read(TRIGGERS).to_pylist()
    return [row["state"] for row in sorted(rows, key=lambda row: (row["known_at"], row["recorded_at"]))]


def test_alerts_are_shown_as_incidents(ask: Ask, lake: Lake, watched: Watched) -> None:
    (one,) = ask("alerts", "--open")
    assert (one["rule"], one["state"], one["value"], one["support"]) == ("low", "open", 0.4, 100)
    assert one["raised_at"] == "2026-03-06T00:00:00Z"
    assert one["evidence"] == {"metric": "recall", "below": 0.5, "windows": "1 of 1"}
    append(lake, STATISTICS, answered(watched, 9, 90, 10))
    watch(lake, watched, MONDAY + 20 * DAY)
    assert ask("alerts", "--open") == []
    assert [one["state"] for one in ask("alerts")] == ["cleared"]


@pytest.mark.parametrize("suffix", [".png", ".svg", ".html"])
def test_a_metric_is_drawn_with_its_incidents(ask: Ask, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"low{suffix}"
    ask("alerts", "--plot", str(path))
    assert path.stat().st_size > 1000
    assert suffix == ".png" or "low: recall of late" in path.read_text()


def test_a_plot_of_no_alert_or_of_several_is_refused(ask: Ask, tmp_path: Path) -> None:
    assert ask("alerts", "--plot", str(tmp_path / "a.png"), "--rule", "high", code=2)["error"] == "alert_missing"


def test_the_list_says_how_each_trigger_stands(ask: Ask) -> None:
    said = ask("triggers", "list")
    (one,) = said["triggers"]
    (waiting,) = one["awaiting"]
    assert (one["conditions"], one["when"], one["paused"], one["fired"]) == (["low"], "any", False, 1)
    assert [step["state"] for step in said["steps"]] == ["declared", "awaiting"]
    assert said["steps"][1]["trigger_id"] == waiting


def test_what_waits_is_approved_once(ask: Ask, lake: Lake) -> None:
    (waiting,) = ask("triggers", "list")["triggers"][0]["awaiting"]
    assert ask("triggers", "approve", waiting, *WHO, "--dry-run")["state"] == "approved"
    assert states(lake) == ["declared", "awaiting"]
    said = ask("triggers", "approve", waiting, *WHO)
    assert (said["trigger_id"], said["evidence"]) == (waiting, {"who": "ann", "why": "new sensors"})
    assert states(lake) == ["declared", "awaiting", "approved"]
    assert ask("triggers", "list")["triggers"][0]["awaiting"] == []
    assert ask("triggers", "approve", waiting, *WHO, code=2)["error"] == "not_awaiting"


def test_pause_resume_and_force_are_recorded_with_who_and_why(ask: Ask, lake: Lake) -> None:
    before = sizes(lake)
    ask("triggers", "pause", "retrain", *WHO, "--dry-run")
    assert sizes(lake) == before
    ask("triggers", "pause", "retrain", *WHO)
    assert ask("triggers", "list")["triggers"][0]["paused"] is True
    ask("triggers", "resume", "retrain", *WHO)
    forced = ask("triggers", "force", "retrain", *WHO)
    again = ask("triggers", "force", "retrain", *WHO)
    assert forced["trigger_id"] != again["trigger_id"]
    assert states(lake)[2:] == ["paused", "resumed", "forced", "forced"]
    assert noted(lake.root) == {table.name: lake.open(table).version() for table in (ALERTS, TRIGGERS)}


def test_a_paused_trigger_does_not_fire(ask: Ask, lake: Lake, watched: Watched) -> None:
    ask("triggers", "pause", "retrain", *WHO)
    append(lake, STATISTICS, [*answered(watched, 10, 90, 10), *answered(watched, 11, 40, 60)])
    watch(lake, watched, MONDAY + 20 * DAY)
    assert states(lake) == ["declared", "awaiting", "paused"]
    assert noted(lake.root) == {table.name: lake.open(table).version() for table in (ALERTS, TRIGGERS)}


def test_a_trigger_that_no_file_has_is_refused(ask: Ask) -> None:
    assert ask("triggers", "pause", "retrian", *WHO, code=2)["error"] == "unknown_trigger"


def test_a_backtest_says_when_a_changed_file_would_have_fired_and_writes_nothing(ask: Ask, lake: Lake, conf: Path) -> None:
    append(lake, STATISTICS, answered(model(conf / "models", RULES), 5, 65, 35))
    watch(lake, model(conf / "models", RULES), MONDAY + 20 * DAY)
    before = sizes(lake)
    rules = RULES.replace("below = 0.5", "below = 0.7\nwindows = '1 of 2'")
    (conf / "models" / "m.toml").write_text(MODEL + rules)
    said = ask("triggers", "backtest")
    (one,) = said["triggers"]
    assert (one["trigger"], one["state"], one["known_at"]) == ("retrain", "awaiting", "2026-03-06T00:00:00Z")
    assert [row["state"] for row in said["alerts"]] == ["raised"]
    late = ask("triggers", "backtest", "--since", "2026-03-07")
    assert [one["known_at"] for one in late["triggers"]] == ["2026-03-07T01:00:00Z"]
    assert sizes(lake) == before
    assert matures(1).isoformat().startswith("2026-03-06")
