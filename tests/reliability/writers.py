"""Two writers on one lake: a second application beside a live one, and a restart while the killed one's JVM is still there.

Each is refused soon and by name, or writes what is right; there is no third. The `spark` committer is taken: there the JVM
itself writes, and might go on with it.
"""

from __future__ import annotations

import random
import re
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from pyspark.sql import SparkSession

from tests.reliability.application import PATIENCE, Place, kill, until
from tests.reliability.check import Check, Figures, at_least, at_most, exactly
from tests.reliability.ground import AGREES, compared, parts
from tests.reliability.lateness import late
from tests.reliability.world import DAY

WINDOW = DAY
PER_LIFE = 40
"""Inferences that come for a life of the application."""
SOON = 10
"""Seconds within which a second writer must be refused."""
BESIDE = (("run",), ("run", "--once"), ("run", "tally"), ("maintain",))
"""What is tried beside a live application."""


@dataclass
class Attempts:
    """How those fared who came second."""

    place: Place
    refused: list[float] = field(default_factory=list)
    otherwise: list[str] = field(default_factory=list)

    def beside(self, *words: str) -> None:
        """Try a command on a lake that is taken: it must be refused."""
        started = time.monotonic()
        self._refused(self.place.start(*words), started, " ".join(words))

    def restart(self, *words: str) -> subprocess.Popen[bytes]:
        """Start again at once, until it is let in; the application at work, or at its end with all done."""
        deadline = time.monotonic() + PATIENCE
        while True:
            before, started = self.place.planned("land"), time.monotonic()
            process = self.place.start("run", *words)
            until(lambda: process.poll() is not None or self.place.planned("land") > before)  # noqa: B023
            if not process.poll():
                return process
            refused = self._refused(process, started, "a restart")
            assert refused and time.monotonic() < deadline, self.place.told(process)  # noqa: PT018

    def _refused(self, process: subprocess.Popen[bytes], started: float, what: str) -> bool:
        """Wait until it ends, and note how: whether it was refused by name."""
        until(lambda: process.poll() is not None, 3 * SOON)
        seconds = round(time.monotonic() - started, 1)
        kill(process)
        code = re.findall(r"\[(\w+)\]$", self.place.told(process), re.MULTILINE)
        if code != ["lease_held"]:
            self.otherwise.append(f"{what}: {code}, exit code {process.returncode} after {seconds} s")
            return False
        self.refused.append(seconds)
        return True


def run(seed: int, size: int, folder: Path, spark: SparkSession) -> Figures:
    del spark  # each application has its own
    rng = random.Random(f"writers {seed}")
    truth = late(seed, PER_LIFE * (size + 1))
    lives = parts(truth.records, size + 1)
    batch = max(10, len(lives[0]) // 3)
    place = Place.made(folder, batch_records=batch, committer="spark", taken="16 MB")
    attempts, orphans = Attempts(place), 0
    for number, piece in enumerate(lives[:-1]):
        place.append(piece, most=max(1, batch // 3))
        process = attempts.restart()
        for words in BESIDE if number == 0 else ():
            attempts.beside(*words)
        time.sleep(rng.random() * 3)
        stopped = number % 2 == 0
        jvm = orphaned(process, stopped=stopped)
        if stopped:
            orphans += 1
            attempts.beside("run", "--once")
            jvm.resume()
    place.append(lives[-1], most=max(1, batch // 3))
    last = attempts.restart("--once")
    assert last.wait() == 0, place.told(last)
    return {
        "refused": len(attempts.refused),
        "neither_refused_by_name_nor_let_in": len(attempts.otherwise),
        "seconds_of_the_slowest_refusal": max(attempts.refused, default=0.0),
        "restarts_beside_an_orphaned_jvm": orphans,
        **compared(place.lake, truth, WINDOW),
        "otherwise": attempts.otherwise,
    }


CHECK = Check(
    "writers",
    "Who comes second to a lake, a killed application's JVM included, is refused within 10 seconds or does no harm",
    run,
    short=1,
    full=20,
    wanted={
        **AGREES,
        "refused": at_least(len(BESIDE) + 1),
        "neither_refused_by_name_nor_let_in": exactly(0),
        "seconds_of_the_slowest_refusal": at_most(SOON),
        "restarts_beside_an_orphaned_jvm": at_least(1),
    },
)


def orphaned(process: subprocess.Popen[bytes], *, stopped: bool) -> psutil.Process:
    """`kill -9` of Python alone: its JVM, which ends when it notices; stopped, it notices nothing and is there for sure."""
    (jvm,) = [child for child in psutil.Process(process.pid).children() if child.name() == "java"]
    if stopped:
        jvm.suspend()
        until(lambda: jvm.status() == psutil.STATUS_STOPPED)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return jvm
