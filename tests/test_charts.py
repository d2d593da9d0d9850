"""Charts as files, and the table for the terminal."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.image import imread
from rich.console import Console

from pipelines.charts import draw, figure, lines_of
from pipelines.errors import InputError
from pipelines.metrics_table import render

DAY = timedelta(days=1)
START = datetime(2026, 3, 1, tzinfo=UTC)


def row(day: int = 0, **changed: Any) -> dict[str, Any]:
    """A day's answer for one group."""
    return {
        **{"model": "arrival_delay", "label": "late", "definition": "0" * 16, "origin": "JFK"},
        **{"window_start": START + day * DAY, "window_end": START + (day + 1) * DAY, "n": 1200},
        **{"auc": 0.71234, "auc_low": 0.69, "auc_high": 0.73, "coverage": 0.97, "final": True},
        **changed,
    }


def answer(*rows: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=list(row()))


TWO_GROUPS = answer(*[row(day, origin=origin, final=day < 3) for origin in ("JFK", "LGA") for day in range(5)])


def shown(frame: pd.DataFrame, *columns: str) -> str:
    console = Console(width=200, file=StringIO())
    console.print(render(frame, columns))
    return console.file.getvalue()


def test_a_png_is_a_picture_of_a_panel_per_metric(tmp_path):
    one = imread(draw(TWO_GROUPS, tmp_path / "new" / "one.png", metrics=["auc"]))
    two = imread(draw(TWO_GROUPS, tmp_path / "two.png"))
    assert two.shape[1] == one.shape[1] == 1600
    assert two.shape[0] > one.shape[0]
    assert one.std() > 0


def test_a_chart_names_its_groups_and_says_what_may_still_change(tmp_path):
    text = draw(TWO_GROUPS, tmp_path / "chart.svg").read_text()
    assert all(part in text for part in ("JFK", "LGA", "may still change", "UTC", "arrival_delay · late"))
    settled = answer(row(0), row(1))
    text = draw(settled, tmp_path / "settled.svg", title="Settled").read_text()
    assert "Settled" in text
    assert "may still change" not in text


def test_a_chart_says_what_its_windows_are_and_what_chance_reaches(tmp_path):
    sliding = answer(*[row(day, window_end=START + (day + 7) * DAY) for day in range(40)])
    text = draw(sliding, tmp_path / "chart.svg").read_text()
    for part in ("AUC", "coverage", "0.5: chance", "middle of each window of 1 week, one every day, UTC"):
        assert f">{part}" in text
    text = draw(sliding, tmp_path / "coverage.svg", metrics=["coverage"]).read_text()
    assert "chance" not in text
    page = draw(sliding, tmp_path / "chart.html").read_text()
    assert all(part in page for part in ('"text":"AUC"', '"text":"chance"', "window of 1 week, one every day"))
    assert "not final" not in page
    assert "middle of each window of 1 day, UTC" in draw(TWO_GROUPS, tmp_path / "daily.svg").read_text()


@pytest.mark.parametrize(("days", "form"), [(2, r"\d\d-\d\d \d\d:00"), (28, r"2026-\d\d-\d\d"), (300, r"2026-\d\d")])
def test_dates_are_spelled_alike_and_equally_far_apart(tmp_path, days, form):
    frame = answer(*[row(day) for day in range(days)])
    text = draw(frame, tmp_path / "chart.svg", metrics=["coverage"]).read_text()
    ticks = [tick for tick in re.findall(r">([^<>]+)</text>", text) if "-" in tick]
    assert len(ticks) >= 3
    assert [tick for tick in ticks if not re.fullmatch(form, tick)] == []
    if days == 28:
        days_between = {b - a for a, b in pairwise(map(datetime.fromisoformat, ticks))}
        assert len(days_between) == 1


def test_a_page_needs_no_network(tmp_path):
    page = draw(TWO_GROUPS, tmp_path / "chart.html").read_text()
    assert "<script src=" not in page
    assert '"name":"JFK"' in page
    assert '"dash":"dash"' in page


def test_what_may_still_change_goes_on_from_the_last_final_value():
    line = lines_of(answer(*[row(day, auc=day / 10, final=day < 2) for day in range(4)]), "auc")[0]
    assert line.settled()[:2] == [0.0, 0.1]
    assert [math.isnan(value) for value in line.settled()] == [False, False, True, True]
    assert line.provisional()[1:] == [0.1, 0.2, 0.3]
    assert [math.isnan(value) for value in line.provisional()] == [True, False, False, False]


