"""Erased records that stand in the log again: somebody brought a backup of it back that was made before."""

from __future__ import annotations

import json
from pathlib import Path

from pipelines.errors import StateError
from pipelines.log.erase import standing
from pipelines.log.mend import told
from pipelines.paths import log_path

CODE = "erased_record_returned"


def returned(root: Path) -> list[int]:
    """Their offsets, ascending, of those that the certificates name. The log must be one that SQLite can read."""
    certificates = [json.loads(file.read_text()) for file in (root / "_erasures").glob("*.json")]
    ranges = sorted((first, last) for one in certificates for first, last in one["offsets"])
    offsets = [offset for first, last in ranges for offset in range(first, last + 1)]
    return standing(log_path(root), offsets) if offsets else []


def refuse_returned(root: Path) -> None:
    """Raises StateError `erased_record_returned`: whatever is made from the log would bring erased people back."""
    if offsets := returned(root):
        where = told([(offset, offset + 1) for offset in offsets])
        raise StateError(
            CODE,
            f"{log_path(root)}: records that were erased stand there again, at {where}. Was a backup brought back that is older than "
            f"the erasure? Replace them again: hindsight repair --lake {root}",
        )
