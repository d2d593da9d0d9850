"""What commands print on: answers on standard output, everything else on standard error."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Callable
from typing import Any

from rich.console import Console, Group
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

WIDTH = 132
"""Columns of a line where no terminal says how many it has."""

out = Console(width=None if sys.stdout.isatty() else WIDTH)
told = Console(stderr=True, width=None if sys.stderr.isatty() else WIDTH)


def answer(asked: Namespace, value: Any, shown: Callable[[], Any]) -> None:
    """Print an answer: JSON on request, else what a person reads."""
    if asked.json:
        print(json.dumps(value() if callable(value) else value, indent=2))
    else:
        found = shown()
        for part in found.renderables if isinstance(found, Group) else [found]:
            # a line is one line, however narrow the terminal: what can be copied stays whole
            wide_enough(part).print(part, soft_wrap=isinstance(part, str | Text))


def wide_enough(part: Any) -> Console:
    """Where a part is printed so that no number of a table is cut off: a narrow terminal wraps its lines instead."""
    if not isinstance(part, Table):
        return out
    needed = Measurement.get(out, out.options.update(max_width=WIDTH), part).maximum
    return out if needed <= out.width else Console(width=needed)


def bar() -> Progress:
    """A progress bar on standard error."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=told
    )
