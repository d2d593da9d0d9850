"""One application per job: a lease is a lock on a file, held by the process that works, and gone when that process is.

A Spark application lets its JVM hold the locks: after `kill -9` of Python the JVM may live on for two seconds, and would write.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from pyspark.sql import SparkSession

from pipelines.errors import StateError

_TRIES, _PAUSE = 3, 0.05
"""How often a lease is tried for, and seconds in between."""


def path_of(lake: Path, job: str) -> Path:
    return lake / "_leases" / f"{job}.lock"


@contextmanager
def hold_by_process(lake: Path, jobs: Sequence[str], purpose: str) -> Iterator[None]:
    """Hold the leases of jobs by this process. Raises StateError `lease_held`."""
    with ExitStack() as stack:
        for job in jobs:
            file = stack.enter_context(_opened(lake, job).open("r+"))

            def lock(file: IO[str] = file) -> bool:
                with suppress(OSError):
                    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return True
                return False

            _take(lock, lake, job, purpose)
        yield


@contextmanager
def hold_by_jvm(spark: SparkSession, lake: Path, jobs: Sequence[str], purpose: str) -> Iterator[None]:
    """Hold the leases of jobs by the session's JVM. Raises StateError `lease_held`."""
    jvm: Any = spark.sparkContext._jvm
    channels = []
    try:
        for job in jobs:
            channel = jvm.java.io.RandomAccessFile(str(_opened(lake, job)), "rw").getChannel()
            channels.append(channel)

            def lock(channel: Any = channel) -> bool:
                with suppress(Exception):  # OverlappingFileLockException: held by this very JVM
                    return channel.tryLock() is not None
                return False

            _take(lock, lake, job, purpose)
        yield
    finally:
        for channel in channels:
            channel.close()


def refuse_held(lake: Path, jobs: Sequence[str]) -> None:
    """Raise StateError `lease_held` where another process holds one of the leases; take none."""
    for job in jobs:
        if holder(lake, job) is not None:
            raise _held(lake, job)


def holder(lake: Path, job: str) -> dict[str, Any] | None:
    """Who holds a job's lease, or None: process id, host, purpose."""
    path = path_of(lake, job)
    if not path.exists():
        return None
    with path.open() as file:  # a shared lock: who may only read the lake can see it too
        try:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return _said(lake, job)
    return None


def _take(lock: Callable[[], bool], lake: Path, job: str, purpose: str) -> None:
    """Lock, or refuse; again for an instant, since who only looks whether a lease is held takes it for a moment."""
    for attempt in range(_TRIES):
        if lock():
            _say(lake, job, purpose)
            return
        if attempt < _TRIES - 1:
            time.sleep(_PAUSE)
    raise _held(lake, job)


def _opened(lake: Path, job: str) -> Path:
    path = path_of(lake, job)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def _say(lake: Path, job: str, purpose: str) -> None:
    said = {"pid": os.getpid(), "host": socket.gethostname(), "purpose": purpose}
    path_of(lake, job).with_suffix(".json").write_text(json.dumps(said))


def _said(lake: Path, job: str) -> dict[str, Any]:
    try:
        said = json.loads(path_of(lake, job).with_suffix(".json").read_text())
    except (FileNotFoundError, ValueError):
        said = {}
    return said if isinstance(said, dict) else {}


def _held(lake: Path, job: str) -> StateError:
    said = _said(lake, job)
    return StateError(
        "lease_held",
        f"{lake}: the job {job} is held by process {said.get('pid', 'unknown')} on {said.get('host', 'this host')} "
        f"({said.get('purpose', 'unknown purpose')}). Stop that first; after a crash its JVM lets go within seconds.",
    )
