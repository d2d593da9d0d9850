"""Training on this machine: an MLflow project in a process group of its own, which ends with its time."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import psutil

from pipelines.errors import ConfigError
from pipelines.retrain.declared import Retrain

PROJECT = Path(__file__).parent
"""The project that comes along."""
TOLD = 3
"""Lines of a run's output that an error repeats: the table keeps them for good, and a script may print anything."""
_MLFLOW = re.compile(r"[0-9/]{10} [0-9:]{8} [A-Z]+ mlflow")
"""How MLflow's own lines begin."""
_POLL = 0.01


def named(retrain: Retrain) -> str:
    """The project that trains. Raises ConfigError `no_project`: what is no folder MLflow takes for a repository, and asks the network."""
    found = retrain.project or str(PROJECT)
    if ":" not in found and not Path(found).is_dir():
        told = "expected one with an MLproject, by its whole path or from where `hindsight` is started, or the address of a repository"
        raise ConfigError("no_project", f"retrain.project: there is no folder {Path(found).absolute()}; {told}")
    return found


def begin(folder: Path, run_id: str, retrain: Retrain, given: Mapping[str, str], uri: str) -> None:
    """Start a run's training, unless it is at work already: it outlives a launcher that was killed, and is taken over then.

    Raises OSError where nothing can be written in the folder, as on a full disk: nothing is at work then.
    """
    if at_work(folder, run_id) is not None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "mlflow", "run", named(retrain), "-e", retrain.entry, "--run-id", run_id, "--env-manager", "local"]
    for name, value in given.items():
        command += ["-P", f"{name}={value}"]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    pid = _pid(folder, run_id)
    pid.unlink(missing_ok=True)
    spawned = os.posix_spawnp(
        "sh",
        # the process writes down its own id before anything else, so that none is at work unknown
        ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(pid), *command],
        {**os.environ, "PATH": path, "MLFLOW_TRACKING_URI": uri},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(_log(folder, run_id)), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setpgroup=0,
    )
    ended = False
    while not (pid.exists() and pid.read_text()):
        if ended:
            pid.write_text(f"{spawned}\n")  # raises what hindered it, such as a full disk
            return
        ended = os.waitpid(spawned, os.WNOHANG)[0] != 0
        time.sleep(_POLL)


def wait(folder: Path, run_id: str, most: timedelta) -> bool:
    """Whether a run's training ended by itself, so long after its start at most; else it is ended, with all that it started."""
    process = at_work(folder, run_id)
    if process is None:
        return True
    try:
        process.wait(max(0.0, process.create_time() + most.total_seconds() - time.time()))
    except psutil.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with suppress(psutil.NoSuchProcess):
            process.wait(5)
        return False
    return True


def at_work(folder: Path, run_id: str) -> psutil.Process | None:
    """The process that trains a run, if it lives."""
    with suppress(OSError, ValueError, psutil.Error):
        process = psutil.Process(int(_pid(folder, run_id).read_text()))
        if run_id in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


def output(folder: Path, run_id: str) -> str:
    """The end of what a training said, without what MLflow says around it, and where all of it lies."""
    path = _log(folder, run_id)
    with suppress(OSError):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        said = [line for line in lines if line.strip() and not _MLFLOW.match(line)]
        return "\n".join([*said[-TOLD:], f"(all that it said: {path})"])
    return ""


def _pid(folder: Path, run_id: str) -> Path:
    return folder / f"{run_id}.pid"


def _log(folder: Path, run_id: str) -> Path:
    return folder / f"{run_id}.log"
