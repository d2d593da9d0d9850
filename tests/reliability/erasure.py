"""Erasing one person of a hundred under load, killed at every point of it: no byte of them is left, and nobody else moves."""

from __future__ import annotations

import json
import random
import re
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from pipelines.app import Application
from pipelines.bronze.tables import EVENTS
from pipelines.contract import Table
from pipelines.erasure.erase import erase
from pipelines.gold.tables import EXAMPLES, OUTCOME_LEDGER, STATISTICS
from pipelines.health.checks import checks
from pipelines.rebuild import rebuild
from pipelines.settings import Settings
from pipelines.silver import tables as silver
from pipelines.verify import verify
from tests import lakes, people
from tests.reliability.application import Place, kill, until
from tests.reliability.check import Check, Figures, at_least, exactly
from tests.reliability.ground import declared
from tests.reliability.kill import MODEL
from tests.reliability.world import DAY, HOUR, MINUTE, START, Record, Truth, World

KILLS = (
    *(("the log is told who", 1), ("what goes is written down", 1), ("gold takes back", 1), ("gold takes back", 2), ("gold takes back", 3)),
    *(("a table is written again", 2), ("a table is written again", 3), ("records of the log are replaced", 2)),
    *(("the journal of the log is emptied", 1), ("a state is emptied", 2), ("a file is deleted", 5)),
    ("the certificate is written", 1),
)
"""Where the command dies, one after the other."""
SHARE = 100
"""One of so many is erased; three at least."""
SENT = (EVENTS, silver.INFERENCES, silver.FEEDBACK, silver.QUARANTINE, silver.DUPLICATES)
"""Tables in which a row, once it stands, is about its record alone."""
SIGNED = (OUTCOME_LEDGER, EXAMPLES, STATISTICS)
"""What a stream of others reads."""
_ID = re.compile(rb"(?:person|req|fb)~[-0-9]+~")


