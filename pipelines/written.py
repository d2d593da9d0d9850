"""How far a query has written its tables, noted in its checkpoint: an old backup of a table is whole, and does not say what it lacks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pipelines import whole


def note(folder: Path, reached: Mapping[str, int]) -> None:
    """Note by table how far it is written: the last batch that brought it rows; of reconcile, which has no batches, its version."""
    if not reached:
        return
    folder.mkdir(parents=True, exist_ok=True)
    whole.write(folder / "written", json.dumps({**noted(folder), **reached}))


def noted(folder: Path) -> dict[str, int]:
    """What was noted; nothing where the note is damaged, since a table does without."""
    try:
        return {str(name): int(reached) for name, reached in json.loads((folder / "written").read_text()).items()}
    except (FileNotFoundError, ValueError, TypeError, AttributeError):
        return {}
