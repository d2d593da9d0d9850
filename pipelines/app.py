"""The running application: queries for the chains, a reconcile beside them, leases, and an orderly end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from itertools import takewhile
from pathlib import Path

from pyspark.errors import StreamingQueryException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from pipelines import backfill, checkpoint, guards, leases, settle, status, written
from pipelines.catalog import address
from pipelines.consumed import consumed
from pipelines.contract import Table
from pipelines.definition import Definition
from pipelines.definitions import DefinitionBook, backfilled, declare
from pipelines.errors import HindsightError, StateError, disk_full
from pipelines.groups import Group, forget_unused, select
from pipelines.job import run_batch
from pipelines.jobs import LATER, NAMES, RECONCILE, TABLES, WATCH
from pipelines.lake import Lake, Mark
from pipelines.log import log_at
from pipelines.log.intake import Intake
from pipelines.maintain import maintain
from pipelines.paths import checkpoints, place_log, refuse_half_erased, refuse_half_filled, refuse_half_rebuilt
from pipelines.sections import Kafka
from pipelines.settings import Settings
from pipelines.silver.rules import RowRules
from pipelines.watch.rules import Watched
from pipelines.watch.watch import Watch

_POLL = 0.2


class Application:
    """All jobs (or some) of one lake in one Spark application.

    `with Application(settings, spark) as app: app.start() … app.stop()`, or `app.drain()` for what is there now. Leases are held
    inside the `with`. `given` definitions stand before the log, for tests; others are declared in it, where the landing job is among
    the jobs. `watched`: the rules by which alerts, drift and triggers are posted whenever the frontier has moved. `topic`: what the
    landing job takes into the log. `like`: the lake whose jobs this one's run as, where it is to take that one's place.
    """

    def __init__(
        self,
        settings: Settings,
        spark: SparkSession,
        *,
        jobs: Sequence[str] = (),
        definitions: Sequence[Definition | RowRules] = (),
        given: Sequence[Definition] = (),
        watched: Sequence[Watched] = (),
        topic: Kafka | None = None,
        like: Path | None = None,
    ) -> None:
        self.settings, self.spark = settings, spark
        self.root = settings.lake.path.resolve()
        self.groups, self.reconciles = select(jobs, settings, like)
        self.lake = Lake(self.root, committer=settings.lake.committer, spark=spark, catalog=settings.lake.catalog)
        self.log = log_at(place_log(self.root, settings.log.kept), durable=settings.log.fsync)
        self._definitions, self._given = definitions, given
        self._watch = Watch(self.lake, watched)
        self._lands = any(job.name == "land" for group in self.groups for job in group.jobs)
        self._intake = Intake(self.log, topic) if topic is not None and topic.brokers and self._lands else None
        self._backfilled: list[Definition] = []
        self._stack = ExitStack()
        self._stopping = threading.Event()
        self._beside: list[threading.Thread] = []
        self._failures: dict[str, BaseException] = {}

    def __enter__(self) -> Application:
        names = [job.name for group in self.groups for job in group.jobs] + [RECONCILE, WATCH] * self.reconciles
        self._stack.enter_context(leases.hold_by_jvm(self.spark, self.root, names, "run"))
        try:
            refuse_half_rebuilt(self.root)
            refuse_half_erased(self.root)
            if not {*names} >= {*NAMES}:
                refuse_half_filled(self.root)
            guards.refuse_an_earlier_lake(self.lake)
            self.lake.create(*TABLES)
            self.lake.register(*TABLES, *LATER)
            forget_unused(self.root, self.groups)
            for group in self.groups:
                guards.refuse_a_lost_checkpoint(self.lake, group.checkpoint, group.jobs)
                guards.refuse_an_old_backup(self.lake, group.checkpoint, group.jobs)
            guards.refuse_old_tables(self.lake)
            guards.refuse_a_short_log(self.root, self.log.end(), self._landed())
            DefinitionBook(self.lake).erasures()  # before anything starts, if their key is lost
            if self._lands:  # what others append, none of their jobs would take in
                declare(self.log, self.lake, self._definitions)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        finally:
            self._stack.close()
            self.log.close()

    def start(self) -> None:
        """Start the queries, and reconcile beside them."""
        if self._intake is not None:
            self._intake.check()
        self._prepare()
        for group in self.groups:
            self._start(group, once=False)
        if self.reconciles:
            self._start_beside(RECONCILE, self._settle_on)
        if self._intake is not None:
            self._start_beside("intake", partial(self._intake.run, self._stopping))

    def drain(self, progress: Callable[[], None] = lambda: None, *, tick: bool = True) -> None:
        """Process what is in the log now, and stop: chain after chain, then reconcile until nothing is left.

        `tick`: state the present as the frontier first, which is a record more in a live log; for the landing job to take in.
        """
        # A query that ends within seconds would never see to its state, and each start read all that it ever changed.
        self.spark.conf.set("spark.sql.streaming.stateStore.maintenanceInterval", "1s")
        if self._intake is not None:
            self._intake.catch_up(progress)
        self._prepare(progress)
        if tick and self._lands:
            self.log.tick()
        self._drain(progress, self.groups)
        if self.reconciles and self._consumed(wait=False):

            def hand_over() -> bool:
                self._drain(progress, [group for group in self.groups if group.jobs[0].inputs])
                return self._consumed(wait=False)

            self._settle(self._landed(), hand_over)

    def drain_whole(self, progress: Callable[[], None] = lambda: None) -> int:
        """Process until whatever has landed has gone all the way; the log offset after it."""
        self.drain(progress)
        while not self.settled(end := self._landed()):
            self.drain(progress)
        return end

    def check(self) -> None:
        """Raise what has gone wrong in a query or in reconcile: StateError `job_failed`, MachineError `disk_full`."""
        failed: dict[str, BaseException | None] = {g.name: g.query.exception() if g.query else None for g in self.groups}
        for name, error in (*failed.items(), *self._failures.items()):
            if isinstance(error, HindsightError):
                raise error
            if error is not None:
                raise disk_full(error) or StateError("job_failed", f"{name}: {_first_lines(str(error))}") from error

    def note(self) -> None:
        """Leave notes for `hindsight status`."""
        for group in self.groups:
            if group.query is not None:
                status.note(self.root, group.name, group.query.lastProgress)

    def settled(self, offset: int) -> bool:
        """Whether everything below a log offset has gone all the way."""
        return bool(settle.last(self.lake)["end_offset"] >= offset)

    def stop(self) -> None:
        """Stop the queries; what is in flight is done again at the next start."""
        self._stopping.set()
        for group in self.groups:
            if group.query is not None:
                group.query.stop()
        for thread in self._beside:
            thread.join(timeout=30)
        if self._intake is not None:
            self._intake.close()

    def _prepare(self, progress: Callable[[], None] = lambda: None) -> None:
        """Finish a backfill that is under way, and know what is backfilled from the first batch on.

        No other application can declare one meanwhile: that takes the leases of all jobs.
        """
        unfinished = backfill.under_way(self.root)
        if unfinished:
            backfill.carry_out(unfinished, self.lake, self.log, progress)
        self._backfilled = backfilled(self.log, settle.last(self.lake)["end_offset"])
        if unfinished:
            self._drain(progress, self.groups)
            backfill.finish(self.root)

    def _landed(self) -> int:
        return checkpoint.landed(checkpoints(self.root))

    def _drain(self, progress: Callable[[], None], groups: Sequence[Group]) -> None:
        for group in groups:
            query = self._start(group, once=True)
            while query.isActive:
                with suppress(StreamingQueryException):  # `check` tells it
                    query.awaitTermination(1)
                self.note()
                progress()
            self.check()
            self.note()

    def _start(self, group: Group, *, once: bool) -> StreamingQuery:
        book = DefinitionBook(self.lake, [*self._given, *self._backfilled])
        generation = checkpoint.generation(group.checkpoint)

        def process(batch: DataFrame, number: int) -> None:
            planned = checkpoint.planned_batch(group.checkpoint, number)
            rows = run_batch(
                group.jobs,
                batch,
                lake=self.lake,
                definitions=book,
                mark=lambda table: Mark(f"{generation}:{group.name}:{table.name}", number),
                covers={"query": group.name, "batch": number, "offsets": planned.offsets},
            )
            reached = {table: number for tables in rows.values() for table, count in tables.items() if count}
            written.note(group.checkpoint, reached)

        first = group.jobs[0]
        lands = first.name == "land" or self.settings.log.kept == "bronze"
        streams = {name: self._stream(table, lands=lands) for name, table in first.streams.items()}
        frame = first.transform(**streams) if first.on_stream else next(iter(streams.values()))
        writer = (
            frame.writeStream.foreachBatch(process)
            .queryName(group.name)
            .option("checkpointLocation", address(group.checkpoint))
        )
        if once:
            writer = writer.trigger(availableNow=True)
        elif self.settings.run.trigger:
            writer = writer.trigger(processingTime=f"{self.settings.run.trigger.total_seconds()} seconds")
        group.query = writer.start()
        return group.query

    def _stream(self, table: Table | None, *, lands: bool) -> DataFrame:
        """A table, or the log, as it grows; the log as far as it has landed, for a query that does not land it."""
        if table is None:
            return (
                self.spark.readStream.format("hindsight_log")
                .option("path", str(self.log.path))
                .option("records", str(self.settings.log.batch_records))
                .option("behind", "" if lands else str(checkpoints(self.root)))
                .load()
            )
        reader = self.spark.readStream.option("maxBytesPerTrigger", str(self.settings.run.bytes_per_trigger))
        return self.lake.catalog.read(reader, table)

    def _start_beside(self, name: str, work: Callable[[], None]) -> None:
        """Do something beside the queries; how it fails is for `check` to tell."""

        def kept() -> None:
            try:
                work()
            except Exception as error:
                if not self._stopping.is_set():
                    self._failures[name] = error

        self._beside.append(threading.Thread(target=kept, name=name, daemon=True))
        self._beside[-1].start()

    def _settle_on(self) -> None:
        """The reconcile thread: frontier by the clock, then settle, hand over, wait, record; again and again."""
        every, ticked = self.settings.run.reconcile_every.total_seconds(), time.monotonic()
        while not self._stopping.is_set():
            if time.monotonic() - ticked >= self.settings.run.frontier_every.total_seconds():
                self.log.tick()
                ticked = time.monotonic()
            landed = self._landed()
            if self._consumed(wait=True):
                self._settle(landed, lambda: self._consumed(wait=True))
            maintain(self.root, TABLES, self.settings.maintain, vacuum=False)
            self._stopping.wait(every)

    def _settle(self, landed: int, hand_over: Callable[[], bool]) -> None:
        """Settle what has landed below an offset and been consumed since, slice by slice; then watch, up to the new frontier.

        `hand_over` lets the join's chain take what was found, and says whether it has.
        """
        while (settled := settle.last(self.lake)["end_offset"]) < landed:
            cut = settle.settle(self.lake, min(landed, settled + settle.SLICE))
            if cut.handed and not hand_over():
                return
            settle.record(self.lake, cut)
        self._watch()

    def _consumed(self, *, wait: bool) -> bool:
        """Whether every job has consumed what its sources hold now. With `wait`, wait for it; False when stopping."""
        return consumed(self.lake, lambda: wait and not self._stopping.wait(_POLL))


def _first_lines(text: str) -> str:
    """What a failed query says: of a Python traceback the error at its end, which is what happened, and no line of a stack."""
    lines = [line for line in text.splitlines() if line.strip() and line[0] not in " \t"]
    starts = [number for number, line in enumerate(lines, 1) if "Traceback (most recent call last)" in line]
    said = lines[starts[-1] if starts else 0 :]
    return "\n".join(takewhile(lambda line: not line.startswith(("=== ", "Caused by:")), said[:12]))
