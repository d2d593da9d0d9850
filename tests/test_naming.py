"""Which refused records are about a subject: those that name them in any way, and no others."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipelines.erasure.naming import Ids, Record

IDS = Ids(frozenset({"ann 1", 'o"neil\\', "jörg", "7"}), frozenset({"req-1"}), frozenset({"fb-1"}))


def said(**fields: Any) -> bytes:
    return json.dumps({"kind": "inference", "request_id": "r", **fields}, ensure_ascii=False).encode()


NAMING = {
    "the subject": said(subject="ann 1"),
    "a subject under another name": said(customer="ann 1"),
    "a subject deep within": said(inputs={"who": ["ann 1"]}),
    "a subject with escapes": b'{"subject": "\\u0061nn\\u00201"}',
    "a subject in other letters": said(subject="jörg"),
    "the same with escapes": b'{"subject": "j\\u00f6rg"}',
    "a subject that JSON must escape": said(subject='o"neil\\'),
    "a subject in half a record": b'{"kind": "inference", "subject": "ann 1',
    "a subject in half a record without its end": b'{"kind": "inference", "subject": "ann 1", "pred',
    "a subject in what is no UTF-8": b'\xff{"subject": "ann 1"}',
    "a subject that stands first of two": b'{"subject": "ann 1", "subject": "bob"}',
    "a word in what is no JSON": b"predictions.csv: 0.5,7,ok",
    "a request of theirs": said(request_id="req-1"),
    "feedback of an unknown label": json.dumps({"kind": "feedback", "request_id": "req-1", "feedback_id": "f"}).encode(),
    "what contradicts feedback of theirs": json.dumps({"kind": "feedback", "request_id": "r", "feedback_id": "fb-1"}).encode(),
    "what takes back feedback of theirs": said(kind="feedback", target_feedback_id="fb-1"),
    "a request of theirs in half a record": b'{"kind": "feedback", "request_id": "req-1", "la',
}
OTHERS = {
    "somebody else": said(subject="ann 12"),
    "a longer name": said(subject="joann 1"),
    "a number that is no text": said(version="2", score=7),
    "an id of theirs in another field": said(model="req-1", version="fb-1"),
    "nothing": b"",
    "no UTF-8": b"\xff\xfe",
}


@pytest.mark.parametrize("payload", NAMING.values(), ids=NAMING.keys())
def test_a_record_that_names_them_goes(payload: bytes) -> None:
    assert Record.of(0, payload).names(IDS)


@pytest.mark.parametrize("payload", OTHERS.values(), ids=OTHERS.keys())
def test_a_record_of_others_stays(payload: bytes) -> None:
    assert not Record.of(0, payload).names(IDS)
