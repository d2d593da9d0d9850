"""What is sent, once it is known to be well formed: the kinds of event, a table each, with the type of each field in JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import pyarrow as pa
from msgspec import Meta, Struct

from pipelines.bronze.tables import POSITION, RECEIVED_DATE
from pipelines.contract import AMOUNT, BOOL, DATE, DOUBLE, INT, LONG, STRING, TIMESTAMP, Column, Table, struct
from pipelines.definition import WIDEST

LIMIT = 1e12
"""The greatest magnitude a number may have; a larger one would overflow the exact sums."""

Id = Annotated[str, Meta(min_length=1, max_length=256)]
Name = Annotated[str, Meta(min_length=1, max_length=128)]
Text = Annotated[str, Meta(min_length=1, max_length=65_536)]
Number = Annotated[float, Meta(ge=-LIMIT, le=LIMIT)]
Prediction = Annotated[float, Meta(ge=-WIDEST, le=WIDEST)]
"""As wide as a numeric label: the squares of errors are added up."""
Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Propensity = Annotated[float, Meta(ge=1e-6, le=1.0)]
Category = Annotated[str, Meta(min_length=1, max_length=256)]
Time = Annotated[datetime, Meta(tz=True)]
Offset = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Scalar = Number | Annotated[str, Meta(max_length=65_536)] | bool | None


class Item(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One place of a slate, as sent."""

    item: Id
    position: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    score: Share | None = None
    propensity: Propensity | None = None


