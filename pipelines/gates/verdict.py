"""What came of a suite: a row per expectation, and whether all of them hold."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Judged:
    """What came of one expectation. `passed`: None where these rows have no such column, so it was not judged.

    `unexpected`: rows that break it, and some of their values; `observed`: the figure, of an expectation about all rows.
    `told`: why it could not be computed, or was not. `row_rule`: refine keeps it too.
    """

    rule: str
    column: str
    kwargs: dict[str, Any]
    row_rule: bool
    passed: bool | None
    unexpected: int | None = None
    examples: tuple[Any, ...] = ()
    observed: Any = None
    told: str = ""


@dataclass(frozen=True)
class Verdict:
    """What a suite says of `rows` rows. `suite`: digest of what was expected; `docs`: the page that tells it, where one was asked for."""

    model: str
    suite: str
    rows: int
    rules: tuple[Judged, ...]
    docs: str | None = None

    @property
    def passed(self) -> bool:
        """Whether nothing that was judged failed."""
        return not self.failed

    @property
    def failed(self) -> tuple[Judged, ...]:
        """The expectations that do not hold."""
        return tuple(one for one in self.rules if one.passed is False)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {"passed": self.passed, **asdict(self)}
