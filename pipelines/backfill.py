"""A new definition for the inferences that are there already: what it would have posted, had it always stood, slice by slice.

It is filled beside the old ones from silver and the ledger, each row with its own known_at; then one append to the log declares
it to apply everywhere, which is when readers learn of it. Until that has landed a file beside the tables of gold says what is
under way: an application that finds it goes on with it before anything else, and posts nothing twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from pipelines import whole
from pipelines.contract import Table
from pipelines.definition import Definition
from pipelines.definitions import backfilled
from pipelines.errors import ConfigError, StateError
from pipelines.gold.absences import READS as OF_SILENCE
from pipelines.gold.absences import absences
from pipelines.gold.examples import SERVED, examples
from pipelines.gold.expose import READS, expose
from pipelines.gold.resolve import resolve
from pipelines.gold.tables import EXAMPLES, OUTCOME_LEDGER, STATISTICS
from pipelines.gold.tally import tally
from pipelines.lake import Lake, Mark
from pipelines.log import Log
from pipelines.paths import backfill_of
from pipelines.silver.tables import INFERENCES, LABELLED

_PRESUMED = ["tenant", "unit_id", "item", "label", "policy"]
SLICE = 100_000
"""Log offsets that are filled at once: what bounds the memory. The slices lie fixed, so that their marks mean the same later."""


@dataclass(frozen=True)
class Part:
    """One definition, and the last log offset that it is filled for; above it the flow has posted it, or will."""

    definition: Definition
    upto: int

    def mark(self, table: Table, number: int) -> Mark:
        return Mark(f"backfill:{self.definition.hash}:{table.name}", number)


@dataclass(frozen=True)
class Backfill:
    """Definitions of one model that are filled together. `end`: everything at lower offsets had gone all the way when it began."""

    end: int
    parts: tuple[Part, ...]

    @property
    def slices(self) -> int:
        return max(part.upto for part in self.parts) // SLICE + 1


def begin(root: Path, backfill: Backfill) -> None:
    """State what is to be filled. The caller holds the leases of all jobs, and nothing is half-way through them."""
    parts = [{"body": part.definition.body(), "upto": part.upto} for part in backfill.parts]
    whole.write(backfill_of(root), json.dumps({"end": backfill.end, "parts": parts}), durable=True)


def under_way(root: Path) -> Backfill | None:
    """What was begun and not ended. Raises StateError `backfill_damaged`."""
    file = backfill_of(root)
    if not file.exists():
        return None
    try:
        said = json.loads(file.read_text())
        parts = (Part(Definition.of(part["body"], everywhere=True), int(part["upto"])) for part in said["parts"])
        return Backfill(int(said["end"]), tuple(parts))
    except (ValueError, TypeError, KeyError, ConfigError) as error:
        raise StateError(
            "backfill_damaged",
            f"{file} is not what was written ({type(error).__name__}: {error}): which definitions were being filled is lost. Make "
            f"everything again from the log, hindsight rebuild --lake {root}, and then what was new: hindsight rebuild --model NAME",
        ) from error


def carry_out(backfill: Backfill, lake: Lake, log: Log, progress: Callable[[], None] = lambda: None) -> None:
    """Fill what is not filled, and declare it in the log.

    What the log declares is filled, and is not looked at again: the flow may have moved the ledger since.
    """
    declared = {definition.hash for definition in backfilled(log, backfill.end)}
    if not declared >= {part.definition.hash for part in backfill.parts}:
        fill(backfill, lake, progress)
        log.control(*(part.definition.control() for part in backfill.parts))


def finish(root: Path) -> None:
    """Forget what was begun: it has landed."""
    backfill_of(root).unlink()


def fill(backfill: Backfill, lake: Lake, progress: Callable[[], None] = lambda: None) -> None:
    """Post what the definitions say of what is there."""
    statistics = lake.open(STATISTICS)
    # A slice is begun when the one before is written whole: only the last that has a mark may be half-written.
    reached = {part: statistics.transaction_version(part.mark(STATISTICS, 0).app) or 0 for part in backfill.parts}
    for number in range(min(reached.values()), backfill.slices):
        _fill(number, [part for part in backfill.parts if number >= reached[part]], lake)
        progress()


def _fill(number: int, parts: list[Part], lake: Lake) -> None:
    """Post one slice. All rests on the ledger as it will be, written last, so a slice that was half written is completed as it was."""
    inferences, presumed = _inferences(number, parts, lake), _presumed(number, parts, lake)
    requests = inferences["request_id"]
    labelled, ledger = lake.lookup(LABELLED, requests), lake.lookup(OUTCOME_LEDGER, requests)
    for part in parts:
        definition = part.definition
        served = inferences.filter(pc.field("offset") <= part.upto)
        posted = [expose(served, definitions=[definition])]
        taught = [_lacking(absences(served, definitions=[definition]), presumed)]
        entries = OUTCOME_LEDGER.computed.empty_table()
        if definition.policy is not None:
            votes = labelled.filter(_about(part))
            standing = ledger.filter(_about(part) & (pc.field("policy") == definition.policy.hash))
            entries = resolve(votes, votes.slice(0, 0), standing, definitions=[definition])
            held = standing.select(entries.column_names).cast(entries.schema)
            posted.append(tally(pa.concat_tables([held, entries]), definitions=[definition]))
            taught.append(examples(entries, inferences.select(SERVED), definitions=[definition]))
        made = (STATISTICS, pa.concat_tables(posted)), (EXAMPLES, pa.concat_tables(taught)), (OUTCOME_LEDGER, entries)
        for table, rows in made:
            said = {"job": "backfill", "query": "backfill", "definition": definition.hash, "slice": number}
            lake.append(table, rows if lake.committer == "arrow" else lake.frame(rows), part.mark(table, number), said)


def _inferences(number: int, parts: list[Part], lake: Lake) -> pa.Table:
    """The model's inferences of a slice."""
    return lake.read(INFERENCES, list(dict.fromkeys((*READS, *OF_SILENCE))), _of_slice(number, parts))


def _presumed(number: int, parts: list[Part], lake: Lake) -> pa.Table:
    """What stands for silence about a slice already: policies outlive the definitions that they came with."""
    return lake.read(EXAMPLES, _PRESUMED, _of_slice(number, parts) & (ds.field("basis") == "absent"))


def _lacking(rows: pa.Table, presumed: pa.Table) -> pa.Table:
    """The rows about units and policies of which nothing stands."""
    there, wanted = (pc.binary_join_element_wise(*(each[name] for name in _PRESUMED), "\0") for each in (presumed, rows))
    return rows.filter(pc.invert(pc.is_in(wanted, value_set=pc.unique(there))))


def _of_slice(number: int, parts: list[Part]) -> Any:
    """The rows about the model's inferences of a slice."""
    offset, start = ds.field("offset"), number * SLICE
    (model,) = {part.definition.model for part in parts}
    return (ds.field("model") == model) & (offset >= start) & (offset < start + SLICE)


def _about(part: Part) -> Any:
    """The rows about the inferences and the label of a part, by their context."""
    model, label = part.definition.model, part.definition.label
    served = (pc.field("context", "model") == model) & (pc.field("context", "offset") <= part.upto)
    return served & (pc.field("label") == label)
