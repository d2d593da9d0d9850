"""How the demo ends: tables with a legend, commands that work as printed, and the proof on the last line."""

from __future__ import annotations

import shlex
import sys
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from pipelines import console, view
from pipelines.cli import parser
from pipelines.demo import show
from pipelines.demo.events import START, WINDOW
from pipelines.demo.mischief import Mischief
from pipelines.status import LakeStatus
from pipelines.verify import Report

QUALITY = ("n", "coverage", "accuracy", "precision", "recall", "f1", "auc", "auc_low", "auc_high", "brier", "base_rate")
LATENCY = ("latency_ms_p50", "latency_ms_p95", "latency_ms_p99")


def week(day: int, *, final: bool) -> dict[str, Any]:
    return {"window_start": datetime(2013, 1, day), "final": final, **dict.fromkeys((*QUALITY, *LATENCY), 0.5)}


def report(**changed: Any) -> Report:
    found = dict.fromkeys(Report.__dataclass_fields__, 0) | {"as_of": (), "since": None, "examples": ()}
    found |= {"cells_compared": 11_231_433, "outcomes_compared": 946_112, "examples_compared": 468_001}
    return Report(**{**found, **changed})


def test_the_proof_is_a_line() -> None:
    assert view.proof(report()) == "verify: 11,231,433 cells, 946,112 outcomes, 468,001 examples, differences 0"
    since = report(since=datetime(2013, 2, 10, tzinfo=UTC), differences=3)
    assert view.proof(since) == "verify: since 2013-02-10 00:00, 11,231,433 cells, 946,112 outcomes, 468,001 examples, differences 3"


def test_an_answer_of_a_line_is_not_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = Console(width=40, file=StringIO())
    monkeypatch.setattr(console, "out", narrow)
    console.answer(parser().parse_args(["verify"]), {}, lambda: view.proof(report()))
    assert narrow.file.getvalue() == view.proof(report()) + "\n"


def test_weeks_that_are_not_final_are_marked_and_the_legend_says_so() -> None:
    wide = Console(width=200, file=StringIO())
    wide.print(view.quality(pd.DataFrame([week(14, final=True), week(21, final=False)]), "By week", "window_start"))
    text = wide.file.getvalue()
    assert "2013-01-21 *" in text
    assert "2013-01-14 *" not in text
    assert view.NOT_FINAL.startswith("* not final")
    assert all(f"{name}: " in view.LEGEND for name in ("n", "cov.", "base", "p50, p95, p99"))


def test_flights_that_never_arrived_were_cancelled_or_diverted() -> None:
    wide = Console(width=1000, file=StringIO())
    show._tell_found(wide, Mischief(unanswered=1543), LakeStatus(Path("lake"), 0, None, 0, 0, 0, 0, ()))
    assert "1,543 flights never arrived (cancelled or diverted)." in wide.file.getvalue()


def commands(folder: Path, days: int) -> list[list[str]]:
    lines = show.after(folder, days)
    return [shlex.split(line) for line in lines[lines.index("Try next:") + 1 :]]


@pytest.mark.parametrize("days", [1, 7, 28, 351])
def test_what_to_try_next_is_understood_and_can_be_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere else/hindsight"])
    folder = tmp_path / "a lake"
    for program, *words in commands(folder, days):
        assert program == "/somewhere else/hindsight"
        asked = parser().parse_args(words)
        assert asked.lake == folder
        assert getattr(asked, "as_of", None) is None or asked.as_of <= START + timedelta(days=days) + WINDOW
        assert words[0] != "verify"


def test_a_lake_of_this_folder_is_named_as_it_lies_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert all("--lake demo" in shlex.join(words) for words in commands(tmp_path / "demo", 28))


def test_the_program_is_named_as_this_terminal_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "hindsight"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [".venv/bin/hindsight"])
    monkeypatch.setenv("PATH", "")
    assert show.called() == ".venv/bin/hindsight"
    monkeypatch.setenv("PATH", str(program.parent))
    assert show.called() == "hindsight"
    monkeypatch.setattr(sys, "argv", ["/somewhere/pipelines/__main__.py"])
    assert show.called() == f"{shlex.quote(sys.executable)} -m pipelines"
