"""What a sink is told, revision by revision, comes to what the metrics say of the whole."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path

import pytest

from pipelines.bronze.tables import EVENTS
from pipelines.gold.tables import OUTCOME_LEDGER, STATISTICS
from pipelines.lake import Lake
from pipelines.maintain import maintain
from pipelines.page.sums import Kept
from pipelines.settings import load
from pipelines.silver.tables import FEEDBACK, INFERENCES, LABELLED
from pipelines.sinks.revisions import Revision, revisions
from pipelines.sinks.told import Reached, now
from tests.pages import serve_day
from tests.watching import DAY, HOUR, MONDAY, lake_of, model, reach

CONF = Path(__file__).parent.parent / "conf"
Told = dict[tuple[object, ...], tuple[object, ...]]


def told(lake: Lake, since: Reached | None, until: Reached, every: timedelta) -> Told:
    """What a sink would hold of it: by what a revision is about, what it says."""
    found: list[Revision] = [one for part in revisions(Kept(lake), since, until, every) for one in part]
    return {about(one): (one.value, one.low, one.high, one.count, one.final) for one in found}


def about(one: Revision) -> tuple[object, ...]:
    return one.model, one.label, one.version, *one.segment.items(), one.start, one.name, one.of


def state(lake: Lake) -> Reached:
    found = now(lake)
    assert found is not None
    return found


@pytest.mark.parametrize("seed", range(4))
def test_revisions_add_up_to_what_is_said_of_the_whole(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    watched = model(tmp_path / "models", "")
    lake = lake_of(tmp_path / "lake", watched)
    lake.create(EVENTS, INFERENCES, FEEDBACK, OUTCOME_LEDGER, LABELLED)
    held: Told = {}
    since, frontier = None, MONDAY
    reach(lake, frontier)
    days = list(range(5))
    rng.shuffle(days)
    for _ in range(12):
        if days and rng.random() < 0.6:
            serve_day(lake, watched, days.pop())
        if rng.random() < 0.7:
            frontier += rng.randrange(1, 40) * HOUR
            reach(lake, frontier)
        if rng.random() < 0.2:
            maintain(lake.root, [STATISTICS], load(CONF).maintain, vacuum=False)
        until = state(lake)
        held |= told(lake, since, until, DAY)
        since = until
    whole = told(lake, None, state(lake), DAY)
    assert len(whole) > 50
    assert {key: said for key, said in held.items() if said[0] is not None or key in whole} == whole


def test_nothing_new_is_no_revision_and_a_final_window_is_told_as_it_becomes_final(tmp_path: Path) -> None:
    watched = model(tmp_path / "models", "")
    lake = lake_of(tmp_path / "lake", watched)
    lake.create(EVENTS, INFERENCES, FEEDBACK, OUTCOME_LEDGER, LABELLED)
    serve_day(lake, watched, 0)
    reach(lake, MONDAY + DAY + HOUR)
    since = state(lake)
    first = told(lake, None, since, DAY)
    assert not told(lake, since, since, DAY)
    assert {key[1]: final for key, (*_, final) in first.items()} == {"": True, "late": False}
    reach(lake, MONDAY + 3 * DAY - HOUR)
    before = state(lake)
    reach(lake, MONDAY + 3 * DAY)
    assert {final for *_, final in told(lake, before, state(lake), DAY).values()} == {True}


def test_a_lake_without_a_frontier_says_nothing(tmp_path: Path) -> None:
    assert now(Lake(tmp_path)) is None
