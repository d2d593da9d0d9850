"""Commands refuse what cannot be done before anything is started, each time with a code; and their help helps."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from deltalake import write_deltalake
from rich.console import Console
from rich.table import Table as Shown

from pipelines import console, questions, session
from pipelines.arguments import instant
from pipelines.bronze.tables import EVENTS
from pipelines.cli import main, parser
from pipelines.contract import Table
from pipelines.definition import Definition, Policy
from pipelines.demo import show
from pipelines.errors import InputError, MachineError
from pipelines.gold.tables import FRONTIERS
from pipelines.lake import Lake, Mark
from pipelines.silver.tables import CONTROLS, QUARANTINE
from pipelines.verify import Report

CONF = Path(__file__).parent.parent / "conf"
FRONTIER = datetime(2013, 1, 26, tzinfo=UTC)
CUTS = ((), ("origin",))
BY_ORIGIN = (("origin", ()),)
SERVICE = Definition("m", "", CUTS, ("1 hour",), BY_ORIGIN)
LATE = Definition("m", "late", CUTS, ("1 hour",), BY_ORIGIN, policy=Policy("binary", "request", "latest", 7200), positive=1.0)


def commands(top: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Every command below one, and those below them."""
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield command
                yield from commands(command)


@pytest.mark.parametrize("command", list(commands(parser())), ids=lambda command: command.prog)
def test_every_command_says_what_it_does_and_has_an_example_that_is_understood(command: Any) -> None:
    shown = command.format_help()
    assert command.description in shown
    (example,) = [line.removeprefix("example: ") for line in shown.splitlines() if line.startswith("example: ")]
    assert example.startswith(command.prog)
    assert parser().parse_args(shlex.split(example)[1:]).run is not None


@pytest.mark.parametrize("text", ["2013-01-25", "2013-01-25T00:00", "2013-01-25T00:00Z", "2013-01-25T01:00+01:00"])
def test_a_date_is_its_midnight_in_utc(text: str) -> None:
    assert instant(text) == datetime(2013, 1, 25, tzinfo=UTC)


TIMES = ("metrics --as-of", "metrics --start", "metrics --end", "outcomes --as-of", "verify --as-of", "verify --since",
         "explain outcome --request r --as-of", "explain metric --model m --label l --metric auc --cell")


@pytest.mark.parametrize("words", TIMES)
def test_wherever_a_time_is_taken_a_date_is_and_nonsense_is_not(words: str) -> None:
    assert parser().parse_args([*words.split(), "2013-01-25"]).run is not None
    for nonsense in ("2013-02-30", "yesterday", "0001-01-01T00:00+05:00", ""):
        assert refused(*words.split(), nonsense) == "not_a_time"


