"""The card: every check, run one after the other, each result kept as soon as it is there."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from tests.reliability import (
    anew,
    clocks,
    corruption,
    disk_full,
    erasure,
    identity,
    kill,
    lateness,
    order,
    replay,
    revisions,
    storm,
    torture,
    writers,
)
from tests.reliability.check import Check, Result, perform

CHECKS: tuple[Check, ...] = (
    *(lateness.CHECK, clocks.CHECK, torture.CHECK, order.CHECK, identity.CHECK, revisions.CHECK),
    *(replay.CHECK, corruption.CHECK, anew.CHECK, erasure.CHECK),
    *(kill.CHECK, disk_full.CHECK, storm.CHECK),
    writers.CHECK,
)
"""On the session, apart, and at the end, alone, who must be refused within seconds."""

Told = Callable[[Check, Result | None], None]
"""Called when a check begins (None), and with its result."""


def _silent(_check: Check, _result: Result | None) -> None:
    """Nobody wants to know."""


def kept(out: Path, check: Check, seed: int, size: int) -> Result | None:
    """The result that a folder holds of this check at this seed and size."""
    file = _file(out, check)
    if not file.exists():
        return None
    found = Result.of(json.loads(file.read_text()))
    return found if (found.seed, found.size) == (seed, size) else None


def run(
    checks: Sequence[Check],
    session: Callable[[], SparkSession],
    out: Path,
    *,
    seed: int,
    full: bool = False,
    again: bool = False,
    told: Told = _silent,
) -> list[Result]:
    """Run what the folder does not hold yet, and write the card. `session` is asked for only where something runs."""
    out.mkdir(parents=True, exist_ok=True)
    size = {check.id: check.full if full else check.short for check in checks}
    done = {} if again else {check.id: kept(out, check, seed, size[check.id]) for check in checks}
    missing = [check for check in checks if done.get(check.id) is None]
    spark = session() if missing else None

    def performed(check: Check) -> Result:
        with tempfile.TemporaryDirectory(prefix=f"hindsight-{check.id}-", ignore_cleanup_errors=True) as folder:
            result = perform(check, seed, size[check.id], Path(folder), spark)
        _write(_file(out, check), json.dumps(result.body(), indent=2))
        return result

    results = []
    # the full sizes take hours, and Ctrl-C waits for a check that runs beside
    with beside([] if full else missing, performed) as result_of:
        for check in checks:
            told(check, None)
            result = done.get(check.id) or result_of(check)
            results.append(result)
            told(check, result)
    _write(out / "card.json", json.dumps(summary(results), indent=2))
    _write(out / "card.md", table(checks, results))
    return results


@contextmanager
def beside(checks: Sequence[Check], performed: Callable[[Check], Result]) -> Iterator[Callable[[Check], Result]]:
    """How to get the result of a check: those that run apart do so from now on, one after the other, the others when asked for."""
    with ThreadPoolExecutor(1) as lane:
        begun = {check.id: lane.submit(performed, check) for check in checks if check.apart}
        try:
            yield lambda check: begun[check.id].result() if check.id in begun else performed(check)
        finally:
            lane.shutdown(cancel_futures=True)


def summary(results: Sequence[Result]) -> dict[str, Any]:
    return {"pass": all(result.passed for result in results), "checks": [result.body() for result in results]}


def table(checks: Sequence[Check], results: Sequence[Result]) -> str:
    """The card as Markdown: a row per figure that must be reached."""
    lines = ["| Check | Promise | Figure | Measured | Wanted | |", "|---|---|---|---|---|---|"]
    for check, result in zip(checks, results, strict=True):
        for row, (name, wanted) in enumerate(check.wanted.items()):
            found = result.figures.get(name)
            fine = found is not None and wanted.holds(found)
            cells = [
                *(["", ""] if row else [check.id, check.promise]),
                name.replace("_", " "),
                f"{found}",
                wanted.text,
                "pass" if fine else "FAIL",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    told = ", ".join(f"{r.id} (seed {r.seed}, size {r.size:,}) {r.seconds:.0f} s" for r in results)
    return "\n".join([*lines, "", f"{told}.", ""])


def _file(out: Path, check: Check) -> Path:
    return out / f"{check.id}.json"


def _write(file: Path, text: str) -> None:
    """All of it or nothing: a half-written result would be taken for a finished check."""
    scratch = file.with_suffix(".tmp")
    scratch.write_text(text)
    scratch.replace(file)
