"""The checkpoint of a query: whether Spark will read in it what it wrote, and start where it ended."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from pipelines import checkpoint
from pipelines.job import Chain

_STATE = re.compile(r"(\d+)\.(delta|snapshot)")


def problems(folder: Path, chain: Chain, *, quick: bool) -> list[str]:
    """What is wrong with a checkpoint. A batch that is planned and not committed is done again, and nothing wrong."""
    found = [*_numbers(folder), *_texts(folder, len(chain[0].streams))]
    if checkpoint.is_new(folder) or found:
        return found
    done = checkpoint.committed(folder)
    if chain[0].on_stream and len(chain[0].streams) > 1 and done is not None:
        found += _state(folder / "state", done.batch + 1, quick=quick)
    return found


def _numbers(folder: Path) -> Iterator[str]:
    """Gaps, and commits of batches that were never planned. Spark forgets the oldest of both."""
    planned, done = (checkpoint.numbered(folder / kind) for kind in ("offsets", "commits"))
    for kind, numbers in (("offsets", planned), ("commits", done)):
        gaps = set(range(min(numbers, default=0), max(numbers, default=0))) - set(numbers)
        if gaps:
            yield f"{kind}/{min(gaps)} is missing"
    if max(done, default=-1) > max(planned, default=-1):
        yield f"batch {max(done)} is committed, but the last that is planned is {max(planned, default='none')}"
    if max(planned, default=-1) > max(done, default=-1) + 1:
        yield f"batch {max(planned)} is planned, but the last that is committed is {max(done, default='none')}"


def _texts(folder: Path, sources: int) -> Iterator[str]:
    for kind in ("offsets", "commits"):
        for number in checkpoint.numbered(folder / kind):
            file = folder / kind / str(number)
            try:
                version, *lines = file.read_text().splitlines()
                said = [None if line == "-" else json.loads(line) for line in lines]
                # which batches there are may have changed meanwhile: only what is there is held to its checksum
                if version != "v1" or (kind == "offsets" and len(said) != sources + 1) or not checkpoint.is_whole(file):
                    yield f"{kind}/{number} is not what was written"
            except FileNotFoundError:
                continue
            except ValueError:
                yield f"{kind}/{number} cannot be read"
    metadata = folder / "metadata"
    if checkpoint.numbered(folder / "offsets"):
        if not re.fullmatch(r'\{"id":"[0-9a-f-]{36}"\}', _text(metadata)) or not checkpoint.is_whole(metadata):
            yield "metadata is not what was written"
        if not re.fullmatch(r"[0-9a-f]{32}", _text(folder / "generation")):
            yield "generation is not what was written"


def _state(folder: Path, version: int, *, quick: bool) -> Iterator[str]:
    """The files that a start reads: the newest snapshot up to a version, and what changed after it."""
    stores = [store for store in folder.glob("0/*/*") if store.is_dir()]
    if not stores:
        yield "the state is missing"
    metadata = folder / "0" / "_metadata" / "metadata"
    if not metadata.is_file() or not checkpoint.is_whole(metadata):
        yield "state/0/_metadata/metadata is not what was written"
    for store in stores:
        named = {(int(m[1]), m[2]) for file in store.iterdir() if (m := _STATE.fullmatch(file.name))}
        if not named:
            yield from () if any(store.iterdir()) else (f"{store.relative_to(folder.parent)} is empty",)
            continue
        # the version before it is that of a batch that is done again
        base = max((number for number, kind in named if kind == "snapshot" and number < version), default=0)
        needed = [(base, "snapshot")] * (base > 0) + [(number, "delta") for number in range(base + 1, version + 1)]
        for number, kind in needed:
            file = store / f"{number}.{kind}"
            if (number, kind) not in named:
                yield f"{file.relative_to(folder.parent)} is missing"
            elif not quick and not checkpoint.is_whole(file):
                yield f"{file.relative_to(folder.parent)} is not what was written"


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except (FileNotFoundError, ValueError):
        return ""
