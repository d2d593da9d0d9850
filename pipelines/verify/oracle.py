"""What gold must hold, out of a list of records alone: the plain model for tests, without a lake."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import duckdb

from pipelines.verify.cells import expected_cells
from pipelines.verify.examples import EXPECTED, Examples
from pipelines.verify.increments import Increments, post_history, post_snapshot
from pipelines.verify.ledger import Rows
from pipelines.verify.outcomes import Votes
from pipelines.verify.report import micros
from pipelines.verify.verdicts import Verdicts


@dataclass(frozen=True)
class Expected:
    """`ledger`: net sign by key; `statistics`: sum by key; `examples`: signed, as they are posted.

    Times are microseconds; as of a moment, known_at is 0.
    """

    verdicts: Verdicts
    ledger: list[dict[str, Any]]
    statistics: list[dict[str, Any]]
    examples: list[dict[str, Any]]

    def net(self, **wanted: object) -> Decimal:
        """The sum over all statistics with these key values."""
        matching = [row for row in self.statistics if all(row[name] == value for name, value in wanted.items())]
        return sum((row["amount"] for row in matching), Decimal(0))


def expected(
    records: Sequence[tuple[bytes, datetime]],
    definitions: Sequence[dict[str, Any]] = (),
    before: datetime | None = None,
) -> Expected:
    """What these records, at offsets from 0, lead to: ever, or in one pass over what was received before a moment."""
    verdicts = Verdicts(definitions)
    for payload, received_at in records:
        verdicts.take(payload, micros(received_at))
    votes, at, rows = Votes(verdicts.feedback), None if before is None else micros(before), Rows()
    with closing(duckdb.connect()) as db:
        increments, examples = Increments(db), Examples(db)
        for inference in verdicts.inferences.values():
            if at is not None and inference.received_at >= at:
                continue
            outcomes = list(votes.outcomes(inference, verdicts.definitions, at))
            if at is None:
                histories = [(outcome, outcome.entries()) for outcome in outcomes]
                for outcome, entries in histories:
                    rows.add(outcome, entries)
                post_history(increments, inference, verdicts.definitions, histories)
                examples.history(inference, verdicts.definitions, histories)
            else:
                standing = [(outcome, outcome.stand()) for outcome in outcomes]
                for outcome, belief in standing:
                    rows.stand(outcome, belief)
                post_snapshot(increments, inference, verdicts.definitions, standing, before=at)
                examples.snapshot(inference, verdicts.definitions, standing, before=at)
        increments.finish()
        examples.finish()
        taught = [dict(zip(EXPECTED.names, row, strict=True)) for row in db.execute("SELECT * FROM taught").fetchall()]
        return Expected(verdicts, rows.table().to_pylist(), expected_cells(db, at), taught)
