"""One append of the embedded log: a block of records, and the checksum of its row."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipelines.errors import HindsightError, MachineError, StateError

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


def pack(payloads: Sequence[bytes], received_at: Sequence[int]) -> bytes:
    """Records as a block: an Arrow IPC stream of one batch. Receipts are in microseconds."""
    times = pa.array(np.array(received_at, "int64")).cast(RECORD.field("received_at").type)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, RECORD, options=_LZ4) as writer:
        writer.write_batch(pa.record_batch([pa.array(payloads, pa.binary()), times], schema=RECORD))
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
