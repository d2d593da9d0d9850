"""The demo with the loop on: each week of 2013 is served by the version that had been promoted by then, and the first one shadows it.

Each step is a week: its flights are scored and logged, the jobs process them, alerts and triggers are looked at, and the launcher takes
its turn. All of it is the product's own; drawn from the seed is what the plain demo draws.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import pandas as pd
from pyspark.sql import SparkSession

from pipelines import leases
from pipelines.app import Application
from pipelines.dataset.spec import load_spec
from pipelines.definition import Definition
from pipelines.demo import flights, model
from pipelines.demo.events import DAY, START, Batch, Traffic
from pipelines.demo.mischief import Mischief
from pipelines.demo.serving import FIRST, Serving, register_first, serving
from pipelines.gates.suite import row_rules
from pipelines.log import Log, log_at
from pipelines.models import load_models
from pipelines.retrain import launch
from pipelines.retrain.launch import Loop
from pipelines.retrain.ledger import Row, histories
from pipelines.retrain.losses import SHADOW
from pipelines.retraining import work_of
from pipelines.settings import Settings
from pipelines.silver.rules import RowRules
from pipelines.watch.declared import load_watched
from pipelines.watch.watch import Watch

LABEL = "late"
_POLL = 0.1


@dataclass(frozen=True)
class Week:
    """A step that is done: what served until `ends`, exclusive, and the steps that the launcher took then."""

    ends: datetime
    champion: str
    shadows: list[str]
    steps: list[Row] = field(default_factory=list)


Told = Callable[[str], None]


def without_loop(definitions: list[Definition]) -> Definition:
    """The label judged by what the first version said in the shadow: the model as it would have been."""
    (late,) = [one for one in definitions if (one.model, one.label) == (model.NAME, LABEL)]
    return replace(late, judges=f"scores.{SHADOW}{FIRST}")


def turned(settings: Settings, spark: SparkSession, *, days: int, seed: int = 0, told: Told = lambda _: None) -> Iterator[Week]:
    """Replay days of 2013 with the loop on, week by week; the lake is that of the settings, and empty."""
    definitions = [one for one in load_models(settings.models_path) if one.model == model.NAME]
    # of the definitions of a label the last is the one that is asked
    declared: list[Definition | RowRules] = [without_loop(definitions), *definitions, *row_rules(settings.conf, [model.NAME])]
    with ExitStack() as stack:
        app = stack.enter_context(Application(settings, spark, definitions=declared))
        stack.enter_context(leases.hold_by_process(app.root, [launch.LEASE], "demo"))
        log = log_at(app.log.path)
        stack.callback(log.close)
        watched = [one for one in load_watched(settings.models_path) if one.model == model.NAME]
        work, texts = work_of(settings, app.root), load_spec(settings.models_path, model.NAME, LABEL).texts
        year = _Year(app, log, work, Watch(work.lake, watched), texts, told)
        traffic = Traffic(flights.load(), seed)
        app.start()
        year.begin(traffic.rows)
        for first in range(0, days, 7):
            served = year.serving()
            batches = (batch for day in range(first, min(first + 7, days)) for batch in traffic.day(day, served.says))
            yield year.week(batches, START + min(first + 7, days) * DAY, served)
        *batches_left, last = traffic.rest()
        yield year.week(iter(batches_left), last.frontier, year.serving())


@dataclass
class _Year:
    """What the steps work with."""

    app: Application
    log: Log
    work: Loop
    watch: Watch
    texts: Sequence[str]
    told: Told
    loaded: dict[str, Any] = field(default_factory=dict)
    sent: Mischief = field(default_factory=Mischief)

    def begin(self, rows: pd.DataFrame) -> None:
        """The first version, and triggers that are watched from the beginning."""
        experiment = self.work.declared(model.NAME)[0].experiment
        register_first(self.work.tracking, rows, pd.Timestamp(START), experiment, self.texts)
        self._settle(START)

    def serving(self) -> Serving:
        """Who scores the flights that come next."""
        return serving(self.work.tracking, histories(self.work.lake), self.texts, self.loaded)

    def week(self, batches: Iterator[Batch], ends: datetime, served: Serving) -> Week:
        """Log what is received, process it, and let the loop turn, as of the week's end."""
        received = list(batches)
        self.sent += sum((batch.sent for batch in received), Mischief())
        if received:  # in one piece: a micro-batch costs what it costs, whatever its size
            payloads = [payload for batch in received for payload in batch.payloads]
            self.log.append(payloads, [at for batch in received for at in batch.received_at])
        self._settle(ends)
        steps = launch.turn(self.work)
        return Week(ends, served.champion, served.shadows, steps)

    def _settle(self, at: datetime) -> None:
        """Until everything that is logged has gone all the way, and has been looked at."""
        self.log.assert_frontier(at)
        end = self.log.end()
        while not self.app.settled(end):
            self.app.check()
            self.told(f"to {at:%Y-%m-%d}: {self.sent.inferences:,} flights, {self.sent.labels:,} arrivals")
            time.sleep(_POLL)
        self.app.note()
        self.watch()
