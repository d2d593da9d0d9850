"""The notebooks: both formats are one, every cell runs, and what they show is what the lake says."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from matplotlib.figure import Figure
from pyspark.sql import SparkSession
from sklearn.metrics import roc_auc_score

from pipelines.demo import sample
from pipelines.errors import StateError
from pipelines.metrics import metrics
from tests.lakes import settings_for
from tests.notebooks import FIRST, FOLDER, Cell, cells, jupyter

NAMES = ("step_by_step", "explore_metrics", "training_sets")
pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}") for kind in ("DeprecationWarning", "FutureWarning", "UserWarning")]
Names = dict[str, Any]


# two formats


def test_there_is_each_notebook_in_both_formats() -> None:
    assert {path.name for path in FOLDER.iterdir() if path.is_file()} == {f"{name}{end}" for name in NAMES for end in (".py", ".ipynb")}


@pytest.mark.parametrize("name", NAMES)
def test_jupyter_has_what_databricks_has(name: str) -> None:
    source = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    assert (FOLDER / f"{name}.ipynb").read_text(encoding="utf-8") == jupyter(source), "run `python -m tests.notebooks`"


def test_cells_are_markdown_or_python() -> None:
    source = f"{FIRST}# MAGIC %md\n# MAGIC # Title\n# MAGIC\n# MAGIC Text.\n\n# COMMAND ----------\n\na = 1\n\na + 1\n"
    assert cells(source) == [Cell(False, "# Title\n\nText."), Cell(True, "a = 1\n\na + 1")]
    made = json.loads(jupyter(source))
    assert [cell["cell_type"] for cell in made["cells"]] == ["markdown", "code"]
    assert ["".join(cell["source"]) for cell in made["cells"]] == ["# Title\n\nText.", "a = 1\n\na + 1"]


@pytest.mark.parametrize("source", ["a = 1\n", f"{FIRST}# MAGIC %sql\n# MAGIC SELECT 1\n", f"{FIRST}# MAGIC %md\na = 1\n"])
def test_what_is_not_such_a_notebook_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        cells(source)


@pytest.mark.parametrize("name", NAMES)
def test_there_is_no_logic_in_them(name: str) -> None:
    """Calls, values and plots: what decides is tested in the package."""
    tree = ast.parse("\n".join(cell.text for cell in cells((FOLDER / f"{name}.py").read_text()) if cell.is_code))
    logic = (ast.If, ast.IfExp, ast.For, ast.While, ast.FunctionDef, ast.Lambda, ast.ClassDef, ast.Try)
    assert not [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, logic)]


# what they show


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Names, list[Any]]]:
    """Run the cells of a notebook in its folder; its names, and what the cells show. What is `given` goes over the first cell."""
    monkeypatch.chdir(FOLDER)

    def execute(name: str, **given: Any) -> tuple[Names, list[Any]]:
        names: Names = {"__name__": "__main__"}
        shown = []
        code = [cell.text for cell in cells((FOLDER / f"{name}.py").read_text(encoding="utf-8")) if cell.is_code]
        for number, text in enumerate(code):
            tree = ast.parse(text)
            last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
            exec(compile(tree, f"{name}, cell {number}", "exec"), names)
            if isinstance(last, ast.Expr):
                shown.append(eval(compile(ast.Expression(last.value), f"{name}, cell {number}", "eval"), names))
            names.update(given if number == 0 else {})
        return names, [one for one in shown if one is not None]

    return execute


@pytest.fixture(scope="module")
def flights(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lake that both notebooks make where there is none."""
    return sample.sample(settings_for(tmp_path_factory.mktemp("notebooks") / "lake"), spark)


