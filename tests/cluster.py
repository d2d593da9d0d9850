"""A standalone Spark cluster of a master and two workers on loopback, and `spark-submit` to it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.reliability.application import until

ROOT = Path(__file__).parent.parent
DELTA = "io.delta:delta-spark_4.2_2.13:4.4.0"
_BIN = Path(sys.executable).parent
_EXECUTOR = "CoarseGrainedExecutorBackend"


@dataclass
class Cluster:
    """Where it is reached, and what its workers are."""

    master: str
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def executors(self) -> list[psutil.Process]:
        """The processes in which tasks run now."""
        found = []
        for worker in self.workers:
            for child in psutil.Process(worker.pid).children(recursive=True):
                with suppress(psutil.Error):  # it ends meanwhile
                    if _EXECUTOR in " ".join(child.cmdline()):
                        found.append(child)
        return found


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """A cluster whose workers have a core each."""
    port = _free_port()
    made = Cluster(f"spark://127.0.0.1:{port}")
    with ExitStack() as stack:

        def start(name: str, *words: str) -> subprocess.Popen[bytes]:
            told = stack.enter_context((folder / f"{name}.txt").open("wb"))
            command = [str(_BIN / "spark-class"), f"org.apache.spark.deploy.{words[0]}", *words[1:]]
            daemon = subprocess.Popen(
                command, stdout=told, stderr=told, env={**without_checkout(), "SPARK_WORKER_DIR": str(folder / "work")}
            )
            stack.callback(_end, daemon)
            return daemon

        start("master", "master.Master", "--host", "127.0.0.1", "--port", str(port), "--webui-port", "0")
        assert until(lambda: _answers(port)), (folder / "master.txt").read_text()
        worker = ("worker.Worker", "--cores", "1", "--memory", "900m", "--webui-port", "0", made.master)
        made.workers = [start(f"worker{number}", *worker) for number in (1, 2)]
        yield made


def wheel(folder: Path) -> Path:
    """The wheel of this package, named .zip: as .whl Spark's executors do not take it."""
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(ROOT)],
        check=True,
    )
    (built,) = folder.glob("*.whl")
    return built.rename(folder / "hindsight.zip")


def submit(
    master: str, package: Path, told: Path, *words: str, options: tuple[str, ...] = (), **environment: str
) -> subprocess.Popen[bytes]:
    """`spark-submit … run …`, in client mode, as the README has it; what it says goes to a file."""
    command = [str(_BIN / "spark-submit"), "--master", master, "--packages", DELTA, "--py-files", str(package)]
    command += ["--driver-memory", "700m", "--executor-memory", "800m", "--conf", "spark.log.level=ERROR", *options]
    with told.open("wb") as file:
        return subprocess.Popen(
            [*command, str(ROOT / "pipelines" / "__main__.py"), *words],
            stdout=file,
            stderr=file,
            cwd=told.parent,
            env={**without_checkout(), **environment},
        )


def without_checkout() -> Mapping[str, str]:
    """Nothing of this checkout on the path: what runs is the wheel."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return {
        **inherited,
        "PATH": f"{_BIN}{os.pathsep}{os.environ['PATH']}",
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_DAEMON_MEMORY": "200m",
    }


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _end(daemon: subprocess.Popen[bytes]) -> None:
    """End a daemon and what it has started."""
    family = [psutil.Process(daemon.pid), *psutil.Process(daemon.pid).children(recursive=True)] if daemon.poll() is None else []
    for process in family:
        if process.is_running():
            process.kill()
    daemon.wait()


