"""Libraries that not everybody needs: imported where they are used, and named where they are missing."""

from __future__ import annotations

import warnings
from importlib import import_module
from types import ModuleType

from pipelines.errors import MachineError


def extra(name: str, of: str = "loop") -> ModuleType:
    """A library of an extra of the distribution. Raises MachineError `extra_missing`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # what libraries import is theirs to mend
            return import_module(name)
    except ModuleNotFoundError as error:
        raise MachineError(
            "extra_missing", f"the library {name} is not installed ({error}). Install it: pip install 'hindsight-lakehouse[{of}]'"
        ) from error
