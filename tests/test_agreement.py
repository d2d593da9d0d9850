"""What the pipeline decides about one record and about one score, beside the verifier's reading of the same rules."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from pipelines.definition import Definition, active
from pipelines.exact import shortest, total
from pipelines.gold.quality import score_bucket
from pipelines.verify.events import fingerprint
from pipelines.verify.fields import FIELD_REASONS
from pipelines.verify.report import micros
from pipelines.verify.verdicts import Verdicts
from tests import generator
from tests.frames import T0, read

MINUTE = 60_000_000


@pytest.mark.parametrize("seed", range(5))
def test_every_record_is_judged_as_by_the_verifier(seed: int) -> None:
    records = generator.history(seed, 300)
    verdicts = Verdicts()
    declared: list[Definition] = []
    for offset, (payload, received) in enumerate(records):
        verdicts.take(payload, micros(received))
        row = read(payload, received, offset, declared)
        if (control := row["control"]) and control["action"] == "define":
            declared = active([*declared, Definition.of(json.loads(control["body"]), offset)])
        expected = verdicts.reasons.get(offset)
        if expected not in ("id_conflict", *FIELD_REASONS):
            assert row["reason"] == expected, payload
        elif expected != "id_conflict":
            assert row["reason"] in FIELD_REASONS, payload


def test_the_generator_meets_everything() -> None:
    verdicts = Verdicts()
    for payload, received in generator.history(1, 300):
        verdicts.take(payload, micros(received))
    late = [f for f in verdicts.feedback.values() if f.request_id in verdicts.inferences]
    waited = [verdicts.inferences[f.request_id].received_at - f.received_at for f in late]
    assert len({*verdicts.reasons.values()}) >= 25
    assert {*verdicts.homes} == {"inference", "feedback", "control", "duplicate", "quarantined"}
    assert {f.action for f in late if f.target is None} == {"assert", "correct", "withdraw", "adjudicate"}
    assert {f.action for f in late if f.target is not None} == {"correct", "withdraw"}
    assert {f.label for f in late} == set(generator.VALUES)
    assert sum(wait > 60 * MINUTE for wait in waited) >= 5
    assert len(late) < len(verdicts.feedback)


@pytest.mark.parametrize(
    "features",
    [
        *("{}", '{"b": 1, "a": -0.0}', '{"a": 1e-5, "b": 1e-7, "c": 1.5e11, "d": 123456789012, "e": 0.1}'),
        '{"é": "ü\\u0001/\\u2028", "z": null, "t": true}',
    ],
)
def test_features_are_spelled_as_the_verifier_spells_them(features: str) -> None:
    event = {"kind": "inference", "request_id": "r", "model": "shop", "version": "1", "served_at": "2026-03-01T12:00:00Z", "status": "ok"}
    payload = json.dumps(event | {"prediction": 1})[:-1].encode() + b', "features": ' + features.encode() + b"}"
    said = read(payload, T0, 5, [replace(one, offset=-1) for one in generator.definitions()])["inference"]
    verdicts = Verdicts([one.body() for one in generator.definitions()])
    verdicts.take(payload, micros(T0))
    assert verdicts.inferences["r"].features == fingerprint(said["features"])


def test_a_score_on_an_edge_falls_into_the_bucket_that_its_decimal_says() -> None:
    for buckets in (10, 50, 100, 1000):
        for number in range(buckets):
            assert score_bucket(number / buckets, buckets) == number
        assert score_bucket(1.0, buckets) == buckets - 1


def test_a_sum_keeps_the_small_beside_the_great() -> None:
    values = [0.1, 1e9, 0.2, -1e9, 1e-9]
    assert total(map(shortest, values)) == Decimal("0.300000001")
