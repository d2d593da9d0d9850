"""All checks: of the machine, and of the lake where there is one."""

from __future__ import annotations

from pipelines import machine
from pipelines.check import Check
from pipelines.health import checks as health
from pipelines.settings import Settings


def checks(settings: Settings, *, quick: bool = False) -> list[Check]:
    """What a start would meet, then what the lake holds; `quick` reads no data file and no state."""
    return [*machine.checks(settings), *health.checks(settings.lake.path.resolve(), quick=quick)]
