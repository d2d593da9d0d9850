"""A topic of a real broker into the log: each record once, whatever dies, and no loss without a word."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic
from pyspark.sql import SparkSession

from pipelines.app import Application
from pipelines.errors import HindsightError, MachineError, StateError
from pipelines.log import intake, log_at
from pipelines.log.intake import Intake, standing
from pipelines.log.kafka import TopicLog
from pipelines.paths import place_log
from pipelines.sections import Kafka
from pipelines.verify import verify
from tests import lakes
from tests.generator import history
from tests.kafka import Broker, broker
from tests.reliability.application import until

pytestmark = pytest.mark.places


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with broker(tmp_path_factory.mktemp("kafka")) as found:
        yield found


class Ground:
    """A topic, a log, and what is done with both."""

    def __init__(self, broker: Broker, name: str, path: Path, partitions: int = 1) -> None:
        self.broker, self.path = broker, path
        self.kafka = Kafka(brokers=broker.address, topic=name, options={}, password_file="")
        self.admin = AdminClient({"bootstrap.servers": broker.address, "log_level": 0})
        self.make(partitions)

    def make(self, partitions: int) -> None:
        for one in self.admin.create_topics([NewTopic(self.kafka.topic, partitions)]).values():
            one.result()

    def delete(self) -> None:
        for one in self.admin.delete_topics([self.kafka.topic]).values():
            one.result()
        time.sleep(0.5)

    def age_out(self, offset: int) -> None:
        """Let the topic forget what lies before an offset."""
        for one in self.admin.delete_records([TopicPartition(self.kafka.topic, 0, offset)]).values():
            one.result()

    def send(self, start: int, end: int) -> None:
        producer = Producer({"bootstrap.servers": self.broker.address, "log_level": 0})
        for number in range(start, end):
            producer.produce(self.kafka.topic, b"%d" % number, b"%d" % (number % 7))
        assert producer.flush(30) == 0

    def take(self) -> None:
        with closing(log_at(self.path, durable=False)) as log, closing(Intake(log, self.kafka)) as intake:
            intake.catch_up()

    def held(self) -> list[int]:
        """The records of the log, in its order."""
        with closing(log_at(self.path, durable=False)) as log:
            return [int(payload) for append in log.read(0, log.end()) for payload in append.records()["payload"].to_pylist()]


@pytest.fixture(params=["sqlite", "bronze"])
def kept(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def ground(running: Broker, tmp_path: Path, request: pytest.FixtureRequest, kept: str) -> Ground:
    # a topic of its own: the broker is shared
    return Ground(running, re.sub(r"\W+", "-", request.node.name), place_log(tmp_path, kept))


def refused(act: Callable[[], Any]) -> HindsightError:
    with pytest.raises(HindsightError) as error:
        act()
    return error.value


def test_every_record_is_taken_once_in_the_order_of_its_partition(running: Broker, tmp_path: Path) -> None:
    ground = Ground(running, "parts", tmp_path / "log", partitions=3)
    ground.send(0, 500)
    ground.take()
    ground.send(500, 700)
    ground.take()
    ground.take()
    held = ground.held()
    assert sorted(held) == list(range(700))
    for key in range(7):
        of_key = [number for number in held if number % 7 == key]
        assert of_key == sorted(of_key)


@pytest.mark.parametrize(("partitions", "closes"), [(4, False), (3, True)], ids=["while it runs", "while it is closed"])
def test_a_topic_may_grow_partitions(ground: Ground, partitions: int, closes: bool) -> None:
    ground.send(0, 10)
    with closing(log_at(ground.path, durable=False)) as log, closing(Intake(log, ground.kafka)) as intake:
        intake.catch_up()
        if closes:
            intake.close()
        for one in ground.admin.create_partitions([NewPartitions(ground.kafka.topic, partitions)]).values():
            one.result()
        time.sleep(0.5)
        ground.send(10, 60)
        intake.catch_up()
    assert sorted(ground.held()) == list(range(60))


def test_what_ended_transactions_leave_behind_may_age_out(ground: Ground) -> None:
    producer = Producer({"bootstrap.servers": ground.broker.address, "transactional.id": ground.kafka.topic, "log_level": 0})
    producer.init_transactions()
    for number in range(6):
        producer.begin_transaction()
        producer.produce(ground.kafka.topic, b"%d" % number)
        producer.flush()
        (producer.abort_transaction if number % 2 else producer.commit_transaction)()
    ground.take()
    with closing(log_at(ground.path, durable=False)) as log:
        ((row,), lost) = standing(log, ground.kafka)
    assert (row["waiting"], lost) == (0, None)
    ground.age_out(row["end"])
    ground.take()
    assert ground.held() == [0, 2, 4]


@pytest.mark.parametrize("partitions", [3, 4], ids=["the first idle", "the first busy"])  # where the keys of `send` go
def test_a_topic_may_grow_partitions_under_a_running_application(
    ground: Ground, partitions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # where records come, they tell of the new partitions; where none comes, a look does
    monkeypatch.setattr(intake, "LOOK", 0.5 if partitions == 3 else 1e9)
    stopping, raised = Event(), list[BaseException]()

    def run() -> None:
        with closing(log_at(ground.path, durable=False)) as log, closing(Intake(log, ground.kafka)) as taking:
            try:
                taking.run(stopping)
            except HindsightError as error:
                raised.append(error)

    thread = Thread(target=run)
    ground.send(0, 10)
    thread.start()
    try:
        assert until(lambda: len(ground.held()) == 10, 30)
        for one in ground.admin.create_partitions([NewPartitions(ground.kafka.topic, partitions)]).values():
            one.result()
        time.sleep(1)
        ground.send(10, 60)
        until(lambda: len(ground.held()) >= 60 or bool(raised), 30)
        ground.send(60, 90)
        until(lambda: len(ground.held()) >= 90 or bool(raised), 30)
    finally:
        stopping.set()
        thread.join(30)
    assert not raised
    assert sorted(ground.held()) == list(range(90))


def test_what_could_not_be_written_is_taken_again(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    ground.send(0, 30)

    def full(*_: object) -> int:
        raise MachineError("disk_full", "no room")

    with closing(log_at(ground.path, durable=False)) as log, closing(Intake(log, ground.kafka)) as intake:
        with monkeypatch.context() as patched:
            patched.setattr(log, "append", full)
            assert refused(intake.catch_up).code == "disk_full"
        intake.catch_up()
    assert ground.held() == list(range(30))


def test_offsets_that_aged_out_are_named_and_gone_on_without_when_told_to(ground: Ground) -> None:
    ground.send(0, 30)
    ground.take()
    ground.send(30, 90)
    ground.age_out(42)
    error = refused(ground.take)
    assert error.code == "offsets_aged_out"
    assert "offsets 30 to 41 of partition 0" in error.message
    assert ground.held() == list(range(30))
    with closing(log_at(ground.path)) as log:
        log.forget(ground.kafka.topic)
    ground.take()
    assert ground.held() == [*range(30), *range(42, 90)]


def test_what_ages_out_of_a_partition_that_nothing_came_from_before_is_named(running: Broker, tmp_path: Path, kept: str) -> None:
    ground = Ground(running, f"idle-{kept}", place_log(tmp_path, kept), partitions=2)
    producer = Producer({"bootstrap.servers": running.address, "log_level": 0})

    def send(partition: int, *numbers: int) -> None:
        for number in numbers:
            producer.produce(ground.kafka.topic, b"%d" % number, partition=partition)
        assert producer.flush(30) == 0

    send(1, 0, 1, 2)
    ground.take()
    send(0, 3, 4, 5)
    ground.age_out(2)
    error = refused(ground.take)
    assert error.code == "offsets_aged_out"
    assert "offsets 0 to 1 of partition 0 have gone" in error.message
    assert ground.held() == [0, 1, 2]


def test_what_ages_out_before_the_first_record_is_taken_is_named(ground: Ground) -> None:
    ground.take()
    ground.send(0, 30)
    ground.age_out(12)
    error = refused(ground.take)
    assert (error.code, ground.held()) == ("offsets_aged_out", [])
    assert "offsets 0 to 11 of partition 0" in error.message


def test_a_topic_made_anew_is_refused(ground: Ground) -> None:
    ground.send(0, 20)
    ground.take()
    ground.delete()
    ground.make(1)
    ground.send(0, 50)
    assert refused(ground.take).code == "topic_recreated"
    with closing(log_at(ground.path)) as log:
        rows, lost = standing(log, ground.kafka)
    assert isinstance(lost, StateError)
    assert lost.code == "topic_recreated"
    assert rows == [{"partition": 0, "first": 0, "end": 50, "taken": 20, "waiting": 30}]


def test_a_topic_made_anew_while_it_is_taken_is_refused(ground: Ground) -> None:
    ground.send(0, 20)
    with closing(log_at(ground.path, durable=False)) as log, closing(Intake(log, ground.kafka)) as intake:
        intake.catch_up()
        ground.delete()
        ground.make(1)
        ground.send(100, 150)

        def take_on() -> None:
            for _ in range(100):
                intake.take()

        assert refused(take_on).code in ("topic_recreated", "topic_missing")
    assert ground.held() == list(range(20))


def test_a_missing_topic_and_a_broker_that_is_none_are_named(running: Broker) -> None:
    nowhere = Kafka(brokers="127.0.0.1:1", topic="t", options={}, password_file="")
    assert refused(lambda: TopicLog(nowhere)).code == "kafka_unreachable"
    missing = Kafka(brokers=running.address, topic="none-such", options={}, password_file="")
    assert refused(lambda: TopicLog(missing)).code == "topic_missing"


def test_history_keeps_its_own_clock(ground: Ground) -> None:
    told = [datetime(2013, 1, 5, 10, 15, 0, 123456, UTC) + timedelta(hours=number) for number in range(5)]
    with closing(TopicLog(ground.kafka)) as topic:
        topic.append([b"%d" % number for number in range(5)], told)
        topic.append([b"5"])
    ground.take()
    with closing(log_at(ground.path, durable=False)) as log:
        appends = list(log.read(0, log.end()))
    assert [append.clock for append in appends] == ["claimed", "log"]
    assert appends[0].records()["received_at"].to_pylist() == told


def test_a_lake_that_a_topic_feeds_is_what_the_verifier_says(ground: Ground, spark: SparkSession, kept: str) -> None:
    settings = lakes.settings_for(ground.path.parents[1], log_kept=kept)
    records = history(5, 300)
    with closing(TopicLog(ground.kafka)) as topic:
        for start in range(0, len(records), 40):
            payloads, received = zip(*records[start : start + 40], strict=True)
            topic.append(payloads, received)
    for _ in range(2):
        with Application(settings, spark, topic=ground.kafka) as app:
            app.drain()
            assert app.log.end() == len(records)
    report = verify(settings.lake.path)
    assert report.ok
    assert report.cells_compared > 1000


TAKER = """
import sys
from pathlib import Path
from threading import Event
from pipelines.log import intake, log_at
from pipelines.log.intake import Intake
from pipelines.sections import Kafka
log = log_at(Path(sys.argv[1]))
Intake(log, Kafka(brokers=sys.argv[2], topic=sys.argv[3], options={}, password_file="")).run(Event())
"""


def test_what_is_acknowledged_is_taken_once_though_broker_and_taker_are_killed(ground: Ground) -> None:
    stop, sent = Event(), list[int]()

    def produce(topic: TopicLog) -> None:
        while not stop.is_set():
            block = list(range(len(sent), len(sent) + 50))
            topic.append([b"%d" % number for number in block])
            sent.extend(block)

    def taker() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", TAKER, str(ground.path), ground.broker.address, ground.kafka.topic])

    # made while the broker is there: one that begins while there is none says so, and does not
    with closing(TopicLog(ground.kafka)) as topic:
        producing = Thread(target=produce, args=(topic,))
        producing.start()
        process = taker()
        for life in range(10):
            before = len(sent)
            while len(sent) < before + 100 and producing.is_alive():
                time.sleep(0.01)
            ground.broker.stop()
            if life % 2:
                process.send_signal(signal.SIGKILL)
                process.wait()
            ground.broker.start()
            if life % 2:
                process = taker()
        stop.set()
        producing.join()
    process.kill()
    process.wait()
    ground.take()
    held = ground.held()
    assert len(sent) >= 1000
    assert len(held) == len(set(held))
    assert sorted(held) == list(range(len(sent)))
