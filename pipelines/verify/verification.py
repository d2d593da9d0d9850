"""One verification, start to end: read the log, judge every record, compute everything again, and compare."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from pipelines.errors import InputError, StateError
from pipelines.verify import records
from pipelines.verify.cells import compare_cells
from pipelines.verify.contents import compare_contents
from pipelines.verify.examples import Examples, compare_examples
from pipelines.verify.explain import Evidence
from pipelines.verify.ground import Ground
from pipelines.verify.homes import Landing, Record, compare_homes
from pipelines.verify.increments import Increments, post_history, post_snapshot
from pipelines.verify.ledger import OUTCOMES, Rows, compare_outcomes
from pipelines.verify.outcomes import Votes
from pipelines.verify.pairs import Paired, compare_pairs
from pipelines.verify.reached import Frontier, compare_frontier, frontier
from pipelines.verify.report import MINUTE, Findings, Report, micros, moment
from pipelines.verify.sides import LEDGER
from pipelines.verify.verdicts import CONTROL, DUPLICATE, FEEDBACK, INFERENCE, QUARANTINED, Verdicts

Progress = Callable[[str, float], None]
"""Called with what is being done and how much of it is done, 0 to 1."""

MEMORY = "2500MB"
"""What DuckDB may hold in memory; beyond it, it uses a temporary folder."""
UNFINISHED = "gold/_backfill.json"
"""What stands in a lake while definitions are filled for the past."""
ERASING = "_log/erasing/plan.json"
"""What stands in a lake while subjects are erased."""
STRETCH = 50_000
"""Records of the log that are compared with bronze at once."""


def verify(
    lake: Path,
    *,
    as_of: Sequence[datetime] | None = None,
    definitions: Sequence[dict[str, Any]] = (),
    end_offset: int | None = None,
    since: datetime | None = None,
    progress: Progress | None = None,
) -> Report:
    """Recompute everything from the raw log alone and compare it with the lake.

    `as_of`: moments, each a whole minute, at which a second pass over the events received before it is compared too;
    by default three between the first event and the frontier. `definitions`: bodies taken as declared before the log.
    `end_offset`: only records before it count; by default all that have landed. `since`: leaves out cells that start
    earlier, and outcomes of what was served earlier. Raises InputError `as_of_invalid` or `since_invalid`, StateError
    `log_not_found`, `log_unreadable`, `table_unreadable`, `backfill_unfinished`, `erasure_unfinished` or `erasure_key_lost`.
    """
    started = time.monotonic()
    for at in as_of or ():
        if at.tzinfo is None or micros(at) % MINUTE:
            raise InputError("as_of_invalid", f"as of {at}: expected a whole minute with a time zone")
    if since is not None and since.tzinfo is None:
        raise InputError("since_invalid", f"since {since}: expected a time with a time zone")
    if (Path(lake) / UNFINISHED).exists():
        raise StateError(
            "backfill_unfinished",
            f"{lake}: a definition has been filled only in part for the inferences before it, and the log does not declare it "
            f"yet. Finish it: hindsight run --once --lake {lake}",
        )
    if (Path(lake) / ERASING).exists():
        raise StateError(
            "erasure_unfinished", f"{lake}: an erasure is under way, or ended halfway. Finish it: hindsight erase --lake {lake}"
        )
    with _database() as db:
        try:
            return _Verification(Path(lake), db, progress or _silent, since).run(as_of, definitions, end_offset, started)
        except (duckdb.IOException, duckdb.InvalidInputException) as error:
            found = str(error).splitlines()[0]
            raise StateError(
                "table_unreadable", f"{lake}: {found}. `hindsight doctor` says what is damaged, and what mends it."
            ) from error


class _Verification:
    """What the steps share: the lake, the findings so far, and whom to tell."""

    def __init__(self, lake: Path, db: Any, progress: Progress, since: datetime | None) -> None:
        self._lake = lake
        self._log = records.path_of(lake)
        self._db = db
        self._since = None if since is None else micros(since)
        self._progress = progress
        self._findings = Findings()
        self._cells = 0
        self._outcomes = 0
        self._examples = 0

    def run(
        self, as_of: Sequence[datetime] | None, given: Sequence[dict[str, Any]], end_offset: int | None, started: float
    ) -> Report:
        """All steps, and the report."""
        log_end = records.end(self._log)
        landing = Landing(self._db, self._lake, self._findings)
        # bronze.events holds what has landed, or, where it is the log, what is yet to be processed too
        landed = records.processed(self._lake) if self._log.is_dir() else landing.end()
        end = landed if end_offset is None else end_offset
        verdicts = self._read(landing, given, end)
        votes = Votes(verdicts.feedback)
        evidence = Evidence(self._log, verdicts, votes)
        ground = Ground(self._db, self._lake, verdicts, evidence, self._findings, end, self._since)
        reached = frontier(ground)
        compare_homes(ground)
        compare_contents(ground)
        compare_frontier(ground, reached)
        paired = compare_pairs(ground, reached)
        self._history(ground, votes)
        moments = _moments(verdicts, reached, self._since) if as_of is None else sorted({micros(at) for at in as_of})
        for at in moments:
            self._snapshot(ground, votes, at)
        return Report(
            cells_compared=self._cells,
            outcomes_compared=self._outcomes,
            examples_compared=self._examples,
            differences=self._findings.count,
            examples=tuple(self._findings.examples),
            accounting=_accounting(verdicts, paired),
            frontier=None if reached.at is None else moment(reached.at),
            as_of=tuple(moment(at) for at in moments),
            seconds=time.monotonic() - started,
            pending=max(0, log_end - reached.end_offset),
            since=None if self._since is None else moment(self._since),
        )

    def _read(self, landing: Landing, given: Sequence[dict[str, Any]], end: int) -> Verdicts:
        """Judge every record, and compare it with bronze on the way."""
        distributed = any("histograms" in body for body in given) or records.may_hold(self._log, end, b"histograms")
        verdicts = Verdicts(given, key=records.key_of(self._lake), distributed=distributed)
        held: list[Record] = []
        low = 0
        for block in records.blocks(self._log, 0, end):
            for payload, received_at in zip(block.payloads, block.received_at, strict=True):
                held.append((block.clock, len(verdicts.homes), received_at, payload))
                verdicts.take(payload, received_at, block.appended_at)
            if len(held) >= STRETCH:
                landing.compare(held, low, len(verdicts.homes))
                held, low = [], len(verdicts.homes)
                self._progress("reading the log", low / end)
        landing.compare(held, low, max(end, low))
        self._progress("reading the log", 1.0)
        return verdicts

    def _history(self, ground: Ground, votes: Votes) -> None:
        """Everything with the moment at which it could be known."""
        increments, examples, entered, standing = Increments(self._db), Examples(self._db), Rows(), Rows()
        definitions = ground.verdicts.definitions
        for inference in self._told("recomputing", ground.verdicts, None):
            found = [(outcome, outcome.entries()) for outcome in votes.outcomes(inference, definitions)]
            for outcome, entries in found:
                entered.add(outcome, entries)
                standing.stand(outcome, outcome.stand())
            post_history(increments, inference, definitions, found)
            examples.history(inference, definitions, found)
        increments.finish()
        examples.finish()
        self._outcomes += compare_outcomes(ground, LEDGER, entered, None)
        self._outcomes += compare_outcomes(ground, OUTCOMES, standing, None)
        self._examples += compare_examples(ground, None)
        self._compare_cells(ground, None, "comparing statistics")

    def _snapshot(self, ground: Ground, votes: Votes, at: int) -> None:
        """A second pass over what had been received before a moment."""
        increments, examples, standing = Increments(self._db), Examples(self._db), Rows()
        definitions = ground.verdicts.definitions
        when = f"{moment(at):%Y-%m-%d %H:%M}"
        for inference in self._told(f"recomputing as of {when}", ground.verdicts, at):
            found = [(outcome, outcome.stand()) for outcome in votes.outcomes(inference, definitions, at)]
            for outcome, belief in found:
                standing.stand(outcome, belief)
            post_snapshot(increments, inference, definitions, found, before=at)
            examples.snapshot(inference, definitions, found, before=at)
        increments.finish()
        examples.finish()
        self._outcomes += compare_outcomes(ground, OUTCOMES, standing, at)
        self._examples += compare_examples(ground, at)
        self._compare_cells(ground, at, f"comparing statistics as of {when}")

    def _compare_cells(self, ground: Ground, as_of: int | None, name: str) -> None:
        self._cells += compare_cells(ground, as_of, lambda share: self._progress(name, share))

    def _told(self, name: str, verdicts: Verdicts, before: int | None) -> Iterator[Any]:
        """The accepted inferences received before a moment that any cell compared may hold, telling how far it has come."""
        total = len(verdicts.inferences)
        for number, inference in enumerate(verdicts.inferences.values()):
            if number % 20_000 == 0:
                self._progress(name, number / total)
            heard = before is None or inference.received_at < before
            if heard and (self._since is None or inference.served_at >= self._since):
                yield inference
        self._progress(name, 1.0)


def _moments(verdicts: Verdicts, reached: Frontier, since: int | None) -> list[int]:
    """Three whole minutes between the first event and the frontier; without a frontier, the last event."""
    received = [found.received_at for found in verdicts.inferences.values()]
    received += [found.received_at for found in verdicts.feedback.values()]
    if not received:
        return []
    first, last = max(min(received), since or 0), max(received)
    until = min(last + 1, reached.at) if reached.at is not None else last + 1
    quarters = (first + (until - first) * quarter // 4 for quarter in (1, 2, 3))
    return sorted({at - at % MINUTE for at in quarters if at - at % MINUTE > first})


def _accounting(verdicts: Verdicts, paired: Paired) -> dict[str, int]:
    homes = verdicts.homes
    return {
        "records": len(homes),
        "inferences": homes.count(INFERENCE),
        "feedback": homes.count(FEEDBACK),
        "controls": homes.count(CONTROL),
        "quarantined": homes.count(QUARANTINED),
        "duplicates": homes.count(DUPLICATE),
        "labelled": paired.labelled,
        "waiting": paired.waiting,
        "orphaned": paired.orphaned,
    }


@contextmanager
def _database() -> Iterator[Any]:
    with tempfile.TemporaryDirectory(prefix="hindsight-verify-") as folder:
        settings = {"memory_limit": MEMORY, "threads": "2", "temp_directory": folder}
        settings["preserve_insertion_order"] = "false"
        with closing(duckdb.connect(config=settings)) as db:
            yield db


def _silent(_name: str, _share: float) -> None:
    """Nobody wants to know."""
