"""What lands: every record of the log once, as raw bytes."""

from pipelines.contract import BINARY, DATE, LONG, STRING, TIMESTAMP, Column, Table

SOURCE_POSITION = (
    Column("tenant", STRING, 'Whose record it is; "default" until there are several.', skipping=True),
    Column("source", STRING, "The log it was read from.", skipping=True),
    Column("partition", LONG, "Partition of that log; the embedded log has one, 0.", skipping=True),
    Column("offset", LONG, "Position in the partition, from 0, without gaps.", skipping=True),
)
"""Where a record stands in its log. Set by whoever appends, never by the payload."""

POSITION = (
    *SOURCE_POSITION,
    Column("received_at", TIMESTAMP, "When the log took the record in: what `known_at` is made of.", skipping=True),
    Column("clock", STRING, "`log` when the log stamped received_at, `claimed` when an import of history declared it."),
    Column(
        "appended_at",
        TIMESTAMP,
        "Wall clock of the append. For lag, and to refuse a frontier that lies after it.",
        skipping=True,
    ),
)
"""A position, and the record's clocks."""

RECEIVED_DATE = Column("received_date", DATE, "UTC date of received_at.", skipping=True)

EVENTS = Table(
    "bronze.events",
    "One row per log record, whatever it holds; the payload is never parsed here.",
    (*POSITION, Column("payload", BINARY, "The record, byte for byte."), RECEIVED_DATE),
    key=("tenant", "source", "partition", "offset"),
    partition_by=("received_date",),
)

TABLES = (EVENTS,)
