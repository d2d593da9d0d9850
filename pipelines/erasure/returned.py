"""Erased records that stand in the log again: somebody brought a backup of it back that was made before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.dataset.erased import succeed
from pipelines.dataset.tables import RELEASED
from pipelines.erasure.rewrite import drop, silence
from pipelines.errors import StateError
from pipelines.lake import Lake
from pipelines.log.erase import standing
from pipelines.log.mend import told
from pipelines.paths import log_path
from pipelines.retrain.tables import RETRAININGS

CODE = "erased_record_returned"


def returned(root: Path) -> list[int]:
    """Their offsets, ascending, of those that the certificates name. The log must be one that SQLite can read."""
    offsets = sorted(offset for one in _certificates(root) for offset in _offsets(one))
    return standing(log_path(root), offsets) if offsets else []


def forget_again(lake: Lake) -> None:
    """Erase what was erased before from the tables that no log says, should an old backup of them have brought it back."""
    for one in _certificates(lake.root):
        if lake.exists(RELEASED):
            drop(lake.root, RELEASED, pa.array(_offsets(one), pa.int64()))
            succeed(lake, int(one["erasure"]))
        if lake.exists(RETRAININGS):
            silence(lake.root)


def _certificates(root: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in sorted((root / "_erasures").glob("*.json"))]


def _offsets(certificate: dict[str, Any]) -> list[int]:
    return [offset for first, last in certificate["offsets"] for offset in range(first, last + 1)]


def refuse_returned(root: Path) -> None:
    """Raises StateError `erased_record_returned`: whatever is made from the log would bring erased people back."""
    if offsets := returned(root):
        where = told([(offset, offset + 1) for offset in offsets])
        raise StateError(
            CODE,
            f"{log_path(root)}: records that were erased stand there again, at {where}. Was a backup brought back that is older than "
            f"the erasure? Replace them again: hindsight repair --lake {root}",
        )
