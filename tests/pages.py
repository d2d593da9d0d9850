"""Lakes for the page, made without Spark: what was served and answered, and the statistics that the transforms make of it."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import uvicorn

from pipelines.bronze.tables import EVENTS
from pipelines.dataset.manifest import Manifest, keep
from pipelines.gold.expose import expose
from pipelines.gold.tables import EXAMPLES, OUTCOME_LEDGER, STATISTICS
from pipelines.gold.tally import tally
from pipelines.lake import Lake
from pipelines.log import EmbeddedLog
from pipelines.page.site import site
from pipelines.paths import log_path
from pipelines.retrain.tables import RETRAININGS
from pipelines.serving import NAMES
from pipelines.silver.tables import FEEDBACK, INFERENCES, ORPHANS, QUARANTINE
from pipelines.silver.tables import LABELLED as PAIRS
from pipelines.watch.rules import Watched
from pipelines.watch.tables import ALERTS, DRIFT, TRIGGERS
from tests.watching import DAY, HOUR, MINUTE, MONDAY, append, lake_of, model, reach

FRONTIER = MONDAY + 6 * DAY
EACH = 40
"""Requests of a day; one in five is never answered."""


def filled(root: Path, days: int = 6) -> tuple[Lake, Watched]:
    """A lake with some days of a model, processed up to the end of the sixth: the first four days are final."""
    watched = model(root.parent / "conf" / "models", "")
    (root.parent / "conf" / "settings.toml").write_text("")
    lake = lake_of(root, watched)
    lake.create(EVENTS, INFERENCES, FEEDBACK, OUTCOME_LEDGER, EXAMPLES, QUARANTINE, ORPHANS)
    log = EmbeddedLog(log_path(root), durable=False)
    log.append([b"{}"])
    log.close()
    for day in range(days):
        serve_day(lake, watched, day)
    refused = {"reason": "not_json", "received_at": MONDAY, "received_date": MONDAY.date()}
    append(lake, QUARANTINE, [QUARANTINE.row(**refused, offset=number) for number in range(3)])
    append(lake, EVENTS, [EVENTS.row()])
    reach(lake, FRONTIER)
    return lake, watched


def serve_day(lake: Lake, watched: Watched, day: int) -> None:
    """A day's requests, four in five answered three hours later: the later the day, the more often wrongly."""
    served, told = [], []
    for number in range(EACH):
        at, place = MONDAY + day * DAY + number * 20 * MINUTE, 2 * (day * EACH + number) + 10
        late, score = float(number % 3 == 0), 0.2 + 0.6 * ((number % 3 == 0) ^ (number % 7 < day))
        said = {"model": "m", "version": str(1 + number % 2), "served_at": at, "received_at": at, "offset": place}
        said |= {"prediction": float(score >= 0.5), "score": score, "segments": [("origin", "EWR" if number % 4 else "JFK")]}
        served.append(INFERENCES.row(**said, request_id=f"r-{place}", status="ok", served_date=at.date(), measures=[("latency_ms", 12)]))
        if number % 5:
            told.append((f"r-{place}", at, late, place + 1, {**said, "judged": True}))
    append(lake, INFERENCES, served)
    entries = [_entry(watched, *one) for one in told]
    append(lake, OUTCOME_LEDGER, entries)
    append(lake, PAIRS, [_pair(*one) for one in told])
    append(lake, FEEDBACK, [FEEDBACK.row(feedback_id=f"f-{one[3]}", offset=one[3], received_at=one[1] + 3 * HOUR) for one in told])
    for made in (
        expose(INFERENCES.frame(served), definitions=watched.definitions),
        tally(OUTCOME_LEDGER.frame(entries), definitions=watched.definitions),
    ):
        append(lake, STATISTICS, [row | {"recorded_at": MONDAY} for row in made.to_pylist()])


