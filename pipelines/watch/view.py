"""What the commands about alerts and triggers answer: as JSON has it, and as tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from rich.box import SIMPLE
from rich.console import Group
from rich.markup import escape
from rich.table import Table

from pipelines.moments import rfc3339
from pipelines.quantities import spelled
from pipelines.watch.incidents import Incident
from pipelines.watch.rules import Condition, TriggerRule, Watched
from pipelines.watch.steps import AWAITING, DECLARED, FIRED, FORCED, last, of_each, paused
from pipelines.watch.triggers import Firing
from pipelines.watch.windows import moment

Row = dict[str, Any]


def standing(watched: Watched, rule: TriggerRule, rows: Sequence[Row]) -> Row:
    """How a trigger stands."""
    own = [row for row in rows if (row["model"], row["trigger"]) == (watched.model, rule.name)]
    fired = [row for row in own if row["state"] in (FIRED, AWAITING, FORCED)]
    declared = last(own, DECLARED)
    return {
        **{"model": watched.model, "trigger": rule.name, "label": rule.label},
        "conditions": [_condition(one) for one in rule.conditions],
        "when": "all" if rule.all_of else "any",
        "paused": paused(own),
        "watched_from": plain(declared and declared["known_at"]),
        "fired": len(fired),
        "last": plain(fired[-1]["known_at"] if fired else None),
        "awaiting": [name for name, steps in of_each(own).items() if last(steps)["state"] == AWAITING],
    }


def _condition(one: Condition) -> str:
    return one.name or (f"new_examples >= {one.count}" if one.kind == "new_examples" else f"every {spelled(one.every)}")


def fired(model: str, rule: TriggerRule, one: Firing) -> Row:
    """What a trigger comes to."""
    said = {
        "model": model,
        "trigger": rule.name,
        "state": one.state,
        "known_at": moment(one.at),
        "incident": one.incident,
    }
    return dict(plain(said | {"evidence": one.evidence}))


def plain(value: Any) -> Any:
    """A value as JSON has it; what is JSON already is taken apart."""
    if isinstance(value, dict):
        return {
            name: json.loads(one) if name == "evidence" and isinstance(one, str) else plain(one)
            for name, one in value.items()
        }
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, timedelta):
        return value.total_seconds()
    return rfc3339(value) if isinstance(value, datetime) else value


def _table(columns: tuple[str, ...], rows: list[tuple[Any, ...]], caption: str) -> Table:
    table = Table(box=SIMPLE, header_style="bold", caption=caption, caption_justify="left")
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(escape(_shown(one)) for one in row))
    return table


def _shown(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def incidents(found: Sequence[Incident], of: int) -> Table:
    """An incident a row, the newest last."""
    columns = (
        "raised",
        "state",
        "ended",
        "model",
        "label",
        "alert",
        "segment",
        "version",
        "window",
        "value",
        "95 %",
        "support",
    )
    rows = [
        (
            *(
                one.raised_at,
                one.state,
                one.ended_at,
                one.model,
                one.label or "(service)",
                one.rule,
                one.segment.strip("[]"),
                one.version,
            ),
            *(
                one.window_start,
                one.value,
                "-" if one.low is None else f"{_shown(one.low)} to {_shown(one.high)}",
                one.support,
            ),
        )
        for one in found
    ]
    return _table(columns, rows, f"UTC · {len(found):,} of {of:,} incidents")


def listed(said: Mapping[str, Sequence[Row]]) -> Group:
    """The triggers, and under them their steps."""
    first = [
        (
            *(
                one["model"],
                one["trigger"],
                f"{one['when']} of {', '.join(one['conditions'])}",
                "yes" if one["paused"] else "no",
            ),
            *(one["watched_from"], one["fired"], one["last"], ", ".join(one["awaiting"]) or None),
        )
        for one in said["triggers"]
    ]
    rows = [
        tuple(row[name] for name in ("known_at", "model", "trigger", "state", "trigger_id")) for row in said["steps"]
    ]
    columns = ("model", "trigger", "fires on", "paused", "watched from", "fired", "last", "awaiting approval")
    return Group(
        _table(columns, first, "UTC"), _table(("known at", "model", "trigger", "step", "trigger_id"), rows, "UTC")
    )


def backtested(raised: Sequence[Row], found: Sequence[Row]) -> Group:
    """What would have been raised, and what would have fired on it."""
    names = ("known_at", "model", "rule", "state", "segment", "version", "window_start", "value", "support")
    rows = sorted(raised, key=lambda row: (row["known_at"], row["sign"], row["window_start"]))
    alerts = _table(
        ("known at", *names[1:]),
        [tuple(row[name] for name in names) for row in rows],
        f"UTC · {len(rows):,} entries of alerts",
    )
    on = [
        (one["known_at"], one["model"], one["trigger"], one["state"], ", ".join(one["evidence"].get("met", [])))
        for one in found
    ]
    return Group(
        alerts,
        _table(("known at", "model", "trigger", "state", "on"), on, f"UTC · would have fired {len(found):,} times"),
    )
