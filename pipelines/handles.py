"""A table's handle that is brought up to date again and again, at a price that does not grow.

delta-rs keeps the commits that a handle has followed and goes through all of them each time, whatever checkpoints of the log are made
meanwhile: 3 ms for an append at first, 52 ms after 480. Opened anew it begins at the last checkpoint.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

Seen = TypeVar("Seen")

FOLLOWED = 32
"""Versions that a handle follows before it is opened anew."""
_GAP = "Expected contiguous commit files"
"""What delta-rs says of a log that lacks a commit."""
_LOOKS, _WAIT = 5, 0.05
"""How often a log is looked at that seems to lack one, and the seconds between."""


def opened(path: Path) -> DeltaTable:
    """A table as it is now."""
    return _seen(partial(DeltaTable, path))


def renew(table: DeltaTable) -> None:
    """Bring a handle up to date."""
    _seen(table.update_incremental)


def _seen(look: Callable[[], Seen]) -> Seen:
    """What a look at a table's log gives. A folder that is listed while two commits come may show the second alone."""
    for _ in range(_LOOKS - 1):
        try:
            return look()
        except DeltaError as error:
            if _GAP not in str(error):
                raise
            time.sleep(_WAIT)
    return look()


@dataclass
class Handle:
    """The newest version of a table, each time that it is asked for."""

    open: Callable[[], DeltaTable]
    _table: DeltaTable | None = field(default=None, init=False)
    _opened_at: int = field(default=0, init=False)

    def __call__(self) -> DeltaTable:
        if self._table is not None and self._table.version() - self._opened_at < FOLLOWED:
            renew(self._table)
        else:
            self._table = self.open()
            self._opened_at = int(self._table.version())
        return self._table
