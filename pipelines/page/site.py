"""The routes of the page: files, JSON under /api, and a stream that says when there is something new. Everything is only read."""

from __future__ import annotations

import asyncio
import json
import sys
import traceback
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipelines.errors import HindsightError, InputError, StateError
from pipelines.lake import Lake
from pipelines.page import asked, sections
from pipelines.page.asked import Parameters
from pipelines.page.numbers import Answers
from pipelines.page.sums import Kept
from pipelines.status import status

LOOK = 0.5
"""Seconds between two looks for something new."""
QUIET = 15.0
"""Seconds after which a silent stream says that it is there, so that one whose reader is gone ends."""
_FILES = Path(__file__).parent / "static"
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
Answer = Callable[[Parameters], Any]


def site(
    root: Path, *, hosts: frozenset[str] | None = None, model: str | None = None, ended: Callable[[], bool] = lambda: False
) -> ASGIApp:
    """The page of a lake, which begins with a model.

    `hosts`: names under which alone it answers (None: any); streams end when `ended`.
    """
    lake = Lake(root)
    said = Answers(Kept(lake))
    Thread(target=asked.first, args=(root, said, model), daemon=True).start()
    answers: dict[str, Answer] = {
        "lake": lambda _: asked.lake(root),
        "metrics": lambda of: asked.metrics(root, said, of),
        "explain/metric": lambda of: asked.explained(root, of),
        "explain/outcome": lambda of: asked.outcomes(root, of),
        "flow": lambda _: status(root).to_dict() | {"lake": root.name},
        "alerts": lambda of: sections.alerts(lake, *_about(of)),
        "drift": lambda of: sections.drift(lake, *_about(of)),
        "triggers": lambda of: sections.triggers(lake, *_about(of)),
        "loop": lambda of: sections.loop(lake, *_about(of)),
        "releases": lambda of: sections.releases(lake, *_about(of)),
        "quarantine": lambda of: sections.quarantine(lake, of.of("as_of").time("as_of")),
    }
    routes = [
        Route("/", lambda _: FileResponse(_FILES / "index.html"), methods=["GET"]),
        *(Route(f"/api/{name}", _route(answer), methods=["GET"]) for name, answer in answers.items()),
        Route("/api/changes", _changes(lake, ended), methods=["GET"]),
        Mount("/static", StaticFiles(directory=_FILES)),
        Mount("/plotly", StaticFiles(packages=[("plotly", "package_data")])),
    ]
    return _guarded(Starlette(routes=routes), hosts)


def _about(of: Parameters) -> tuple[str | None, datetime | None]:
    of.of("model", "as_of")
    return of.maybe("model"), of.time("as_of")


def _route(answer: Answer) -> Callable[[Request], Response]:
    """An answer as JSON; an error too, under `error` and `message`."""

    def answered(request: Request) -> Response:
        try:
            return _json(answer(Parameters(request.query_params.multi_items())))
        except HindsightError as error:
            code = 400 if isinstance(error, InputError) else 409 if isinstance(error, StateError) else 500
            return _json({"error": error.code, "message": error.message}, code)
        except OverflowError:
            said = "a time or a width of windows that is asked for lies beyond the years 1 to 9999"
            return _json({"error": "out_of_range", "message": said}, 400)
        except Exception as error:
            traceback.print_exception(error, file=sys.stderr)
            said = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            return _json({"error": "unreadable", "message": f"{said}. `hindsight doctor` says what is damaged, and what mends it."}, 500)

    return answered


def _json(value: Any, code: int = 200) -> Response:
    return Response(msgspec.json.encode(value), code, {"Cache-Control": "no-store"}, "application/json")


def _changes(lake: Lake, ended: Callable[[], bool]) -> Callable[[Request], Any]:
    async def told() -> AsyncIterator[str]:
        said, quiet = None, 0.0
        while not ended():
            now = json.dumps(await run_in_threadpool(sections.versions, lake))
            if now != said or quiet >= QUIET:
                yield f"data: {now}\n\n" if now != said else ": here\n\n"
                said, quiet = now, 0.0
            await asyncio.sleep(LOOK)
            quiet += LOOK

    async def stream(_: Request) -> Response:
        return StreamingResponse(told(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    return stream


def _guarded(inner: ASGIApp, hosts: frozenset[str] | None) -> ASGIApp:
    """Answers under known names alone, so that no page of elsewhere reads this one by a name of its own; and says what a page may load."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *((k.lower().encode(), v.encode()) for k, v in _HEADERS.items())]
            await send(message)

        if scope["type"] == "http" and hosts is not None:
            named = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
            if bare(named) not in hosts:
                told = f'"{named[:100]}" is no name of this page; it has {", ".join(sorted(hosts))}. Others: `hindsight serve --host`.'
                await _json({"error": "unknown_host", "message": told}, 421)(scope, receive, with_headers)
                return
        await inner(scope, receive, with_headers if scope["type"] == "http" else send)

    return guarded


def bare(host: str) -> str:
    """A Host header without its port, in small letters."""
    name = host.lower().strip()
    return name[: name.index("]") + 1] if name.startswith("[") and "]" in name else name.partition(":")[0]