@pytest.mark.usefixtures("spark")
def test_step_by_step_a_correction_moves_the_number_and_not_what_was_known(
    run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names, shown = run("step_by_step", LAKE=tmp_path / "lake")
    (before,), (after,), (as_it_was,) = (names[name][["n", "coverage", "accuracy"]].to_numpy().tolist() for name in
                                         ("before", "after", "as_it_was"))  # fmt: skip
    assert before == as_it_was == [3, 0.75, 1.0]
    assert after == pytest.approx([3, 0.75, 2 / 3])
    assert (names["before"]["final"].item(), names["after"]["final"].item()) == (False, True)
    moved = names["entries"].query("unit_id == 'AA-1141'")
    assert moved[["sign", "number"]].to_numpy().tolist() in ([[1, 0], [-1, 0], [1, 1]], [[1, 0], [1, 1], [-1, 0]])
    assert names["report"].ok
    printed = capsys.readouterr().out
    assert "AA-1141-corrected" in printed
    assert "differences 0" in printed
    assert any(frame is names["entries"] for frame in shown)


def drawn(figure: go.Figure, panel: int, group: str) -> list[float]:
    """The values that a figure shows of a group, solid or dashed, in order of time."""
    axis = f"y{panel or ''}" if panel != 1 else "y"
    lines = [one for one in figure.data if one.name == group and one.line.width and one.yaxis in (axis, None)]
    assert [one.line.dash for one in lines] == [None, "dash"]
    solid, dashed = (np.array(one.y, float) for one in lines)
    return np.where(np.isnan(solid), dashed, solid).tolist()


def same(found: list[float], expected: pd.Series) -> None:
    np.testing.assert_allclose(found, expected.to_numpy(float))


def test_plots_hold_what_metrics_says(run: Any, flights: Path, spark: SparkSession, capsys: pytest.CaptureFixture[str]) -> None:
    names, shown = run("explore_metrics", LAKE=flights)
    by_version, by_origin, evening, known = (one for one in shown if isinstance(one, go.Figure))
    said = names["by_version"]
    for version, rows in said.groupby("version"):
        for panel, metric in enumerate(("auc", "brier", "coverage"), 1):
            same(drawn(by_version, panel, version), rows[metric])
    served = said.groupby("version")["window_start"]
    assert served.max()["1"] < served.min()["2"]
    for origin, rows in names["daily_by_origin"].groupby("origin"):
        same(drawn(by_origin, 1, origin), rows["recall"])
    provisional = [not final for final in names["evening"]["final"]]
    assert 0 < sum(provisional) < len(provisional)
    (dashed,) = [one for one in evening.data if one.line.dash == "dash" and one.yaxis in ("y", None)]
    assert sum(not math.isnan(value) for value in dashed.y) == sum(provisional) + 1
    first, *_ = names["TIMES"]
    asked: Names = {"model": "arrival_delay", "label": "late", "every": "6 hours", "start": datetime(2013, 1, 15, tzinfo=UTC)}
    same(drawn(known, 1, f"{first:%Y-%m-%d %H:%M}"), metrics(spark, lake=flights, as_of=first, **asked).toPandas()["coverage"])
    assert [len(rows) for _, rows in names["known"].groupby("as_of")] == [10, 14, 18, 22]
    path = names["path"]
    assert path.agrees
    assert path.steps[0].request in capsys.readouterr().out


@pytest.mark.usefixtures("spark")
def test_training_sets_are_released_compared_and_learnt_from(run: Any, flights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names, shown = run("training_sets", LAKE=flights)
    first, second = names["first"], names["second"]
    assert names["again"] == first
    assert (names["train"].num_rows, names["test"].num_rows) == (second.splits["train"], second.splits["test"])
    counts = names["changes"].counts
    assert counts["came: newly mature"] > 500
    assert names["changes"].same + sum(count for why, count in counts.items() if not why.startswith("came")) == first.rows
    (figure,) = [one for one in shown if isinstance(one, Figure)]
    told = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    for name, scores in (("as served", names["test"]["score"].to_numpy()), ("trained here", names["scores"])):
        auc = roc_auc_score(names["came"], scores, sample_weight=names["weight"])
        assert f"{name} (AUC = {auc:.2f})" in told
        assert auc > 0.6
    assert names["verdict"].passed
    assert len(names["verdict"].rules) == len(second.gates)
    assert {(one.rule, one.column) for one in names["refused"].failed} == {("expect_column_mean_to_be_between", "score")}
    assert "newly mature" in capsys.readouterr().out


def test_a_sample_is_made_once(flights: Path, spark: SparkSession) -> None:
    before = sorted(path.stat().st_mtime_ns for path in (flights / "bronze").rglob("*"))
    assert sample.sample(settings_for(flights), spark) == flights
    assert sorted(path.stat().st_mtime_ns for path in (flights / "bronze").rglob("*")) == before


def test_a_sample_that_was_not_finished_is_made_anew_and_nothing_else_is_touched(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled = []
    monkeypatch.setattr(sample, "_fill", lambda settings, _: filled.append(sorted(path.name for path in settings.lake.path.iterdir())))
    monkeypatch.setattr(sample, "existing", lambda root: root)
    (tmp_path / "half" / "bronze").mkdir(parents=True)
    (tmp_path / "half" / sample.MAKING).touch()
    sample.sample(settings_for(tmp_path / "half"), spark)
    assert filled == [[sample.MAKING]]
    assert list((tmp_path / "half").iterdir()) == []
    monkeypatch.undo()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(StateError) as found:
        sample.sample(settings_for(tmp_path / "mine"), spark)
    assert found.value.code == "no_lake"
    assert (tmp_path / "mine" / "thesis.txt").exists()
