"""Jobs as applications: all at once, fed while they run; and some of them."""

from __future__ import annotations

import time
from contextlib import closing
from itertools import count
from pathlib import Path

from pyspark.sql import SparkSession

from pipelines import checkpoint, settle
from pipelines.app import Application
from pipelines.erasure.erase import erase
from pipelines.jobs import RECONCILE
from pipelines.lake import Lake
from pipelines.log import log_at
from pipelines.paths import checkpoints, log_path
from pipelines.rebuild import rebuild
from pipelines.silver.tables import DUPLICATES, FEEDBACK, INFERENCES, LABELLED, RECONCILED
from tests import lakes, people
from tests.bench.load import definitions
from tests.bench.sender import Sender

ROUNDS = 4
"""How often reconcile settles something while events go on coming."""
PATIENCE = 90


class Racing(Application):
    """An application in which more has landed by the time that reconcile knows what was consumed."""

    def _consumed(self, *, wait: bool) -> bool:
        found = super()._consumed(wait=wait)
        landed, until = checkpoint.landed(checkpoints(self.root)), time.monotonic() + 2
        while checkpoint.landed(checkpoints(self.root)) == landed and time.monotonic() < until:
            time.sleep(0.01)
        return found


def test_what_the_join_still_has_before_it_is_not_handed_over_to_it(spark: SparkSession, tmp_path: Path) -> None:
    settings = lakes.settings_for(tmp_path / "lake", run_reconcile_every="1 second", run_frontier_every="1 second")
    sender = Sender(300)
    with Racing(settings, spark, given=definitions(tmp_path)) as app:
        app.start()
        until = time.monotonic() + PATIENCE
        settled = {0}
        for number in count():
            app.log.append(sender.tick(number))
            settled.add(settle.last(app.lake)["end_offset"])
            app.check()
            time.sleep(0.1)
            if len(settled) > ROUNDS or time.monotonic() > until:
                break
        end = app.log.end()  # it goes on growing: the frontier is stated every second
        while not app.settled(end) and time.monotonic() < until:
            app.check()
            time.sleep(0.2)
    sent = sender.sent
    lake = Lake(tmp_path / "lake")
    rows = {table.noun: lake.read(table, []).num_rows for table in (INFERENCES, FEEDBACK, LABELLED, DUPLICATES)}
    assert rows == {
        "inferences": sent.inferences,
        "feedback": sent.feedback,
        "labelled": sent.feedback,
        "duplicates": sent.repeated,
    }
    assert lake.read(RECONCILED, []).num_rows == 0


def test_only_an_application_that_lands_records_adds_to_the_log(spark: SparkSession, tmp_path: Path) -> None:
    settings, declared = lakes.settings_for(tmp_path / "lake"), definitions(tmp_path)
    added = []
    for job in ("land", "tally", "reconcile"):
        with closing(log_at(log_path(settings.lake.path))) as log:
            log.append([b"live"])
            before = log.end()
        with Application(settings, spark, jobs=[job], definitions=declared) as app:
            app.drain()
            added.append(app.log.end() - before)
    assert added == [len(declared) + 1, 0, 0]


def test_jobs_that_ran_alone_go_on_alone_after_an_erasure_and_a_rebuild(spark: SparkSession, tmp_path: Path) -> None:
    settings, history = lakes.settings_for(tmp_path / "lake"), people.history(11, 60, 4)
    pieces = (("land", "refine"), ("expose", "absences"), ("attribute", RECONCILE), ("resolve",), ("tally", "examples"))

    def alone() -> list[str]:
        for jobs in pieces:
            with Application(settings, spark, jobs=jobs) as app:
                app.drain(tick=False)
        return sorted(folder.name for folder in checkpoints(app.root).iterdir() if folder.name != RECONCILE)

    with closing(log_at(log_path(settings.lake.path), durable=False)) as log:
        log.append(*zip(*history[:40], strict=True))
    before = alone()
    with closing(log_at(log_path(settings.lake.path), durable=False)) as log:
        log.append(*zip(*history[40:], strict=True))
    with Application(settings, spark) as app:
        assert erase(app, [people.person(1)]) is not None
    assert all(one.same for one in rebuild(settings, spark))
    assert alone() == before
    lakes.proven(settings.lake.path)


def test_a_query_that_ended_before_its_first_batch_is_not_waited_for(spark: SparkSession, tmp_path: Path) -> None:
    settings = lakes.settings_for(tmp_path / "lake")
    checkpoint.state_generation(checkpoints(settings.lake.path) / "tally", "killed before it began")
    app = lakes.run(settings, spark, [lakes.HISTORY[:60]])
    assert settle.last(app.lake)["end_offset"] >= 60
    lakes.proven(settings.lake.path)