def _entry(watched: Watched, request: str, at: Any, number: float, _: int, context: dict[str, Any]) -> dict[str, Any]:
    policy = watched.definition("late").policy
    assert policy is not None
    about = {"tenant": "default", "unit": "request", "unit_id": request, "item": "", "label": "late", "policy": policy.hash}
    times = {"known_at": at + 3 * HOUR, "matures_at": at + timedelta(seconds=policy.window), "served_date": at.date()}
    return OUTCOME_LEDGER.row(**about, **times, number=number, sign=1, context=context)


def _pair(request: str, at: Any, number: float, offset: int, context: dict[str, Any]) -> dict[str, Any]:
    about = {"unit": "request", "unit_id": request, "item": "", "label": "late", "feedback_id": f"f-{offset}", "offset": offset}
    times = {"given_at": at + 2 * HOUR, "known_at": at + 3 * HOUR, "served_date": at.date()}
    return PAIRS.row(**about, **times, number=number, action="assert", rater="ann", context=context)


def decided(lake: Lake) -> None:
    """One row, or two, of each ledger of decisions."""
    lake.create(RETRAININGS)
    about = {"tenant": "default", "model": "m", "label": "late", "known_at": MONDAY + 3 * DAY, "policy": "p"}
    window = {"cut": "all", "segment": "[]", "version": "", "window_start": MONDAY, "window_end": MONDAY + DAY, "sign": 1}
    append(lake, ALERTS, [ALERTS.row(**about, **window, rule="low", incident="i", state="raised", value=0.4, evidence="{}")])
    of_drift = {name: value for name, value in about.items() if name != "label"} | window | {"baseline": "{}"}
    for day, value, reached in ((0, 0.01, False), (1, 0.3, True)):
        windows = {"window_start": MONDAY + day * DAY, "window_end": MONDAY + (day + 1) * DAY}
        row = of_drift | windows | {"feature": "feature.distance", "measure": "psi", "value": value, "reference": 0.1}
        append(lake, DRIFT, [DRIFT.row(**row, reached=reached)])
    trigger = {"trigger": "anew", "trigger_id": "t1"}
    append(lake, TRIGGERS, [TRIGGERS.row(**about, **trigger, state="fired", incident="i", evidence='{"met": ["low"]}')])
    said = {name: value for name, value in about.items() if name != "policy"} | trigger | {"attempt": 1}
    judged = {"estimate": -0.02, "low": -0.03, "high": -0.01, "support": 500, "version": "2", "champion": "1"}
    steps = {"judged": {"verdict": "accept", **judged}, "promoted": {}}
    append(lake, RETRAININGS, [RETRAININGS.row(**said, step=step, **found) for step, found in steps.items()])
    keep(lake, Manifest("m/late/1", "", "m", "late", "p", "2026-03-05T00:00:00Z", {"sampling": "all"}, {}, 96,
                        {"train": 60, "validation": 16, "test": 20}, {}, {}, "c0ffee", {}, {}).sealed())  # fmt: skip


@contextmanager
def served(root: Path) -> Iterator[str]:
    """The page of a lake, as `hindsight serve` serves it: its address."""
    server = uvicorn.Server(uvicorn.Config(None, port=0, log_level="error", lifespan="off", timeout_graceful_shutdown=2))
    server.config.app = site(root, hosts=frozenset(NAMES), ended=lambda: server.should_exit)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.02)
        assert thread.is_alive(), "the server has not started"
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


def get(address: str, headers: dict[str, str] | None = None, method: str = "GET") -> tuple[int, Any, dict[str, str]]:
    """Status, body (decoded, where it is JSON) and headers of an answer."""
    try:
        answer = urllib.request.urlopen(urllib.request.Request(address, headers=headers or {}, method=method), timeout=20)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        text, held = answer.read(), {name.lower(): value for name, value in answer.headers.items()}
    return answer.status, json.loads(text) if held.get("content-type") == "application/json" else text.decode(), held


__all__ = ["EACH", "FRONTIER", "decided", "filled", "get", "serve_day", "served"]
