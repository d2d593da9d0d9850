"""Small files that are there whole or not at all, wherever a crash comes."""

from __future__ import annotations

import os
from pathlib import Path


def write(file: Path, content: str | bytes, *, durable: bool = False) -> None:
    """Put a file in place of what stands there; a crash leaves a scratch file at the most. `durable`: on the disk when this returns."""
    scratch = file.with_name(f".{file.name}.tmp")
    with scratch.open("wb") as opened:
        opened.write(content if isinstance(content, bytes) else content.encode())
        if durable:
            opened.flush()
            os.fsync(opened.fileno())
    scratch.replace(file)
