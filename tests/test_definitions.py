"""Which definitions are in force, and what each applies to: as the log declares them, backfilled ones everywhere."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.definition import Definition, Policy, active
from pipelines.definitions import backfilled
from pipelines.gold.metrics.plan import Windows, target
from pipelines.log import EmbeddedLog
from pipelines.verify.definitions import Definitions, definition
from tests import generator
from tests.frames import at

CLICK = Definition("m", "click", ((),), ("1 hour",), policy=Policy("binary", "request", "latest", 1800), positive=1.0)
SERVICE = Definition("m", "", ((),), ("1 hour",))


def test_a_definition_applies_above_its_declaration_and_a_backfilled_one_everywhere() -> None:
    declared = replace(CLICK, offset=7)
    assert (declared.above, replace(declared, everywhere=True).above) == (7, -1)
    assert replace(declared, everywhere=True) == declared
    assert replace(declared, everywhere=True).hash == declared.hash


def test_of_equal_definitions_the_lowest_counts_and_is_everywhere_if_any_is() -> None:
    other = replace(CLICK, threshold=0.5, offset=5)
    found = active([replace(CLICK, offset=9, everywhere=True), other, replace(CLICK, offset=3)])
    assert [(one.hash, one.offset, one.above) for one in found] == [(CLICK.hash, 3, -1), (other.hash, 5, 5)]


def test_its_control_event_says_that_it_is_everywhere() -> None:
    assert "backfill" not in json.loads(CLICK.control())
    assert json.loads(replace(CLICK, everywhere=True).control())["backfill"] is True


def test_the_log_is_searched_for_what_is_backfilled(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path / "log.sqlite", durable=False)
    payloads = [payload for payload, _ in generator.history(1, 60)]
    hidden = replace(CLICK, threshold=0.9, everywhere=True).control().replace(b'"define"', b'"d\\u0065fine"')
    false = replace(CLICK, threshold=0.1, everywhere=True).control().replace(b'"backfill":true', b'"backfill":false')
    log.append([*payloads, CLICK.control(), hidden, false])
    at_once = log.control(replace(CLICK, everywhere=True).control(), replace(SERVICE, everywhere=True).control())
    log.append(payloads)
    found = backfilled(log, 0)
    assert [(one.label, one.offset) for one in found] == [("click", len(payloads) + 1), ("click", at_once - 1), ("", at_once)]
    assert [one.label for one in backfilled(log, at_once)] == [""]
    assert backfilled(log, at_once + 1) == []
    log.close()


@pytest.mark.parametrize("backfill", [False, True])
def test_the_verifier_knows_of_a_backfill_what_came_before_it(backfill: bool) -> None:
    known = Definitions([SERVICE.body()])
    known.declare(definition(CLICK.body(), 5))
    assert [one.label for one in known.applicable("m", 3)] == [""]
    known.declare(definition(CLICK.body(), 9), backfill=backfill)
    assert [one.label for one in known.applicable("m", 3)] == ["", "click"][: 1 + backfill]
    assert [(one.label, one.offset) for one in known.applicable("m", 7)] == [("", -1), ("click", 5)]


OF_ORIGIN = replace(SERVICE, cuts=((), ("origin",)), segments=(("origin", ()),))


@pytest.mark.parametrize(
    ("asked", "services", "expected"),
    [
        (replace(CLICK, offset=1), [replace(SERVICE, offset=0), replace(OF_ORIGIN, offset=8, everywhere=True)], SERVICE),
        (
            replace(CLICK, offset=9, everywhere=True),
            [replace(SERVICE, offset=0), replace(OF_ORIGIN, offset=8, everywhere=True)],
            OF_ORIGIN,
        ),
        (replace(CLICK, offset=9), [replace(SERVICE, offset=0), replace(OF_ORIGIN, offset=8, everywhere=True)], OF_ORIGIN),
        (replace(CLICK, offset=9, everywhere=True), [replace(SERVICE, offset=0)], SERVICE),
        (replace(CLICK, offset=9), [replace(SERVICE, offset=0), replace(OF_ORIGIN, offset=10)], SERVICE),
    ],
    ids=["declared first", "backfilled with it", "a label of later", "backfilled alone", "what came after has seen less"],
)
def test_exposures_are_of_the_service_definition_of_its_model_file(
    asked: Definition, services: list[Definition], expected: Definition
) -> None:
    hour = at(60) - at(0)
    assert target(asked, services, Windows(hour, hour), ()).sources[1].definition == expected.hash