def refused(*words: str) -> str:
    """The code with which a command is refused."""
    with pytest.raises(InputError) as found:
        parser().parse_args(words)
    return found.value.code


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("not_a_count", "outcomes --limit 0"),
        ("not_an_offset", "explain event --offset 9223372036854775808"),
        ("not_an_offset", "explain event --offset -1"),
        ("no_folder_named", "status --lake="),
        ("not_a_pace", "demo --speed 0"),
        ("not_a_segment", "explain metric --segment JFK"),
        ("bad_usage", "metrics --evry 1"),
        ("bad_usage", "explain"),
        ("bad_usage", "model"),
        ("bad_usage", "demo --days many"),
        ("bad_usage", "no-such-command"),
    ],
)
def test_an_argument_that_cannot_be_is_refused_with_a_code(code: str, words: str) -> None:
    assert refused(*words.split()) == code


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command that must not come to start Spark: its exit code, and the code of its error."""

    def started(*_: Any, **__: Any) -> None:
        raise MachineError("session_started", "a session was started")

    monkeypatch.setattr(session, "build", started)

    def run(*words: str | Path) -> tuple[int, str]:
        code = main([*map(str, words), "--conf", str(CONF), "--json"])
        return code, json.loads(capsys.readouterr().out)["error"]

    return run


def test_what_is_not_utf8_is_refused(command: Any) -> None:
    assert command("explain", "outcome", "--request", "a\udcff") == (2, "not_utf8")


def test_an_unknown_job_is_refused_before_anything_starts(command: Any) -> None:
    assert command("run", "lant") == (2, "unknown_job")


def test_a_mistake_of_usage_is_told_as_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics", "--as-of", "then", "--json"]) == 2
    told = capsys.readouterr()
    assert json.loads(told.out)["error"] == "not_a_time"
    assert "[not_a_time]" in told.err


@pytest.mark.parametrize("days", ["0", "-1", "352"])
def test_days_that_2013_does_not_have_are_refused_and_leave_the_folder_alone(command: Any, tmp_path: Path, days: str) -> None:
    kept = tmp_path / "demo"
    kept.mkdir()
    for name in ("hindsight-demo", "kept"):
        (kept / name).touch()
    assert command("demo", "--days", days, "--keep", kept) == (2, "days_out_of_range")
    assert (kept / "kept").exists()


@pytest.mark.parametrize(("differences", "code"), [(0, 0), (2, 1)])
def test_a_demo_answers_with_its_proof(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], differences: int, code: int
) -> None:
    found = Report(9, 9, 9, differences, (), {}, None, (), 1.0, 0)
    monkeypatch.setattr(show, "show", lambda *_, **__: found)
    assert main(["demo", "--conf", str(CONF), "--json"]) == code
    assert json.loads(capsys.readouterr().out) == found.to_dict()


def test_a_folder_that_holds_something_else_is_no_place_for_a_demo(command: Any, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    assert command("demo", "--keep", tmp_path) == (2, "folder_in_use")
    assert command("demo", "--loop", "--keep", tmp_path) == (2, "folder_in_use")


@pytest.mark.parametrize(("words", "code"), [(["--speed", "2"], "bad_usage"), (["--days", "0"], "days_out_of_range")])
def test_a_loop_that_cannot_be_is_refused_and_leaves_the_folder_alone(command: Any, tmp_path: Path, words: list[str], code: str) -> None:
    assert command("demo", "--loop", "--keep", tmp_path, *words) == (2, code)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("words", [["import"], ["model", "init", "churn", "--from"]])
def test_a_folder_is_no_file_to_take_in(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    folder = tmp_path / "history"
    folder.mkdir()
    (folder / "march.csv").touch()
    assert main([*words, str(folder), "--conf", str(CONF), "--lake", str(tmp_path / "lake")]) == 2
    told = capsys.readouterr().err
    assert "[is_a_folder]" in told
    assert f"{folder}/*.csv" in told
    assert not (tmp_path / "lake").exists()


def write(lake: Path, table: Table, rows: list[dict[str, Any]]) -> None:
    write_deltalake(lake / table.folder, table.frame(rows), partition_by=list(table.partition_by))


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake that has processed up to a frontier, as far as a question looks before it is answered."""
    root = tmp_path_factory.mktemp("lake")
    (root / "_log").mkdir()
    (root / "_log" / "log.sqlite").write_bytes(b"a log")
    bodies = [json.dumps(json.loads(one.control())["body"]) for one in (SERVICE, LATE)]
    write(root, EVENTS, [EVENTS.row()])
    write(root, FRONTIERS, [FRONTIERS.row(frontier=FRONTIER)])
    write(root, CONTROLS, [CONTROLS.row(action="define", offset=at, body=body) for at, body in enumerate(bodies)])
    return root


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("bad_window", "metrics --every often"),
        ("bad_window", "metrics --every 0hours"),
        ("bad_window", "metrics --sliding 1minute"),
        ("grain_not_declared", "metrics --every 90minutes"),
        ("cut_not_declared", "metrics --by carrier"),
        ("unknown_model", "metrics --model n"),
        ("unknown_label", "metrics --label lat"),
        ("unknown_metric", "metrics --metric acu"),
        ("unknown_chart", "metrics --plot auc.pdf"),
        ("unknown_chart", "metrics --plot auc"),
        ("not_writable", "metrics --plot /dev/null/auc.png"),
        ("as_of_above_frontier", "metrics --as-of 2013-01-27"),
        ("unknown_model", "outcomes --model n"),
        ("unknown_label", "outcomes --label lat"),
        ("as_of_above_frontier", "outcomes --as-of 2013-01-27"),
        ("segment_twice", "explain metric --model m --label late --metric auc --cell 2013-01-25 --segment origin=JFK --segment origin=EWR"),
    ],
)
def test_a_question_that_has_no_answer_is_refused_before_a_session_starts(
    command: Any, lake: Path, code: str, words: str
) -> None:
    assert command(*words.split(), "--lake", lake) == (2, code)