def test_a_value_stands_at_the_middle_of_its_window_in_utc():
    naive = answer(row(0, window_start=datetime(2026, 3, 1), window_end=datetime(2026, 3, 2)))
    for frame in (naive, answer(row(0))):
        assert lines_of(frame, "auc")[0].at == [datetime(2026, 3, 1, 12, tzinfo=UTC)]


def test_a_group_keeps_its_colour_where_another_has_no_values():
    service = [row(day, label="", auc=None) for day in range(2)]
    frame = answer(*service, *[row(day) for day in range(2)])
    (auc,) = lines_of(frame, "auc")
    coverage = {line.name: line.colour for line in lines_of(frame, "coverage")}
    assert (auc.name, auc.colour) == ("late", coverage["late"])
    assert set(coverage) == {"service", "late"}


def test_a_figure_for_notebooks_is_the_page_and_says_as_of_when():
    times = [START + timedelta(hours=hours) for hours in (0, 36)]
    told = pd.concat([answer(row(0, auc=0.6 + i / 10)).assign(as_of=at) for i, at in enumerate(times)])
    shown = figure(told[["as_of", *told.columns[:-1]]], metrics=["auc"], title="As of")
    assert {line.name: line.y[0] for line in shown.data if line.line.width and not line.line.dash} == {
        "2026-03-01": 0.6,
        "2026-03-02 12:00": 0.7,
    }
    assert shown.layout.title.text == "As of"
    with pytest.raises(InputError):
        figure(told, metrics=["acu"])


def test_the_band_of_a_figure_ends_where_there_is_no_interval():
    gap = answer(*[row(day, auc_low=None if day == 2 else 0.6) for day in range(5)])
    bands = [list(one.y) for one in figure(gap, metrics=["auc"]).data if one.fill]
    assert bands == [[0.73, 0.73, 0.6, 0.6], [0.73, 0.73, 0.6, 0.6]]


@pytest.mark.parametrize("suffix", [".png", ".html"])
def test_an_answer_without_rows_is_a_chart_that_says_so(tmp_path, suffix):
    assert draw(answer(), tmp_path / f"empty{suffix}").stat().st_size > 0


@pytest.mark.parametrize(
    ("code", "name", "metric"),
    [
        ("unknown_chart", "chart.pdf", "auc"),
        ("not_writable", "/dev/null/auc.png", "auc"),
        ("unknown_metric", "chart.png", "acu"),
        ("unknown_metric", "chart.png", "window_start"),
        ("not_a_number", "chart.png", "model"),
    ],
)
def test_what_cannot_be_drawn_is_refused_and_leaves_no_file(tmp_path: Path, code, name, metric):
    with pytest.raises(InputError) as refused:
        draw(TWO_GROUPS, tmp_path / name, metrics=[metric])
    assert refused.value.code == code
    assert list(tmp_path.iterdir()) == []


def test_the_table_leaves_out_hours_that_say_nothing_and_marks_what_may_still_change():
    text = shown(answer(row(0), row(1, final=False)), "n")
    assert "2026-03-01   2026-03-02     1,200" in text
    assert "2026-03-02   2026-03-03 *   1,200" in text
    assert "* may still change" in " ".join(text.split())
    assert "* may" not in shown(answer(row(0)), "n")


def test_the_table_has_intervals_and_times_in_utc():
    hour = START + timedelta(hours=13)
    text = shown(answer(row(0, window_start=hour, window_end=hour + timedelta(hours=1))), "n", "auc", "coverage")
    assert "2026-03-01 13:00   2026-03-01 14:00" in text
    assert "0.7123 [0.69, 0.73]" in text
    assert "1,200" in text
    assert "0.97" in text


def test_the_table_shows_null_classes_and_names_as_they_are():
    frame = answer(row(0, auc=None, auc_low=None, coverage={"ant": 0.5, "bee": None}, origin="[bold]", label=""))
    text = shown(frame, "auc", "coverage")
    assert "   -   " in text
    assert "ant 0.5, bee -" in text
    assert "[bold]" in text
    assert "(service)" in text


def test_the_table_refuses_what_the_answer_has_not():
    with pytest.raises(InputError, match='did you mean "auc"'):
        render(TWO_GROUPS, ["acu"])
