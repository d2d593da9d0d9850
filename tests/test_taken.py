"""How far a topic was taken, and what no longer fits to it; the broker itself is in `test_intake.py`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import HindsightError
from pipelines.log import EmbeddedLog
from pipelines.log.kafka import Topic, options
from pipelines.log.sound import inspect, opened
from pipelines.log.taken import Taken, forget, note, refuse_another, refuse_lost, taken
from pipelines.sections import Kafka

KAFKA = Kafka(brokers="broker:9092", topic="clicks", options={}, password_file="")
TOPIC = Topic("c", "t", (0, 1))
BEFORE = Taken("c", "t", {0: 30, 1: 0})


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


def test_how_far_it_is_stands_or_falls_with_the_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(EmbeddedLog(tmp_path / "log")) as log:
        log.append([b"a"], within=partial(note, name="clicks", topic=TOPIC, ends={0: 1}))

        def crash(*_: object, **__: object) -> None:
            raise InterruptedError

        with monkeypatch.context() as patched:
            patched.setattr(log, "_write", crash)
            with pytest.raises(InterruptedError):
                log.append([b"b"], within=partial(note, name="clicks", topic=TOPIC, ends={0: 2, 1: 7}))
        assert log.end() == 1
        assert taken(log.path, "clicks") == Taken("c", "t", {0: 1})
        with closing(opened(log.path)) as db:
            assert inspect(db).well(1)


def test_what_was_forgotten_is_taken_anew_and_other_topics_stand(tmp_path: Path) -> None:
    with closing(EmbeddedLog(tmp_path / "log")) as log:
        assert taken(log.path, "clicks") is None
        for name in ("clicks", "views"):
            log.append([b"a"], within=partial(note, name=name, topic=TOPIC, ends={0: 1}))
        forget(log.path, "clicks")
        assert taken(log.path, "clicks") is None
        assert taken(log.path, "views") == Taken("c", "t", {0: 1})


def test_a_damaged_row_is_named(tmp_path: Path) -> None:
    with closing(EmbeddedLog(tmp_path / "log")) as log:
        log.append([b"a"], within=partial(note, name="clicks", topic=TOPIC, ends={0: 1}))
        with closing(opened(log.path, "rw")) as db:
            db.execute("UPDATE taken SET next = 5")
        assert refused(lambda: taken(log.path, "clicks")).code == "log_unreadable"


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
