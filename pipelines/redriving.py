"""The command `redrive`: what can be asked of it, what it shows while it works, and what it answers."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict
from textwrap import fill
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from pipelines import leases
from pipelines import settings as configuration
from pipelines.arguments import Commands, command
from pipelines.console import answer, bar
from pipelines.jobs import NAMES
from pipelines.silver.reasons import REDRIVEN

if TYPE_CHECKING:
    from pipelines.redrive import Redriven

TAKEN = (
    f"Takes what a model file or a newer version may have mended ({', '.join(REDRIVEN)}), and of that what would be taken in "
    "now: the rest stays in quarantine, as do events whose id stands by now. Name another reason to have it tried too: "
    "from_the_future is not among them, since time makes no wrong clock right. Each record is sent once; what was interrupted is "
    "completed by the next redrive. It may run beside a running application."
)


def add(known: Commands) -> None:
    """Add the command to those that are known."""
    meaning = "send quarantined records again, after what refused them has changed"
    made = command(known, "redrive", redrive, meaning, "hindsight redrive --reason unknown_model --dry-run")
    made.description = fill(f"{made.description} {TAKEN}", 100)
    made.add_argument(
        "--reason", action="append", default=[], metavar="CODE", help="only what was refused for this; again for more"
    )
    made.add_argument("--dry-run", action="store_true", help="say what would be sent")


def redrive(asked: Namespace) -> int:
    from pipelines.redrive import redrive as send

    settings = configuration.load(asked.conf, lake_path=asked.lake)
    with bar() as shown:
        task = shown.add_task("redrive", total=None)
        found = send(
            settings,
            reasons=asked.reason,
            dry_run=asked.dry_run,
            progress=lambda done, of: shown.update(task, completed=done, total=of),
        )
    sent = sum(one.accepted for one in found)
    said: dict[str, Any] = {"dry_run": asked.dry_run, "sent": 0 if asked.dry_run else sent}
    running = leases.holder(settings.lake.path.resolve(), NAMES[0]) is not None
    answer(asked, said | {"reasons": [asdict(one) for one in found]}, lambda: _told(asked, found, sent, running=running))
    return 0


def _told(asked: Namespace, found: list[Redriven], sent: int, *, running: bool) -> Group:
    """A reason a row, and what to do next."""
    if not found:
        return Group(Text("Nothing that was not sent again before is in quarantine for these reasons."))
    table = Table(header_style="bold")
    columns = ("would be sent again" if asked.dry_run else "sent again", "known by now", "still refused")
    for name in ("quarantined for", *columns):
        table.add_column(name, justify="left" if name == "quarantined for" else "right")
    for one in found:
        table.add_row(one.reason, *(f"{count:,}" for count in (one.accepted, one.standing, one.refused)))
    if not sent or asked.dry_run:
        return Group(table)
    return Group(table, Text("The running application takes them in." if running else "next: hindsight run --once"))
