"""`python -m tests.reliability.dying_erasure POINT PASS erase --lake …`: the command, which ends when it passes a point so often."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipelines import cli
from pipelines.erasure import erase, journal, purge, rewrite, state
from pipelines.lake import Lake, Mark
from pipelines.log import EmbeddedLog
from pipelines.log import erase as log
from tests.reliability.dying import die

POINTS: Mapping[str, tuple[Any, str]] = {
    "the log is told who": (EmbeddedLog, "control"),
    "what goes is written down": (journal, "_write"),
    "gold takes back": (Lake, "append"),
    "a table is written again": (rewrite, "commit"),
    "records of the log are replaced": (log, "_replace"),
    "the journal of the log is emptied": (log, "_empty_journal"),
    "a state is emptied": (state, "_write"),
    "old versions are deleted": (purge, "purge"),
    "a file is deleted": (Path, "unlink"),
    "the certificate is written": (erase, "_certify"),
}
"""Each just before it happens, in the order in which it does."""


def dying(original: Callable[..., Any], left: list[int]) -> Callable[..., Any]:
    def run(*given: Any, **options: Any) -> Any:
        left[0] -= not _of_a_batch(given)
        if left[0] == 0:
            die()
        return original(*given, **options)

    return run


def _of_a_batch(given: Any) -> bool:
    """Whether what is called is about to append what the jobs have made: they go on until what is logged has been processed."""
    return any(isinstance(one, Mark) and not one.app.startswith("erase:") for one in given)


if __name__ == "__main__":
    point, passes, *words = sys.argv[1:]
    owner, name = POINTS[point]
    setattr(owner, name, dying(getattr(owner, name), [int(passes)]))
    sys.exit(cli.main(words))
