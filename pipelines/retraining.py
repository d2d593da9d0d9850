"""The commands `loop`, `launch` and `rollback`: what may be asked of them, what they show while they work, and what they answer."""

from __future__ import annotations

import time
from argparse import Namespace
from datetime import datetime
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from pipelines import leases
from pipelines import settings as configuration
from pipelines.arguments import Commands, command, count
from pipelines.console import answer, told
from pipelines.errors import MachineError, StateError
from pipelines.lake import Lake
from pipelines.paths import docs_of, existing

if TYPE_CHECKING:
    from pipelines.retrain.launch import Loop
    from pipelines.settings import Settings

Row = dict[str, Any]
EVERY = 60
"""Seconds between two looks at the triggers."""
ONCE = (
    "Each trigger gets one release and one MLflow run, however often the launcher is interrupted or the tracking server fails: what "
    "was begun is found again. Without $MLFLOW_TRACKING_URI runs, models and aliases lie in the lake, under _mlflow."
)


def add_loop(known: Commands) -> None:
    """Add the command to those that are known."""
    meaning = "what became of every trigger: release, run, version, and whether the new model helped"
    made = command(known, "loop", loop, meaning, "hindsight loop --model arrival_delay")
    made.add_argument("--model", help="one model (all)")
    made.add_argument("--limit", type=count, default=20, metavar="N", help="at most so many retrainings, the newest (20)")
    made.add_argument("--plot", type=Path, metavar="FILE", help="draw the differences with their intervals: .png or .svg")


def add_launch(known: Commands) -> None:
    """Add the command to those that are known."""
    meaning = "train what triggers ask for, judge it beside the champion, and move the alias where it is shown to be good enough"
    made = command(known, "launch", launch, meaning, "hindsight launch --once")
    made.description = fill(f"{made.description} {ONCE}", 100)
    made.add_argument("--once", action="store_true", help="do what can be done now, and stop")
    made.add_argument("--dry-run", action="store_true", help="say what would be gone on with")
    made.add_argument("--retry", metavar="TRIGGER", help="another attempt for a trigger that failed or was refused, by its id")


def add_rollback(known: Commands) -> None:
    """Add the command to those that are known."""
    meaning = "move the champion's alias back to the version before the last promotion"
    made = command(known, "rollback", rollback, meaning, "hindsight rollback --model arrival_delay")
    made.add_argument("--model", required=True, help="the model")
    made.add_argument("--dry-run", action="store_true", help="say what would be moved")


def loop(asked: Namespace) -> int:
    from pipelines.retrain.ledger import histories

    lake = Lake(existing(configuration.load(asked.conf, lake_path=asked.lake).lake.path))
    found = [steps for steps in histories(lake).values() if asked.model in (None, steps[0]["model"])][-asked.limit :]
    if asked.plot:
        from pipelines.retrain.chart import draw

        draw(found, asked.plot)
    answer(asked, [_plain(row) for steps in found for row in steps], lambda: _told(found))
    return 0


def launch(asked: Namespace) -> int:
    """0 where all went its way, 1 where a release or a training broke off in this turn."""
    from pipelines.retrain import launch as launching

    settings = configuration.load(asked.conf, lake_path=asked.lake)
    root = existing(settings.lake.path)
    if asked.dry_run:
        begun, new = launching.waiting(Lake(root))
        said = {"goes_on": [_plain(row) for row in begun], "claims": [_plain(row) for row in new]}
        answer(asked, said, lambda: _foreseen(begun, new))
        return 0
    with leases.hold_by_process(root, [launching.LEASE], "launch"):
        work = work_of(settings, root)
        if asked.retry:
            done = launching.retry(work, asked.retry, _say)
        elif asked.once:
            done = launching.turn(work, _say)
        else:
            return _forever(work)
    answer(asked, [_plain(row) for row in done], lambda: f"{len(done)} steps taken; `hindsight loop` shows what became of them")
    return int(any(row["step"] == "failed" for row in done))


def _forever(work: Loop) -> int:
    """Turn after turn, until Ctrl-C; what cannot be reached is tried again at the next."""
    from pipelines.retrain.launch import turn

    while True:
        try:
            turn(work, _say)
        except (MachineError, StateError) as error:
            told.print(Text(str(error)))
        time.sleep(EVERY)


