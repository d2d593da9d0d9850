"""outcomes(): what is believed about each prediction, now and as of any time, and the command that prints it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from deltalake import write_deltalake
from pyspark.sql import SparkSession

from pipelines import questions
from pipelines.bronze.tables import EVENTS
from pipelines.cli import main
from pipelines.contract import Table
from pipelines.definition import Definition, Policy
from pipelines.errors import InputError
from pipelines.gold.outcomes import standing
from pipelines.gold.tables import FRONTIERS, OUTCOME_LEDGER, OUTCOMES
from pipelines.outcomes import outcomes
from pipelines.silver.tables import CONTROLS
from tests.frames import at, context, frame, rows

LATE = Definition("m", "late", ((),), ("1 hour",), policy=Policy("binary", "request", "latest", 7200), positive=1.0)
LATE_ANEW = replace(LATE, policy=Policy("binary", "request", "first", 7200))
KIND = Definition("m", "kind", ((),), ("1 hour",), policy=Policy("category", "item", "majority", 3600))
SERVICE = Definition("m", "", ((),), ("1 hour",))
DECLARED = {SERVICE: 1, LATE: 2, KIND: 3, LATE_ANEW: 10}
"""At which log offset."""


def entry(request: str, sign: int, minute: float, value: float | str | None, **changed: Any) -> dict[str, Any]:
    """An entry under the first definition of `late`."""
    said = {"text": value} if isinstance(value, str) else {"number": value}
    plain = {"unit": "request", "unit_id": request, "item": "", "label": "late", "policy": LATE.policy.hash}
    known = {
        "known_at": at(minute),
        "matures_at": at(120),
        "served_date": at(0).date(),
        "context": context(prediction=1.0),
    }
    return OUTCOME_LEDGER.row(**{**plain, **known, **said, "sign": sign, "tenant": "default", **changed})


OF_ITEM = {"unit": "item", "label": "kind", "policy": KIND.policy.hash, "context": context(judged=False)}
ANEW = {"policy": LATE_ANEW.policy.hash, "context": context(offset=12, prediction=1.0)}
LEDGER = [
    *(entry("changed", 1, 1, 1.0), entry("changed", -1, 5, 1.0), entry("changed", 1, 5, 0.0)),
    *(entry("withdrawn", 1, 2, 1.0), entry("withdrawn", -1, 3, 1.0)),
    *(entry("of items", 1, 4, "ant", item="i", **OF_ITEM), entry("of items", 1, 6, None, item="j", **OF_ITEM)),
    *(entry("declared anew", 1, 7, 1.0, **ANEW), entry("declared anew", 1, 7, 0.0, context=context(offset=12))),
]


def write(lake: Path, table: Table, made: list[dict[str, Any]]) -> None:
    write_deltalake(lake / table.folder, table.frame(made), partition_by=list(table.partition_by))


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("lake")
    controls = [
        CONTROLS.row(action="define", offset=offset, body=json.dumps(json.loads(one.control())["body"]))
        for one, offset in DECLARED.items()
    ]
    write(root, CONTROLS, controls)
    write(root, OUTCOME_LEDGER, LEDGER)
    write(root, FRONTIERS, [FRONTIERS.row(frontier=at(6))])
    write(root, EVENTS, [EVENTS.row()])
    (root / "_log").mkdir()
    (root / "_log" / "log.sqlite").write_bytes(b"a log")
    return root


@pytest.fixture
def ask(spark: SparkSession, lake: Path) -> Any:
    """The beliefs of an answer, in its order: request, item, value, minute."""

    def asked(**question: Any) -> list[tuple[Any, ...]]:
        found = rows(outcomes(spark, lake=lake, **question))
        value = [row["number"] if row["text"] is None else row["text"] for row in found]
        minutes = [(row["known_at"].astimezone(UTC) - at(0)).total_seconds() / 60 for row in found]
        return [(row["unit_id"], row["item"], *rest) for row, *rest in zip(found, value, minutes, strict=True)]

    return asked


def test_what_stands_is_what_was_not_taken_back(spark: SparkSession) -> None:
    found = rows(standing(frame(spark, OUTCOME_LEDGER, LEDGER[:5])))
    assert [(row["unit_id"], row["number"], row["known_at"]) for row in found] == [("changed", 0.0, at(5))]
    assert all(tuple(row) == OUTCOMES.names for row in found)


def test_a_belief_that_was_moved_to_an_earlier_time_is_known_since_then(spark: SparkSession) -> None:
    moved = [entry("r", 1, 5, 1.0), entry("r", 1, 2, 1.0), entry("r", -1, 5, 1.0)]
    (row,) = rows(standing(frame(spark, OUTCOME_LEDGER, moved)))
    assert row["known_at"] == at(2)


def test_a_belief_that_comes_back_is_known_since_it_came_back(spark: SparkSession) -> None:
    again = [entry("r", 1, 1, 1.0), entry("r", -1, 2, 1.0), entry("r", 1, 3, 1.0)]
    (row,) = rows(standing(frame(spark, OUTCOME_LEDGER, again)))
    assert row["known_at"] == at(3)


def test_without_a_question_every_belief_is_there_the_newest_first(ask: Any) -> None:
    assert ask() == [
        ("declared anew", "", 1.0, 7),
        ("of items", "j", None, 6),
        ("changed", "", 0.0, 5),
        ("of items", "i", "ant", 4),
    ]


def test_a_belief_is_under_the_definition_that_its_inference_was_logged_under(ask: Any) -> None:
    assert ask(request="declared anew") == [("declared anew", "", 1.0, 7)]


def test_model_label_and_request_narrow_it(ask: Any) -> None:
    assert [row[1] for row in ask(model="m", label="kind")] == ["j", "i"]
    assert ask(request="withdrawn") == ask(request="nobody's") == []


def test_as_of_a_time_is_what_could_be_known_before_it(ask: Any) -> None:
    assert ask(as_of=at(3)) == [("withdrawn", "", 1.0, 2), ("changed", "", 1.0, 1)]
    assert ask(request="changed", as_of=at(5)) == [("changed", "", 1.0, 1)]
    assert ask(request="changed", as_of=at(5.1)) == [("changed", "", 0.0, 5)]


@pytest.mark.parametrize(
    ("code", "question"),
    [
        ("unknown_model", {"model": "n"}),
        ("unknown_label", {"label": "lat"}),
        ("unknown_label", {"label": ""}),
        ("as_of_above_frontier", {"as_of": at(6.1)}),
        ("naive_time", {"as_of": datetime(2026, 3, 1)}),
    ],
)
def test_what_cannot_be_answered_is_refused(ask: Any, code: str, question: dict[str, Any]) -> None:
    with pytest.raises(InputError) as refused:
        ask(**question)
    assert refused.value.code == code


@pytest.fixture
def command(
    spark: SparkSession, lake: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Any:
    """What `hindsight outcomes` prints, in the tests' own session; its exit code."""

    @contextmanager
    def session(_: object) -> Iterator[tuple[SparkSession, dict[str, Path]]]:
        yield spark, {"lake": lake}

    monkeypatch.setattr(questions, "_session", session)

    def run(*options: str) -> tuple[int, str]:
        code = main(["outcomes", "--lake", str(lake), *options])
        return code, capsys.readouterr().out

    return run


