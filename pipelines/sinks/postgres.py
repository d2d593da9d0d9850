"""PostgreSQL: a row per metric of a window and group, replaced by each revision. The same SQL serves a Timescale hypertable on `start`.

At least once, and the same afterwards: a row is what it is about, and one that is older than what is there changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from typing import Any
from urllib.parse import unquote, urlsplit

from pipelines.errors import MachineError
from pipelines.extras import extra
from pipelines.sinks.post import unreachable
from pipelines.sinks.revisions import Revision

TABLE = """
CREATE TABLE IF NOT EXISTS hindsight_metrics (
  model text, label text, version text, segment text, every_seconds bigint, "start" timestamptz, metric text, "of" text,
  value double precision, low double precision, high double precision, "count" bigint, final boolean, definition text,
  as_of timestamptz, revision bigint,
  PRIMARY KEY (model, label, version, segment, every_seconds, "start", metric, "of")
)
"""
_COLUMNS = {
    **dict.fromkeys(("model", "label", "version", "segment"), "text"), "every_seconds": "bigint", "start": "timestamptz",
    **dict.fromkeys(("metric", "of"), "text"), **dict.fromkeys(("value", "low", "high"), "double precision"),
    "count": "bigint", "final": "boolean", "definition": "text", "as_of": "timestamptz", "revision": "bigint",
}
_KEY = 8
_FOR_GOOD = ("22", "54")
"""Classes of SQLSTATE that are about the values: a character that no text holds, a key that is too long."""
_TYPED = ", ".join(f'"{name}" {kind}' for name, kind in _COLUMNS.items())
_SAID = ", ".join(f'"{name}" = excluded."{name}"' for name in list(_COLUMNS)[_KEY:])
UPSERT = (
    f"INSERT INTO hindsight_metrics SELECT * FROM json_to_recordset(%s::json) AS sent ({_TYPED}) "
    f'ON CONFLICT ON CONSTRAINT hindsight_metrics_pkey DO UPDATE SET {_SAID} '
    "WHERE excluded.as_of >= hindsight_metrics.as_of"  # not its revision: a table that is made again counts its versions anew
)


class Postgres:
    """`url`: postgresql://user@host:5432/database; the password in PGPASSWORD, or as the server asks for none."""

    def __init__(self, url: str, password: str | None) -> None:
        self._url, self._password = url, password

    def send(self, revisions: Sequence[Revision]) -> Sequence[str]:
        """In one transaction; why, of each refused. Raises MachineError `sink_unreachable`, `sink_host_unknown` or `sink_refused`."""
        driver = extra("pg8000.dbapi", "sinks")
        if not revisions:
            return ()
        try:
            with closing(self._opened(driver)) as connection:
                cursor = connection.cursor()
                cursor.execute(TABLE)
                # not as arrays: of those the driver says a text `null` as nothing
                cursor.execute(UPSERT, [json.dumps([dict(zip(_COLUMNS, _row(one), strict=True)) for one in revisions], default=str)])
                connection.commit()
        except (OSError, driver.InterfaceError) as error:
            raise unreachable(_shown(self._url), error) from error
        except driver.Error as error:
            said = error.args[0] if error.args and isinstance(error.args[0], dict) else {"M": error}
            if said.get("C", "").startswith(_FOR_GOOD):
                half = len(revisions) // 2
                return [*self.send(revisions[:half]), *self.send(revisions[half:])] if half else [str(said["M"])]
            raise MachineError("sink_refused", f"{_shown(self._url)}: {said['M']}") from error
        return ()

    def _opened(self, driver: Any) -> Any:
        at = urlsplit(self._url)
        return driver.connect(
            user=unquote(at.username or ""),
            host=at.hostname or "localhost",
            port=at.port or 5432,
            database=at.path.lstrip("/"),
            password=self._password or "",  # of none at all the driver makes no refusal, but an error of its own
            timeout=30,
        )


def _row(one: Revision) -> tuple[Any, ...]:
    about = (one.model, one.label, one.version, json.dumps(one.segment, sort_keys=True), int(one.every.total_seconds()), one.start)
    said = (one.value, one.low, one.high, one.count, one.final, one.definition, one.as_of, one.version_at)
    return (*about, one.name, one.of, *said)


def _shown(url: str) -> str:
    """An address without what may be a secret in it."""
    at = urlsplit(url)
    return f"{at.scheme}://{at.hostname}:{at.port or 5432}{at.path}"
