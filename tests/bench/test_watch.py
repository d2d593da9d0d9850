"""What a turn of `watch` costs with ten times the history: a day of statistics more, rules by version and segment, drift and a trigger.

Ratios of one run: each turn after the first, beside one that begins anew. `HINDSIGHT_BENCH_WATCHED` sets the days of the short history.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.gold.tables import STATISTICS
from pipelines.lake import Lake
from pipelines.watch.rules import Watched
from pipelines.watch.watch import Watch, post
from tests.bench.measure import Usage, measured, option, report, show
from tests.watching import DAY, HOUR, MONDAY, answered, append, lake_of, model, reach, statistic

TURNS, ORIGINS, MOST = 3, 4, 1.5
RULES = """
[alerts.low]
label = "late"
metric = "recall"
every = "1 day"
by = ["origin", "version"]
below = 0.5
[alerts.dropped]
label = "late"
metric = "recall"
every = "1 day"
drop = 0.0
[drift]
every = "1 day"
by = ["origin", "version"]
[drift.features.distance]
edges = [100, 200, 300, 400, 500, 600, 700, 800, 900]
[triggers.retrain]
when = {any = ["dropped", "new_examples >= 1000000"]}
"""


def day(watched: Watched, number: int) -> list[dict[str, Any]]:
    """The statistics of a day, by origin and over all."""
    chance, found = np.random.default_rng(number), list[dict[str, Any]]()
    cuts = [("origin", f'["{origin}"]') for origin in range(ORIGINS)] + [("all", "[]")]
    for cut, segment in cuts:
        found += answered(watched, number, int(chance.binomial(200, 0.8)), 40, cut=cut, segment=segment)
        for bucket, count in enumerate(chance.multinomial(500, [0.1] * 10)):
            about = {"definition": watched.definition("").hash, "label": "", "basis": "exposed", "bucket": str(bucket)}
            known = MONDAY + number * DAY + 20 * HOUR
            found.append(statistic(number, "feature.distance.histogram", int(count), **about, cut=cut, segment=segment, known_at=known))
    return found


def turns(folder: Path, watched: Watched, days: int) -> tuple[Usage, Usage]:
    """Turns that go on, a day each, and as many that begin anew; after so many days."""
    lake = lake_of(folder, watched)
    for number in range(days):
        append(lake, STATISTICS, day(watched, number))
    lake = Lake(folder)
    looking = Watch(lake, [watched])
    reach(lake, MONDAY + days * DAY)
    looking()
    on, anew = Usage(), Usage()
    for number in range(days, days + TURNS):
        append(lake, STATISTICS, day(watched, number))
        at = MONDAY + (number + 1) * DAY
        reach(lake, at)
        for usage, turn in ((on, looking), (anew, lambda at=at: post(lake, watched, at))):
            with measured() as one:
                turn()
            usage.wall, usage.cpu = usage.wall + one.wall, usage.cpu + one.cpu
    return on, anew


@pytest.mark.bench
def test_a_turn_costs_what_is_new_whatever_the_history(folder: Path) -> None:
    watched, days = model(folder / "models", RULES), option("WATCHED", 30)
    found = {count: turns(folder / str(count), watched, count) for count in (days, 10 * days)}
    names, (short, long) = ("goes on", "begins anew"), found.values()
    rows, ratios = list[tuple[Any, ...]](), {}
    for place, name in enumerate(names):
        rows += [(f"{count} days, {name}", of[place].wall / TURNS, of[place].cpu / TURNS) for count, of in found.items()]
        ratios[name] = long[place].wall / short[place].wall, long[place].cpu / short[place].cpu
        rows.append((f"ratio, {name}", *ratios[name]))
    show("A turn of watch", ("", "seconds", "CPU seconds"), rows)
    report("watch", {"days": days, "ratios": ratios})
    assert max(ratios["goes on"]) < MOST