def test_the_command_prints_a_belief_a_row(command: Any) -> None:
    code, printed = command()
    assert code == 0
    assert "4 beliefs" in printed
    shown = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in printed.splitlines()]
    assert ["late", "changed", "0", "2026-03-01 12:05:00", "2026-03-01 12:00:00", "1", "1"] in shown
    assert any(line[:4] == ["kind", "of items", "j", "undecided"] for line in shown)


def test_what_no_metric_counts_is_told(command: Any) -> None:
    assert "dim rows count in no metric" in command("--label", "kind")[1]
    assert "dim rows" not in command("--label", "late")[1]


def test_the_command_says_when_there_are_more(command: Any) -> None:
    assert "there are more: --limit" in command("--limit", "3")[1]
    assert "there are more" not in command("--limit", "4")[1]
    assert "0 beliefs" in command("--request", "nobody's")[1]


def test_the_json_of_the_command_has_the_columns_of_the_view(command: Any) -> None:
    _, printed = command("--json", "--label", "late", "--limit", "1")
    (row,) = json.loads(printed)
    assert tuple(row) == OUTCOMES.names
    assert (row["unit_id"], row["number"], row["known_at"]) == ("declared anew", 1.0, "2026-03-01T12:07:00.000000Z")


def test_a_mistake_is_told_by_its_code(command: Any) -> None:
    code, printed = command("--json", "--model", "n")
    assert (code, json.loads(printed)["error"]) == (2, "unknown_model")


@pytest.mark.parametrize("text", ["0", "-1", "many", "1.5"])
def test_a_limit_is_a_count(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["outcomes", "--limit", text]) == 2
    assert "[not_a_count]" in capsys.readouterr().err
