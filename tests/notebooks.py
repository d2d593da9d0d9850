"""Notebooks in the source format of Databricks as cells, and as Jupyter has them: `python -m tests.notebooks` writes the .ipynb anew.

The .py is what people write. (jupytext does not know its format.) The .ipynb holds no outputs: they would be of another lake and of another
day, and every run would change the file; the tests look at what the cells show.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent / "notebooks"
FIRST, BREAK, MAGIC = "# Databricks notebook source\n", "\n# COMMAND ----------\n", "# MAGIC"


@dataclass(frozen=True)
class Cell:
    """One cell; what is no code is Markdown."""

    is_code: bool
    text: str


def cells(source: str) -> list[Cell]:
    """The cells of a notebook in Databricks' source format."""
    if not source.startswith(FIRST):
        raise ValueError(f"expected {FIRST!r} first")
    return [_cell(part.strip("\n")) for part in source.removeprefix(FIRST).split(BREAK)]


def _cell(text: str) -> Cell:
    if not text.startswith(MAGIC):
        return Cell(True, text)
    first, *lines = [line.removeprefix(MAGIC).removeprefix(" ") for line in text.split("\n")]
    if first != "%md" or not all(line.startswith(MAGIC) for line in text.split("\n")):
        raise ValueError(f"{text[:80]!r}: expected a cell of Markdown alone, or of Python alone")
    return Cell(False, "\n".join(lines))


def jupyter(source: str) -> str:
    """The same notebook as a file of Jupyter (nbformat 4.5)."""
    notebook = {
        "cells": [_as_jupyter(number, cell) for number, cell in enumerate(cells(source))],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def _as_jupyter(number: int, cell: Cell) -> dict[str, Any]:
    same = {"id": f"cell-{number}", "metadata": {}, "source": cell.text.splitlines(keepends=True)}
    if not cell.is_code:
        return {"cell_type": "markdown", **same}
    return {"cell_type": "code", "execution_count": None, **same, "outputs": []}


def main() -> None:
    for path in sorted(FOLDER.glob("*.py")):
        path.with_suffix(".ipynb").write_text(jupyter(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
