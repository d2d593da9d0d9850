"""`hindsight` as processes of their own: started, waited for, and killed with all their kin."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pyspark

from pipelines import checkpoint
from pipelines.log import EmbeddedLog
from pipelines.paths import checkpoints, log_path
from tests.reliability.world import Record

ROOT = Path(__file__).parents[2]
PATIENCE = 240
"""Seconds after which something that must happen has not."""
_JAVA = "-Dlog4j2.level=ERROR -XX:+UseSerialGC -Xss4m -XX:TieredStopAtLevel=1"
SETTINGS = """
[lake]
committer = "{committer}"
[log]
fsync = false
batch_records = {batch_records}
[spark]
memory = "1 GB"
extra = {{"spark.driver.extraJavaOptions" = "{java}"}}
[run]
reconcile_every = "1 second"
join_horizon = "10 minutes"
bytes_per_trigger = "{taken}"
"""


@dataclass(frozen=True)
class Place:
    """A lake and a conf folder of its own, whose models the log declares: a run appends nothing to it.

    `entered`: the command that starts others where they see the lake, where not everybody does.
    """

    lake: Path
    conf: Path
    entered: tuple[str, ...] = ()

    @classmethod
    def made(cls, folder: Path, *, batch_records: int, committer: str = "arrow", taken: str = "30 KB") -> Place:
        place = cls(folder / "lake", folder / "conf")
        (place.conf / "models").mkdir(parents=True)
        chosen = {"batch_records": batch_records, "committer": committer, "taken": taken, "java": short_lived()}
        (place.conf / "settings.toml").write_text(SETTINGS.format(**chosen))
        return place

    def append(self, records: Sequence[Record], *, most: int) -> None:
        """Append records, at most so many at once: a batch takes whole appends."""
        with closing(EmbeddedLog(log_path(self.lake), durable=False)) as log:
            for start in range(0, len(records), most):
                part = records[start : start + most]
                log.append([record.payload for record in part], [record.received_at for record in part])

    def start(
        self, *words: str, module: Sequence[str] = ("pipelines",), environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """`python -m pipelines …`, or of another module, on the lake, as the leader of a process group of its own."""
        python = [*self.entered, sys.executable, "-m", *module]
        command = [*python, *words, "--lake", str(self.lake), "--conf", str(self.conf)]
        scratch = self.conf / "told.txt"
        with scratch.open("w") as told:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **(environment or {})},
                stdout=subprocess.DEVNULL,
                stderr=told,
                start_new_session=True,
            )
        scratch.rename(self._told(process))
        return process

    def told(self, process: subprocess.Popen[bytes]) -> str:
        """What a process has said on its standard error."""
        return self._told(process).read_text()

    def _told(self, process: subprocess.Popen[bytes]) -> Path:
        return self.conf / f"told-{process.pid}.txt"

    def planned(self, job: str) -> int:
        """The last batch that the query which begins with a job has planned; -1 before the first."""
        return max((_last(folder / "offsets") for folder in checkpoints(self.lake).glob(f"{job}*")), default=-1)

    def cut_off(self, job: str) -> bool:
        """Whether that query has planned a batch and not committed it."""
        folders = checkpoints(self.lake).glob(f"{job}*")
        return any(_last(folder / "commits") < _last(folder / "offsets") for folder in folders)

    def ends(self) -> list[int]:
        """The log offsets at which a planned batch ends, as far as the checkpoint remembers them."""
        found = []
        for folder in checkpoints(self.lake).glob("land*"):
            for file in (folder / "offsets").glob("[0-9]*"):
                with suppress(FileNotFoundError):  # Spark has forgotten it meanwhile
                    found.append(int(checkpoint.planned_batch(folder, int(file.name)).offsets[0]["offset"]))
        return sorted(found)


@cache
def short_lived() -> str:
    """Options of a JVM that lives for seconds: it compiles quickly, not well, and finds the classes of Spark parsed.

    The archive of classes is made once for an installation of Spark, by an application that finds nothing to do; where Java
    cannot use it, it starts without.
    """
    installed = hashlib.sha256(f"{pyspark.__file__} {pyspark.__version__}".encode()).hexdigest()[:8]
    archive = Path(tempfile.gettempdir()) / f"hindsight-classes-{installed}.jsa"
    if not archive.exists():
        with tempfile.TemporaryDirectory(prefix="hindsight-classes-", dir=archive.parent) as scratch:
            made = Path(scratch) / archive.name
            options = f'{{"spark.driver.extraJavaOptions" = "{_JAVA} -XX:ArchiveClassesAtExit={made} -Xlog:disable"}}'
            words = ["run", "--once", "--lake", f"{scratch}/lake"]
            subprocess.run(
                [sys.executable, "-m", "pipelines", *words],
                cwd=ROOT,
                env={**os.environ, "HINDSIGHT_SPARK_EXTRA": options},
                check=True,
                capture_output=True,
            )
            made.replace(archive)
    return f"{_JAVA} -XX:SharedArchiveFile={archive} -Xlog:disable"


def until(holds: Callable[[], bool], patience: float = PATIENCE) -> bool:
    """Wait until something holds; whether it does."""
    deadline = time.monotonic() + patience
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def kill(process: subprocess.Popen[bytes]) -> None:
    """`kill -9` of a process and of all that it has started, the JVM among it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _last(folder: Path) -> int:
    return max((int(file.name) for file in folder.glob("[0-9]*") if file.name.isdigit()), default=-1)
