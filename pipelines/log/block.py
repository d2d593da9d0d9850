"""Appends of a log: of the embedded one a block of records and the checksum of its row; and the rows that they land as."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.bronze.tables import EVENTS
from pipelines.errors import HindsightError, MachineError, StateError

SOURCE = "embedded"
TENANT = "default"
RECORD = pa.schema([("payload", pa.binary()), ("received_at", pa.timestamp("us", "UTC"))])
_LZ4 = pa.ipc.IpcWriteOptions(compression="lz4")


@dataclass(frozen=True)
class Append:
    """One append as it stands in the log: offsets [start, end), and its block."""

    start: int
    end: int
    clock: str
    appended_at: int
    block: bytes
    checksum: int

    @property
    def whole(self) -> bool:
        """Whether the row is what was written."""
        return self.checksum == checksum(self.end - 1, self.end - self.start, self.clock, self.appended_at, self.block)

    def records(self) -> pa.Table:
        """The records, with columns payload and received_at. Raises StateError `log_unreadable`."""
        if not self.whole:
            raise unreadable(f"offsets {self.start} to {self.end - 1}", "the append does not match its checksum")
        return pa.ipc.open_stream(self.block).read_all()


@dataclass(frozen=True)
class Part:
    """Records of one clock and one moment at offsets [start, end), as they stand in bronze.events: an append, or part of one."""

    start: int
    end: int
    clock: str
    appended_at: int
    rows: pa.Table

    def records(self) -> pa.Table:
        """The records, with columns payload and received_at."""
        return self.rows.select(RECORD.names)


def placed(records: pa.Table, first: int, clock: str, appended_at: int) -> pa.Table:
    """Records, with columns payload and received_at, as rows of bronze.events at the offsets from `first` on."""
    count, received = records.num_rows, records["received_at"]
    columns: dict[str, Any] = {
        "tenant": pa.repeat(TENANT, count),
        "source": pa.repeat(SOURCE, count),
        "partition": pa.repeat(pa.scalar(0, pa.int64()), count),
        "offset": pa.array(np.arange(first, first + count, dtype="int64")),
        "received_at": received,
        "clock": pa.repeat(clock, count),
        "appended_at": pa.repeat(pa.scalar(appended_at, pa.timestamp("us", "UTC")), count),
        "payload": records["payload"],
        "received_date": received.cast(pa.date32()) if count else pa.array([], pa.date32()),
    }
    return pa.table(columns, schema=EVENTS.arrow)


def gathered(payloads: Sequence[bytes], received_at: Sequence[int]) -> pa.RecordBatch:
    """Records as columns payload and received_at. Receipts are in microseconds."""
    times = pa.array(np.array(received_at, "int64")).cast(RECORD.field("received_at").type)
    return pa.record_batch([pa.array(payloads, pa.binary()), times], schema=RECORD)


def pack(payloads: Sequence[bytes], received_at: Sequence[int]) -> bytes:
    """Records as a block: an Arrow IPC stream of one batch. Receipts are in microseconds."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, RECORD, options=_LZ4) as writer:
        writer.write_batch(gathered(payloads, received_at))
    block: bytes = sink.getvalue().to_pybytes()
    return block


def checksum(*row: int | str | bytes) -> int:
    """CRC-32 of the values of a row, each in turn."""
    crc = 0
    for value in row:
        crc = zlib.crc32(value if isinstance(value, bytes) else f"{value},".encode(), crc)
    return crc


def unreadable(where: str, found: str) -> HindsightError:
    """StateError `log_unreadable`, or MachineError `no_permission` where the file is only not this user's to write."""
    if "readonly database" in found or "unable to open database" in found:
        advice = "Give this user the right to write there, or name another folder with --lake."
        return MachineError("no_permission", f"{where}: {found}. {advice}")
    return StateError("log_unreadable", f"{where}: {found}. `hindsight repair` restores what has landed.")
