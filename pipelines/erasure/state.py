"""The state of the join forgotten: it holds contexts of inferences, and `reconcile` finds what it would have matched.

The checkpoint stays what it is, its offsets, its batches and its generation; of its state there is a snapshot that holds nothing,
and a last change to it that changes nothing. So neither guards nor marks nor `doctor` have to learn of an exception.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from pipelines import checkpoint, whole
from pipelines.errors import StateError
from pipelines.paths import checkpoints

_EMPTY = b"LZ4Block\x15\x04\0\0\0\x04\0\0\0\xdb\x80M\x08\xff\xff\xff\xffLZ4Block\x15" + bytes(12)
"""A snapshot or a change without keys, as Spark writes it: minus one in place of the length of a key, in a frame of LZ4."""
_PROVIDER = "org.apache.spark.sql.execution.streaming.state.HDFSBackedStateStoreProvider"
_WANTED = {"providerClass": _PROVIDER, "compression.codec": "lz4"}
_VERSIONED = re.compile(r"\.?\d+\..*")


def refuse_another_state(root: Path) -> None:
    """Raises StateError `state_not_erasable` where the state is not of the kind that can be forgotten here."""
    for folder, _ in _stateful(root):
        planned = max(checkpoint.numbered(folder / "offsets"))
        conf = json.loads((folder / "offsets" / str(planned)).read_text().splitlines()[1])["conf"]
        if any(conf.get(f"spark.sql.streaming.stateStore.{name}") != value for name, value in _WANTED.items()):
            raise StateError(
                "state_not_erasable",
                f"{folder}: its state is kept by another store than Spark's own in memory with lz4, and only that can be made to "
                'forget. Set spark.state_store = "memory", run `hindsight rebuild`, and erase again.',
            )


def forget(root: Path) -> None:
    """Let every query start its next batch from an empty state. Nothing may be half-way through them."""
    for folder, stores in _stateful(root):
        done = checkpoint.committed(folder)
        last = done.batch if done is not None else -1
        # the state that a batch starts from is numbered as the batch, and none is there before the first
        empty = [f"{last}.snapshot"] * (last > 0) + [f"{last + 1}.delta"] * (last >= 0)
        for store in stores:
            for name in empty:
                _write(store / name, _EMPTY)
            for file in store.iterdir():
                if _VERSIONED.fullmatch(file.name) and file.name.removeprefix(".").removesuffix(".crc") not in empty:
                    file.unlink()


def _stateful(root: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Checkpoints that keep a state, each with its stores."""
    for folder in sorted(checkpoints(root).glob("*")):
        stores = [store for store in folder.glob("state/*/*/*") if store.is_dir() and store.parent.name.isdigit()]
        if stores and not checkpoint.is_new(folder):
            yield folder, stores


def _write(file: Path, content: bytes) -> None:
    """A file as Hadoop writes it, with its sum beside it; the sum first, since a file without one is taken as it is."""
    sums = b"crc\0" + (512).to_bytes(4, "big") + zlib.crc32(content).to_bytes(4, "big")
    for target, written in ((file.with_name(f".{file.name}.crc"), sums), (file, content)):
        whole.write(target, written)