def run(seed: int, size: int, folder: Path, spark: SparkSession) -> Figures:
    rng = random.Random(f"erasure {seed}")
    records = peopled(seed, size).records
    gone = sorted(rng.sample(range(size), max(3, size // SHARE)))
    theirs = [about(record, gone) for record in records]
    cut = len(records) * 7 // 10
    place = Place.made(folder, batch_records=max(100, len(records) // 6))
    settings = lakes.settings_for(place.lake, run_join_horizon="10 minutes", log_batch_records=max(100, len(records) // 6))
    place.append(records[:cut], most=50)
    drain(settings, spark)
    ids = {match.decode() for record, own in zip(records[:cut], theirs, strict=False) if own for match in _ID.findall(record.payload)}
    offsets = {offset for offset in range(cut) if theirs[offset]}
    judged = next(json.loads(records[at].payload)["request_id"] for at in sorted(offsets) if records[at].home == "inference")
    before, found_before = of_others(place.lake, cut, offsets), len(people.traces(place.lake, ids))
    meanwhile = [record for record, own in zip(records[cut:], theirs[cut:], strict=True) if not own]
    streams = Streams(place.lake, spark, folder / "streams")
    (folder / "gone.txt").write_text("\n".join(map(people.person, gone)))
    with load(place, meanwhile):
        missed = killed(place, folder / "gone.txt", streams)
        finished = place.start("erase")
        assert finished.wait() == 0, place.told(finished)
    certificate = json.loads(next((place.lake / "_erasures").iterdir()).read_text())
    left = people.traces(place.lake, ids)
    drain(settings, spark)
    report = verify(place.lake)
    return {
        "people_erased": len(gone),
        "records_erased": sum(last - first + 1 for first, last in certificate["offsets"]),
        "records_of_theirs": len(offsets),
        "kills": len(KILLS),
        "kills_that_did_not_come": len(missed),
        "files_with_their_ids_before": found_before,
        "files_with_their_ids_after": len(left),
        "rows_of_others_changed": changed(before, of_others(place.lake, cut, offsets)),
        "verifier_differences": report.differences + report.pending,
        **streams.close(),
        **again(settings, spark, records, gone, ids=ids, judged=judged),
        "examples": [*left[:5], *missed, *(f"{found.table} {found.key}" for found in report.examples[:5])],
    }


CHECK = Check(
    "erasure",
    "A person erased under load, the command killed at every point, leaves no byte; nobody else's rows move, no stream breaks or skips",
    run,
    short=20,
    full=10_000,
    wanted={
        "kills_that_did_not_come": exactly(0),
        "kills": at_least(10),
        "files_with_their_ids_before": at_least(5),
        "files_with_their_ids_after": exactly(0),
        "rows_of_others_changed": exactly(0),
        "verifier_differences": exactly(0),
        "streams_broken": exactly(0),
        "streams_that_add_up_to_something_else": exactly(0),
        "records_refused_of_who_comes_again": exactly(2),
        "files_with_their_ids_after_a_second_erasure": exactly(0),
        "versions_moved_by_a_third": exactly(0),
        "tables_that_a_rebuild_changes": exactly(0),
        "files_with_their_ids_after_a_rebuild": exactly(0),
        "ills_that_doctor_finds": exactly(0),
    },
)


def peopled(seed: int, size: int) -> Truth:
    """So many people with a few requests each over half a day, feedback soon and late, repetitions, contradictions, refusals."""
    rng = random.Random(f"people {seed}")
    world = World(declared(MODEL))
    for number in range(size):
        for request in range(rng.randrange(1, 6)):
            _request(world, rng, people.person(number), f"{number}-{request}")
    last = max(said.received_at for said in world.said)
    for hours in range(0, (last - START) // HOUR + 1, 4):
        world.frontier(START + hours * HOUR)
    world.frontier(last + DAY)
    return world.truth()


def _request(world: World, rng: random.Random, person: str, name: str) -> None:
    request, served = f"req~{name}~", START + rng.randrange(12 * 3600) * timedelta(seconds=1)
    received = served + rng.randrange(3) * MINUTE
    segments = {"origin": rng.choice(["JFK", "EWR"])}
    event = world.infer(request, served, received, subject=person, segments=segments, prediction=rng.randrange(2))
    for vote in range(rng.randrange(3)):
        given = served + rng.randrange(1, 20 * 60) * MINUTE
        heard = given + rng.choice([0, 1, 90]) * MINUTE
        said = world.judge(f"fb~{name}-{vote}~", request, rng.randrange(2), given, heard, rater=person)
        if rng.random() < 0.1:
            world.respell(said, heard + HOUR)
    if rng.random() < 0.1:
        world.send(event, received + rng.randrange(1, 9) * HOUR)
    if rng.random() < 0.05:
        world.send({**event, "version": "2"}, received + HOUR)
    if rng.random() < 0.05:
        world.refuse(json.dumps({**event, "customer": person}).encode(), received, "unknown_field")
        world.refuse(json.dumps(event).encode()[:-9], received, "not_json")


def about(record: Record, gone: Sequence[int]) -> bool:
    """Whether a record is about one of these people: every id begins with their number."""
    numbers = {int(re.split("[~-]", match.decode())[1]) for match in _ID.findall(record.payload)}
    return not numbers.isdisjoint(gone)


def killed(place: Place, file: Path, streams: Streams) -> list[str]:
    """Let the command die at each point in turn; where it did not."""
    missed = []
    for number, (point, passes) in enumerate(KILLS):
        # nobody has to be named again once it is written down who
        words = ["--from", str(file), *streams.named] if number < 3 else []
        process = place.start("erase", *words, module=("tests.reliability.dying_erasure", point, str(passes)))
        died = until(lambda: process.poll() is not None)  # noqa: B023
        kill(process)
        if not died or process.returncode >= 0:
            missed.append(f"{point}: {place.told(process)[-500:]}")
    return missed


def again(
    settings: Settings, spark: SparkSession, records: Sequence[Record], gone: Sequence[int], *, ids: set[str], judged: str
) -> Figures:
    """One of them comes again, another is judged again: both refused, and gone with a second erasure; a third does nothing."""
    lake = settings.lake.path
    returning = people.person(gone[0])
    inference = {"kind": "inference", "request_id": "req~0-0-0~", "model": "m", "version": "1", "status": "ok", "prediction": 1}
    inference |= {"served_at": (START + 2 * DAY).isoformat(), "subject": returning}
    feedback = {"kind": "feedback", "feedback_id": "fb~0-0-9~", "request_id": judged, "label": "late", "action": "assert"}
    feedback |= {"given_at": (START + 2 * DAY).isoformat(), "value": 1}
    with Application(settings, spark) as app:
        last = max(record.received_at for record in records) + DAY
        app.log.append([json.dumps(event).encode() for event in (inference, feedback)], [last, last])
        app.drain()
        refused = lakes.rows_of(lake, silver.QUARANTINE)["reason"].to_pylist().count("subject_erased")
        erase(app, [returning])
    second = people.traces(lake, ids | {"req~0-0-0~", "fb~0-0-9~"})
    with Application(settings, spark) as app:
        app.drain()
        versions = {table.name: app.lake.open(table).version() for table in SENT + SIGNED}
        assert erase(app, list(map(people.person, gone))) is None
        moved = [name for name, version in versions.items() if app.lake.open(_by_name(name)).version() != version]
    ill = [check.code for check in checks(lake) if not check.ok]
    rebuilt = [one.table for one in rebuild(settings, spark) if not one.same]
    return {
        "records_refused_of_who_comes_again": refused,
        "files_with_their_ids_after_a_second_erasure": len(second),
        "versions_moved_by_a_third": len(moved),
        "ills_that_doctor_finds": len(ill),
        "tables_that_a_rebuild_changes": len(rebuilt),
        "files_with_their_ids_after_a_rebuild": len(people.traces(lake, ids)),
    }


def _by_name(name: str) -> Table:
    return next(table for table in SENT + SIGNED if table.name == name)


def drain(settings: Settings, spark: SparkSession) -> None:
    with Application(settings, spark) as app:
        app.drain_whole()


def of_others(lake: Path, end: int, gone: set[int]) -> dict[str, Counter[str]]:
    """The rows about records below an offset that are not about those at some offsets."""
    return {
        table.name: lakes.net_of(row for row in lakes.rows_of(lake, table).to_pylist() if row["offset"] < end and row["offset"] not in gone)
        for table in SENT
    }


def changed(before: dict[str, Counter[str]], after: dict[str, Counter[str]]) -> int:
    return sum(((before[name] - after[name]) + (after[name] - before[name])).total() for name in before)


@contextmanager
def load(place: Place, records: Sequence[Record]) -> Iterator[None]:
    """Somebody appends all the while; whatever is left is there at the end."""
    stop = threading.Event()

    def append() -> None:
        for start in range(0, len(records), 10):
            place.append(records[start : start + 10], most=10)
            stop.wait(0.5)

    thread = threading.Thread(target=append, name="load")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


class Streams:
    """Streams of others that read what is signed, before, while and after; and what they add up to."""

    def __init__(self, lake: Path, spark: SparkSession, folder: Path) -> None:
        self.lake = lake
        self.seen: dict[str, list[pa.Table]] = {table.name: [] for table in SIGNED}
        self.folders = [folder / table.noun for table in SIGNED]
        self.queries = [self._start(spark, table, at) for table, at in zip(SIGNED, self.folders, strict=True)]
        for query in self.queries:
            query.processAllAvailable()

    @property
    def named(self) -> list[str]:
        return [word for folder in self.folders for word in ("--reader", str(folder))]

    def close(self) -> Figures:
        broken = 0
        for query in self.queries:
            try:
                query.processAllAvailable()
            except Exception:  # whatever it is, the stream has broken
                broken += 1
            query.stop()
        apart = [table for table in SIGNED if _sum(table, self.seen[table.name]) != _sum(table, [lakes.rows_of(self.lake, table)])]
        return {"streams_broken": broken, "streams_that_add_up_to_something_else": len(apart)}

    def _start(self, spark: SparkSession, table: Table, folder: Path) -> Any:
        def take(batch: DataFrame, _: int) -> None:
            self.seen[table.name].append(batch.toArrow().select(table.names).cast(table.arrow))

        rows = spark.readStream.format("delta").load(str(self.lake / table.folder))
        return rows.writeStream.foreachBatch(take).option("checkpointLocation", str(folder)).start()


def _sum(table: Table, parts: list[pa.Table]) -> Any:
    """What signed rows come to, as one number."""
    weight = "sign" if "sign" in table.names else "amount"
    said = ", ".join(f'"{name}"' for name in table.names if name not in ("recorded_at", "features", weight))
    with closing(duckdb.connect()) as db:
        db.register("rows", pa.concat_tables(parts))
        return db.execute(
            f"SELECT count(*), bit_xor(hash(said, total)) FROM (SELECT hash({said}) AS said, sum({weight}) AS total FROM rows "
            "GROUP BY ALL HAVING total <> 0)"
        ).fetchone()
