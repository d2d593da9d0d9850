"""Lookups by id into tables of any size: an index in memory says where a key may stand, and only that is read.

Twelve bytes a row: a 64-bit hash of the key and the ordinal of its row group, in sorted arrays that are merged as they grow. It is
derived from the table's files alone and follows them, compaction included; a hash that collides costs a read, never an answer.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from pipelines import files
from pipelines.handles import Handle, opened

Hashes = Any
_NONE = np.empty(0, "uint64")
_MERGE = 4
"""Runs are merged when one has become this many times as long as the next would be."""


class KeyIndex:
    """Which row groups of a table's files hold which keys of one column."""

    def __init__(self, path: Path, column: str) -> None:
        self.path, self.column = path, column
        self._lock = Lock()
        self._table = Handle(partial(opened, path))
        self._version = -1
        self._ordinals: dict[str, list[int]] = {}
        self._groups: list[tuple[str, int]] = []
        self._runs: list[tuple[Hashes, Hashes]] = []

    def groups_of(self, keys: pa.ChunkedArray | pa.Array) -> dict[str, list[int]]:
        """The row groups that may hold one of the keys, by the path of their file."""
        with self._lock:
            return self._groups_of(keys)

    def _groups_of(self, keys: pa.ChunkedArray | pa.Array) -> dict[str, list[int]]:
        self._follow()
        wanted = np.unique(_hashes(keys))
        found: set[int] = set()
        for hashes, ordinals in self._runs:
            left = np.searchsorted(hashes, wanted, "left")
            right = np.searchsorted(hashes, wanted, "right")
            hit = right > left
            for start, end in zip(left[hit].tolist(), right[hit].tolist(), strict=True):
                found.update(ordinals[start:end].tolist())
        groups: dict[str, list[int]] = {}
        for ordinal in sorted(found):
            file, group = self._groups[ordinal]
            groups.setdefault(file, []).append(group)
        return groups

    def _follow(self) -> None:
        """Take in the files that came since the last look, and forget those that went."""
        table = self._table()
        if table.version() == self._version:
            return
        self._version = table.version()
        current = {str(file) for file in files.sizes(self.path, table)}
        gone = self._ordinals.keys() - current
        if gone:
            self._forget(gone)
        for file in sorted(current - self._ordinals.keys()):
            self._learn(file)

    def _learn(self, file: str) -> None:
        hashes, ordinals = [_NONE], [_NONE.astype("int32")]
        for group, column in files.keys(file, self.column):
            hashes.append(_hashes(column))
            ordinals.append(np.full(len(hashes[-1]), len(self._groups), "int32"))
            self._ordinals.setdefault(file, []).append(len(self._groups))
            self._groups.append((file, group))
        run = _sorted(np.concatenate(hashes), np.concatenate(ordinals))
        while self._runs and len(self._runs[-1][0]) < _MERGE * len(run[0]):
            hashes_before, ordinals_before = self._runs.pop()
            run = _sorted(np.concatenate((hashes_before, run[0])), np.concatenate((ordinals_before, run[1])))
        self._runs.append(run)

    def _forget(self, gone: set[str]) -> None:
        ordinals_gone = [ordinal for file in gone for ordinal in self._ordinals.pop(file)]
        kept = [(ordinals, ~np.isin(ordinals, ordinals_gone), hashes) for hashes, ordinals in self._runs]
        self._runs = [(hashes[keep], ordinals[keep]) for ordinals, keep, hashes in kept if keep.any()]


def _sorted(hashes: Hashes, ordinals: Hashes) -> tuple[Hashes, Hashes]:
    order = np.argsort(hashes, kind="stable")
    return hashes[order], ordinals[order]


def _hashes(keys: pa.ChunkedArray | pa.Array) -> Hashes:
    values = (
        keys.drop_null().to_numpy(zero_copy_only=False) if isinstance(keys, pa.Array) else keys.drop_null().to_numpy()
    )
    return pd.util.hash_array(values.astype(object), categorize=False)
