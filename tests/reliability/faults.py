"""Single faults of a lake on disk: one file, damaged in one way."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

TARGETS: dict[str, tuple[str, ...]] = {
    "log": ("_log/log.sqlite",),
    "offsets": ("_checkpoints/*/offsets/*",),
    "commits": ("_checkpoints/*/commits/*",),
    "identity": ("_checkpoints/*/metadata", "_checkpoints/*/generation"),
    "state": ("_checkpoints/*/state/**/*",),
    "table commits": ("*/*/_delta_log/*.json",),
    "table checksums": ("*/*/_delta_log/*.crc",),
    "table checkpoints": ("*/*/_delta_log/*.checkpoint.parquet", "*/*/_delta_log/_last_checkpoint"),
    "data": ("*/*/**/part-*.parquet",),
}
"""Where the files of each kind lie; Hadoop's sums beside them, whose names begin with a dot, are no kind of their own."""


def flip(content: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(content))
    return content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :]


def truncate(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(1, len(content))]


def empty(content: bytes, rng: random.Random) -> bytes:
    del content, rng
    return b""


DAMAGES: dict[str, Callable[[bytes, random.Random], bytes] | None] = {
    "flip": flip,
    "truncate": truncate,
    "empty": empty,
    "delete": None,
}


@dataclass(frozen=True)
class Fault:
    """`target` and `damage` by name; the file under the lake's folder; `seed` of what is drawn when it strikes."""

    target: str
    damage: str
    file: Path
    seed: str

    def strike(self, root: Path) -> None:
        damaged = DAMAGES[self.damage]
        if damaged is None:
            (root / self.file).unlink()
        else:
            (root / self.file).write_bytes(damaged((root / self.file).read_bytes(), random.Random(self.seed)))

    def __str__(self) -> str:
        return f"{self.damage} {self.file}"


def draw(seed: int, count: int, root: Path) -> Iterator[Fault]:
    """So many faults of a lake: kinds of file in turn, damages in turn within each, files and places by chance."""
    rng = random.Random(f"corruption {seed}")
    damages = {target: rng.sample([*DAMAGES], len(DAMAGES)) for target in TARGETS}
    for number in range(count):
        turn, kind = divmod(number, len(TARGETS))
        target = [*TARGETS][kind]
        there = sorted({file for pattern in TARGETS[target] for file in root.glob(pattern) if _counts(file)})
        damage = damages[target][turn % len(DAMAGES)]
        yield Fault(target, damage, rng.choice(there).relative_to(root), f"{seed} {number}")


def _counts(file: Path) -> bool:
    return file.is_file() and not file.name.startswith(".") and file.stat().st_size > 1
