"""Leases: held by one process, free when it is gone, and not refused because somebody looked."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE
from typing import IO, Any

import pytest

from pipelines import leases
from pipelines.cli import main
from pipelines.demo import show
from pipelines.errors import StateError
from pipelines.log import EmbeddedLog
from pipelines.paths import log_path

HOLDING = """
import sys
from pathlib import Path
from pipelines.leases import hold_by_process
with hold_by_process(Path(sys.argv[1]), ["tally"], "a test"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lease_is_refused_while_another_process_holds_it_and_free_when_that_is_gone(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDING, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(StateError) as refused, leases.hold_by_process(tmp_path, ["land", "tally"], "me"):
            pass
        assert refused.value.code == "lease_held"
        assert str(other.pid) in refused.value.message
        assert leases.holder(tmp_path, "land") is None
        for damage in (b"", b"[1]", b"\xff"):  # who holds it is not known then; that it is held is
            leases.path_of(tmp_path, "tally").with_suffix(".json").write_bytes(damage)
            assert leases.holder(tmp_path, "tally") == {}
        other.kill()
    with leases.hold_by_process(tmp_path, ["land", "tally"], "me"):
        pass


@pytest.mark.parametrize("command", [["rebuild"], ["reconcile"], ["erase", "--subject", "ann"], ["run", "--once"]], ids=lambda one: one[0])
def test_a_command_is_refused_before_a_session_starts(
    tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    EmbeddedLog(log_path(tmp_path)).close()
    monkeypatch.setenv("PYSPARK_GATEWAY_PORT", "1")  # where no Java listens: a session would not start
    with subprocess.Popen([sys.executable, "-c", HOLDING.replace("tally", "reconcile"), str(tmp_path)], stdin=PIPE, stdout=PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        assert main([*command, "--json", "--lake", str(tmp_path)]) == 5
        assert json.loads(capsys.readouterr().out)["error"] == "lease_held"
        other.kill()


def test_a_demo_that_still_runs_is_not_replaced_by_the_next(tmp_path: Path) -> None:
    (tmp_path / show.MARK).touch()
    command = [sys.executable, "-c", HOLDING, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(StateError) as refused:
            show.prepare(tmp_path)
        assert refused.value.code == "lease_held"
        other.kill()
    show.prepare(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [show.MARK]


def test_who_may_only_read_sees_whether_a_lease_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with leases.hold_by_process(tmp_path, ["tally"], "me"):
        pass
    opened = Path.open

    def read_only(path: Path, mode: str = "r") -> IO[Any]:
        if mode != "r":
            raise PermissionError(path)
        return opened(path, mode)

    monkeypatch.setattr(Path, "open", read_only)
    assert leases.holder(tmp_path, "tally") is None


def test_who_looks_at_a_lease_for_an_instant_does_not_refuse_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks, lockf = iter([True, False]), fcntl.lockf

    def looked_at(*lock: int) -> None:
        if next(looks):
            raise OSError
        lockf(*lock)

    monkeypatch.setattr(fcntl, "lockf", looked_at)
    with leases.hold_by_process(tmp_path, ["land"], "me"):
        pass
