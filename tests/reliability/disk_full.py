"""The disk is full: under the log, a checkpoint, a table, and while a lake is mended. Nothing acknowledged is lost; it goes on.

Each is a small file system of its own, filled while the application runs and a producer appends. Then there is room again, and
the next `hindsight run` goes on; nobody mends anything by hand.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pyspark.sql import SparkSession

from pipelines.log import EmbeddedLog
from pipelines.paths import SIDE, log_path
from tests.reliability.application import Place, kill, until
from tests.reliability.check import Check, Figures, at_least, exactly
from tests.reliability.ground import AGREES, MOST_EXAMPLES, compared, parts
from tests.reliability.lateness import MODEL, late
from tests.reliability.volume import Volumes
from tests.reliability.world import DAY, Record

WINDOW = DAY
UNDER = ("_checkpoints", "gold", "silver", "bronze")
"""What stops the application when there is no room for it; the log does not."""
IMPORTED = 12_000
"""Records of an import: some of its blocks find room, and some do not."""
ROOM_FOR_A_BLOCK = 1 << 20
OFTEN = {"HINDSIGHT_MAINTAIN_SMALL_FILES": "1", "HINDSIGHT_MAINTAIN_CHECKPOINT_EVERY": "1"}


@dataclass
class Ends:
    """How what met a full disk ended."""

    place: Place
    named: int = 0
    otherwise: list[str] = field(default_factory=list)

    def note(self, process: subprocess.Popen[bytes], what: str) -> None:
        """Wait until it ends: with the error by its name and the exit code of the machine."""
        until(lambda: process.poll() is not None)
        kill(process)
        told = self.place.told(process)
        code = re.findall(r"\[(\w+)\]$", told, re.MULTILINE)
        if (code[-1:], process.returncode) == (["disk_full"], 4) and "Traceback" not in told:
            self.named += 1
        else:
            self.otherwise.append(f"{what}: {code}, exit code {process.returncode}, {told[-300:]}")

    def must(self, *words: str, environment: dict[str, str] | None = None) -> None:
        """With room again a command does its work."""
        process = self.place.start(*words, environment=environment)
        if process.wait():
            self.otherwise.append(f"{' '.join(words)}, with room: {self.place.told(process)[-300:]}")


def run(seed: int, size: int, folder: Path, spark: SparkSession) -> Figures:
    del spark  # each application has its own
    truth = late(seed, size, MODEL)
    under = UNDER if size > 1_000 else UNDER[:2]
    pieces = parts(truth.records, len(under) + 2)
    batch = max(10, len(pieces[0]) // 3)
    room = f"{64 + size // 50}m"
    place = Place.made(folder, batch_records=batch)
    with Volumes([place.lake / name for name in ("_log", *under)], room) as volumes:
        ends = Ends(replace(place, entered=volumes.entered))
        errors = living(ends, volumes, pieces, under)
        shutil.copytree(volumes.seen(place.lake), folder / "first", symlinks=True)
    found = compared(folder / "first", truth, WINDOW)
    with Volumes([place.lake], room) as volumes:
        shutil.copytree(folder / "first", volumes.seen(place.lake), symlinks=True, dirs_exist_ok=True)
        ends.place = replace(place, entered=volumes.entered)
        upkeep(ends, volumes)
        lost = importing(ends, volumes, random.Random(f"disk full {seed}"))
    return {
        **found,
        "appends_refused_by_name": errors,
        "stopped_by_name": ends.named,
        "otherwise": len(ends.otherwise),
        "imported_lost_or_doubled": lost,
        "examples": [*found["examples"], *ends.otherwise][:MOST_EXAMPLES],
    }


CHECK = Check(
    "disk_full",
    "A full disk is said by name, loses nothing that was acknowledged, and wants nothing but room to go on",
    run,
    short=120,
    full=20_000,
    wanted={
        **AGREES,
        "appends_refused_by_name": at_least(1),
        "stopped_by_name": at_least(5),
        "otherwise": exactly(0),
        "imported_lost_or_doubled": exactly(0),
    },
    apart=True,
)


def living(ends: Ends, volumes: Volumes, pieces: list[list[Record]], under: Sequence[str]) -> int:
    """Run, with no room for the log, then for each of what else is written; how many appends were refused."""
    place, (first, *more, last) = ends.place, pieces
    application = place.start("run")
    refused = feed(ends, volumes, first, full=place.lake / "_log")
    for name, piece in zip(under, more, strict=True):
        assert until(lambda: Place(volumes.seen(place.lake), place.conf).planned("land") >= 0), place.told(application)
        volumes.fill(place.lake / name)
        feed(ends, volumes, piece)
        ends.note(application, name)
        volumes.free(place.lake / name)
        application = place.start("run")
    feed(ends, volumes, last)
    kill(application)
    ends.must("run", "--once")
    return refused


def feed(ends: Ends, volumes: Volumes, records: list[Record], full: Path | None = None) -> int:
    """Append records by a producer of its own, `full` becoming so meanwhile; how many appends were refused by name."""
    place, most = ends.place, max(1, len(records) // 20)
    lines = [
        json.dumps([(record.payload.hex(), record.received_at.isoformat()) for record in records[start : start + most]])
        for start in range(0, len(records), most)
    ]
    file = place.conf / "records.json"
    file.write_text("\n".join(lines))
    process = place.start(str(file), module=("tests.reliability.producing",))
    if full is not None:
        until(lambda: place.told(process).count("acknowledged") > 2 or process.poll() is not None)
        volumes.fill(full)
        until(lambda: "disk_full" in place.told(process) or process.poll() is not None)
        volumes.free(full)
    until(lambda: process.poll() is not None)
    kill(process)
    said = place.told(process).split()
    if process.returncode or {*said} - {"acknowledged", "disk_full"}:
        ends.otherwise.append(f"a producer: exit code {process.returncode}, {place.told(process)[-300:]}")
    return said.count("disk_full")


def upkeep(ends: Ends, volumes: Volumes) -> None:
    """`maintain` and `rebuild`, each without room and with it."""
    place = ends.place
    volumes.fill(place.lake)
    ends.note(place.start("maintain", environment=OFTEN), "maintain")
    volumes.free(place.lake)
    ends.must("maintain", environment=OFTEN)
    process = place.start("rebuild")
    until(lambda: (volumes.seen(place.lake) / SIDE / "bronze").exists() or process.poll() is not None)
    volumes.fill(place.lake)
    ends.note(process, "rebuild")
    volumes.free(place.lake)
    ends.must("rebuild")


def importing(ends: Ends, volumes: Volumes, rng: random.Random) -> int:
    """`import`, with room for a part of a file and then for all of it; how many of its records are not there once."""
    place = ends.place
    lines = [f'{{"kind": "{rng.getrandbits(400):x}"}}' for _ in range(IMPORTED)]
    file = place.conf / "records.ndjson"
    file.write_text("\n".join(lines))
    volumes.fill(place.lake, leave=ROOM_FOR_A_BLOCK)
    ends.note(place.start("import", str(file)), "import")
    volumes.free(place.lake)
    ends.must("import", str(file))
    log = place.conf / "copy" / "log.sqlite"
    shutil.copytree(log_path(volumes.seen(place.lake)).parent, log.parent)
    copy = EmbeddedLog(log, durable=False)
    found = [bytes(payload) for append in copy.read(0, copy.end()) for payload in append.records()["payload"].to_pylist()]
    copy.close()
    return sum(one != other for one, other in zip(found[-IMPORTED:], map(str.encode, lines), strict=True))
