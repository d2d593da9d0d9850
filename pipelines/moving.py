"""What moves on a terminal while a command works: the jobs, and the steps of a proof."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.live import Live

from pipelines import view
from pipelines.console import bar, told
from pipelines.status import status
from pipelines.verify import Report, verify

if TYPE_CHECKING:
    from pipelines.app import Application


@contextmanager
def jobs(title: str) -> Iterator[Callable[[Application], None]]:
    """A table of the jobs below a title, gone at the end; call what is yielded to show where an application is."""
    with Live(console=told, refresh_per_second=4, transient=True) as live:
        yield lambda app: live.update(view.jobs(status(app.root), title=title))


def proven(lake: Path, *, as_of: Sequence[datetime] | None = None, since: datetime | None = None) -> Report:
    """Verify a lake, under a bar of its steps."""
    with bar() as shown:
        task = shown.add_task("verify", total=1.0)

        def tell(step: str, share: float) -> None:
            shown.update(task, description=step, completed=share)

        return verify(lake, as_of=as_of, since=since, progress=tell)
