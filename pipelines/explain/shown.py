"""What a terminal shows of a path: a heading in words, then tables. All times are UTC."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from rich.box import SIMPLE
from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from pipelines.definition import Value
from pipelines.explain.event import EventPath
from pipelines.explain.metric import MetricPath
from pipelines.explain.outcome import OutcomePath, RequestPath
from pipelines.explain.trail import Add, Position, Said, Step

_ADDS = 4
"""Statistics of one row that are told."""


def metric_path(found: MetricPath, limit: int) -> Group:
    """A value, its statistics, and the rows behind them."""
    where = [f'{found.model} · label "{found.label}"', f"{_at(found.cell_from)} to {_at(found.cell_to)}"]
    where += [f"{name} {value}" for name, value in found.segment.items()]
    where += [f"version {found.version}"] if found.version is not None else []
    band = f" [{_number(found.low)}, {_number(found.high)}]" if found.low is not None else ""
    settled = "final: only a correction still moves it" if found.final else "not final"
    agreed = (
        "The statistics are what the rows below them post."
        if found.agrees
        else "THE STATISTICS ARE NOT WHAT THE ROWS BELOW THEM POST. `hindsight verify` says which side is wrong."
    )
    sums = _table(("definition", "basis", "statistic", "bucket", "amount", "posted"), right=("amount", "posted"))
    for one in sorted(found.statistics, key=lambda one: one.amount == one.posted)[:limit]:
        same = one.amount == one.posted
        cells = (one.definition, one.basis, one.statistic, one.bucket, _exact(one.amount), _exact(one.posted))
        sums.add_row(*map(escape, cells), style=None if same else "bold red")
    rows = _table(("row", "request", "item", "known at", "adds", "inference", "feedback: log position"))
    for step in found.steps:
        rows.add_row(*map(escape, _step(step)))
    return Group(
        Text(" · ".join(where), style="bold"),
        Text(f"{found.metric} = {_number(found.value)}{band}, as of {_at(found.as_of)}, {settled}"),
        Text(agreed, style="" if found.agrees else "bold red"),
        sums,
        *_more(len(found.statistics) - limit, "statistics: --json has them all"),
        rows,
        *_more(found.more, "rows: --limit"),
    )


def request_path(found: RequestPath) -> Group:
    """A request, and every outcome about it."""
    said = "nothing" if found.prediction is None else _value(found.prediction)
    score = "" if found.score is None else f", score {found.score:g}"
    lines = [
        Text(f"{found.request} · {found.model} version {found.version}", style="bold"),
        Text(
            f"served {_at(found.served_at)}, {found.status}, predicted {said}{score}; log position {_place(found.position)}"
        ),
        Text(found.payload, style="dim"),
    ]
    if found.waiting:
        lines.append(Text(f"feedback on it that has not been joined yet: {', '.join(found.waiting)}"))
    if not found.outcomes:
        lines.append(Text("nobody has judged it, and no label of its model is about the request itself"))
    return Group(*lines, *(part for one in found.outcomes for part in _outcome(one)))


def event_paths(found: Sequence[EventPath]) -> Group:
    """Records of the log and where they went."""
    return Group(*(part for one in found for part in _event(one)))


def _outcome(one: OutcomePath) -> Iterable[Any]:
    silence = "no answer" if one.silence == "missing" else one.silence
    force = "" if one.in_force else ", an earlier policy"
    yield Text(
        f'\nlabel "{one.label}"{f", item {one.item}" if one.item else ""}, resolved by {one.resolve}, '
        f"policy {one.policy}{force}",
        style="bold",
    )
    yield Text(f"given until {_at(one.window_to)} counts; silence is {silence} from {_at(one.matures_at)} on")
    taught = [f"{each.sign:+d} {each.basis} {_value(each.outcome)} known {_at(each.known_at)}" for each in one.examples]
    if taught:
        yield Text(f"training examples: {', '.join(taught)}")
    if not one.votes:
        yield Text("no votes")
        return
    votes = _table(
        ("feedback", "action", "value", "rater", "given at", "known at", "log position", "what became of it")
    )
    for vote in one.votes:
        counts = vote.fate in ("decided", "counted")
        cells = (*_said(vote.said), vote.told)
        votes.add_row(*map(escape, cells), style="bold" if counts else None)
    yield votes
    for vote in one.votes:
        yield Text(f"  {_place(vote.said.position)}  {vote.payload}", style="dim")
    believed = _table(("known at", "believed from then on", "entries of the ledger"))
    for moment in one.history:
        entries = [f"{each.sign:+d} {_value(each.belief)}" for each in one.entries if each.known_at == moment.known_at]
        belief = _value(moment.belief) if moment.answered else "nothing: no vote is live"
        believed.add_row(*map(escape, (_at(moment.known_at), belief, ", ".join(entries) or "none: nothing changed")))
    yield believed
    if not one.agrees:
        held = (
            ", ".join(f"{each.sign:+d} {_value(each.belief)} known {_at(each.known_at)}" for each in one.entries)
            or "nothing"
        )
        yield Text(f"THE LEDGER DOES NOT SAY WHAT THE VOTES SAY. It holds: {held}", style="bold red")


def _event(one: EventPath) -> Iterable[Any]:
    yield Text(
        f"log position {_place(one.position)}, received {_at(one.position.received_at)} ({one.clock} clock)",
        style="bold",
    )
    yield Text(one.payload, style="dim")
    facts = ", ".join(
        f"{name} {_at(value) if isinstance(value, datetime) else value}" for name, value in one.facts.items()
    )
    yield Text(
        f"bronze.events, then {one.home}: {facts}" if one.home else "bronze.events; refine has not come to it yet"
    )
    if one.sent_again is not None:
        yield Text(f"a redrive has sent it again: log offset {one.sent_again}")
    if one.repeats is not None:
        yield Text(f"sent again by a redrive: it repeats log offset {one.repeats}")
    if one.pairing:
        said = ", ".join(f"{'an orphan from' if sign > 0 else 'no more from'} {_at(at)} on" for at, sign in one.orphaned)
        yield Text(f"as feedback it is {one.pairing}" + (f" ({said})" if said else ""))
    for moved in one.moved:
        force = "" if moved.in_force else ", an earlier policy"
        entries = ", ".join(f"{sign:+d} {_value(value)} known {_at(at)}" for at, sign, value in moved.entries)
        yield Text(f'label "{moved.label}", policy {moved.policy}{force}: {moved.told}')
        yield Text(
            f"  without it the ledger would lack: {entries}" if entries else "  without it the ledger would be the same"
        )
    if one.posted:
        posted = _table(("label", "basis", "statistic", "bucket", "amount", "known at"), right=("amount",))
        for label, at, add in one.posted:
            cells = (label or "(service)", add.basis, add.statistic, add.bucket, _exact(add.amount), _at(at))
            posted.add_row(*map(escape, cells))
        yield Text(f"the ledger holds {one.entries} entries about it; it posted, in each grain and cut:")
        yield posted


def _step(step: Step) -> tuple[str, ...]:
    row = "inference" if step.sign is None else f"{step.sign:+d} {_value(step.belief)}"
    told = [_add(add) for add in step.adds[:_ADDS]]
    told += [f"and {len(step.adds) - _ADDS} more"] if len(step.adds) > _ADDS else []
    moved = [said for said in step.feedback if said.known_at == step.known_at]
    before = len(step.feedback) - len(moved)
    heard = [f"{said.feedback_id}: {_place(said.position)}" for said in moved]
    heard += [f"after {before} before" if moved else f"{before} before"] if before else []
    return row, step.request, step.item, _at(step.known_at), ", ".join(told), _place(step.inference), ", ".join(heard)


def _add(add: Add) -> str:
    bucket = f"[{add.bucket}]" if add.bucket else ""
    return f"{add.basis}.{add.statistic}{bucket} {'+' if add.amount > 0 else ''}{_exact(add.amount)}"


def _said(said: Said) -> tuple[str, ...]:
    times = (_at(said.given_at), _at(said.known_at), _place(said.position))
    return said.feedback_id, said.action, "-" if said.value is None else _value(said.value), said.rater or "-", *times


def _table(names: Sequence[str], right: Sequence[str] = ()) -> Table:
    table = Table(header_style="bold", box=SIMPLE)
    for name in names:
        table.add_column(name, overflow="fold", justify="right" if name in right else "left")
    return table


def _more(count: int, what: str) -> list[Text]:
    return [Text(f"and {count:,} more {what}")] if count > 0 else []


def _place(position: Position) -> str:
    return f"{position.partition}/{position.offset}"


def _at(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}" if at.second or at.microsecond else f"{at:%Y-%m-%d %H:%M}"


def _value(value: Value | None) -> str:
    return "undecided" if value is None else value if isinstance(value, str) else f"{value:.6g}"


def _number(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_number(one)}" for name, one in value.items())
    return "-" if value is None else f"{value:.6g}"


def _exact(amount: Any) -> str:
    return f"{amount.normalize():f}"