class Experiment(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The arm that an experiment gave, as sent."""

    arm: Name
    unit_id: Id | None = None
    propensity: Propensity | None = None


ITEM = struct(
    Column("item", STRING, "Id of the item."),
    Column("position", INT, "Place in the slate, from 0.", nullable=True),
    Column("score", DOUBLE, "The model's score of the item.", nullable=True),
    Column("propensity", DOUBLE, "Probability with which it was shown there.", nullable=True),
)
EXPERIMENT = struct(
    Column("arm", STRING, "The arm."),
    Column("unit_id", STRING, "The randomisation unit.", nullable=True),
    Column("propensity", DOUBLE, "Probability of the arm.", nullable=True),
)

BODY_HASH = Column(
    "body_hash", STRING, "Digest of the event's content, whatever its spelling: same id and digest, same event."
)
WATERMARK_AT = Column(
    "watermark_at",
    TIMESTAMP,
    "least(event time, received_at + 5 minutes): no client clock can drag a watermark.",
    skipping=True,
)
SERVED_DATE = Column("served_date", DATE, "UTC date of served_at.", skipping=True)

INFERENCES = Table(
    "silver.inferences",
    "One row per inference that a model served: the first of its request_id in the log.",
    (
        Column("request_id", STRING, "The sender's id of the request; the same id is the same event.", wire=Id),
        Column("model", STRING, "Name of the model, as its model file declares it.", wire=Name, skipping=True),
        Column("version", STRING, "Version of the model that served.", wire=Name, skipping=True),
        Column(
            "served_at",
            TIMESTAMP,
            "When the model answered: the time that places every number.",
            wire=Time,
            skipping=True,
        ),
        Column(
            "status", STRING, "`ok`, or how it failed; anything else than ok has service statistics only.", wire=Name
        ),
        Column(
            "prediction", DOUBLE, "The prediction, where it is a number.", nullable=True, wire=Prediction | Category | None
        ),
        Column("prediction_text", STRING, "The prediction, where it is a category.", nullable=True),
        Column("score", DOUBLE, "Score of the positive class, 0 to 1.", nullable=True, wire=Share | None),
        Column(
            "scores",
            pa.map_(STRING, DOUBLE),
            "Further named scores, 0 to 1.",
            nullable=True,
            wire=dict[Name, Share] | None,
        ),
        Column(
            "items",
            pa.list_(ITEM),
            "The slate, where several items were served.",
            nullable=True,
            wire=list[Item] | None,
        ),
        Column(
            "segments",
            pa.map_(STRING, STRING),
            "Declared segment fields.",
            nullable=True,
            wire=dict[Name, Category] | None,
        ),
        Column(
            "measures",
            pa.map_(STRING, AMOUNT),
            "Declared measures (latency_ms in milliseconds, cost …), rounded half up to nine places.",
            nullable=True,
            wire=dict[Name, Number] | None,
        ),
        Column("features", STRING, "Features as served, a JSON object.", nullable=True, wire=dict[Name, Scalar] | None),
        Column(
            "experiments",
            pa.map_(STRING, EXPERIMENT),
            "Arm by experiment.",
            nullable=True,
            wire=dict[Name, Experiment] | None,
        ),
        Column("subject", STRING, "Whom the request was about; what an erasure names.", nullable=True, wire=Id | None),
        Column("session", STRING, "The session it belonged to.", nullable=True, wire=Id | None),
        Column("asked", DOUBLE, "Probability that a label was asked for.", nullable=True, wire=Propensity | None),
        Column("embedding", pa.list_(DOUBLE), "Embedding of the input.", nullable=True, wire=list[Number] | None),
        Column(
            "targets",
            pa.map_(STRING, DOUBLE),
            "Propensities by target policy.",
            nullable=True,
            wire=dict[Name, Share] | None,
        ),
        Column("inputs", STRING, "The input, as JSON.", nullable=True, wire=Any),
        Column("output", STRING, "The output, as JSON.", nullable=True, wire=Any),
        *POSITION,
        BODY_HASH,
        WATERMARK_AT,
        SERVED_DATE,
    ),
    key=("tenant", "request_id"),
    partition_by=("served_date",),
    indexed="request_id",
)

FEEDBACK = Table(
    "silver.feedback",
    "One row per judgement that a person or system passed on one prediction: the first of its feedback_id in the log.",
    (
        Column("feedback_id", STRING, "The sender's id; the same id is the same event.", wire=Id),
        Column(
            "request_id",
            STRING,
            "The request it judges; one of request_id, session, subject.",
            nullable=True,
            wire=Id | None,
        ),
        Column("session", STRING, "The session it judges.", nullable=True, wire=Id | None),
        Column("subject", STRING, "The subject it judges.", nullable=True, wire=Id | None),
        Column("item", STRING, "The item of the slate it judges.", nullable=True, wire=Id | None),
        Column("over_item", STRING, "The item it was preferred over.", nullable=True, wire=Id | None),
        Column("label", STRING, "What was judged, as a model file declares it.", wire=Name, skipping=True),
        Column(
            "value",
            DOUBLE,
            "Label, rating or reward, where it is a number.",
            nullable=True,
            wire=Number | Category | None,
        ),
        Column("value_text", STRING, "The label, where it is a category.", nullable=True),
        Column(
            "action",
            STRING,
            "assert, correct, withdraw or adjudicate.",
            wire=Literal["assert", "correct", "withdraw", "adjudicate"],
        ),
        Column(
            "given_at",
            TIMESTAMP,
            "When the person acted: decides whether it lies in the window.",
            wire=Time,
            skipping=True,
        ),
        Column("rater", STRING, "Who judged.", nullable=True, wire=Id | None),
        Column("role", STRING, "In which role, for the policy `priority`.", nullable=True, wire=Name | None),
        Column("target_feedback_id", STRING, "What a correct or withdraw takes back.", nullable=True, wire=Id | None),
        Column("text", STRING, "Free text that came along.", nullable=True, wire=Text | None),
        Column(
            "receipt",
            STRING,
            "The sealed context of the inference, as it was handed out.",
            nullable=True,
            wire=Text | None,
        ),
        *POSITION,
        BODY_HASH,
        WATERMARK_AT,
        RECEIVED_DATE,
    ),
    key=("tenant", "feedback_id"),
    partition_by=("received_date",),
    indexed="feedback_id",
)

CONTROLS = Table(
    "silver.controls",
    "One row per control event: what can move a number beside the events themselves.",
    (
        Column(
            "action",
            STRING,
            "`define`, `expect` (row rules of a model), `frontier`, `redrive`, `erase` (who is erased), or `erased`, which stands "
            "where a record did that was erased.",
            wire=Literal["define", "expect", "frontier", "redrive", "erase", "erased"],
        ),
        Column(
            "at", TIMESTAMP, "frontier: everything known before it has been logged.", nullable=True, wire=Time | None
        ),
        Column("model", STRING, "define, expect: the model it belongs to.", nullable=True, wire=Name | None),
        Column("definition", STRING, "define: hash of the definition. expect: hash of the body.", nullable=True, wire=Id | None),
        Column(
            "body",
            STRING,
            "define: the definition itself, canonical JSON. expect: the row rules. erase: keyed hashes of subjects and of their requests.",
            nullable=True,
            wire=dict[str, Any] | None,
        ),
        Column(
            "backfill",
            BOOL,
            "define: whether it also applies to all inferences before; said only by a rebuild, which has filled gold with it.",
            nullable=True,
            wire=bool | None,
        ),
        Column(
            "offsets",
            pa.list_(LONG),
            "redrive: positions of quarantined records; the records behind this one repeat them, in this order.",
            nullable=True,
            wire=Annotated[list[Offset], Meta(min_length=1)] | None,
        ),
        *POSITION,
        RECEIVED_DATE,
    ),
    key=("tenant", "source", "partition", "offset"),
    partition_by=("received_date",),
)
