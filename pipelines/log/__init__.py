"""The log: records in, positions out. A file of SQLite, or bronze.events itself."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from pipelines.bronze.tables import EVENTS
from pipelines.log.embedded import EmbeddedLog

if TYPE_CHECKING:
    from pipelines.log.shared import SharedLog

__all__ = ["EmbeddedLog", "Log", "log_at"]

Log: TypeAlias = "EmbeddedLog | SharedLog"


def log_at(path: Path, *, durable: bool = True) -> Log:
    """The log at a path, as `paths.log_path` has it: the folder of bronze.events, or a file. Made where there is none."""
    if path.parts[-2:] == Path(EVENTS.folder).parts:
        return _shared(path, durable)
    return EmbeddedLog(path, durable=durable)


@lru_cache
def _shared(path: Path, durable: bool) -> SharedLog:
    """Once in a process: opening it costs more than asking whether anything is new."""
    # imported here: it brings Delta and pandas, and each of Spark's workers that reads a file of SQLite would wait for them
    from pipelines.log.shared import SharedLog

    return SharedLog(path, durable)
