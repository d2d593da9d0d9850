"""The key by which a lake knows the subjects that it has erased: made once, kept beside the log, in a file for its owner alone."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from pipelines.errors import StateError
from pipelines.paths import beside_log
from pipelines.silver.erased import fingerprint

BYTES = 32


def key_path(root: Path) -> Path:
    """Beside the log: what the log says of subjects can be read with it alone, and both are kept or lost together."""
    return beside_log(root, "erasure.key")


def make_key(root: Path) -> bytes:
    """The key; a new one where there is none."""
    path = key_path(root)
    if not path.exists():
        scratch = path.with_suffix(".key.tmp")
        scratch.unlink(missing_ok=True)
        with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(BYTES))
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    return bytes.fromhex(path.read_text().strip())


def key_of(root: Path, wanted: str) -> bytes:
    """The key with this fingerprint. Raises StateError `erasure_key_lost`."""
    path = key_path(root)
    try:
        key = bytes.fromhex(path.read_text().strip())
    except (FileNotFoundError, ValueError):
        key = b""
    if fingerprint(key) != wanted:
        raise StateError(
            "erasure_key_lost",
            f"{path} is {'another one' if path.exists() else 'missing'}: without the key by which the log names the subjects that "
            "were erased, their records could not be refused any more. Bring the file back from a backup.",
        )
    return key
