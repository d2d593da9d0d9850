"""What one check of a machine or a lake found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One check: `advice` says in a paragraph what to do, and is empty where all is well.

    `code` names what is wrong for scripts; that of the error with which a start ends over it, where it looks for that itself.
    """

    name: str
    ok: bool
    found: str
    advice: str = ""
    code: str = ""
