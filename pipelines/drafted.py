"""Names and values as the drafted files write them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from pipelines.profiling import Profile


def identifier(name: str) -> str:
    """A column's name as that of a segment, measure or label."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_-")[:128] or "column"


def key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else toml(name)


def toml(value: Any) -> str:
    """A string, number or list of strings in TOML, whose strings are those of JSON but for one character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def todo(role: str, needed: str, candidates: Sequence[Profile]) -> str:
    """The line that marks what is missing, with the columns that it could be."""
    named = ", ".join(toml(profile.name) for profile in candidates[:8]) or "none was found"
    return f"# TODO {role}: {needed}. Candidates: {named}."
