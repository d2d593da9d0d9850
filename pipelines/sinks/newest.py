"""The newest values of metrics, as series of a bounded number: of each definition and cut the last window that is final, and the last one.

All groups of a cut are those of one window, so that versions and segments can be compared. Series have no time among their labels: as
time goes by the same ones take new values.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pipelines.gold.metrics.plan import cut_name, is_final
from pipelines.page.numbers import Window
from pipelines.page.sums import Kept
from pipelines.sinks.revisions import Asked, Group, floor, questions
from pipelines.sinks.told import Reached

FINAL, PROVISIONAL = "final", "provisional"
_BACK = 48
"""Windows that are looked back for one in which anything is judged."""
_ENDS = {"": "value", "_low": "low", "_high": "high"}
"""What is said of a metric, by the end of its family's name."""
Sample = tuple[str, dict[str, str], float]
"""A family, labels and a value."""


@dataclass(frozen=True)
class Series:
    """What is said of one version and segment of a cut. `rank`: smallest first, what is shown where not all can be."""

    rank: tuple[Any, ...]
    about: dict[str, str]
    end: datetime
    samples: tuple[Sample, ...]


def newest(kept: Kept, until: Reached, every: timedelta, most: int) -> list[Sample]:
    """The samples of metrics. At most so many series, of the coarsest cuts and of what most rests on; how many are left out is said."""
    shown: list[Sample] = []
    left_out: dict[tuple[str, ...], int] = {}
    ends: dict[tuple[str, ...], float] = {}
    full = False
    for one in sorted(_series(kept, until, every), key=lambda one: one.rank):
        cut = (one.about["model"], one.about["label"], one.about["cut"])
        full = full or len(shown) + len(one.samples) > most  # what ranks lower than what is left out is left out too
        left_out[cut] = left_out.get(cut, 0) + full * len(one.samples)
        if not full:
            shown += one.samples
            ends[*cut, one.about["state"]] = one.end.timestamp()
    return [
        *shown,
        *(("hindsight_quality_window_end_timestamp_seconds", _named(cut), end) for cut, end in ends.items()),
        *(("hindsight_quality_series_left_out", _named(cut), float(count)) for cut, count in left_out.items()),
    ]


def _named(values: tuple[str, ...]) -> dict[str, str]:
    return dict(zip(("model", "label", "cut", "state"), values, strict=False))


def _series(kept: Kept, until: Reached, every: timedelta) -> Iterator[Series]:
    for asked in questions(kept.lake, None, until, every):
        for state, windows in _last(kept, asked):
            for group, window in windows.items():
                yield _of_group(asked, state, group, window)


def _last(kept: Kept, asked: Asked) -> Iterator[tuple[str, dict[Group, Window]]]:
    """The last final window, and the last one after it, in which anything is judged."""
    cell = kept.newest(asked.target.sources[0], asked.until.as_of)
    if cell is None:
        return
    last, final = floor(cell, asked.every), _last_final(asked)
    back = [number * asked.every for number in range(_BACK)]
    yield from ((PROVISIONAL, there) for there in _judged(kept, asked, [last - by for by in back if last - by > final]))
    yield from ((FINAL, there) for there in _judged(kept, asked, [min(last, final) - by for by in back]))


def _last_final(asked: Asked) -> datetime:
    """The start of the last window that may be final."""
    definition, every = asked.target.definition, asked.every
    wait = timedelta(seconds=definition.policy.window if definition.policy else 0)
    start = floor(asked.until.as_of - wait, every) - every
    assert is_final(definition, start + every, asked.until.as_of)
    return start


def _judged(kept: Kept, asked: Asked, starts: list[datetime]) -> Iterator[dict[Group, Window]]:
    """The first of these windows in which anything is judged."""
    for start in starts:
        found = asked.windows(kept, start, start)
        if any(window.values.get("n") for window in found.values()):
            yield found
            return


def _of_group(asked: Asked, state: str, group: Group, window: Window) -> Series:
    version, values, _ = group
    about = {
        **{"model": asked.target.definition.model, "label": asked.target.definition.label, "cut": cut_name(asked.cut)},
        **{"segment": ",".join(f"{name}={value}" for name, value in zip(asked.cut, values, strict=True))},
        **{"version": version, "state": state},
    }
    count = int(window.values.get("n", 0))
    samples: list[Sample] = [("hindsight_quality_judged", about, float(count))]
    for one in asked.revisions(group, window):
        for end, of in _ENDS.items():
            if (value := getattr(one, of)) is not None:
                samples.append((f"hindsight_quality{end}", about | {"metric": one.name, "of": one.of}, value))
    return Series((len(asked.cut), -count, *about.values()), about, window.end, tuple(samples))
