"""How far the tables are written that no log can give again: an old backup of one is whole, and does not say what it lacks.

A rebuild keeps such tables, and these notes, a file for each, since different commands write them; a crash before a note leaves the one
before, which the next write makes good.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines import written
from pipelines.contract import Table
from pipelines.lake import Lake, Mark

_FOLDER = "_kept"


def append(lake: Lake, table: Table, rows: pa.Table, mark: Mark, covers: Mapping[str, Any]) -> int:
    """Append rows as `Lake.append`, and note it. What is written to an old backup does not make up for what that lacks."""
    lacking = max(0, noted(lake.root).get(table.name, -1) - _version(lake, table))
    count = lake.append(table, rows, mark, covers)
    note(lake, table, lacking)
    return count


def note(lake: Lake, table: Table, lacking: int = 0) -> None:
    """Note the version that a table has come to, or would have without lacking so many."""
    reached = max(noted(lake.root).get(table.name, -1), _version(lake, table) + lacking)
    written.note(lake.root / _FOLDER / table.name, {table.name: reached})


def take(lake: Lake, table: Table) -> None:
    """Note the version that a table has, whatever it had come to."""
    forget(lake.root, table.name)
    note(lake, table)


def noted(root: Path) -> dict[str, int]:
    """The version that each table had come to, by name."""
    return {name: version for folder in sorted((root / _FOLDER).glob("*")) for name, version in written.noted(folder).items()}


def forget(root: Path, name: str) -> None:
    """Take back the note of a table that is gone."""
    (root / _FOLDER / name / "written").unlink(missing_ok=True)


def _version(lake: Lake, table: Table) -> int:
    return int(lake.open(table).version())
