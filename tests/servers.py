"""Real servers of Debian's packages, each for the time of a test, on loopback and in a folder of its own."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.reliability.application import until


@dataclass
class Server:
    """A server that can be stopped and started again over the same data."""

    port: int
    command: Sequence[str]
    ready: Callable[[], bool]
    log: Path
    user: str | None = None
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        with self.log.open("ab") as file:
            self.process = subprocess.Popen(self.command, stdout=file, stderr=file, user=self.user, cwd=self.log.parent)
        assert until(self.ready, 60), self.log.read_text()[-2000:]

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextmanager
def running(server: Server) -> Iterator[Server]:
    try:
        server.start()
        yield server
    finally:
        server.stop()


def postgres(folder: Path) -> Server:
    """PostgreSQL, whose user hindsight has the password `secret`; it runs as no root."""
    (installed,) = sorted(Path("/usr/lib/postgresql").iterdir())[-1:]
    user = "postgres" if os.getuid() == 0 else None
    port, data = free_port(), folder / "data"
    for place in (folder, *folder.parents[:3]):
        place.chmod(place.stat().st_mode | 0o055)
    (folder / "password").write_text("secret")
    for place in (folder, folder / "password") if user else ():
        shutil.chown(place, user)
    initdb = [str(installed / "bin" / "initdb"), "-D", str(data), "-U", "hindsight", "-A", "scram-sha-256"]
    subprocess.run([*initdb, "--pwfile", str(folder / "password")], check=True, capture_output=True, user=user, cwd=folder)
    command = [str(installed / "bin" / "postgres"), "-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", str(folder), "-F"]
    asks = [str(installed / "bin" / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    return Server(port, command, lambda: not subprocess.run(asks, check=False).returncode, folder / "log", user)


def prometheus(folder: Path, scraped: int | None = None) -> Server:
    """Prometheus, which takes remote writes, and scrapes a port of this machine every second, or nothing."""
    port, config = free_port(), folder / "prometheus.yml"
    jobs = [] if scraped is None else [{"job_name": "hindsight", "static_configs": [{"targets": [f"127.0.0.1:{scraped}"]}]}]
    config.write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}))
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}", "--web.enable-remote-write-receiver"]
    return Server(port, [*command, f"--web.listen-address=127.0.0.1:{port}"], lambda: _answers(f"{port}/-/ready"), folder / "log")


def influx(folder: Path) -> Server:
    """InfluxDB, with an empty database `hindsight`."""
    port, rpc, config = free_port(), free_port(), folder / "influx.conf"
    config.write_text(
        f'reporting-disabled = true\nbind-address = "127.0.0.1:{rpc}"\n[meta]\ndir = "{folder}/meta"\n'
        f'[data]\ndir = "{folder}/data"\nwal-dir = "{folder}/wal"\n[http]\nbind-address = "127.0.0.1:{port}"\n'
    )
    return Server(port, ["influxd", "-config", str(config)], lambda: _answers(f"{port}/ping"), folder / "log")


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(place: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{place}", timeout=2):
            return True
    except (urllib.error.URLError, OSError):
        return False