def rollback(asked: Namespace) -> int:
    from pipelines.retrain.decide import rollback as roll
    from pipelines.retrain.tracking import Tracking

    root = existing(configuration.load(asked.conf, lake_path=asked.lake).lake.path)
    row, seconds = roll(Lake(root), Tracking(root), asked.model, dry_run=asked.dry_run)
    said = f"{asked.model}: {'would be done: ' if asked.dry_run else ''}{row['reason']}"
    answer(asked, {**_plain(row), "seconds": seconds}, lambda: f"{said} ({seconds:.3f} s)")
    return 0


def work_of(settings: Settings, root: Path) -> Loop:
    """What a launcher works with: the lake's own releases, and the model files beside the settings."""
    from pipelines import settle
    from pipelines.dataset import load
    from pipelines.dataset.release import release
    from pipelines.dataset.spec import load_spec
    from pipelines.gates.judge import gate_of
    from pipelines.models import load_models
    from pipelines.retrain.launch import Loop
    from pipelines.retrain.tables import RETRAININGS
    from pipelines.retrain.tracking import Tracking

    lake = Lake(root)
    lake.create(RETRAININGS)

    def cut(model: str, label: str, as_of: datetime) -> Any:
        frontier = settle.last(lake)["frontier"]  # who forces a trigger may be ahead of it
        spec = load_spec(settings.models_path, model, label)
        gate = gate_of(model, settings.conf, docs_of(root, model))
        return release(root, spec, as_of=min(as_of, frontier) if frontier else as_of, gate=gate)

    definitions = load_models(settings.models_path)
    return Loop(lake, settings.models_path, definitions, Tracking(root), cut, lambda name: load(root, name, split="test"))


def _say(row: Row) -> None:
    """A step, as soon as it is taken."""
    told.print(Text(f"{row['model']}  {row['trigger_id']}  {row['step']}{': ' + row['reason'] if row['reason'] else ''}"))


def _told(found: list[list[Row]]) -> Any:
    """A retraining a row: how far it came, and how much it helped."""
    if not found:
        return "No trigger has been acted on yet. `hindsight launch --once` does, where one has fired."
    table = Table(header_style="bold", caption="difference: mean loss minus the champion's, below 0 is better", title_justify="left")
    for name in ("model", "trigger", "release", "run", "version", "step", "difference", "outcomes", "why"):
        table.add_column(name, overflow="fold", justify="right" if name == "outcomes" else "left")
    for steps in found:
        row = steps[-1]
        judged = next((one for one in reversed(steps) if one["estimate"] is not None), row)
        interval = "" if judged["estimate"] is None else f"{judged['estimate']:+.4f} [{judged['low']:+.4f}, {judged['high']:+.4f}]"
        versions = f"{row['champion'] or '-'} → {row['version']}" if row["version"] else ""
        step = f"{row['step']}: {row['verdict']}" if row["step"] == "settled" else row["step"]
        again = f" ({row['attempt']})" if row["attempt"] > 1 else ""
        cells = [row["model"], f"{row['trigger']} {row['trigger_id']}{again}", row["release"] or ""]
        cells += [(row["run_id"] or "")[:8], versions, step]
        support = "" if judged["support"] is None else f"{judged['support']:,}"
        why = "see below" if row["step"] == "failed" else (row["reason"] or "").partition("\n")[0]
        table.add_row(*map(escape, [*cells, interval, support, why]))
    return Group(table, *(Text(_failed(steps[-1])) for steps in found if steps[-1]["step"] == "failed"))


def _failed(row: Row) -> str:
    """Why a retraining broke off, whole, with what the training said last and where the rest lies."""
    again = f"`hindsight launch --retry {row['trigger_id']}` tries again."
    return f"\n{row['trigger']} {row['trigger_id']} of {row['model']} failed: {row['reason']}\n{again}"


def _foreseen(begun: list[Row], new: list[Row]) -> Group:
    lines = [f"{row['model']}  {row['trigger_id']}  goes on after: {row['step']}" for row in begun]
    lines += [f"{row['model']}  {row['trigger_id']}  would be claimed ({row['state']})" for row in new]
    return Group(*(Text(line) for line in lines or ["Nothing to do: no trigger waits."]))


def _plain(row: Row) -> Row:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
