"""What is asked, as values: which definitions, which increments answer, over which windows, as of when."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pipelines.definition import GRAINS, Definition
from pipelines.errors import InputError
from pipelines.quantities import spelled

ORIGIN = datetime(1970, 1, 5, tzinfo=UTC)
"""Windows are counted from this Monday, so weeks start on Mondays and days at midnight UTC."""


@dataclass(frozen=True)
class Windows:
    """Windows of `width` that start every `step`; with `start` or `end` only those that lie wholly between them."""

    step: timedelta
    width: timedelta
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True)
class Source:
    """The increments of one definition in one cut and grain."""

    definition: str
    cut: str
    grain: str


@dataclass(frozen=True)
class Target:
    """A definition whose metrics are asked for, the sources that answer, and the measures its model declares."""

    definition: Definition
    sources: tuple[Source, ...]
    measures: tuple[str, ...] = ()


@dataclass(frozen=True)
class Question:
    """Metrics of targets over windows, by version and segment fields, as of a whole minute; `mature` lets silence
    speak.
    """

    targets: tuple[Target, ...]
    windows: Windows
    as_of: datetime
    fields: tuple[str, ...] = ()
    version: bool = False
    mature: bool = False


def target(definition: Definition, services: Iterable[Definition], windows: Windows, fields: Sequence[str]) -> Target:
    """A definition with the sources that answer. Raises InputError (cut_not_declared, grain_not_declared).

    Exposures come from a service definition that has seen all its inferences, and of several from the one declared nearest to
    it in the log: they come from one model file.
    """
    own = _source(definition, windows, fields)
    if definition.policy is None:
        return Target(definition, (own,), definition.measures)
    near = sorted(services, key=lambda s: (s.above > definition.above, abs(s.offset - definition.offset), s.offset))
    if not near:
        return Target(definition, (own,))
    return Target(definition, (own, _source(near[0], windows, fields)), near[0].measures)


def is_final(definition: Definition, end: datetime, as_of: datetime) -> bool:
    """Whether a window that ends then is final: the attribution window has passed too, and only a correction still moves it."""
    return end + timedelta(seconds=definition.policy.window if definition.policy else 0) <= as_of


def cut_name(fields: Sequence[str]) -> str:
    """ "all", or the fields joined with "*"."""
    return "*".join(fields) or "all"


def _source(definition: Definition, windows: Windows, fields: Sequence[str]) -> Source:
    where = f'{definition.model}, label "{definition.label}", definition {definition.hash}'
    cuts = [cut for cut in definition.cuts if sorted(cut) == sorted(fields)]
    if not cuts:
        declared = ", ".join(f'"{cut_name(cut)}"' for cut in definition.cuts)
        raise InputError(
            "cut_not_declared",
            f'{where}: there are no numbers by "{cut_name(fields)}"; it declares the cuts {declared}. '
            "Ask for one of them, or declare the cut in the model file: it counts from then on.",
        )
    fitting = [g for g in definition.grains if not windows.step % GRAINS[g] and not windows.width % GRAINS[g]]
    if not fitting:
        asked = f"{spelled(windows.width)} every {spelled(windows.step)}"
        raise InputError(
            "grain_not_declared",
            f"{where}: windows of {asked} cannot be made of its grains {', '.join(definition.grains)}. "
            "Ask for a multiple of one of them, or declare a finer grain in the model file.",
        )
    return Source(definition.hash, cut_name(cuts[0]), max(fitting, key=GRAINS.__getitem__))
