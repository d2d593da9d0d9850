"""Where things lie under the folder of a lake."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.bronze.tables import EVENTS
from pipelines.errors import StateError

if TYPE_CHECKING:
    from pipelines.job import Chain


def beside_log(root: Path, name: str) -> Path:
    """What is kept or lost together with the log."""
    return root / "_log" / name


def in_bronze(root: Path) -> Path:
    """A file that stands where bronze.events itself is the log."""
    return beside_log(root, "in_bronze")


def log_path(root: Path) -> Path:
    """The log: a file of SQLite, or the folder of bronze.events."""
    return root / EVENTS.folder if in_bronze(root).exists() else beside_log(root, "log.sqlite")


def place_log(root: Path, kept: str) -> Path:
    """Where the log lies: in a new lake as the setting `log.kept` says.

    Raises StateError `log_missing`, or `log_elsewhere` where it lies otherwise.
    """
    refuse_a_lost_log(root)
    if kept == "bronze" and not (beside_log(root, "log.sqlite").exists() or (root / EVENTS.folder).exists()):
        in_bronze(root).parent.mkdir(parents=True, exist_ok=True)
        in_bronze(root).touch()
    found = "bronze" if in_bronze(root).exists() else "sqlite"
    if found != kept:
        raise StateError(
            "log_elsewhere",
            f'{root}: the log of this lake lies at {log_path(root)}, but log.kept = "{kept}". A log does not move: '
            f'say log.kept = "{found}" in settings.toml, or name another lake with --lake.',
        )
    return log_path(root)


SIDE = "_rebuild"
"""The folder in which a rebuild makes everything anew."""


def salvaged(root: Path) -> Path:
    """The folder in which a table that no log can give again is made anew."""
    return root / "_salvage"


def docs_of(root: Path, model: str) -> Path:
    """What the gate of a model's releases has said, as pages; they may quote values."""
    return root / "_docs" / model


def swap_of(root: Path) -> Path:
    """A file that stands while what was rebuilt is put in its place."""
    return root / SIDE / "READY"


def backfill_of(root: Path) -> Path:
    """A file that stands while definitions are filled; beside the tables, so that whatever replaces them replaces it too."""
    return root / "gold" / "_backfill.json"


def erasing(root: Path) -> Path:
    """A folder that stands while subjects are erased; beside the log, which no rebuild replaces."""
    return beside_log(root, "erasing")


def existing(root: Path) -> Path:
    """The folder of a lake that is there.

    Raises StateError `no_lake`, which names the lakes nearby, `log_missing`, `rebuild_unfinished` or `erasure_unfinished`.
    """
    root = there(root)
    refuse_half_erased(root)
    return root


def there(root: Path) -> Path:
    """The same, though subjects may be half erased."""
    root = root.resolve()
    refuse_a_lost_log(root)
    if not log_path(root).exists():
        near = sorted(log.parent.name for log in Path.cwd().glob("*/_log") if log_path(log.parent).exists())
        hint = f"; here is one: --lake {near[0]}" if near else ""
        raise StateError(
            "no_lake", f"{root}: there is no lake here. `hindsight run` makes one, --lake names another{hint}."
        )
    refuse_half_rebuilt(root)
    return root


def refuse_a_lost_log(root: Path) -> None:
    """Raises StateError `log_missing` where records have landed and the log is gone: a new one would give their offsets again."""
    log = log_path(root)
    if any((root / EVENTS.folder).glob("*/*.parquet")) and not (log.is_dir() or (log.is_file() and log.stat().st_size)):
        raise StateError(
            "log_missing",
            f"{log} is {'empty' if log.exists() else 'missing'}, though records of it have landed. `hindsight repair` makes it "
            "again from them; a backup may hold more.",
        )


def refuse_half_rebuilt(root: Path) -> None:
    """Raises StateError `rebuild_unfinished` where new tables are only partly in their place."""
    if swap_of(root).exists():
        raise StateError(
            "rebuild_unfinished",
            f"{root}: a rebuild ended while it put its tables in place. Finish it, in a moment: hindsight rebuild --lake {root}",
        )


def refuse_half_erased(root: Path) -> None:
    """Raises StateError `erasure_unfinished` where subjects are erased only in part."""
    if (erasing(root) / "plan.json").exists():
        raise StateError(
            "erasure_unfinished",
            f"{root}: subjects are being erased, or the command ended halfway. Finish it, without naming them again: "
            f"hindsight erase --lake {root}",
        )


def refuse_half_filled(root: Path) -> None:
    """Raises StateError `backfill_unfinished` where definitions are filled only in part."""
    if backfill_of(root).exists():
        raise StateError(
            "backfill_unfinished",
            f"{root}: a definition has been filled only in part for the inferences before it. Finish it: "
            f"hindsight run --once --lake {root}",
        )


def checkpoints(root: Path) -> Path:
    """The folder of checkpoints, one per query."""
    return root / "_checkpoints"


def chains_of(folders: Iterable[Path]) -> Iterator[tuple[Path, Chain]]:
    """Which jobs each checkpoint folder of a lake belongs to: it is named after them. In the order of the flow."""
    from pipelines.jobs import chains  # which import Spark: who loads a release needs none

    by_name = {folder.name: folder for folder in folders}
    lands = not any(in_bronze(folder.parent.parent).exists() for folder in by_name.values())
    for chain in chains(horizon=timedelta(days=1), lands=lands):
        for start in range(len(chain)):
            for end in range(len(chain), start, -1):
                name = "+".join(job.name for job in chain[start:end])
                if name in by_name:
                    yield by_name[name], chain[start:end]
