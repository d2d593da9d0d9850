"""Lookups by id into tables of any size: an index in memory says which files may hold a key, and only those are read.

Twelve bytes a row: a 64-bit hash of the key and the ordinal of its file, in sorted arrays that are merged as they grow. It is
derived from the table's files alone and follows them, compaction included; a hash that collides costs a read, never an answer.
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from pipelines.files import sizes

Hashes = Any
_MERGE = 4
"""Runs are merged when one has become this many times as long as the next would be."""


class KeyIndex:
    """Which files of a table hold which keys of one column."""

    def __init__(self, path: Path, column: str) -> None:
        self.path, self.column = path, column
        self._lock = Lock()
        self._table: DeltaTable | None = None
        self._version = -1
        self._ordinals: dict[str, int] = {}
        self._files: list[str] = []
        self._runs: list[tuple[Hashes, Hashes]] = []

    def files_of(self, keys: pa.ChunkedArray | pa.Array) -> list[str]:
        """The files that may hold one of the keys, as paths."""
        with self._lock:
            return self._files_of(keys)

    def _files_of(self, keys: pa.ChunkedArray | pa.Array) -> list[str]:
        self._follow()
        wanted = np.unique(_hashes(keys))
        found: set[int] = set()
        for hashes, ordinals in self._runs:
            left = np.searchsorted(hashes, wanted, "left")
            right = np.searchsorted(hashes, wanted, "right")
            hit = right > left
            for start, end in zip(left[hit].tolist(), right[hit].tolist(), strict=True):
                found.update(ordinals[start:end].tolist())
        return [self._files[ordinal] for ordinal in sorted(found)]

    def _follow(self) -> None:
        """Take in the files that came since the last look, and forget those that went."""
        if self._table is None:
            self._table = DeltaTable(self.path)
        else:
            self._table.update_incremental()
        if self._table.version() == self._version:
            return
        self._version = self._table.version()
        current = {str(file) for file in sizes(self.path, self._table)}
        gone = [ordinal for file, ordinal in self._ordinals.items() if file not in current]
        if gone:
            self._forget(gone)
        for file in sorted(current - self._ordinals.keys()):
            self._learn(file)

    def _learn(self, file: str) -> None:
        ordinal = len(self._files)
        self._files.append(file)
        self._ordinals[file] = ordinal
        column = pq.read_table(file, columns=[self.column], partitioning=None, page_checksum_verification=True).column(0)
        hashes = np.sort(_hashes(column))
        run = hashes, np.full(len(hashes), ordinal, "int32")
        while self._runs and len(self._runs[-1][0]) < _MERGE * len(run[0]):
            run = _merged(self._runs.pop(), run)
        self._runs.append(run)

    def _forget(self, gone: list[int]) -> None:
        self._ordinals = {file: ordinal for file, ordinal in self._ordinals.items() if ordinal not in set(gone)}
        kept = [(ordinals, ~np.isin(ordinals, gone), hashes) for hashes, ordinals in self._runs]
        self._runs = [(hashes[keep], ordinals[keep]) for ordinals, keep, hashes in kept if keep.any()]


def _merged(a: tuple[Hashes, Hashes], b: tuple[Hashes, Hashes]) -> tuple[Hashes, Hashes]:
    hashes = np.concatenate((a[0], b[0]))
    order = np.argsort(hashes, kind="stable")
    return hashes[order], np.concatenate((a[1], b[1]))[order]


def _hashes(keys: pa.ChunkedArray | pa.Array) -> Hashes:
    values = (
        keys.drop_null().to_numpy(zero_copy_only=False) if isinstance(keys, pa.Array) else keys.drop_null().to_numpy()
    )
    return pd.util.hash_array(values.astype(object), categorize=False)
