"""The commands `alerts` and `triggers`: what can be asked of what is watched, what a person may decide, and what they answer."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import settings as configuration
from pipelines.arguments import Commands, Parser, command, count, grouped, instant
from pipelines.console import answer, told
from pipelines.errors import InputError, StateError, nearest
from pipelines.moments import rfc3339
from pipelines.paths import existing

if TYPE_CHECKING:
    from pipelines.lake import Lake
    from pipelines.watch.incidents import Incident
    from pipelines.watch.rules import AlertRule, TriggerRule, Watched

BACKTEST = (
    "Takes the model files as they are now, also where the lake was not run with them, and what was known at each time. Nothing is "
    "written. Labels whose definition the lake does not know are looked at under the newest that it knows."
)


def add(known: Commands) -> None:
    """Add the commands to those that are known."""
    shown = command(
        known,
        "alerts",
        alerts,
        "the alerts that were raised, with what they rest on",
        "hindsight alerts --open --plot low.png",
    )
    shown.add_argument("--model", help="one model (all)")
    shown.add_argument("--rule", metavar="NAME", help="one alert, as the model file names it (all)")
    shown.add_argument("--open", action="store_true", help="only what is neither cleared nor overturned")
    shown.add_argument("--limit", type=count, default=50, metavar="N", help="at most so many, the newest (50)")
    shown.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw the metric of one alert with its incidents: .png, .svg or .html"
    )
    top = grouped(
        known,
        "triggers",
        "what starts a retraining: list, backtest, pause, resume, force, approve",
        "hindsight triggers list",
    )
    kinds = top.add_subparsers(metavar="WHAT", title="what", required=True)
    _of_trigger(
        command(kinds, "list", list_, "every trigger, and what became of it", "hindsight triggers list --json"), "all"
    )
    tried = command(
        kinds,
        "backtest",
        backtest,
        "when the model files would have fired on history",
        "hindsight triggers backtest --since 2013-01-15",
    )
    tried.description = f"{tried.description} {BACKTEST}"
    _of_trigger(tried, "all")
    tried.add_argument("--since", type=instant, metavar="TIME", help="as if declared then (the first that is known)")
    meanings = {
        "pause": "let a trigger not fire from now on",
        "resume": "let it fire again",
        "force": "fire it now, whatever its conditions",
    }
    for name, meaning in meanings.items():
        made = command(
            kinds, name, by_hand, meaning, f"hindsight triggers {name} retrain --who ann --why 'new sensors' --dry-run"
        )
        made.add_argument("trigger", metavar="NAME", help="the trigger, as the model file names it")
        made.add_argument("--model", help="its model, where several have one of that name")
        _decision(made, name)
    approved = command(
        kinds,
        "approve",
        approve,
        "approve a trigger that waits for it",
        "hindsight triggers approve 0123456789abcdef --who ann --why checked",
    )
    approved.add_argument("trigger_id", metavar="ID", help="its trigger_id, as `hindsight triggers list` says")
    _decision(approved, "approve")


def _of_trigger(made: Parser, default: str) -> None:
    made.add_argument("--model", help=f"one model ({default})")


def _decision(made: Parser, name: str) -> None:
    made.set_defaults(decision=name)
    made.add_argument("--who", required=True, metavar="NAME", help="who decides")
    made.add_argument("--why", required=True, metavar="TEXT", help="and why: both are kept")
    made.add_argument("--dry-run", action="store_true", help="say what would be recorded")


def alerts(asked: Namespace) -> int:
    from pipelines.watch import view
    from pipelines.watch.incidents import OPEN, incidents
    from pipelines.watch.tables import ALERTS

    lake, files = _opened(asked)
    rows = [
        row for row in _rows(lake, ALERTS) if asked.model in (None, row["model"]) and asked.rule in (None, row["rule"])
    ]
    found = [one for one in incidents(rows) if not asked.open or one.state == OPEN]
    if asked.plot:
        _plot(lake, files, asked, found)
    shown = found[-asked.limit :]
    answer(asked, [view.plain(asdict(one)) for one in shown], lambda: view.incidents(shown, len(found)))
    return 0


def list_(asked: Namespace) -> int:
    from pipelines.watch import view
    from pipelines.watch.tables import TRIGGERS

    lake, files = _opened(asked)
    rows = sorted(_rows(lake, TRIGGERS), key=lambda row: (row["known_at"], row["recorded_at"]))
    rules = [(watched, rule) for watched in files for rule in watched.triggers if asked.model in (None, watched.model)]
    rows = [row for row in rows if asked.model in (None, row["model"])]
    said = {
        "triggers": [view.standing(watched, rule, rows) for watched, rule in rules],
        "steps": [view.plain(row) for row in rows],
    }
    answer(asked, said, lambda: view.listed(said))
    return 0


def backtest(asked: Namespace) -> int:
    from pipelines.watch import sources, view
    from pipelines.watch.firings import Firings
    from pipelines.watch.watch import as_if, compute

    lake, files = _opened(asked)
    at = _frontier(lake)
    found: list[dict[str, Any]] = []
    raised: list[dict[str, Any]] = []
    with told.status("backtest"):
        for watched in [as_if(one, lake) for one in files if asked.model in (None, one.model)]:
            made = compute(lake, watched, at)
            alerts, drift = made.alerts.to_pylist(), made.drift.to_pylist()
            start = asked.since or sources.first_known(lake, watched.model) or at
            raised += [row for row in alerts if row["known_at"] > start]
            for rule in watched.triggers:
                fired = Firings(lake, watched, rule).fired(alerts, drift, [], start=start, at=at)
                found += [view.fired(watched.model, rule, one) for one in fired]
    said = {"frontier": rfc3339(at), "alerts": [view.plain(row) for row in raised], "triggers": found}
    answer(asked, said, lambda: view.backtested(raised, found))
    return 0


def by_hand(asked: Namespace) -> int:
    from pipelines.watch import steps

    lake, files = _opened(asked)
    watched, rule = _named(files, asked.trigger, asked.model)
    state = {"pause": steps.PAUSED, "resume": steps.RESUMED, "force": steps.FORCED}[asked.decision]
    about, at = ("", ""), _frontier(lake)
    if state == steps.FORCED:
        incident = f"by hand, {rfc3339(datetime.now(UTC))}"
        about = steps.trigger_id("", watched.model, rule.name, incident), incident
    return _record(
        asked, lake, steps.step(watched, rule, state, at, about=about, evidence={"who": asked.who, "why": asked.why})
    )


def approve(asked: Namespace) -> int:
    from pipelines.watch.steps import APPROVED, AWAITING, of_each, said
    from pipelines.watch.tables import TRIGGERS

    lake, _ = _opened(asked)
    triggers = of_each(_rows(lake, TRIGGERS))
    states = {row["state"]: row for row in triggers.get(asked.trigger_id, ())}
    if {*states} != {AWAITING}:
        waiting = sorted(name for name, steps in triggers.items() if {row["state"] for row in steps} == {AWAITING})
        was = f"it is {' and '.join(sorted(states))}" if states else "there is none"
        raise InputError(
            "not_awaiting",
            f"{asked.trigger_id}: no trigger of this id waits for approval: {was}. Waiting: {', '.join(waiting) or 'none'}.",
        )
    row = {name: states[AWAITING][name] for name in TRIGGERS.computed.names}
    decided = {"state": APPROVED, "known_at": _frontier(lake), "evidence": said({"who": asked.who, "why": asked.why})}
    return _record(asked, lake, row | decided)


def _record(asked: Namespace, lake: Lake, row: dict[str, Any]) -> int:
    """Append what a person decided; it is no function of the log, so its mark is its own."""
    import pyarrow as pa

    from pipelines import kept
    from pipelines.lake import Mark
    from pipelines.watch import view
    from pipelines.watch.tables import TRIGGERS

    if not asked.dry_run:
        mark = Mark(f"by-hand-{datetime.now(UTC).timestamp()}", 0)
        kept.append(
            lake,
            TRIGGERS,
            pa.Table.from_pylist([row], schema=TRIGGERS.computed),
            mark,
            {"job": "triggers", "query": "by-hand"},
        )
    told_of = "would be" if asked.dry_run else "is"
    line = f"{row['trigger']} of {row['model']} {told_of} {row['state']}, from {row['known_at']:%Y-%m-%d %H:%M} UTC on"
    answer(
        asked,
        {"dry_run": asked.dry_run, **view.plain(row)},
        lambda: line + (f" ({row['trigger_id']})" if row["trigger_id"] else ""),
    )
    return 0


def _opened(asked: Namespace) -> tuple[Lake, list[Watched]]:
    """The lake, and what the model files have watched."""
    from pipelines.lake import Lake
    from pipelines.watch.declared import load_watched

    settings = configuration.load(asked.conf, lake_path=asked.lake)
    return Lake(existing(settings.lake.path)), load_watched(settings.models_path)


def _rows(lake: Lake, table: Any) -> list[dict[str, Any]]:
    return list(lake.read(table).to_pylist()) if lake.exists(table) else []


def _frontier(lake: Lake) -> datetime:
    from pipelines.watch import sources

    at = sources.frontier(lake)
    if at is None:
        raise StateError(
            "no_frontier",
            f"{lake.root}: nothing has been processed to an end yet. Let `hindsight run` go until its first reconcile.",
        )
    return at


def _named(files: list[Watched], name: str, model: str | None) -> tuple[Watched, TriggerRule]:
    """The trigger of this name. Raises InputError `unknown_trigger`, `model_missing`."""
    found = [(one, rule) for one in files for rule in one.triggers if rule.name == name and model in (None, one.model)]
    names = sorted({rule.name for one in files for rule in one.triggers})
    if not found:
        raise InputError(
            "unknown_trigger",
            f'no model file has a trigger "{name}"{nearest(name, names)}; there is {", ".join(names) or "none"}.',
        )
    if len(found) > 1:
        raise InputError(
            "model_missing",
            f'"{name}" is a trigger of {", ".join(one.model for one, _ in found)}; say which by --model.',
        )
    return found[0]


def _plot(lake: Lake, files: list[Watched], asked: Namespace, found: list[Incident]) -> None:
    """Raises InputError `alert_missing` where it is not clear which alert is meant."""
    from pipelines.watch.incidents import draw
    from pipelines.watch.watch import shown

    rules: list[tuple[Watched, AlertRule]] = [
        (one, rule)
        for one in files
        for rule in one.alerts
        if asked.model in (None, one.model) and asked.rule in (None, rule.name)
    ]
    if len(rules) != 1:
        known = ", ".join(f"{rule.name} of {one.model}" for one in files for rule in one.alerts) or "none"
        raise InputError("alert_missing", f"--plot draws one alert: say which by --rule and --model; there is {known}.")
    ((watched, rule),) = rules
    of_rule = [one for one in found if (one.model, one.rule) == (watched.model, rule.name)]
    told.print(
        f"drawn: {draw(rule, shown(lake, watched, rule, _frontier(lake)), of_rule, asked.plot)}", highlight=False
    )
