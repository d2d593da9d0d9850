"""Secrets: from the environment or a file, never from the settings themselves."""

from __future__ import annotations

import os
from pathlib import Path

from pipelines.errors import ConfigError


def secret(variable: str, file: str, setting: str, code: str) -> str:
    """The secret in a variable of the environment, else in the file that a setting names; "" where neither is.

    Raises ConfigError `code` where the file cannot be read.
    """
    found = os.environ.get(variable, "")
    if found or not file:
        return found
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(code, f"{setting}: {file}: {error}; expected a file of one secret") from error
