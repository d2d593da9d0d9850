"""Subjects that the log erases: the verifier's own reading of the key, and its own hash."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from typing import Any

from pipelines.errors import StateError
from pipelines.verify.document import RefusedError

_HEX = set("0123456789abcdef")


class Erased:
    """Who has been erased so far; offsets ascend. `key`: the file of the key, read where it is needed."""

    def __init__(self, key: Path | None) -> None:
        self._file = key
        self._key = b""
        self._subjects: set[str] = set()
        self._requests: set[str] = set()

    def take(self, body: dict[str, Any] | None) -> None:
        """Take in one more erasure. Raises RefusedError, and StateError `erasure_key_lost`."""
        if body is None:
            raise RefusedError("missing_field", "body")
        if set(body) != {"key", "subjects", "requests"} or not _hex(body["key"], 16):
            raise RefusedError("erasure_invalid", f"the body holds {sorted(body)[:5]}")
        for hashes in (body["subjects"], body["requests"]):
            if type(hashes) is not list or not all(_hex(name, 32) for name in hashes):
                raise RefusedError("erasure_invalid", "subjects or requests are no list of hashes")
        if not body["subjects"] and not body["requests"]:
            raise RefusedError("erasure_invalid", "it erases nothing")
        self._key = self._read(body["key"])
        self._subjects.update(body["subjects"])
        self._requests.update(body["requests"])

    def refuse(self, found: dict[str, Any]) -> None:
        """Refuse an event that names a subject, or the request of one. Raises RefusedError `subject_erased`."""
        if self._among(found.get("subject"), self._subjects) or self._among(found.get("request_id"), self._requests):
            raise RefusedError("subject_erased", "its subject was erased before")

    def _among(self, name: str | None, hashes: set[str]) -> bool:
        return bool(name and hashes) and hmac.new(self._key, str(name).encode("utf-8"), hashlib.sha256).hexdigest()[:32] in hashes

    def _read(self, wanted: str) -> bytes:
        found = self._file.read_text().strip() if self._file and self._file.is_file() else ""
        key = bytes.fromhex(found) if _hex(found, 64) else b""
        if hashlib.sha256(key).hexdigest()[:16] != wanted:
            raise StateError(
                "erasure_key_lost",
                f"{self._file}: the key of the subjects that were erased is missing, or is another one. Bring the file back "
                "from a backup: nothing else can tell which records of theirs were refused.",
            )
        return key


def _hex(value: Any, digits: int) -> bool:
    return type(value) is str and len(value) == digits and _HEX.issuperset(value)
