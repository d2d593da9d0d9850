"""The command `hindsight erase`: what may be asked of it, what it shows while it works, and what it answers."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.text import Text

from pipelines import leases
from pipelines import settings as configuration
from pipelines.arguments import Commands, command, folder
from pipelines.console import answer, told
from pipelines.errors import InputError
from pipelines.jobs import LEASES
from pipelines.paths import erasing, there

if TYPE_CHECKING:
    from pipelines.erasure.erase import Erased
    from pipelines.erasure.plan import Plan
    from pipelines.settings import Settings

LONGEST = 256
"""Characters of a subject."""


def add(known: Commands) -> None:
    """Add the command to those that are known."""
    meaning = (
        "erase subjects: take back what they contributed, delete their records from log, tables, old versions and state, and refuse "
        "them from then on; without a subject, finish what was interrupted"
    )
    made = command(known, "erase", erase, meaning, "hindsight erase --subject customer-4711 --dry-run")
    made.add_argument("--subject", action="append", default=[], metavar="ID", help="whom: the `subject` of inferences; again for more")
    made.add_argument("--from", dest="source", type=Path, metavar="FILE", help="a file with a subject on each line")
    made.add_argument(
        "--reader",
        action="append",
        default=[],
        type=folder,
        metavar="DIR",
        help="checkpoint of a running stream of yours on the lake's tables: files go when it has read what is taken back; again for more",
    )
    made.add_argument("--dry-run", action="store_true", help="say what would go, of what has been processed")


def erase(asked: Namespace) -> int:
    """0 where it is done, or there is nothing to do."""
    settings = configuration.load(asked.conf, lake_path=asked.lake)
    root = there(settings.lake.path)
    subjects = subjects_of(asked)
    unfinished = (erasing(root) / "plan.json").exists()
    if not (subjects or unfinished):
        raise InputError("no_subject", "no subject is named, and no erasure is to be finished; expected --subject ID or --from FILE")
    if asked.dry_run:
        return _plan(asked, root, subjects, unfinished=unfinished)
    leases.refuse_held(root, LEASES)  # at once: a session takes long to start
    done = _erase(settings, root, subjects, asked.reader)
    answer(asked, [{"certificate": str(one.certificate), **one.said} for one in done], lambda: _told(done))
    return 0


def subjects_of(asked: Namespace) -> list[str]:
    """The subjects that are named, each once. Raises InputError `file_not_found`, `not_text` or `subject_invalid`."""
    lines: list[str] = []
    if asked.source is not None:
        try:
            lines = [line for line in asked.source.read_text(encoding="utf-8").splitlines() if line.strip()]
        except OSError as error:
            raise InputError("file_not_found", f"{asked.source}: {error.strerror}; expected a file of subjects") from error
        except UnicodeDecodeError as error:
            raise InputError("not_text", f"{asked.source}: byte {error.start} is no UTF-8; expected a subject on each line") from error
    wrong = [one for one in (*asked.subject, *lines) if not 0 < len(one) <= LONGEST]
    if wrong:
        raise InputError("subject_invalid", f"{wrong[0][:40]!r}: a subject has 1 to {LONGEST} characters; {len(wrong)} have not")
    return list(dict.fromkeys([*asked.subject, *lines]))


def _erase(settings: Settings, root: Path, subjects: list[str], readers: list[Path]) -> list[Erased]:
    from pipelines import session
    from pipelines.app import Application
    from pipelines.erasure import erase as erasing_of

    with told.status("erase") as shown:
        first = erasing_of.finish(root, shown.update)
        if not subjects:
            return [first] if first else []
        with session.opened(settings) as spark, Application(settings, spark) as app:
            second = erasing_of.erase(app, subjects, readers, shown.update)
    return [one for one in (first, second) if one]


def _plan(asked: Namespace, root: Path, subjects: list[str], *, unfinished: bool) -> int:
    from pipelines.erasure.plan import plan
    from pipelines.guards import refuse_an_earlier_lake
    from pipelines.lake import Lake

    lake = Lake(root)
    refuse_an_earlier_lake(lake)
    found = plan(lake, subjects)
    said = {"unfinished": unfinished, "subjects": len(subjects), "records": found.kinds, "rows": found.rows}
    said |= {"increments": found.statistics.num_rows, "left_as_raters": found.raters}
    answer(asked, said, lambda: Group(*(Text(line) for line in _foreseen(found, unfinished=unfinished))))
    return 0


def _foreseen(found: Plan, *, unfinished: bool) -> list[str]:
    lines = ["An erasure that was interrupted is to be finished first."] if unfinished else []
    lines.append(f"{len(found.offsets):,} records of the log would go: {_listed(found.kinds)}")
    lines.append(f"with them rows of {_listed(found.rows)}")
    lines.append(f"{found.statistics.num_rows:,} increments of gold.statistics would be taken back")
    return [*lines, *_raters(found.raters)]


def _told(done: list[Erased]) -> Group:
    lines = [] if done else ["Nothing to erase: none of them is in the lake, and all are refused already."]
    for one in done:
        said: dict[str, Any] = one.said
        records = sum(last - first + 1 for first, last in said["offsets"])
        lines.append(f"{len(said['subjects']):,} subjects erased: {records:,} records of the log ({_listed(said['records'])})")
        lines.append(f"  {said['increments_posted']:,} increments taken back in {len(said['cells']):,} cells of gold.statistics")
        lines.append(f"  certificate: {one.certificate}")
        lines += _raters(said["left_as_raters"])
    return Group(*(Text(line) for line in lines))


def _raters(count: int) -> list[str]:
    told_of = f"{count:,} votes on requests of others name them as the rater; they stay, since they are about others"
    return [told_of] if count else []


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "nothing"
