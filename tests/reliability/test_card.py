"""The card itself: what passes, what fails, what is kept. And every check on it, at its short size."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from tests.reliability import __main__ as command
from tests.reliability import card, corpus
from tests.reliability.check import Check, Figures, Result, at_least, exactly, perform

SEED = 1
NOBODY: Any = None
"""The session of checks that need none."""


@pytest.fixture(scope="session")
def result_of(
    request: pytest.FixtureRequest, spark: SparkSession, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[Check], Result]]:
    """How to get the result of a check at its short size."""
    chosen = [item.callspec.params["check"] for item in request.session.items if item.get_closest_marker("reliability")]

    def performed(check: Check) -> Result:
        return perform(check, SEED, check.short, tmp_path_factory.mktemp(check.id), spark)

    with card.beside(chosen, performed) as asked:
        yield asked


@pytest.mark.reliability
@pytest.mark.parametrize("check", card.CHECKS, ids=lambda check: check.id)
def test_a_check_passes(result_of: Callable[[Check], Result], check: Check) -> None:
    result = result_of(check)
    print(json.dumps(result.body(), indent=2))
    assert result.passed, "\n".join([*result.missed, *result.figures.get("examples", [])])


class Counting:
    """A check that counts how often it ran, and measures what it is told to."""

    def __init__(self, name: str, **figures: Any) -> None:
        self.ran: list[tuple[int, int]] = []
        self.figures = figures
        self.check = Check(name, "It holds", self.run, 2, 9, {"lost": exactly(0), "found": at_least(3)})

    def run(self, seed: int, size: int, folder: Path, spark: SparkSession) -> Figures:
        del spark
        assert not list(folder.iterdir())
        self.ran.append((seed, size))
        return self.figures


def ran(out: Path, *checks: Counting, **options: Any) -> list[bool]:
    results = card.run([each.check for each in checks], lambda: NOBODY, out, **{"seed": SEED, **options})
    return [result.passed for result in results]


@pytest.mark.parametrize(
    ("figures", "passes"),
    [
        ({"lost": 0, "found": 3}, True),
        ({"lost": 1, "found": 3}, False),
        ({"lost": 0, "found": 2.9}, False),
        ({"lost": 0}, False),
        ({}, False),
    ],
)
def test_a_check_passes_when_every_figure_is_there_and_as_wanted(
    tmp_path: Path, figures: Figures, passes: bool
) -> None:
    assert ran(tmp_path, Counting("one", **figures)) == [passes]


def test_a_check_that_raises_has_failed_and_says_where(tmp_path: Path) -> None:
    def broken(seed: int, size: int, folder: Path, spark: SparkSession) -> Figures:
        raise ValueError(f"{seed} {size} {folder} {spark}")

    result = perform(Check("broken", "It breaks", broken, 1, 2, {}), SEED, 1, tmp_path, NOBODY)
    assert not result.passed
    assert "ValueError" in result.missed[0]


def test_a_finished_check_is_not_run_again_unless_asked_for(tmp_path: Path) -> None:
    one, two = Counting("one", lost=0, found=3), Counting("two", lost=1, found=3)
    assert ran(tmp_path, one) == [True]
    assert ran(tmp_path, one, two) == [True, False]
    assert ran(tmp_path, one, two) == [True, False]
    assert (one.ran, two.ran) == ([(SEED, 2)], [(SEED, 2)])
    ran(tmp_path, one, two, again=True)
    assert (len(one.ran), len(two.ran)) == (2, 2)


@pytest.mark.parametrize("full", [False, True])
def test_what_runs_apart_runs_beside_the_others_but_not_at_full_size(tmp_path: Path, full: bool) -> None:
    def here(*_: Any) -> Figures:
        return {"beside": threading.current_thread() is not threading.main_thread()}

    one = Check("one", "It runs on the session", here, 1, 2, {"beside": exactly(False)})
    other = Check("other", "It runs apart", here, 1, 2, {"beside": exactly(not full)}, apart=True)
    results = card.run([one, other], lambda: NOBODY, tmp_path, seed=SEED, full=full)
    assert [result.passed for result in results] == [True, True]


def test_another_size_or_seed_is_another_run(tmp_path: Path) -> None:
    one = Counting("one", lost=0, found=3)
    ran(tmp_path, one)
    ran(tmp_path, one, full=True)
    ran(tmp_path, one, full=True, seed=7)
    assert one.ran == [(SEED, 2), (SEED, 9), (7, 9)]


def test_an_interrupted_check_leaves_no_result_and_the_others_theirs(tmp_path: Path) -> None:
    one, two = Counting("one", lost=0, found=3), Counting("two")

    def interrupted(check: Check, result: Any) -> None:
        if check.id == "two" and result is None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ran(tmp_path, one, two, told=interrupted)
    assert [file.name for file in tmp_path.iterdir()] == ["one.json"]
    body = json.loads((tmp_path / "one.json").read_text())
    assert {"id", "seed", "size", "pass", "figures", "seconds"} <= body.keys()


def test_the_card_lists_every_figure(tmp_path: Path) -> None:
    ran(tmp_path, Counting("one", lost=1, found=3))
    lines = (tmp_path / "card.md").read_text().splitlines()
    assert "| one | It holds | lost | 1 | 0 | FAIL |" in lines
    assert "|  |  | found | 3 | ≥ 3 | pass |" in lines
    assert json.loads((tmp_path / "card.json").read_text())["pass"] is False


@pytest.mark.parametrize(("lost", "code"), [(0, 0), (1, 1)])
def test_the_command_ends_with_1_when_a_check_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], lost: int, code: int
) -> None:
    one = Counting("one", lost=lost, found=3)
    monkeypatch.setattr(card, "CHECKS", (one.check,))
    monkeypatch.setattr(command, "build", lambda *_, **__: type("Session", (), {"stop": lambda _: None})())
    assert command.main(["--out", str(tmp_path), "--json"]) == code
    assert json.loads(capsys.readouterr().out)["pass"] is (code == 0)
    assert command.main(["--out", str(tmp_path), "--only", "one"]) == code
    assert one.ran == [(SEED, 2)]


def test_the_corpus_file_is_what_its_module_writes() -> None:
    cases = corpus.read()
    assert cases == corpus.made(), "run python -m tests.reliability.corpus"
    assert len(cases) >= 300
    assert len({case.payload for case in cases}) == len(cases)