@pytest.mark.parametrize(("name", "code"), [("_log/erasing/plan.json", "erasure_unfinished"), ("_rebuild/READY", "rebuild_unfinished")])
def test_a_run_of_what_is_half_done_is_refused_before_a_session_starts(command: Any, tmp_path: Path, name: str, code: str) -> None:
    (tmp_path / "lake" / name).parent.mkdir(parents=True)
    (tmp_path / "lake" / name).touch()
    assert command("run", "--once", "--lake", tmp_path / "lake") == (5, code)


def test_a_question_that_has_an_answer_comes_to_a_session(command: Any, lake: Path, tmp_path: Path) -> None:
    asked = f"metrics --by origin --metric auc --as-of {FRONTIER - timedelta(days=1):%Y-%m-%d}"
    plot = tmp_path / "new" / "auc.png"
    assert command(*asked.split(), "--plot", plot, "--lake", lake) == (4, "session_started")


def test_where_there_is_no_lake_none_is_asked(command: Any, tmp_path: Path) -> None:
    for words in (["metrics"], ["outcomes"], ["explain", "event", "--offset", "0"], ["verify"], ["rebuild"]):
        assert command(*words, "--lake", tmp_path) == (5, "no_lake")


def test_an_answer_is_a_table_per_label_with_the_metrics_that_it_has() -> None:
    row = {"model": "m", "window_start": datetime(2013, 1, 15), "window_end": datetime(2013, 1, 16), "n": 3, "final": True}
    frame = pd.DataFrame(
        [
            {"label": "", **row, "auc": None, "error_rate": 0.25},
            {"label": "late", **row, "auc": 0.75, "error_rate": None},
        ]
    )[["model", "label", "window_start", "window_end", "n", "auc", "error_rate", "final"]]

    def shown(named: list[str]) -> list[str]:
        texts = []
        for table in questions._tables(frame, named).renderables:
            wide = Console(width=200, file=StringIO())
            wide.print(table)
            texts.append(wide.file.getvalue())
        return texts

    service, late = shown([])
    assert ("error_rate" in service, "auc" in service) == (True, False)
    assert ("error_rate" in late, "auc" in late) == (False, True)
    (only,) = shown(["auc"])
    assert "m · late" in only


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_narrow_terminal_cuts_no_number(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int
) -> None:
    monkeypatch.setattr(console, "out", Console(width=columns))
    table = Shown(*(f"column {number}" for number in range(8)))
    table.add_row(*(str(10**8 + number) for number in range(8)))
    console.answer(argparse.Namespace(json=False), None, lambda: table)
    printed = capsys.readouterr().out
    assert all(str(10**8 + number) in printed for number in range(8))


def test_an_answer_is_not_lost_by_a_character_that_the_terminal_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    def answers(_: object) -> int:
        print("late · 0.7")
        return 0

    written = BytesIO()
    shown = TextIOWrapper(written, encoding="ascii")
    monkeypatch.setattr(sys, "stdout", shown)
    monkeypatch.setattr("pipelines.commands.schema", answers)
    assert main(["schema", "inference"]) == 0
    shown.flush()
    assert written.getvalue() == b"late ? 0.7\n"


def test_where_nothing_is_known_it_says_what_was_refused_and_why(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.create(QUARANTINE)
    assert questions.refused(tmp_path) == ""
    reasons = ("not_json", "out_of_range", "out_of_range")
    rows = [QUARANTINE.row(reason=reason, detail=f"detail {at}", offset=at) for at, reason in enumerate(reasons)]
    lake.append(QUARANTINE, QUARANTINE.frame(rows), Mark("refine", 0), {})
    said = questions.refused(tmp_path)
    assert "3 records were refused, 2 of them as out_of_range (detail 1)" in said
    assert "hindsight explain event --offset 1" in said


@pytest.mark.parametrize(("job", "code"), [("land", "kafka_unreachable"), ("refine", "session_started")])
def test_a_broker_that_is_not_there_is_said_before_a_session_starts(
    command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: str, code: str
) -> None:
    monkeypatch.setenv("HINDSIGHT_KAFKA_BROKERS", "127.0.0.1:1")
    monkeypatch.setattr("pipelines.log.kafka.ANSWER", 1)
    assert command("run", job, "--once", "--lake", tmp_path / "lake") == (4, code)
