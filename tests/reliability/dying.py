"""`python -m tests.reliability.dying POINT JOB PASS run --lake …`: the command, which ends when a chain passes a point so often.

JOB is the chain's first.

What dies is the whole process group, by SIGKILL, from within: no handler runs, nothing is flushed.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable

from pipelines import app, cli, lake
from pipelines.contract import Table
from pipelines.job import run_batch
from pipelines.lake import Lake, Mark


class Death:
    """Comes when the chain that begins with a job passes for the so-manyth time; asked by any thread."""

    def __init__(self, job: str, passes: int) -> None:
        self._job, self._left, self._lock = job, passes, Lock()

    def is_due(self, query: str) -> bool:
        with self._lock:
            self._left -= query.startswith(self._job)
            return self._left == 0

    def may_come(self, query: str) -> None:
        if self.is_due(query):
            die()


def die() -> None:
    os.killpg(os.getpgrp(), signal.SIGKILL)


def offsets_logged(death: Death) -> None:
    """A batch is planned, and nothing of it done."""

    def run(*chain: Any, **given: Any) -> Any:
        death.may_come(given["covers"]["query"])
        return run_batch(*chain, **given)

    app.run_batch = run


def files_written(death: Death) -> None:
    """The files of a commit lie in the table's folder, and its log does not name them."""
    commit = lake.commit

    def die_before(path: Path, table: Table, delta: DeltaTable, actions: Any, properties: CommitProperties) -> None:
        death.may_come((properties.custom_metadata or {})["covers"].partition("query=")[2])
        commit(path, table, delta, actions, properties)

    lake.commit = die_before


def committed(death: Death) -> None:
    """All tables of a batch are committed, and the checkpoint does not say so."""

    def run(*chain: Any, **given: Any) -> Any:
        done = run_batch(*chain, **given)
        death.may_come(given["covers"]["query"])
        return done

    app.run_batch = run


def between_tables(death: Death) -> None:
    """A batch has written one of its tables, and is about to write another."""
    begun: set[tuple[str, int]] = set()
    append = Lake._append_arrow

    def append_arrow(self: Lake, table: Table, rows: pa.Table, mark: Mark, covers: Mapping[str, Any]) -> int:
        batch = covers["query"], mark.batch
        if batch in begun:
            death.may_come(covers["query"])
        written = append(self, table, rows, mark, covers)
        if written and covers["query"] != "reconcile":
            begun.add(batch)
        return written

    Lake._append_arrow = append_arrow  # type: ignore[method-assign]


POINTS: dict[str, Callable[[Death], None]] = {
    point.__name__: point for point in (offsets_logged, files_written, committed, between_tables)
}

if __name__ == "__main__":
    point, job, passes, *words = sys.argv[1:]
    POINTS[point](Death(job, int(passes)))
    sys.exit(cli.main(words))
