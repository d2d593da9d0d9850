"""Filling a definition for what is there: the same rows as had it always stood, in slices, whatever crashes in between."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines import backfill
from pipelines.backfill import Backfill, Part, begin, carry_out, fill, finish, under_way
from pipelines.definition import Definition, Policy
from pipelines.gold.absences import absences
from pipelines.gold.examples import examples
from pipelines.gold.expose import expose
from pipelines.gold.resolve import resolve
from pipelines.gold.tables import EXAMPLES, OUTCOME_LEDGER, STATISTICS
from pipelines.gold.tally import tally
from pipelines.lake import Lake, Mark
from pipelines.log import EmbeddedLog
from pipelines.silver.tables import INFERENCES, LABELLED
from tests import lakes
from tests.crashes import CrashError, CrashingLake
from tests.frames import at, context

SERVED = 40
GOLD = (STATISTICS, OUTCOME_LEDGER, EXAMPLES)
LATEST = Policy("binary", "request", "latest", 3600, "negative")
MEAN = Policy("number", "request", "mean", 7200)
OLD = (
    Definition("m", "", ((),), ("1 hour",)),
    Definition("m", "click", ((),), ("1 hour",), policy=LATEST, judges="prediction", positive=1.0, threshold=0.5),
    Definition("m", "seen", ((),), ("1 hour",), policy=LATEST, judges="prediction", positive=1.0),
)
BY_ORIGIN: dict[str, Any] = {"cuts": ((), ("origin",)), "segments": (("origin", ()),), "everywhere": True}
NEW = (
    replace(OLD[0], **BY_ORIGIN),
    replace(OLD[1], **BY_ORIGIN, threshold=0.9),
    replace(OLD[2], **BY_ORIGIN, policy=replace(LATEST, window=600)),
    Definition("m", "rating", ((),), ("1 day",), policy=MEAN, everywhere=True),
)


def inference(number: int) -> dict[str, Any]:
    """Every second position of the log; one of five fails, every other one is of another model."""
    said = {"prediction": 1.0, "score": number % 10 / 10, "segments": [("origin", f"o{number % 3}")]}
    return {
        **{"model": "m" if number % 2 else "other", "version": "1", "served_at": at(number), "received_at": at(number)},
        **{"offset": 2 * number, **said},
    }


def inferences() -> pa.Table:
    rows = [
        INFERENCES.row(
            **{"request_id": f"r{n}", "served_date": at(0).date(), "status": "ok" if n % 5 else "timeout", "tenant": "default"},
            **{**inference(n), "features": f'{{"n":{n}.0}}'},
        )
        for n in range(SERVED)
    ]
    return INFERENCES.frame(rows)


def vote(number: int, about: int, label: str, minutes: float, action: str = "assert") -> dict[str, Any]:
    times = {"given_at": at(about + minutes), "known_at": at(about + minutes), "served_date": at(0).date()}
    return LABELLED.row(
        **{"feedback_id": f"f{number}", "unit": "request", "unit_id": f"r{about}", "item": "", "label": label},
        **{"action": action, "number": float(number % 2), "rater": "ann", "tenant": "default", **times},
        context=context(**inference(about), judged=about % 5 != 0),
    )


def votes() -> pa.Table:
    """On most inferences two changes of mind per label, some of them late."""
    labels = ("click", "seen", "rating")
    made = [vote(n, n // 9 * 7 % SERVED, labels[n % 3], n % 9 * 6) for n in range(9 * SERVED * 3 // 4)]
    return LABELLED.frame(made)


def posted(definitions: tuple[Definition, ...]) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Statistics, entries and examples of these definitions, had they stood from the beginning."""
    none = LABELLED.frame([])
    entries = resolve(votes(), none, OUTCOME_LEDGER.frame([]), definitions=definitions)
    said = [expose(inferences(), definitions=definitions), tally(entries, definitions=definitions)]
    taught = [absences(inferences(), definitions=definitions), examples(entries, inferences(), definitions=definitions)]
    return pa.concat_tables(said), entries, pa.concat_tables(taught)


def laid(root: Path, definitions: tuple[Definition, ...] = OLD) -> Lake:
    """A lake that has the old definitions."""
    lake = Lake(root)
    lake.create(INFERENCES, LABELLED, *GOLD)
    for table, rows in ((INFERENCES, inferences()), (LABELLED, votes()), *zip(GOLD, posted(definitions), strict=True)):
        lake.append(table, rows, Mark("flow", 0), {})
    return lake


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "SLICE", 17)


def net(rows: pa.Table) -> Counter[str]:
    return lakes.net_of(rows.to_pylist())


def gold(root: Path) -> list[Counter[str]]:
    return [lakes.net(root, table) for table in GOLD]


def expected(definitions: tuple[Definition, ...]) -> list[Counter[str]]:
    return [net(rows) for rows in posted(definitions)]


WHOLE = Backfill(2 * SERVED, tuple(Part(one, 2 * SERVED - 1) for one in NEW))


def test_it_adds_what_the_definitions_would_have_posted(tmp_path: Path) -> None:
    lake = laid(tmp_path)
    fill(WHOLE, lake)
    assert gold(tmp_path) == expected(OLD + NEW)
    fill(WHOLE, lake)
    assert gold(tmp_path) == expected(OLD + NEW)


def test_entries_and_examples_that_stand_under_the_policy_are_not_posted_again(tmp_path: Path) -> None:
    lake = laid(tmp_path)
    fill(Backfill(2 * SERVED, (Part(NEW[1], 2 * SERVED - 1),)), lake)
    assert gold(tmp_path) == [expected(OLD + NEW[1:2])[0], *expected(OLD)[1:]]


def test_a_crash_after_every_single_commit_changes_nothing(tmp_path: Path) -> None:
    laid(tmp_path)
    crashes = 0
    while True:
        try:
            fill(WHOLE, CrashingLake(tmp_path, GOLD, None))  # type: ignore[arg-type]
        except CrashError:
            crashes += 1
            continue
        break
    assert crashes > WHOLE.slices * len(NEW)
    assert gold(tmp_path) == expected(OLD + NEW)


@pytest.mark.parametrize("upto", [0, 16, 17, 40, 79])
def test_what_lies_above_is_left_to_the_flow(tmp_path: Path, upto: int) -> None:
    lake = laid(tmp_path, OLD + tuple(replace(one, everywhere=False, offset=upto) for one in NEW))
    fill(Backfill(2 * SERVED, tuple(Part(one, upto) for one in NEW)), lake)
    assert gold(tmp_path) == expected(OLD + NEW)


def test_it_is_declared_once_and_not_filled_again_when_the_flow_has_moved_on(tmp_path: Path) -> None:
    lake, log = laid(tmp_path), EmbeddedLog(tmp_path / "log.sqlite", durable=False)
    log.append([b"{}"] * 2 * SERVED)
    begin(tmp_path, WHOLE)
    found = under_way(tmp_path)
    assert found == WHOLE
    assert found is not None
    carry_out(found, lake, log)
    assert log.end() == 2 * SERVED + len(NEW)
    before = lakes.rows_of(tmp_path, STATISTICS).num_rows
    lake.append(LABELLED, LABELLED.frame([vote(999, 1, "click", 3)]), Mark("flow", 1), {})
    carry_out(found, lake, log)
    assert log.end() == 2 * SERVED + len(NEW)
    assert lakes.rows_of(tmp_path, STATISTICS).num_rows == before
    finish(tmp_path)
    assert under_way(tmp_path) is None
    log.close()
