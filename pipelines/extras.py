"""Libraries that only some commands need: imported where they are used, and named where they are missing."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from pipelines.errors import MachineError


def extra(module: str) -> Any:
    """A module of an optional library. Raises MachineError `extra_missing`."""
    try:
        return import_module(module)
    except ImportError as error:
        raise MachineError(
            "extra_missing", f"{module} cannot be imported ({error}). Install it: pip install 'hindsight-lakehouse[loop]'"
        ) from error
