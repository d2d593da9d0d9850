"""What an erasure that is under way needs to be finished by whoever comes next: a folder beside the log.

It names no subject, but holds what their requests had posted, until the end.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any

import pyarrow as pa

from pipelines import whole
from pipelines.errors import StateError
from pipelines.paths import erasing

_PLAN, _DEAD = "plan.json", "dead.json"
_SIGNED = ("ledger", "examples", "statistics")


@dataclass(frozen=True)
class Journal:
    """`said`: the certificate as far as it can be written beforehand. `ledger`, `examples`, `statistics`: what takes the old rows back."""

    id: str
    offsets: list[int]
    ledger: pa.Table
    examples: pa.Table
    statistics: pa.Table
    said: dict[str, Any]


def begin(root: Path, journal: Journal) -> None:
    """State what is to be erased, at once or not at all. The caller holds all leases, and nothing is half-way through the jobs."""
    folder = erasing(root)
    scratch = folder.with_name("erasing.tmp")
    for old in (scratch, folder):  # without a plan either is what a crash left
        rmtree(old, ignore_errors=True)
    scratch.mkdir(parents=True)
    for name in _SIGNED:
        rows = getattr(journal, name)
        with pa.OSFile(str(scratch / f"{name}.arrow"), "wb") as file, pa.ipc.new_file(file, rows.schema) as writer:
            writer.write_table(rows)
    _write(scratch / _PLAN, {"id": journal.id, "offsets": journal.offsets, "said": journal.said})
    scratch.rename(folder)


def under_way(root: Path) -> Journal | None:
    """What was begun and not ended. Raises StateError `erasure_damaged`."""
    folder = erasing(root)
    if not (folder / _PLAN).exists():
        return None
    try:
        said = json.loads((folder / _PLAN).read_text())
        ledger, examples, statistics = (_read(folder / f"{name}.arrow") for name in _SIGNED)
        return Journal(said["id"], said["offsets"], ledger, examples, statistics, said["said"])
    except (ValueError, TypeError, KeyError, FileNotFoundError) as error:  # pa.ArrowInvalid is a ValueError
        raise StateError(
            "erasure_damaged",
            f"{folder} is not what was written ({type(error).__name__}: {error}): what is still to go is lost. Bring it back from a "
            f"backup; without one, delete it, make everything again, hindsight rebuild --lake {root}, and erase the same subjects again.",
        ) from error


def dead(root: Path, find: Any) -> list[str]:
    """The files that go, as they were found the first time."""
    file = erasing(root) / _DEAD
    if not file.exists():
        _write(file, find())
    found: list[str] = json.loads(file.read_text())
    return found


def end(root: Path) -> None:
    """Forget it: the plan first, since the rest is of no use without."""
    (erasing(root) / _PLAN).unlink()
    clear(root)


def clear(root: Path) -> None:
    """Remove what is left where nothing is under way."""
    for folder in (erasing(root), erasing(root).with_name("erasing.tmp")):
        rmtree(folder, ignore_errors=True)


def _write(file: Path, content: Any) -> None:
    whole.write(file, json.dumps(content), durable=True)


def _read(file: Path) -> pa.Table:
    with pa.OSFile(str(file), "rb") as opened:
        return pa.ipc.open_file(opened).read_all()
