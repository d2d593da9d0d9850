"""Cutting a release: what stands as of a time, filtered, drawn, split, and kept with its manifest.

All examples of the label are looked at twice, a date of serving at a time: once for the small columns that decide, once for the rows
that were chosen. What was asked decides everything, so asked again after a crash the same release is completed, and asked again
after that it is found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines import leases
from pipelines.dataset import manifest as manifests
from pipelines.dataset.candidates import FATES, KEPT, Numbers, candidates, label_of, needed
from pipelines.dataset.erased import classes
from pipelines.dataset.features import kinds, label_type
from pipelines.dataset.manifest import Manifest
from pipelines.dataset.sampling import deduplicate, draw
from pipelines.dataset.spec import SPLITS, Spec
from pipelines.dataset.splitting import split
from pipelines.dataset.standing import Examples
from pipelines.dataset.tables import RELEASED
from pipelines.definition import Definition
from pipelines.errors import CheckError, InputError, nearest
from pipelines.explain.sources import Sources
from pipelines.gates.verdict import Verdict
from pipelines.gold.tables import EXAMPLES
from pipelines.lake import Lake
from pipelines.moments import rfc3339
from pipelines.opened import named, newest, not_above

_UNCOUNTED = (FATES[KEPT], "outside_window")
MOST_CLASSES = 20
"""A number with more values than that is counted by none of them."""
_READ = [*(name for name in RELEASED.computed.names if name not in ("release", "split", "number", "text"))]
Told = Callable[[int, int], None]


@dataclass(frozen=True)
class Decided:
    """The candidates of a release, with what became of each; `drawn` is where sampling and split have cut."""

    found: pa.Table
    dates: list[tuple[Any, int]]
    fates: Numbers
    factors: Numbers
    places: Numbers
    drawn: dict[str, Any]

    @property
    def exclusions(self) -> dict[str, int]:
        """How many were left out, by reason; the window says what is looked at, so what lies before it is not counted."""
        counts = np.bincount(self.fates, minlength=len(FATES))
        return {name: int(count) for name, count in zip(FATES, counts, strict=True) if count and name not in _UNCOUNTED}


def release(
    lake_path: Path | str,
    spec: Spec,
    *,
    as_of: datetime | None = None,
    gate: Callable[[pa.Table], Verdict] | None = None,
    dry_run: bool = False,
    progress: Told = lambda _done, _of: None,
) -> Manifest:
    """Cut a release as of a time (the frontier), or find the one that was cut; with `dry_run` nothing is kept and no name is given.

    Rows that are lost of the one that is found are kept again. `gate` judges the rows, as gold.released holds them, before they are kept.
    Raises InputError `unknown_model`, `unknown_label`, `unknown_segment`, `as_of_above_frontier`, `no_examples`, `feature_mixed`,
    `label_mixed`, `no_classes`; CheckError `gate_failed`; StateError `no_frontier`, `table_missing`, `lease_held` and what
    `paths.existing` raises.
    """
    lake = manifests.lake_of(lake_path)
    sources = Sources(lake.root)
    definition = newest(named([one for one in sources.definitions if one.policy], model=spec.model, label=spec.label))[0]
    _refuse_unknown_segments(spec, definition)
    frontier = sources.frontier()
    cut_at = not_above(frontier, as_of) if as_of else frontier
    if dry_run:
        return cut(lake, spec, definition, cut_at, progress=progress)[0]
    with leases.hold_by_process(lake.root, ["dataset"], "dataset release"):
        found, rows = cut(lake, spec, definition, cut_at, progress=progress)
        found = replace(found, gates=_judged(gate(rows)) if gate else []).sealed()
        there = [one for one in manifests.manifests(lake, spec.model, spec.label) if one.digest == found.digest]
        found = there[0] if there else replace(found, name=manifests.next_name(lake, spec.model, spec.label))
        at = rows.schema.get_field_index("release")
        manifests.keep(lake, found, rows.set_column(at, "release", pa.repeat(found.root, rows.num_rows)))
    return found


def cut(
    lake: Lake,
    spec: Spec,
    definition: Definition,
    as_of: datetime,
    *,
    drawn: dict[str, Any] | None = None,
    progress: Told = lambda _done, _of: None,
) -> tuple[Manifest, pa.Table]:
    """The rows of a release and a manifest without name. `drawn`: by the cuts of a release that was made before."""
    examples = Examples(lake, definition, as_of)
    decided = decide(examples, spec, definition, as_of, drawn=drawn, progress=progress)
    if not (decided.fates == KEPT).any():
        raise _nothing(examples, decided, spec, as_of)
    parts = []
    for done, part in enumerate(_chosen(examples, decided), 1):
        parts.append(part)
        progress(len(decided.dates) + done, 2 * len(decided.dates))
    rows = pa.concat_tables(parts)
    outcome = label_type(rows)
    few = outcome == "text" or len(pc.unique(rows["number"])) <= MOST_CLASSES
    splits = {name: int(pc.sum(pc.equal(rows["split"], name)).as_py()) for name in SPLITS}
    found = Manifest(
        *("", "", definition.model, definition.label, definition.policy.hash if definition.policy else "", rfc3339(as_of)),
        spec=spec.body(),
        inputs={EXAMPLES.name: examples.version},
        rows=rows.num_rows,
        splits=splits,
        classes=classes(label_of(rows)) if few else {},
        schema={"label": outcome, "features": kinds(rows, spec.texts)},
        content=manifests.content(rows),
        drawn=decided.drawn,
        exclusions=decided.exclusions,
    )
    return found.sealed(), rows


def decide(
    examples: Examples,
    spec: Spec,
    definition: Definition,
    as_of: datetime,
    *,
    drawn: dict[str, Any] | None = None,
    progress: Told = lambda _done, _of: None,
) -> Decided:
    """What becomes of every example that stands as of a time and was served on a date that the window reaches."""
    if spec.sampling == "balanced" and definition.policy and definition.policy.type == "number":
        raise InputError("no_classes", f'the label "{definition.label}" is a number, so there are no classes to balance; sample otherwise')
    dates = examples.dates(as_of - spec.window if spec.window is not None else None)
    parts: list[pa.Table] = []
    for done, served in enumerate(dates, 1):
        rows = examples.of(served, needed(spec))
        parts.append(candidates(rows, spec=spec, definition=definition, as_of=as_of))
        progress(done, 2 * len(dates))
    if not parts:
        none = np.zeros(0, "int8")
        return Decided(EXAMPLES.arrow.empty_table(), [], none, none, none, {})
    found = pa.concat_tables(parts)
    fates = found["fate"].to_numpy().copy()
    if spec.deduplicate:
        deduplicate(found, fates)
    factors, said = draw(found, fates, spec, drawn["sampling"] if drawn else None)
    places, starts = split(found, fates, spec, drawn["starts"] if drawn else None)
    lengths = [(served, part.num_rows) for served, part in zip(dates, parts, strict=True)]
    return Decided(found, lengths, fates, factors, places, {"sampling": said, "starts": starts})


def _chosen(examples: Examples, decided: Decided) -> Iterator[pa.Table]:
    """The rows that were kept, as gold.released holds them but for the release that they belong to; a date at a time."""
    start = 0
    for served, length in decided.dates:
        at = slice(start, start + length)
        start += length
        mask = decided.fates[at] == KEPT
        if not mask.any():
            yield RELEASED.computed.empty_table()
            continue
        rows = examples.of(served, _READ).filter(pa.array(mask))
        weight = pc.multiply(rows["weight"], pa.array(decided.factors[at][mask]))
        places = pa.array(np.array(SPLITS, dtype=object)[decided.places[at][mask]], pa.string())
        columns = {"release": pa.repeat("", len(rows)), "weight": weight, "split": places}
        yield pa.table({name: columns.get(name, rows[name] if name not in columns else None) for name in RELEASED.computed.names}).cast(
            RELEASED.computed
        )


def _refuse_unknown_segments(spec: Spec, definition: Definition) -> None:
    """Raise InputError `unknown_segment` where rows are asked for by a field that the model does not declare."""
    known = [name for name, _ in definition.segments]
    for name in (*spec.by, *(name for name, _ in spec.segments)):
        if name not in known:
            declared = ", ".join(known) or "none"
            raise InputError(
                "unknown_segment", f'the model "{spec.model}" declares no segment "{name}"{nearest(name, known)}; it has: {declared}.'
            )


def _judged(verdict: Verdict) -> list[dict[str, Any]]:
    """The rules, as a manifest has them: no value of any row. Raises CheckError `gate_failed`."""
    failed = [one for one in verdict.rules if one.passed is False]
    if failed:
        lines = "".join(f"\n  - {one.rule} of {one.column or 'the rows'}{_breaches(one)}" for one in failed)
        raise CheckError(
            "gate_failed",
            f"{len(failed)} of {len(verdict.rules)} rules do not hold:{lines}\nNothing was released; the release before stands. Mend what "
            "sends such rows, or leave them out by a filter." + (f" The verdict as a page: {verdict.docs}" if verdict.docs else ""),
        )
    return [{"rule": one.rule, "column": one.column, "unexpected": one.unexpected, "passed": one.passed} for one in verdict.rules]


def _breaches(judged: Any) -> str:
    """How many rows break a rule, and some of their values; of a rule about all rows nothing."""
    some = f", such as {', '.join(map(str, judged.examples))}" if judged.examples else ""
    return "" if judged.unexpected is None else f": {judged.unexpected:,} rows{some}"


def _nothing(examples: Examples, decided: Decided, spec: Spec, as_of: datetime) -> InputError:
    """What was found, and which filter took the last of it."""
    where = f'of model "{spec.model}", label "{spec.label}", as of {rfc3339(as_of)}'
    if decided.exclusions:
        told = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in decided.exclusions.items())
        last = [name for name in FATES if name in decided.exclusions][-1].replace("_", " ")
        return InputError("no_examples", f"{where}: no example is left; left out: {told}. The last went by: {last}. Ask for more.")
    earlier = sum(len(examples.of(served, [])) for served in examples.dates())
    if earlier:
        told = f"{earlier:,} examples, all served before the window of {spec.body()['window']}; ask for a longer one"
    else:
        told = "no example is known yet: one is when its attribution window has passed, and under a new policy only what came since, or "
        told += f"what `hindsight rebuild --model {spec.model}` fills"
    return InputError("no_examples", f"{where}: {told}.")
