"""What no command foresaw is told like every other mistake, and never as a traceback."""

from __future__ import annotations

import errno
import logging
import sqlite3
from pathlib import Path

import pytest
from py4j.protocol import Py4JNetworkError

from pipelines import cli, commands
from pipelines.__main__ import main as start
from pipelines.app import _first_lines
from pipelines.errors import HindsightError, StateError
from pipelines.unforeseen import named


def of(error: BaseException, cause: BaseException | None) -> BaseException:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "code", "exit_code"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/lake"), "no_permission", 4),
        (OSError(errno.EROFS, "Read-only file system", "/lake"), "no_permission", 4),
        (OSError("Generic LocalFileSystem error: Unable to open file: Permission denied (os error 13)"), "no_permission", 4),
        (OSError(errno.ENAMETOOLONG, "File name too long", "l" * 5000), "name_too_long", 2),
        (OSError(errno.ENOSPC, "No space left on device"), "disk_full", 4),
        (RuntimeError("Generic error: No space left on device (os error 28)"), "disk_full", 4),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "java_ended", 4),
        (of(RuntimeError("while stopping"), Py4JNetworkError("Answer from Java side is empty")), "java_ended", 4),
        (sqlite3.OperationalError("database is locked"), "log_busy", 5),
        (of(RuntimeError("while closing"), StateError("lease_held", "held")), "lease_held", 5),
        (KeyError("what"), "unexpected", 1),
    ],
    ids=lambda one: one if isinstance(one, str) else None,
)
def test_every_error_has_a_code(error: Exception, code: str, exit_code: int) -> None:
    told = named(error)
    assert (told.code, told.exit_code) == (code, exit_code)
    assert "\n" not in told.message


def test_a_command_tells_in_a_paragraph_and_keeps_the_trace_in_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def broken(_: object) -> int:
        raise IndexError("list index out of range\nand more")

    monkeypatch.setattr(commands, "schema", broken)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert cli.main(["schema", "inference"]) == HindsightError.exit_code
    said = capsys.readouterr().err
    assert said.startswith("hindsight: IndexError: list index out of range. ")
    assert said.endswith(" [unexpected]\n")
    [trace] = tmp_path.glob("hindsight-*.txt")
    assert str(trace) in said
    assert "in broken" in trace.read_text()


def test_ctrl_c_while_modules_are_still_being_imported_is_no_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "main", interrupted)
    with pytest.raises(SystemExit, match="130"):
        start()
    assert capsys.readouterr().err == "hindsight: stopped\n"


def test_what_a_library_logs_of_an_interruption_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> int:
        logging.exception("KeyboardInterrupt while sending command.")  # as py4j does, on the root logger
        raise KeyboardInterrupt

    monkeypatch.setattr(logging.root, "handlers", [])
    monkeypatch.setattr(cli, "main", interrupted)
    with pytest.raises(SystemExit, match="130"):
        start()
    assert capsys.readouterr().err == "hindsight: stopped\n"


def test_of_a_failed_query_the_error_is_told_and_not_the_way_to_it() -> None:
    text = (
        "An exception was raised by the Python Proxy. Return Message: Traceback (most recent call last):\n"
        '  File "clientserver.py", line 644, in _call_proxy\n    return_value = getattr(self.pool[obj_id], method)(*params)\n'
        "PermissionError: forbidden\n\nThe above exception was the direct cause of the following exception:\n\n"
        'Traceback (most recent call last):\n  File "app.py", line 187, in process\n    run_batch(\n    ^^^^^^^^^^\n'
        "OSError: Read-only file system (os error 30)\nwhile writing\n\n\tat py4j.Protocol.getReturnValue(Protocol.java:476)\n"
        "=== Streaming Query ===\nIdentifier: land+refine+expose\n"
    )
    assert _first_lines(text) == "OSError: Read-only file system (os error 30)\nwhile writing"
    assert _first_lines("[STREAM_FAILED] state is gone\n\tat java.base\nCaused by: x") == "[STREAM_FAILED] state is gone"
