"""Version checksums: the `_delta_log/N.crc` files that delta-rs does not write.

Without one, each trigger of a Spark stream that reads the table reconstructs protocol and metadata by a Spark job (0.4 s).
Format: "Version Checksum File" of the Delta transaction protocol. A missing file costs time only, so whatever is unclear is left
out; each is computed from the log alone: the checksum of the version before, and what this version added and removed.

Two fields of our own, which other readers pass over: the CRC-32 of the commit, which has none of its own, and one of the rest of the
checksum itself, so that it is known which of the two is wrong where they disagree.
"""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable

from pipelines.handles import renew

_COMMIT, _SEAL = "hindsightCommit", "hindsightSeal"


def follow(path: Path, delta: DeltaTable) -> None:
    """Bring a handle up to date after a commit, and write the checksums of the versions that it had not seen."""
    before = delta.version()
    renew(delta)
    for version in range(before + 1, delta.version() + 1):
        write(path, version)


def write(path: Path, version: int) -> None:
    """Write the checksum of a version, from that of the version before, or from the whole log where it is missing."""
    log = path / "_delta_log"
    target = log / f"{version:020d}.crc"
    if target.exists():
        return
    commit = log / f"{version:020d}.json"
    before = read(log / f"{version - 1:020d}.crc")
    content = _next(before, _actions(commit)) if before is not None else _whole(path, version)
    if content is None:
        return
    content[_COMMIT] = _crc(commit.read_bytes())
    content[_SEAL] = _crc(_text(content))
    scratch = log / f".{version:020d}.{os.getpid()}.crc.tmp"
    scratch.write_bytes(_text(content))
    scratch.replace(target)


def _actions(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines() if line]


def read(file: Path) -> dict[str, Any] | None:
    """A version checksum; None where there is none, or not what was written."""
    try:
        content: dict[str, Any] = json.loads(file.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    needed = {"tableSizeBytes", "numFiles", "numMetadata", "numProtocol", "metadata", "protocol"}
    if not isinstance(content, dict) or not needed <= content.keys():
        return None
    rest = {name: value for name, value in content.items() if name != _SEAL}
    return content if content.get(_SEAL, _crc(_text(rest))) == _crc(_text(rest)) else None


def covers(content: dict[str, Any], commit: bytes) -> bool:
    """Whether a commit is the one of a version checksum; one that Spark wrote cannot say."""
    return bool(content.get(_COMMIT, _crc(commit)) == _crc(commit))


def _text(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


def _crc(content: bytes) -> str:
    return f"{zlib.crc32(content):08x}"


def _next(before: dict[str, Any], actions: list[dict[str, Any]]) -> dict[str, Any] | None:
    size, files = before["tableSizeBytes"], before["numFiles"]
    metadata, protocol = before["metadata"], before["protocol"]
    for action in actions:
        if "add" in action:
            size, files = size + action["add"]["size"], files + 1
        elif "remove" in action:
            if action["remove"].get("size") is None:
                return None
            size, files = size - action["remove"]["size"], files - 1
        elif "metaData" in action:
            metadata = action["metaData"]
        elif "protocol" in action:
            protocol = action["protocol"]
    return _content(size, files, metadata, protocol)


def _whole(path: Path, version: int) -> dict[str, Any] | None:
    """From the table's state at the version; metadata and protocol from the newest log file that holds them."""
    log = path / "_delta_log"
    metadata: dict[str, Any] | None = None
    protocol: dict[str, Any] | None = None
    for number in range(version, -1, -1):
        file = log / f"{number:020d}.json"
        if not file.exists():
            return None
        for action in _actions(file):
            metadata = metadata or action.get("metaData")
            protocol = protocol or action.get("protocol")
        if metadata and protocol:
            break
    else:
        return None
    sizes = pa.table(DeltaTable(path, version=version).get_add_actions(flatten=True))["size_bytes"].to_pylist()
    return _content(sum(sizes), len(sizes), metadata, protocol)


def _content(size: int, files: int, metadata: dict[str, Any], protocol: dict[str, Any]) -> dict[str, Any]:
    return {
        "tableSizeBytes": size,
        "numFiles": files,
        "numMetadata": 1,
        "numProtocol": 1,
        "metadata": metadata,
        "protocol": protocol,
    }
