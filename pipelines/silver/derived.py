"""What is made of what was sent: homes for what could not be taken in, pairs of feedback and inference, and what stays alone."""

from __future__ import annotations

import pyarrow as pa

from pipelines.bronze.tables import RECEIVED_DATE, SOURCE_POSITION
from pipelines.contract import BOOL, DOUBLE, INT, LONG, STRING, TIMESTAMP, Column, Table, struct
from pipelines.silver.sent import EXPERIMENT, SERVED_DATE

QUARANTINE = Table(
    "silver.quarantine",
    "One row per record that could not be taken in, with its reason; the bytes are in bronze.events at the same position.",
    (
        *SOURCE_POSITION,
        Column("reason", STRING, "Stable reason code.", skipping=True),
        Column("detail", STRING, "What was found and what was expected."),
        Column("kind", STRING, "Kind of event, where it could be read.", nullable=True),
        Column("event_id", STRING, "The event's id, where it could be read.", nullable=True),
        Column("received_at", TIMESTAMP, "When the log took it in.", skipping=True),
        RECEIVED_DATE,
    ),
    key=("tenant", "source", "partition", "offset"),
    partition_by=("received_date",),
)

DUPLICATES = Table(
    "silver.duplicates",
    "One row per record that repeats an event which stands at a lower position.",
    (
        *SOURCE_POSITION,
        Column("kind", STRING, "inference or feedback.", skipping=True),
        Column("event_id", STRING, "The repeated id."),
        Column("first_source", STRING, "Where the event stands: log."),
        Column("first_partition", LONG, "Where the event stands: partition."),
        Column("first_offset", LONG, "Where the event stands: offset."),
        Column("received_at", TIMESTAMP, "When the log took the repetition in.", skipping=True),
        RECEIVED_DATE,
    ),
    key=("tenant", "source", "partition", "offset"),
    partition_by=("received_date",),
)

CONTEXT = struct(
    Column("model", STRING, "The model that served."),
    Column("version", STRING, "Its version."),
    Column("served_at", TIMESTAMP, "When it served."),
    Column("received_at", TIMESTAMP, "When the inference was known."),
    Column("offset", LONG, "Log offset of the inference: definitions declared before it apply."),
    Column("judged", BOOL, "Whether there is something to judge: status ok, and the item (if any) was on the slate."),
    Column("prediction", DOUBLE, "The prediction, where it is a number.", nullable=True),
    Column("prediction_text", STRING, "The prediction, where it is a category.", nullable=True),
    Column("score", DOUBLE, "Score of the request, or of the item.", nullable=True),
    Column("scores", pa.map_(STRING, DOUBLE), "Further named scores.", nullable=True),
    Column("segments", pa.map_(STRING, STRING), "Declared segment fields.", nullable=True),
    Column("experiments", pa.map_(STRING, EXPERIMENT), "Arm by experiment.", nullable=True),
    Column("subject", STRING, "Whom the request was about.", nullable=True),
    Column("session", STRING, "The session it belonged to.", nullable=True),
)
"""All that a number needs to know of the inference behind it."""

LABELLED = Table(
    "silver.labelled",
    "One row per feedback that found its inference, tombstones included, inside the attribution window or not.",
    (
        Column("tenant", STRING, "Whose.", skipping=True),
        Column("feedback_id", STRING, "The feedback."),
        Column("unit", STRING, "What is judged: request or item.", skipping=True),
        Column("unit_id", STRING, "The request."),
        Column("item", STRING, 'The item, or "" for the request itself.'),
        Column("label", STRING, "What was judged.", skipping=True),
        Column("number", DOUBLE, "The value, where it is a number.", nullable=True),
        Column("text", STRING, "The value, where it is a category.", nullable=True),
        Column("action", STRING, "assert, correct, withdraw or adjudicate."),
        Column("given_at", TIMESTAMP, "When the person acted.", skipping=True),
        Column("rater", STRING, "Who judged.", nullable=True),
        Column("role", STRING, "In which role.", nullable=True),
        Column("target_feedback_id", STRING, "What it takes back.", nullable=True),
        Column("known_at", TIMESTAMP, "When both the feedback and its inference had been received.", skipping=True),
        Column("context", CONTEXT, "The inference, as far as a number needs it."),
        Column("partition", LONG, "Log partition of the feedback."),
        Column("offset", LONG, "Log offset of the feedback.", skipping=True),
        Column("via", STRING, "`join`, or `reconcile` when it came too late for the join."),
        SERVED_DATE,
    ),
    key=("tenant", "feedback_id"),
    partition_by=("served_date",),
    indexed="unit_id",
)

RECONCILED = Table(
    "silver.reconciled",
    "One row per pair that the join had let go and reconcile found; the join's chain takes it from here.",
    LABELLED.columns,
    key=("tenant", "feedback_id"),
    partition_by=("served_date",),
    indexed="feedback_id",
)

ORPHANS = Table(
    "silver.orphans",
    "One row per feedback that found no inference (+1), and one when it did after all (-1).",
    (
        Column("tenant", STRING, "Whose.", skipping=True),
        Column("feedback_id", STRING, "The feedback."),
        Column("request_id", STRING, "The request it names."),
        Column("label", STRING, "What it judged.", skipping=True),
        Column("sign", INT, "+1 orphaned, -1 found."),
        Column(
            "known_at",
            TIMESTAMP,
            "+1: an hour after the feedback was received; -1: when its inference was known.",
            skipping=True,
        ),
        Column("offset", LONG, "Log offset of the feedback.", skipping=True),
        RECEIVED_DATE,
    ),
    key=("tenant", "feedback_id"),
    partition_by=("received_date",),
    indexed="request_id",
)
