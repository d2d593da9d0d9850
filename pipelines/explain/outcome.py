"""Why an outcome is believed: the votes as the policy sees them, what was believed when, and the entries of the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from shlex import quote
from typing import NamedTuple

import pyarrow.compute as pc

from pipelines.bronze.tables import EVENTS
from pipelines.definition import Definition, Policy, Value
from pipelines.errors import InputError
from pipelines.explain.sources import Row, Sources, micros, moment, utc
from pipelines.explain.trail import Position, Said, position, said_in, value_of
from pipelines.explain.weighing import Weighed, weigh
from pipelines.gold.policy import Vote, believe, sequence
from pipelines.gold.tables import EXAMPLES, OUTCOME_LEDGER
from pipelines.opened import named, not_above
from pipelines.silver.tables import FEEDBACK, INFERENCES, LABELLED


@dataclass(frozen=True)
class Heard:
    """One vote on the key, what became of it, and the record that it was sent as."""

    said: Said
    role: str | None
    target: str | None
    fate: str
    by: str | None
    told: str
    payload: str


@dataclass(frozen=True)
class Moment:
    """What was believed from `known_at` on; not `answered`: no vote was live."""

    known_at: datetime
    answered: bool
    belief: Value | None


@dataclass(frozen=True)
class Written:
    """One entry of the ledger."""

    known_at: datetime
    sign: int
    belief: Value | None
    recorded_at: datetime


@dataclass(frozen=True)
class Taught:
    """One signed training example. `basis`: answered, or absent where silence has a value."""

    known_at: datetime
    sign: int
    basis: str
    outcome: Value | None


@dataclass(frozen=True)
class OutcomePath:
    """One key under one policy. `agrees`: whether the ledger holds what the votes say.

    `in_force`: whether this is the newest policy that the inference was logged under. `examples`: what gold.examples holds.
    """

    item: str
    label: str
    policy: str
    resolve: str
    in_force: bool
    window_to: datetime
    matures_at: datetime
    silence: float | str
    votes: tuple[Heard, ...]
    history: tuple[Moment, ...]
    entries: tuple[Written, ...]
    agrees: bool
    examples: tuple[Taught, ...] = ()


@dataclass(frozen=True)
class RequestPath:
    """A request, every outcome about it, and the feedback that has not found its way to it."""

    request: str
    model: str
    version: str
    served_at: datetime
    status: str
    prediction: Value | None
    score: float | None
    position: Position
    payload: str
    outcomes: tuple[OutcomePath, ...]
    waiting: tuple[str, ...]


def outcome(
    sources: Sources,
    *,
    request: str,
    item: str | None = None,
    label: str | None = None,
    as_of: datetime | None = None,
) -> RequestPath:
    """Everything about one request, or about one item and label of it, as far as it was known before `as_of` (all).

    Raises InputError: no_lake, unknown_request, unknown_label, no_frontier, as_of_above_frontier,
    request_not_yet_known, event_erased.
    """
    found = sources.of(INFERENCES, request)
    if not found:
        sources.refuse_erased(request)
        raise _unknown(sources, request)
    inference = found[0]
    declared = named(sources.definitions, model=inference["model"], label=label)
    before = not_above(sources.frontier(), as_of) if as_of else None
    if before is not None and utc(inference["received_at"]) >= before:
        raise InputError(
            "request_not_yet_known",
            f'"{request}" was received at {utc(inference["received_at"]):%Y-%m-%dT%H:%M:%SZ}: before {before:%Y-%m-%dT%H:%M:%SZ} nothing '
            "was known of it. Ask as of a later time, or without one.",
        )
    labelled = [row for row in sources.of(LABELLED, request) if before is None or utc(row["known_at"]) < before]
    entries = [row for row in sources.of(OUTCOME_LEDGER, request) if before is None or utc(row["known_at"]) < before]
    taught = [row for row in sources.of(EXAMPLES, request) if before is None or utc(row["known_at"]) < before]
    payloads = _payloads(sources, [inference, *labelled])
    said = {one.feedback_id: one for each in said_in(sources, labelled).values() for one in each}
    outcomes = []
    for key in _keys(declared, inference, labelled, item):
        votes = [row for row in labelled if (row["label"], row["item"]) == key[:2]]
        written = [row for row in entries if (row["label"], row["item"], row["policy"]) == (*key[:2], key.policy.hash)]
        heard = _heard(votes, key.policy, inference, said, payloads)
        outcomes.append(replace(_path(key, inference, votes, written, heard), examples=tuple(_taught(taught, key))))
    return RequestPath(
        request,
        inference["model"],
        inference["version"],
        utc(inference["served_at"]),
        inference["status"],
        inference["prediction"] if inference["prediction_text"] is None else inference["prediction_text"],
        inference["score"],
        position(inference),
        payloads.get(inference["offset"], ""),
        tuple(outcomes),
        tuple(_waiting(sources, request, labelled) if before is None else ()),
    )


def vote_of(row: Row) -> Vote:
    """A row of silver.labelled as a vote."""
    return Vote(
        *(row["feedback_id"], row["action"], value_of(row), micros(row["given_at"]), micros(row["known_at"])),
        *(row["rater"], row["role"], row["target_feedback_id"]),
    )


def policies(definitions: Sequence[Definition], inference: Row) -> list[tuple[str, Policy, bool]]:
    """Label, policy, and whether it is the newest: those that an inference was logged under, each once."""
    held = [one for one in definitions if one.model == inference["model"] and one.above < inference["offset"]]
    newest = {one.label: one.policy for one in sorted(held, key=lambda one: one.offset)}
    found = {(one.label, one.policy.hash): one.policy for one in held if one.policy}
    return [(label, policy, newest[label] == policy) for (label, _), policy in found.items()]


class _Key(NamedTuple):
    label: str
    item: str
    policy: Policy
    in_force: bool


def _keys(declared: Sequence[Definition], inference: Row, labelled: Sequence[Row], item: str | None) -> list[_Key]:
    """Label, item, policy: what has votes, what was asked for, and each label of the request itself."""
    voted = {(row["label"], row["item"]) for row in labelled}
    keys = []
    for label, policy, newest in policies(declared, inference):
        items = {about for name, about in voted if name == label and bool(about) == (policy.unit == "item")}
        items |= {""} if policy.unit == "request" else {item} if item else set()
        keys += [_Key(label, about, policy, newest) for about in sorted(items) if item in (None, about)]
    return keys


def _taught(rows: Sequence[Row], key: _Key) -> list[Taught]:
    """The examples of one key, in the order in which they were known."""
    own = [row for row in rows if (row["label"], row["item"], row["policy"]) == (key.label, key.item, key.policy.hash)]
    own.sort(key=lambda row: (row["known_at"], row["sign"], row["basis"]))
    return [Taught(utc(row["known_at"]), row["sign"], row["basis"], value_of(row)) for row in own]


def _path(
    key: _Key, inference: Row, votes: Sequence[Row], written: Sequence[Row], heard: Sequence[Heard]
) -> OutcomePath:
    policy = key.policy
    cast = sorted({row["feedback_id"]: vote_of(row) for row in votes}.values(), key=lambda vote: vote.place)
    served, closes = micros(inference["served_at"]), utc(inference["served_at"]) + timedelta(seconds=policy.window)
    said: Counter[tuple[int, Value | None]] = Counter()
    for entry in sequence(cast, policy, served):
        said[entry.known_at, entry.value] += entry.sign
    for row in written:
        said[micros(row["known_at"]), value_of(row)] -= row["sign"]
    entries = sorted(written, key=lambda row: (row["known_at"], row["sign"], row["recorded_at"]))
    return OutcomePath(
        *(key.item, key.label, policy.hash, policy.resolve, key.in_force),
        window_to=closes,
        matures_at=max(closes, utc(inference["received_at"])),
        silence=policy.absent,
        votes=tuple(heard),
        history=tuple(_history(cast, policy, served)),
        entries=tuple(
            Written(utc(row["known_at"]), row["sign"], value_of(row), utc(row["recorded_at"])) for row in entries
        ),
        agrees=not any(said.values()),
    )


def _heard(
    votes: Sequence[Row], policy: Policy, inference: Row, said: dict[str, Said], payloads: dict[int, str]
) -> list[Heard]:
    weighed: list[Weighed] = weigh([vote_of(row) for row in votes], policy, micros(inference["served_at"]))
    return [
        Heard(
            said[one.vote.feedback_id],
            one.vote.role,
            one.vote.target,
            one.fate,
            one.by,
            one.told,
            payloads.get(said[one.vote.feedback_id].position.offset, ""),
        )
        for one in weighed
    ]


def _history(votes: Sequence[Vote], policy: Policy, served_at: int) -> list[Moment]:
    """What was believed after each point of knowledge."""
    moments = []
    for known_at in sorted({vote.known_at for vote in votes}):
        belief = believe([vote for vote in votes if vote.known_at <= known_at], policy, served_at)
        moments.append(Moment(moment(known_at), belief is not None, belief.value if belief else None))
    return moments


def _payloads(sources: Sources, rows: Sequence[Row]) -> dict[int, str]:
    found = sources.at(EVENTS, (row["offset"] for row in rows), ["offset", "payload"])
    return {offset: row["payload"].decode("utf-8", "replace") for offset, row in found.items()}


def _waiting(sources: Sources, request: str, labelled: Sequence[Row]) -> list[str]:
    """The feedback on a request that silver.labelled does not have."""
    there = {row["feedback_id"] for row in labelled}
    found = sources.rows(FEEDBACK, pc.field("request_id") == request, ["feedback_id"])["feedback_id"].to_pylist()
    return [name for name in found if name not in there]


def _unknown(sources: Sources, request: str) -> InputError:
    waiting = _waiting(sources, request, [])
    told = f"; feedback that waits for it: {', '.join(waiting[:5])}" if waiting else ", and no feedback names it"
    return InputError(
        "unknown_request",
        f'the lake has no inference "{request}"{told}. If it was sent, `hindsight explain event --id {quote(request)}` says where it went.',
    )
