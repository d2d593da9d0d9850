"""A log of people: the generator's, in which every inference names a subject and ids can be told from any other text; and who is left."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.paths import log_path
from tests import generator

_ID = re.compile(rb"(?:person|req|fb)~[-0-9a-z]+~")
_FRAME = b"LZ4Block"


def history(seed: int, count: int, people: int) -> list[generator.Record]:
    """`generator.history`, with so many people."""
    return [(_personal(payload, people), at) for payload, at in generator.history(seed, count)]


def person(number: int) -> str:
    return f"person~{number}~"


def subject_of(request: str, people: int) -> str:
    """Whose a request of the generator is."""
    return person(sum(request.encode()) % people)


def _personal(payload: bytes, people: int) -> bytes:
    try:
        event = json.loads(payload)
    except ValueError:
        return payload
    if not isinstance(event, dict) or event.get("kind") not in ("inference", "feedback"):
        return payload
    if event["kind"] == "inference":
        event["subject"] = subject_of(event["request_id"], people)
    for name, form in (("request_id", "req~{}~"), ("feedback_id", "fb~{}~"), ("target_feedback_id", "fb~{}~")):
        if isinstance(event.get(name), str):
            event[name] = form.format(event[name])
    return json.dumps(event).encode()


def about(records: list[generator.Record], subjects: set[str]) -> set[str]:
    """The ids of people, of their requests, and of the feedback on these."""
    events = [event for payload, _ in records if isinstance(event := _event(payload), dict)]
    requests = {event["request_id"] for event in events if event.get("subject") in subjects}
    feedback = {event["feedback_id"] for event in events if event.get("kind") == "feedback" and event.get("request_id") in requests}
    return {*subjects, *requests, *feedback}


def traces(root: Path, ids: set[str]) -> list[str]:
    """In which files of a lake any of these ids is found, in bytes as they are and as they decode; each with one of them."""
    found = []
    for file in sorted(file for file in root.rglob("*") if file.is_file()):
        for content in _readings(file):
            seen = {match.decode() for match in _ID.findall(content)} & ids
            if seen:
                found.append(f"{file.relative_to(root)}: {min(seen)}")
                break
    return found


def _readings(file: Path) -> Iterator[bytes]:
    content = file.read_bytes()
    yield content
    if content[:4] == b"PAR1":
        sink = pa.BufferOutputStream()
        pq.write_table(pq.ParquetFile(file).read(), sink, compression="none", use_dictionary=False)
        yield sink.getvalue().to_pybytes()
    elif file.name == log_path(Path()).name:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as db:
            for (block,) in db.execute("SELECT block FROM appends"):
                yield b"\n".join(pa.ipc.open_stream(block).read_all()["payload"].to_pylist())
    elif content.startswith(_FRAME):
        yield b"".join(_frames(content))


def _frames(content: bytes) -> Iterator[bytes]:
    """What Spark has written as a stream of LZ4 blocks: magic, method, lengths and sum, then the bytes."""
    at = 0
    while at < len(content):
        packed, size = (int.from_bytes(content[at + start : at + start + 4], "little") for start in (9, 13))
        block = content[at + 21 : at + 21 + packed]
        if size:
            yield block if content[at + 8] & 0xF0 == 0x10 else pa.decompress(block, size, "lz4_raw", asbytes=True)
        at += 21 + packed


def _event(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except ValueError:
        return None
