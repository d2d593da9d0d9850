"""The log of a table, replayed commit by commit and held against its own checksums and checkpoints.

Delta's readers take what parses: a commit that lost its last line, or a statistic with another digit, costs rows without a word.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow.parquet as pq
from deltalake import DeltaTable

from pipelines import checksum, files


@dataclass
class TableLog:
    """What the log says up to `version`.

    `live`: size, partition values and statistics of each live file, by its path as written. `size`: of all, in bytes. `batches`: those
    under each mark. `broken`: what is wrong with commits, for people. `spoilt`: wrong checksums and checkpoints; a table does without.
    `taken`: commits that take rows away, as nothing in Hindsight does: what it writes again holds the same rows, and says so.
    """

    path: Path
    version: int = -1
    live: dict[str, dict[str, Any]] = field(default_factory=dict)
    batches: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    broken: list[str] = field(default_factory=list)
    spoilt: list[Path] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    size: int = 0

    @property
    def rows(self) -> int:
        return sum(add["stats"].get("numRecords", 0) for add in self.live.values())

    def greatest(self, column: str) -> Any:
        """The greatest value of a column, from the statistics of files; None for none."""
        return max((high for _, _, high in self.spans(column) if high is not None), default=None)

    def spans(self, column: str) -> Iterator[tuple[Path, Any, Any]]:
        """Each live file with the least and the greatest value of a column; None where its statistics do not say."""
        for name, add in self.live.items():
            stats = add["stats"]
            yield self.file(name), stats.get("minValues", {}).get(column), stats.get("maxValues", {}).get(column)

    def file(self, name: str) -> Path:
        return self.path / unquote(name)

    def bad_files(self, *, quick: bool) -> list[str]:
        """Live files that are missing, of another size or, unless `quick`, do not hold what was written."""
        found = []
        for name, add in self.live.items():
            file = self.file(name)
            if not file.is_file():
                found.append(f"{unquote(name)} is missing")
            elif file.stat().st_size != add["size"]:
                found.append(f"{unquote(name)} has {file.stat().st_size} bytes, not {add['size']}")
            elif not quick and not files.readable(file):
                found.append(f"{unquote(name)} does not hold what was written")
        return found


def replay(path: Path) -> TableLog:
    """Read a table's whole log; what is wrong with it is said, not raised."""
    found = TableLog(path)
    folder = path / "_delta_log"
    versions = _numbered(folder, ".json")
    checkpoints = _numbered(folder, ".checkpoint.parquet")
    claimed = [*versions, *checkpoints, *_numbered(folder, ".crc")]
    first = 0
    if 0 not in versions and versions and checkpoints:  # what a checkpoint holds may have been cleaned away
        first = 1 + next((number for number in sorted(checkpoints) if number + 1 >= min(versions)), max(checkpoints))
        _start(found, checkpoints[first - 1])
    for number in range(first, max(claimed, default=0) + 1):
        if number in versions:
            _take(found, number, versions[number])
        else:
            found.broken.append(f"commit {number} is missing")
        if number in checkpoints and not _agrees(found, checkpoints[number]):
            found.spoilt.append(checkpoints[number])
    if checkpoints and not found.spoilt and not found.broken and not _opens(path):
        found.spoilt.append(checkpoints[max(checkpoints)])
    last = folder / "_last_checkpoint"
    if last.exists() and checkpoints.get(_version_of(last), last) in (*found.spoilt, last):
        found.spoilt.append(last)
    return found


def _take(found: TableLog, number: int, file: Path) -> None:
    """Apply a commit, and compare the checksum of its version."""
    content = file.read_bytes()
    before = len(found.broken)
    try:
        actions = [json.loads(line) for line in content.splitlines() if line]
        if not actions:
            found.broken.append(f"commit {number} is empty")
        for action in actions:
            _apply(found, action)
        if any("remove" in action and action["remove"]["dataChange"] for action in actions):
            found.taken.append(number)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        found.broken.append(f"commit {number} cannot be read ({type(error).__name__}: {error})")
    found.version = number
    stored = checksum.read(file.with_suffix(".crc"))
    if stored is None:
        if file.with_suffix(".crc").exists():
            found.spoilt.append(file.with_suffix(".crc"))
    elif len(found.broken) == before and not _matches(found, stored, content):
        found.broken.append(f"commit {number} is not what its checksum says")


def _apply(found: TableLog, action: dict[str, Any]) -> None:
    if "add" in action:
        add = action["add"]
        stats = json.loads(add["stats"] or "{}")
        found.live[add["path"]] = {"size": int(add["size"]), "values": add["partitionValues"], "stats": stats}
        found.size += int(add["size"])
    elif "remove" in action:
        found.size -= found.live.pop(action["remove"]["path"])["size"]
    elif "txn" in action:
        found.batches[action["txn"]["appId"]].add(int(action["txn"]["version"]))
    elif "metaData" in action:
        found.metadata = action["metaData"]


def _matches(found: TableLog, stored: dict[str, Any], content: bytes) -> bool:
    said = stored["numFiles"], stored["tableSizeBytes"]
    return said == (len(found.live), found.size) and checksum.covers(stored, content)


def _agrees(found: TableLog, file: Path) -> bool:
    """Whether a checkpoint says what the commits up to it say."""
    held = TableLog(found.path)
    _start(held, file)
    return not held.broken and held.live == found.live and _newest(held) == _newest(found)


def _opens(path: Path) -> bool:
    """Whether delta-rs can read the table: it asks more of a checkpoint than what is compared here."""
    try:
        DeltaTable(path).get_add_actions()
    except Exception:  # it says in many ways that it cannot
        return False
    return True


def _start(found: TableLog, file: Path) -> None:
    """Begin with what a checkpoint holds."""
    try:
        for row in pq.read_table(file, columns=["add", "txn", "metaData"]).to_pylist(maps_as_pydicts="strict"):
            for name, value in row.items():
                if value is not None:
                    _apply(found, {name: value})
    except Exception as error:  # pyarrow says in many ways that a file is damaged
        found.broken.append(f"{file.name} cannot be read ({type(error).__name__})")
    found.version = int(file.name.split(".")[0])


def _newest(log: TableLog) -> dict[str, int]:
    return {app: max(batches) for app, batches in log.batches.items()}


def _numbered(folder: Path, suffix: str) -> dict[int, Path]:
    named = {file.name.removesuffix(suffix): file for file in folder.glob(f"*{suffix}")}
    return {int(name): file for name, file in named.items() if name.isdigit()}


def _version_of(last: Path) -> int:
    try:
        return int(json.loads(last.read_bytes())["version"])
    except (ValueError, KeyError, TypeError):
        return -1
