"""A full disk has one name, in whatever words it is told and however deep it lies."""

from __future__ import annotations

import errno
import os
import sqlite3
from itertools import pairwise
from pathlib import Path

import pytest

from pipelines import cli
from pipelines.errors import InputError, MachineError, StateError, disk_full
from pipelines.log import EmbeddedLog


def raised(*errors: Exception) -> Exception:
    """The last of some errors, each raised from the one before."""
    for cause, error in pairwise(errors):
        error.__cause__ = cause
    return errors[-1]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)),
        sqlite3.OperationalError("database or disk is full"),
        raised(ValueError("Generic LocalFileSystem error: No space left on device (os error 28)"), KeyError("x")),
        raised(OSError(errno.ENOSPC, "No space left on device"), StateError("job_failed", "land: it failed")),
    ],
)
def test_a_full_disk_is_known(error: Exception) -> None:
    found = disk_full(error)
    assert isinstance(found, MachineError)
    assert (found.code, found.exit_code) == ("disk_full", 4)


@pytest.mark.parametrize(
    "error", [OSError(errno.EACCES, "Permission denied"), InputError("not_a_time", "'No space left on device' is no time")]
)
def test_other_errors_are_none(error: Exception) -> None:
    assert disk_full(error) is None


def test_a_log_on_a_full_disk_refuses_an_append_whole_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path / "log.sqlite")
    log.append([b"first"])
    log._db.execute("PRAGMA max_page_count = 8")
    with pytest.raises(MachineError) as refused:
        log.append([os.urandom(50_000), b"second"])
    assert refused.value.code == "disk_full"
    assert log.end() == 1
    log._db.execute("PRAGMA max_page_count = 100000")
    assert log.append([b"second", b"third"]) == 2
    held = [payload for append in log.read(0, 3) for payload in append.records()["payload"].to_pylist()]
    assert held == [b"first", b"second", b"third"]
    log.close()


def test_a_command_tells_it_without_a_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def full(_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(cli.commands, "status", full)
    assert cli.main(["status", "--json"]) == 4
    said = capsys.readouterr()
    assert '"error": "disk_full"' in said.out
    assert said.err.startswith("hindsight: a disk is full")
