"""A storm of maintenance: tables compacted, checkpointed, vacuumed, reconciled, filled anew, and persons erased, under load.

The running application compacts and checkpoints all the while, far more often than it would. What needs the lake for itself is done
as an operator does it: Ctrl-C, the command, and the next run. Somebody reads throughout.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pyspark.sql import SparkSession

from pipelines.jobs import NAMES, RECONCILE, TABLES
from pipelines.log import EmbeddedLog
from pipelines.paths import log_path
from tests.reliability import kill
from tests.reliability.application import Place, until
from tests.reliability.check import Check, Figures, at_least, exactly
from tests.reliability.ground import AGREES, MOST_EXAMPLES, compared, parts
from tests.reliability.lateness import late
from tests.reliability.reader import Reader
from tests.reliability.world import DAY, START, Record, spelled, written

WINDOW = DAY
SETTINGS = """
[maintain]
small_files = 1
checkpoint_every = 3
retain = "10 seconds"
"""
LULL, SHORT_LULL = 30.0, 1.0
"""Seconds that the application is at work before the next operation, in the full size and in the short one."""
SHORT = 1_000


@dataclass(frozen=True)
class Operation:
    """A command. `records`: so many it appends to the log. `beside`: it runs beside these jobs, and not between two runs of all.

    `person`: so many records about somebody come before it, of which it leaves tombstones. `declares`: the model file is another then.
    """

    words: tuple[str, ...]
    records: int = 0
    person: int = 0
    declares: bool = False
    beside: tuple[str, ...] = ()
    ends: tuple[int, ...] = (0,)


OPERATIONS = (
    Operation(("rebuild", "--model", "m"), records=1, declares=True),
    # 1: not all of what it found has been taken in yet
    Operation((RECONCILE,), beside=tuple(name for name in NAMES if name != RECONCILE), ends=(0, 1)),
    Operation(("maintain",)),
    # it says in the log who is erased, and which requests
    Operation(("erase",), records=2, person=2),
)
"""Again and again in this order: one that runs beside others comes after one that ends what is running."""


@dataclass
class Storm:
    """The lake and its model file, and what went otherwise than it should."""

    place: Place
    rng: random.Random
    reader: Reader
    otherwise: list[str] = field(default_factory=list)
    deleted: int = 0
    erased: int = 0

    def declare(self) -> None:
        """Write a model file with another threshold: that is another definition, which `rebuild` fills for the past."""
        chosen = f"threshold = {self.rng.uniform(0.1, 0.9):.3f}\n[segments]"
        (self.place.conf / "models" / "m.toml").write_text(kill.MODEL.replace("[segments]", chosen))

    def perform(self, operation: Operation, *words: str) -> None:
        before = self._files()
        self._ended(self.place.start(*operation.words, *words), operation.words, operation.ends)
        self.deleted += len(before - self._files())

    def erase(self, operation: Operation, after: Record) -> None:
        """Let somebody come, and erase them: nobody is there meanwhile who counts them."""
        self.erased += 1
        person = f"somebody {self.erased}"
        self.place.append(about(person, after.received_at), most=operation.person)
        with self.reader.looking:
            self.perform(operation, "--subject", person)

    def stop(self, application: subprocess.Popen[bytes]) -> None:
        """Ctrl-C."""
        application.send_signal(signal.SIGINT)
        self._ended(application, ("run",), (0, 130))

    def _ended(self, process: subprocess.Popen[bytes], words: tuple[str, ...], ends: tuple[int, ...]) -> None:
        if process.wait() not in ends:
            said = self.place.told(process)[-300:]
            self.otherwise.append(f"{' '.join(words)}: exit code {process.returncode}, {said}")

    def _files(self) -> set[Path]:
        return {file for table in TABLES for file in (self.place.lake / table.folder).rglob("part-*.parquet")}


def run(seed: int, size: int, folder: Path, spark: SparkSession) -> Figures:
    del spark  # each application has its own
    rounds = max(1, size // 3_000)
    operations = [operation for _ in range(rounds) for operation in OPERATIONS]
    truth = late(seed, size, kill.MODEL)
    *pieces, rest = parts(truth.records, len(operations) + 1)
    truth.records[:] = [*laid_out(pieces, operations), *rest]
    batch = max(10, len(pieces[0]) // 4)
    place = Place.made(folder, batch_records=batch)
    with (place.conf / "settings.toml").open("a") as file:
        file.write(SETTINGS)
    reader = Reader(place, truth, WINDOW)
    storm = Storm(place, random.Random(f"storm {seed}"), reader)
    reader.start()
    rage(storm, operations, pieces, max(1, batch // 3), short=size <= SHORT)
    place.append(rest, most=max(1, batch // 3))
    last = place.start("run", "--once")
    assert last.wait() == 0, place.told(last)
    learn(truth.records, place)
    found = compared(place.lake, truth, WINDOW)
    return {
        "operations": len(operations),
        "ended_otherwise": len(storm.otherwise),
        "compactions": compactions(place.lake),
        "log_checkpoints": sum(1 for log in logs(place.lake) for _ in log.glob("*.checkpoint.parquet")),
        "replaced_files_deleted": storm.deleted,
        "erased": len(list((place.lake / "_erasures").glob("*.json"))),
        **reader.close(),
        **found,
        "examples": [*found["examples"], *storm.otherwise][:MOST_EXAMPLES],
    }


def rage(storm: Storm, operations: list[Operation], pieces: list[list[Record]], most: int, *, short: bool) -> None:
    """Operation upon operation, while records come in appends of at most so many.

    The application is at work before each; in the short size not before `erase`, which processes what has come by itself.
    """
    application = None
    for operation, piece in zip(operations, pieces, strict=True):
        load = threading.Thread(target=append_slowly, args=(storm.place, piece, most))
        if short and operation.person:
            load.start()
        else:
            application = at_work(storm.place, application, operation, load, SHORT_LULL if short else LULL)
        if application is not None and not operation.beside:
            storm.stop(application)
            application = None
        if operation.records:
            load.join()  # what it appends must stand where the truth has it
        if operation.declares:
            storm.declare()
        if operation.person:
            storm.erase(operation, piece[-1])
        else:
            storm.perform(operation)
        load.join()
    if application is not None:
        storm.stop(application)


def at_work(
    place: Place, running: subprocess.Popen[bytes] | None, operation: Operation, load: threading.Thread, lull: float
) -> subprocess.Popen[bytes]:
    """The application that runs before an operation, or one that is started, after so many seconds under load."""
    of_all, compacted, before = running is None and not operation.beside, compactions(place.lake), place.planned("land")
    application = running or place.start("run", *operation.beside)
    load.start()
    until(lambda: place.planned("land") > before)
    time.sleep(lull)
    if of_all:  # it compacts by itself, in its own time
        until(lambda: compactions(place.lake) > compacted)
    return application


CHECK = Check(
    "storm",
    "Maintenance of every kind, again and again under load, loses and doubles nothing, and nobody who reads notices",
    run,
    short=300,
    full=15_000,
    wanted={
        **AGREES,
        "operations": at_least(len(OPERATIONS)),
        "ended_otherwise": exactly(0),
        "compactions": at_least(5),
        "log_checkpoints": at_least(5),
        "replaced_files_deleted": at_least(1),
        "erased": at_least(1),
        "looks": at_least(20),
        "looks_that_saw_half_a_batch": exactly(0),
    },
    apart=True,
)


def laid_out(pieces: list[list[Record]], operations: list[Operation]) -> Iterator[Record]:
    """The log: after each piece what comes with the operation on it, whose bytes and receipt `learn` fills in."""
    for piece, operation in zip(pieces, operations, strict=True):
        yield from piece
        yield from [Record(b"", START, "control")] * (operation.person + operation.records)


def learn(records: list[Record], place: Place) -> None:
    """Take what the operations appended, and left in place of the erased, from the log: only they know it."""
    with closing(EmbeddedLog(log_path(place.lake), durable=False)) as log:
        assert log.end() == len(records), "an operation appended other records than it says"
        for append in log.read(0, log.end()):
            for offset, row in enumerate(append.records().to_pylist(), append.start):
                if not records[offset].payload:
                    records[offset] = Record(row["payload"], row["received_at"].astimezone(UTC), "control")


def about(person: str, at: datetime) -> list[Record]:
    """A request of somebody, and an answer to it."""
    name, time = person.replace(" ", "-"), spelled(at)
    served = {"kind": "inference", "request_id": name, "model": "m", "version": "1", "status": "ok", "served_at": time}
    answer = {"kind": "feedback", "feedback_id": f"on {name}", "request_id": name, "label": "late", "action": "assert"}
    events = [served | {"prediction": 1, "score": 0.75, "subject": person}, answer | {"given_at": time, "value": 1}]
    return [Record(written(event), at, "control") for event in events]


def append_slowly(place: Place, records: list[Record], most: int) -> None:
    for piece in parts(records, 8):
        place.append(piece, most=most)
        time.sleep(0.5)


def logs(lake: Path) -> list[Path]:
    """The folders of the tables' logs."""
    return [lake / table.folder / "_delta_log" for table in TABLES]


def compactions(lake: Path) -> int:
    """How often tables were compacted."""
    commits = (json.loads(file.read_text().splitlines()[0]) for log in logs(lake) for file in log.glob("*.json"))
    return sum(commit.get("commitInfo", {}).get("covers") == "job=maintain" for commit in commits)
