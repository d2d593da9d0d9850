"""The same answer in one shot by DuckDB: what a machine can do that need not be ready for the next event.

It reads well-formed JSON only, keeps no ledger, no time of knowledge, no histogram and no Brier term: a limit, no rival.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.gold.tables import STATISTICS
from pipelines.lake import Lake
from pipelines.log import EmbeddedLog
from pipelines.paths import log_path

COUNTED = ("n", "tp", "fp", "fn", "tn")
RECORDS = pa.schema([("offset", pa.int64()), ("payload", pa.string())])
Counts = dict[tuple[str, str, str, str], int]
"""Hour (UTC), segment as a JSON array, basis and statistic -> count."""

_EVENTS = """
CREATE TEMP VIEW events AS SELECT "offset", json_transform(payload, '{"kind": "VARCHAR", "request_id": "VARCHAR",
  "feedback_id": "VARCHAR", "served_at": "TIMESTAMP", "given_at": "TIMESTAMP", "score": "DOUBLE", "value": "DOUBLE",
  "segments": {"region": "VARCHAR"}}') AS e FROM read_parquet(?)
"""
_ANSWER = """
WITH parsed AS MATERIALIZED (SELECT * FROM events),
inferences AS (
  SELECT e.request_id AS request_id, arg_min(e, "offset") AS i FROM parsed WHERE e.kind = 'inference' GROUP BY ALL
), votes AS (
  SELECT e.feedback_id AS feedback_id, arg_min(e, "offset") AS f FROM parsed WHERE e.kind = 'feedback' GROUP BY ALL
), outcomes AS (
  SELECT request_id, arg_max(f.value, {'given_at': f.given_at, 'id': feedback_id}) AS value
  FROM votes JOIN inferences ON request_id = f.request_id
  WHERE f.given_at >= i.served_at - INTERVAL 5 MINUTE AND f.given_at < i.served_at + INTERVAL 30 MINUTE
  GROUP BY request_id
), judged AS (
  SELECT date_trunc('hour', i.served_at) AS hour, i.segments.region AS region, i.score >= 0.5 AS predicted,
    CASE WHEN value IS NULL THEN 'silent' ELSE 'answered' END AS basis, coalesce(value, 0) = 1 AS positive
  FROM inferences LEFT JOIN outcomes USING (request_id)
)
SELECT hour, region, basis, count(*), count_if(predicted AND positive), count_if(predicted AND NOT positive),
  count_if(NOT predicted AND positive), count_if(NOT predicted AND NOT positive)
FROM judged GROUP BY GROUPING SETS ((hour, basis), (hour, region, basis))
"""
_GOLD = """
SELECT CAST(epoch_us(cell_at) AS BIGINT), segment, basis, statistic, CAST(sum(amount) AS BIGINT)
FROM cells GROUP BY ALL HAVING sum(amount) <> 0
"""


def export(lake: Path, file: Path) -> None:
    """The records of a lake's log as Parquet: offset and payload."""
    log = EmbeddedLog(log_path(lake))
    with pq.ParquetWriter(file, RECORDS) as writer:
        held: list[pa.Table] = []
        for append in log.read(0, log.end()):
            offsets = pa.array(range(append.start, append.end), pa.int64())
            held.append(pa.table([offsets, append.records()["payload"].cast(pa.string())], schema=RECORDS))
            if len(held) == 100:
                writer.write_table(pa.concat_tables(held).combine_chunks())
                held = []
        if held:
            writer.write_table(pa.concat_tables(held).combine_chunks())
    log.close()


def answer(file: Path) -> Counts:
    """Counts by hour and segment from the exported records; inferences without an answer are silent, and negative."""
    with duckdb.connect(config={"threads": "2", "preserve_insertion_order": "false"}) as db:
        db.execute(_EVENTS.replace("?", f"'{file}'"))
        rows = db.execute(_ANSWER).fetchall()
    counts: Counts = {}
    for hour, region, basis, *found in rows:
        segment = f'["{region}"]' if region else "[]"
        for statistic, count in zip(COUNTED, found, strict=True):
            if count:
                counts[str(hour), segment, basis, statistic] = count
    return counts


def gold(lake: Path) -> Counts:
    """The same counts as gold.statistics has them."""
    names = ["cell_at", "segment", "basis", "statistic", "amount", "label"]
    cells = Lake(lake).read(STATISTICS, names)
    with duckdb.connect() as db:
        db.register("everything", cells)
        db.execute(
            "CREATE TEMP VIEW cells AS SELECT * FROM everything WHERE label = 'click' "
            f"AND statistic IN ({', '.join(repr(name) for name in COUNTED)})"
        )
        rows = db.execute(_GOLD).fetchall()
        return {
            (str(db.execute("SELECT make_timestamp(?)", [hour]).fetchone()[0]), segment, basis, statistic): count
            for hour, segment, basis, statistic, count in rows
        }
