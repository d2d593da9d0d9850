"""Whether the alias moves, whether it was right to, and how it moves back."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines import leases
from pipelines import settle as settled
from pipelines.definition import Definition
from pipelines.errors import StateError
from pipelines.lake import Lake
from pipelines.retrain import judge
from pipelines.retrain.compare import arms, asked, groups, paired, shadowed
from pipelines.retrain.declared import Acceptance
from pipelines.retrain.judge import Verdict, before_and_after
from pipelines.retrain.ledger import Row, append, histories
from pipelines.retrain.live import outcomes
from pipelines.retrain.losses import Floats, greatest, in_shadow, losses, served
from pipelines.retrain.losses import outcomes as came
from pipelines.retrain.tracking import CHALLENGER, CHAMPION, Tracking

LEASE = "registry"
"""Whoever moves an alias: of two at once one would move it from where it no longer is."""


def decide(lake: Lake, tracking: Tracking, row: Row, acceptance: Acceptance, definition: Definition) -> Row | None:
    """Promote or refuse what was judged; None while live outcomes do not say."""
    if acceptance.live == "none" or row["verdict"] == "refuse":
        found = {name: row[name] for name in ("verdict", "estimate", "low", "high", "support", "reason")}
        return _promote(lake, tracking, row, found) if row["verdict"] == "accept" else _refuse(lake, tracking, row, found)
    as_of = settled.last(lake)["frontier"]
    verdict = None if as_of is None else _live(lake, row, acceptance, definition, as_of)
    if verdict is None or verdict.state == "wait":
        return None
    found = {**verdict.columns(), "evidence": verdict.evidence(), "known_at": as_of}
    return (_promote if verdict.state == "accept" else _refuse)(lake, tracking, row, found)


def _live(lake: Lake, row: Row, acceptance: Acceptance, definition: Definition, as_of: datetime) -> Verdict:
    """On what was served since the trigger, by the champion or, of a canary, by both."""
    rows = outcomes(lake, definition, since=row["known_at"], as_of=as_of)
    against = "what was served"
    if acceptance.live == "shadow":
        compared = shadowed(_but(rows, row["version"]), row["version"], definition, acceptance)
    else:
        compared, against = arms(rows, row["champion"] or "", row["version"], definition, acceptance), f"version {row['champion']}"
    return judge.judge(compared, acceptance, groups(definition, [name for name, _ in acceptance.segments]), against=against)


def _promote(lake: Lake, tracking: Tracking, row: Row, found: Row) -> Row:
    """Move the champion's alias, if it is where it was when the challenger was judged."""
    model, version, champion = row["model"], row["version"], row["champion"]
    with leases.hold_by_process(lake.root, [LEASE], "promote"):
        now = tracking.alias(model, CHAMPION)
        if now not in (champion, version):
            moved = f"the champion is version {now}, and was {champion} when this one was trained: it was not judged against that"
            return _refuse(lake, tracking, row, {**found, "reason": moved})
        tracking.move(model, CHAMPION, version)
        tracking.tag(model, version, "hindsight.promoted_by", row["trigger_id"])
        if champion is not None:
            tracking.tag(model, version, "hindsight.replaces", champion)
            tracking.tag(model, champion, "hindsight.replaced_by", version)
        tracking.drop(model, CHALLENGER)
        return append(lake, "promoted", row, **found)


def _refuse(lake: Lake, tracking: Tracking, row: Row, found: Row) -> Row:
    if tracking.alias(row["model"], CHALLENGER) == row["version"]:
        tracking.drop(row["model"], CHALLENGER)
    tracking.tag(row["model"], row["version"], "hindsight.refused", str(found["reason"])[:500])
    return append(lake, "refused", row, **found)


def settle(lake: Lake, row: Row, acceptance: Acceptance, definition: Definition) -> Row | None:
    """What came of a promotion: beside the version before, where that still scores in the shadow, else before and after it."""
    as_of, version = settled.last(lake)["frontier"], row["version"]
    if as_of is None:
        return None
    rows = outcomes(lake, definition, since=_triggered(lake, row), as_of=as_of)
    new, old = rows.filter(pc.equal(rows["version"], version)), _but(rows, version)
    overall = replace(acceptance, segments=())
    shadow = in_shadow(new, str(row["champion"]), definition, acceptance)
    beside = paired(new, served(new, definition, acceptance), definition, overall, champion=shadow)
    if len(beside.differences):
        verdict = judge.settle(beside, acceptance)
    else:
        (before, of_before), (after, of_after) = (_losses(one, definition, acceptance) for one in (old, new))
        reach = greatest(definition, acceptance)
        verdict = before_and_after(before, after, reach, acceptance, (of_before, of_after))
    if verdict.state == "wait":
        return None
    return append(lake, "settled", row, **verdict.columns(), evidence=verdict.evidence(), known_at=as_of)


def rollback(lake: Lake, tracking: Tracking, model: str, *, dry_run: bool = False) -> tuple[Row, float]:
    """Move the champion's alias back to the version before; the step, and the seconds that the registry took.

    The step is written first: whoever died between both finds the alias where it was, and moves it by asking again.
    Raises StateError `nothing_to_roll_back`.
    """
    with leases.hold_by_process(lake.root, [LEASE], "rollback"):
        row = _promotion(lake, model, tracking.alias(model, CHAMPION))
        said = {"reason": f"the champion is version {row['champion']} again, no longer {row['version']}"}
        if dry_run:
            return {**row, "step": "rolled_back", **said}, 0.0
        tracking.tag(model, row["version"], "hindsight.rolled_back", row["trigger_id"])
        done = append(lake, "rolled_back", row, **said)
        began = time.perf_counter()
        tracking.move(model, CHAMPION, row["champion"])
        return done, time.perf_counter() - began


def _promotion(lake: Lake, model: str, champion: str | None) -> Row:
    """The promotion that made a version of a model its champion."""
    steps = [row for one in histories(lake).values() for row in one]
    found = [row for row in steps if (row["step"], row["model"], row["version"]) == ("promoted", model, champion)]
    if not found or found[-1]["champion"] is None:
        told = "there was none before it" if found else "no retraining promoted that"
        raise StateError(
            "nothing_to_roll_back",
            f"{model}: the champion is version {champion or 'none'}, and {told}, so there is no version to go back to. "
            "`hindsight loop` lists what was promoted.",
        )
    return found[-1]


def _triggered(lake: Lake, row: Row) -> datetime:
    """The time of a retraining's trigger."""
    at: datetime = histories(lake)[row["trigger_id"]][0]["known_at"]
    return at


def _losses(rows: pa.Table, definition: Definition, acceptance: Acceptance) -> tuple[Floats, Floats]:
    """What was lost, and what each loss stands for."""
    lost = losses(served(rows, definition, acceptance), came(rows, definition), definition, acceptance)
    shares = asked(rows, acceptance)
    known = ~np.isnan(lost) & ~np.isnan(shares)
    return lost[known], shares[known]


def _but(rows: pa.Table, version: str) -> pa.Table:
    """What other versions served."""
    return rows.filter(pc.not_equal(rows["version"], version))
