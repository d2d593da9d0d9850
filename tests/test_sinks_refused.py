"""A sink that answers, and does not take what it is told: what passes is tried again, what never will is counted, nothing is lost."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest

from pipelines.errors import MachineError
from pipelines.page.sums import Kept
from pipelines.sinks.follow import follow, once
from pipelines.sinks.influx import Influx
from pipelines.sinks.otlp import Otlp
from pipelines.sinks.post import post
from pipelines.sinks.remote_write import RemoteWrite
from pipelines.sinks.revisions import Metrics, Revision
from pipelines.sinks.told import path_of, told
from tests.pages import filled
from tests.test_sinking import revision
from tests.watching import DAY

Answer = tuple[int, dict[str, str], bytes]


@contextmanager
def answering(answer: Callable[[int, str], Answer]) -> Iterator[tuple[str, list[str]]]:
    """A server that says what it is told to, by the number of the request and its method; its address, and what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked.append(self.command)
            status, headers, body = answer(len(asked), self.command)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/write", asked
    finally:
        server.shutdown()
        server.server_close()


TWO = [revision(), revision(version="2")]


@pytest.mark.parametrize("status", [401, 404, 429, 500, 502, 503])
def test_what_passes_is_not_taken_for_refused_for_good(status: int) -> None:
    with answering(lambda *_: (status, {}, b"later")) as (url, asked), pytest.raises(MachineError) as refused:
        RemoteWrite(url).send(TWO)
    assert refused.value.code == "sink_refused"
    assert len(asked) == 1


def test_a_series_that_is_too_old_does_not_hold_up_the_others() -> None:
    with answering(lambda number, _: (400 if number in (1, 3) else 204, {}, b"out of order sample")) as (url, asked):
        assert len(RemoteWrite(url).send([revision(low=None), revision(low=None, version="2")])) == 1
    assert len(asked) == 3


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirection_is_no_acknowledgement(status: int) -> None:
    with answering(lambda _, method: (status if method == "POST" else 200, {"Location": "/elsewhere"}, b"")) as (url, asked):
        with pytest.raises(MachineError) as refused:
            post(url, b"something", {})
        assert asked == ["POST"]
    assert refused.value.code == "sink_refused"


def test_points_that_influx_no_longer_keeps_are_counted_and_the_rest_goes_on() -> None:
    said = b'{"error":"partial write: points beyond retention policy dropped=1"}'
    with answering(lambda *_: (400, {}, said)) as (url, _):
        assert len(Influx(url).send(TWO)) == 1
    with answering(lambda *_: (400, {}, b'{"error":"unable to parse"}')) as (url, _), pytest.raises(MachineError):
        Influx(url).send(TWO)


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        (b"", 0), (b"{}", 0), (b"<html>", 0), (b'{"partialSuccess": {}}', 0), (b'{"partialSuccess": {"rejectedDataPoints": "3"}}', 3),
        (b'{"partialSuccess": {"rejectedDataPoints": 2, "errorMessage": "too old"}}', 2),
    ],
)  # fmt: skip
def test_points_that_a_collector_takes_only_in_part_are_counted(said: bytes, refused: int) -> None:
    with answering(lambda *_: (200, {}, said)) as (url, _):
        assert len(Otlp(url).send(TWO)) == refused


def test_a_port_of_something_else_is_said_and_not_the_end_of_the_sink(tmp_path: Path) -> None:
    lake, _ = filled(tmp_path / "lake", days=1)

    def greet() -> None:
        with suppress(OSError):
            while True:
                with listening.accept()[0] as one:
                    one.sendall(b"220 mail.example ESMTP\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        Thread(target=greet, daemon=True).start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/write"
        assert not once(Metrics(Kept(lake), DAY), "influx", Influx(url))
    assert "[sink_unreachable]" in told(lake.root, "influx").error


class Stumbling:
    """A sink that meets what nobody foresaw, once."""

    def __init__(self, stopping: Event) -> None:
        self.parts: list[list[Revision]] = []
        self.stopping, self.stumbled = stopping, False

    def send(self, revisions: list[Revision]) -> tuple[()]:
        if not self.stumbled:
            self.stumbled = True
            raise RuntimeError("nobody foresaw this")
        self.parts.append(revisions)
        return ()


def test_what_nobody_foresaw_is_said_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.sinks.follow._PAUSE", 0.01)
    lake, _ = filled(tmp_path / "lake", days=1)
    stopping, said = Event(), list[str]()

    def say(line: str) -> None:
        said.append(line)
        if line.endswith("told again"):
            stopping.set()

    sink = Stumbling(stopping)
    follow(Metrics(Kept(lake), DAY), "one", sink, stopping, say)
    assert said == ["one: RuntimeError: nobody foresaw this [unexpected]", "one: told again"]
    assert sink.parts


def test_a_damaged_note_is_waited_for_until_somebody_deletes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.sinks.follow._PAUSE", 0.01)
    lake, _ = filled(tmp_path / "lake", days=1)
    path_of(lake.root, "one").parent.mkdir()
    path_of(lake.root, "one").write_text("{}")
    stopping, said = Event(), list[str]()
    sink = Stumbling(stopping)
    sink.stumbled = True

    def say(line: str) -> None:
        said.append(line)
        if len(said) == 2:
            stopping.set()
        else:
            path_of(lake.root, "one").unlink()

    follow(Metrics(Kept(lake), DAY), "one", sink, stopping, say)
    assert "[sink_damaged]" in said[0]
    assert said[1:] == ["one: told again"]
