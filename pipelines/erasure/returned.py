"""Erased records that stand in the log again: somebody brought a backup of it back that was made before."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa

from pipelines.erasure.logged import standing
from pipelines.erasure.rewrite import forget
from pipelines.errors import StateError
from pipelines.lake import Lake
from pipelines.log.mend import told
from pipelines.paths import log_path

CODE = "erased_record_returned"


def returned(root: Path) -> list[int]:
    """Their offsets, ascending, of those that the certificates name. The log must be one that SQLite can read.

    Raises StateError `certificate_damaged`.
    """
    offsets = sorted(offset for file in _certificates(root) for offset in _certified(file))
    return standing(root, offsets) if offsets else []


def forget_again(lake: Lake) -> None:
    """Erase what was erased before from the tables that no log says, should an old backup of them have brought it back.

    Raises StateError `certificate_damaged`.
    """
    for file in _certificates(lake.root):
        forget(lake, int(file.stem), pa.array(_certified(file), pa.int64()))


def _certificates(root: Path) -> list[Path]:
    return sorted((root / "_erasures").glob("*.json"))


def _certified(file: Path) -> list[int]:
    """The offsets that a certificate names."""
    try:
        runs = json.loads(file.read_text())["offsets"]
        return [offset for first, last in runs for offset in range(first, last + 1)]
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
