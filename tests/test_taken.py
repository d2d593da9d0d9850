"""How far a topic was taken, and what no longer fits to it; the broker itself is in `test_intake.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pipelines import files
from pipelines.bronze.tables import EVENTS
from pipelines.errors import HindsightError
from pipelines.log import EmbeddedLog, Log, log_at
from pipelines.log.kafka import Topic, options
from pipelines.log.sound import inspect, opened
from pipelines.log.taken import Taken, Taking, refuse_another, refuse_lost
from pipelines.sections import Kafka

KAFKA = Kafka(brokers="broker:9092", topic="clicks", options={}, password_file="")
TOPIC = Topic("c", "t", (0, 1))
BEFORE = Taken("clicks", "c", "t", {0: 30, 1: 0})


def refused(act: Callable[[], Any]) -> HindsightError:
    with pytest.raises(HindsightError) as error:
        act()
    return error.value


@pytest.mark.parametrize(
    ("found", "code"),
    [(Topic("other", "t", (0, 1)), "kafka_other_cluster"), (Topic("c", "anew", (0, 1)), "topic_recreated")],
)
def test_another_topic_of_the_same_name_is_refused(found: Topic, code: str) -> None:
    assert refused(lambda: refuse_another(KAFKA, found, BEFORE)).code == code


@pytest.mark.parametrize(
    ("bounds", "code", "missing"),
    [
        ({0: (42, 90), 1: (0, 5)}, "offsets_aged_out", "offsets 30 to 41 of partition 0"),
        ({0: (42, 90), 1: (5, 5)}, "offsets_aged_out", "offsets 30 to 41 of partition 0, offsets 0 to 4 of partition 1 have gone"),
        ({0: (0, 20), 1: (0, 5)}, "offsets_gone", "offsets 20 to 29 of partition 0"),
    ],
)
def test_what_is_missing_is_named_to_the_offset(bounds: dict[int, tuple[int, int]], code: str, missing: str) -> None:
    error = refused(lambda: refuse_lost(KAFKA, bounds, BEFORE))
    assert error.code == code
    assert missing in error.message


@pytest.mark.parametrize("bounds", [{0: (30, 30), 1: (0, 0)}, {0: (0, 31), 1: (0, 9), 2: (0, 4)}])
def test_a_topic_that_holds_what_comes_next_is_gone_on_with(bounds: dict[int, tuple[int, int]]) -> None:
    refuse_another(KAFKA, TOPIC, BEFORE)
    refuse_lost(KAFKA, bounds, BEFORE)


@pytest.fixture(params=["a file", "bronze.events"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Log]:
    path = tmp_path / ("log" if request.param == "a file" else EVENTS.folder)
    with closing(log_at(path, durable=False)) as made:
        yield made


def taking(first: dict[int, int], end: dict[int, int], topic: str = "clicks") -> Taking:
    return Taking(topic, TOPIC, first, end)


def test_how_far_it_is_stands_or_falls_with_the_records(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    log.append([b"a"], taking=taking({0: 0}, {0: 1}))

    def crash(*_: object, **__: object) -> None:
        raise InterruptedError

    with monkeypatch.context() as patched:
        patched.setattr(log if isinstance(log, EmbeddedLog) else files, "_write" if isinstance(log, EmbeddedLog) else "write", crash)
        with pytest.raises(InterruptedError):
            log.append([b"b"], taking=taking({0: 1, 1: 0}, {0: 2, 1: 7}))
    assert log.end() == 1
    assert log.taken("clicks") == Taken("clicks", "c", "t", {0: 1})
    log.append([b"b"], taking=taking({0: 1, 1: 0}, {0: 2, 1: 7}))
    assert log_at(log.path).taken("clicks") == Taken("clicks", "c", "t", {0: 2, 1: 7})
    if isinstance(log, EmbeddedLog):
        with closing(opened(log.path)) as db:
            assert inspect(db).well(2)


def test_a_partition_that_nothing_came_from_is_known_and_never_set_back(log: Log) -> None:
    log.append([b"a"], taking=taking({0: 0}, {0: 1, 1: 4}))
    log.append([b"b"], taking=taking({1: 4}, {0: 0, 1: 5}))
    assert log.taken("clicks") == Taken("clicks", "c", "t", {0: 1, 1: 5})


def test_of_two_that_take_a_topic_at_once_the_second_is_refused(log: Log) -> None:
    log.append([b"a", b"b"], taking=taking({0: 0}, {0: 2}))
    other = type(log)(log.path, durable=False)
    other.append([b"c"], taking=taking({0: 2}, {0: 3}))
    error = refused(lambda: log.append([b"c", b"d"], taking=taking({0: 2}, {0: 4})))
    assert error.code == "topic_taken"
    assert "partition 0: offsets 2 to 2" in error.message
    assert (log.end(), log.taken("clicks")) == (3, Taken("clicks", "c", "t", {0: 3}))
    other.close()


def test_what_was_forgotten_is_taken_anew_and_other_topics_stand(log: Log) -> None:
    assert log.taken("clicks") is None
    for name in ("clicks", "views"):
        log.append([b"a"], taking=taking({0: 0}, {0: 1}, name))
    log.forget("clicks")
    assert log.taken("clicks") is None
    assert log.taken("views") == Taken("views", "c", "t", {0: 1})
    assert log.end() == 2
    log.append([b"a"], taking=taking({0: 0}, {0: 1}))


def test_a_damaged_row_is_named(tmp_path: Path) -> None:
    with closing(EmbeddedLog(tmp_path / "log")) as log:
        log.append([b"a"], taking=taking({0: 0}, {0: 1}))
        with closing(opened(log.path, "rw")) as db:
            db.execute("UPDATE taken SET next = 5")
        assert refused(lambda: log.taken("clicks")).code == "log_unreadable"


def test_the_password_comes_from_the_environment_or_a_file_and_never_from_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = refused(lambda: options(Kafka("b:1", "t", {"sasl.password": "hush"}, "")))
    assert error.code == "secret_in_conf"
    assert "hush" not in error.message
    assert refused(lambda: options(Kafka("b:1", "t", {}, str(tmp_path / "none")))).code == "password_unreadable"
    (tmp_path / "secret").write_text("from a file\n")
    kafka = Kafka("b:1", "t", {"sasl.username": "me"}, str(tmp_path / "secret"))
    assert options(kafka)["sasl.password"] == "from a file"
    monkeypatch.setenv("SASL_PASSWORD", "from the environment")
    assert options(kafka)["sasl.password"] == "from the environment"
