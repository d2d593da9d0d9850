"""What every comparison stands on: the lake, what the log says, and where to put what differs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.verify.explain import Evidence
from pipelines.verify.report import Findings
from pipelines.verify.stored import Stored
from pipelines.verify.verdicts import Verdicts


@dataclass(frozen=True)
class Ground:
    """`db` is a DuckDB connection; only log positions below `end` count, and cells that start at `since` or later."""

    db: Any
    lake: Path
    verdicts: Verdicts
    evidence: Evidence
    findings: Findings
    end: int
    since: int | None = None

    def stored(self, name: str) -> Stored:
        """A table of the lake."""
        return Stored(self.lake, name)


def frame(rows: list[tuple[Any, ...]], schema: Any) -> Any:
    """Rows as an Arrow table."""
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.table(arrays, schema=schema)


def schema(texts: str = "", wholes: str = "", doubles: str = "", amounts: str = "", binaries: str = "") -> Any:
    """An Arrow schema out of names by type, in this order."""
    kinds = {pa.string(): texts, pa.int64(): wholes, pa.float64(): doubles, pa.decimal128(38, 9): amounts}
    kinds[pa.binary()] = binaries
    return pa.schema([(name, kind) for kind, names in kinds.items() for name in names.split()])
