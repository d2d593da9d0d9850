"""The data dictionary is made from the declarations, and current."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.contract import spelled
from pipelines.dictionary import END, FILE, LATER, START, TABLES, dictionary, renew
from pipelines.errors import InputError
from pipelines.gold.metrics.catalogue import METRICS
from pipelines.mapping import load_mapping
from pipelines.silver.reasons import REASONS


def test_the_file_holds_what_the_declarations_say() -> None:
    text = FILE.read_text(encoding="utf-8")
    assert renew(text) == text, "run `python -m pipelines.dictionary`"


def test_every_table_column_metric_and_reason_is_in_it() -> None:
    text = dictionary()
    for table in (*TABLES, *LATER):
        assert f"### {table.name}\n\n{table.meaning}" in text
        for column in table.columns:
            assert f"| `{column.name}` | `{spelled(column.type)}` |" in text
    for metric in METRICS:
        assert f"| `{metric.name}` | {metric.family} | {metric.meaning} |" in text
    for code in REASONS:
        assert f"| `{code}` |" in text


def test_what_people_wrote_around_it_stays() -> None:
    renewed = renew(f"before\n{START}\nobsolete text\n{END}\nafter\n")
    assert renewed.startswith(f"before\n{START}\n")
    assert renewed.endswith(f"{END}\nafter\n")
    assert "obsolete text" not in renewed


@pytest.mark.parametrize("text", ["", START, f"{END}\n{START}", f"{START}\n{START}\n{END}"])
def test_a_file_without_its_markers_is_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        renew(text)
    assert caught.value.code == "markers_missing"


def test_the_mapping_that_is_shown_can_be_used(tmp_path: Path) -> None:
    shown = FILE.read_text(encoding="utf-8").split("```toml\n")[1].split("```")[0]
    (tmp_path / "shown.import.toml").write_text(shown, encoding="utf-8")
    mapping = load_mapping(tmp_path / "shown.import.toml")
    assert [section.kind for section in mapping.sections] == ["inference", "feedback"]
    assert mapping.columns == ["order", "scored", "decision", "probability", "plan", "logged", "left", "left_on"]
