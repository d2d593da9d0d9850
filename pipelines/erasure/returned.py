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
    """Their offsets, ascending, of those that the certificates name. The log must be one that SQLite can read.

    Raises StateError `certificate_damaged`.
    """
    ranges = sorted(one for file in (root / "_erasures").glob("*.json") for one in _certified(file))
    offsets = [offset for first, last in ranges for offset in range(first, last + 1)]
    return standing(log_path(root), offsets) if offsets else []


def _certified(file: Path) -> list[tuple[int, int]]:
    """The first and the last offset of each run of records that a certificate names."""
    try:
        return [(int(first), int(last)) for first, last in json.loads(file.read_text())["offsets"]]
    except (ValueError, TypeError, KeyError) as error:
        raise StateError(
            "certificate_damaged",
            f"{file} is not what was written ({type(error).__name__}: {error}): it says which records were erased, so that a backup of "
            "the log cannot bring them back unnoticed. Bring it back from a backup; without one, move it away.",
        ) from error


def refuse_returned(root: Path) -> None:
    """Raises StateError `erased_record_returned`, or `certificate_damaged`: what is made from the log could bring erased people back."""
    if offsets := returned(root):
        where = told([(offset, offset + 1) for offset in offsets])
        raise StateError(
            CODE,
            f"{log_path(root)}: records that were erased stand there again, at {where}. Was a backup brought back that is older than "
            f"the erasure? Replace them again: hindsight repair --lake {root}",
        )
