"""The commands `hindsight gates …`: what is expected of a model's data, and whether what is in the lake now keeps it."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from pipelines import settings as configuration
from pipelines.arguments import Commands, command, folder, grouped, instant
from pipelines.console import answer, told
from pipelines.errors import InputError, nearest

if TYPE_CHECKING:
    from pipelines.gates.suite import Suite
    from pipelines.gates.verdict import Verdict


def add(known: Commands) -> None:
    """Add the commands to those that are known."""
    meaning = "what is expected of a model's data, and whether it is kept"
    kinds = grouped(known, "gates", meaning, "hindsight gates check --model arrival_delay").add_subparsers(
        metavar="WHAT", title="what", required=True
    )
    about = "show a suite: which of its expectations refine keeps as row rules, and why the others are judged at releases alone"
    shown = command(kinds, "show", show, about, "hindsight gates show --model arrival_delay")
    shown.add_argument("--model", required=True, help="whose suite")
    about = "judge the inferences that are in the lake now, those with status ok, without releasing anything"
    checked = command(kinds, "check", check, about, "hindsight gates check --model arrival_delay --since 2013-01-20")
    checked.add_argument("--model", required=True, help="whose suite, and whose inferences")
    checked.add_argument("--since", type=instant, metavar="TIME", help="only what was served from then on (all)")
    checked.add_argument("--docs", type=folder, metavar="DIR", help="write the Data Docs there: one HTML file, which fetches nothing")


def show(asked: Namespace) -> int:
    """Raises InputError `no_suite`, ConfigError `suite_invalid`, MachineError `extra_missing`."""
    from pipelines.gates.validate import built

    settings = configuration.load(asked.conf, lake_path=asked.lake)
    suite = _suite(settings, asked.model)
    built(suite)  # what is wrong with arguments that are none of a row rule's is known to Great Expectations alone
    since = _since(settings.lake.path.resolve(), suite)
    said = {"model": suite.model, "file": str(suite.file), "in_force_above_offset": since}
    listed = [{"type": one.type, "kwargs": one.kwargs, "row_rule": one.rule is not None, "why_not": one.why} for one in suite.expectations]
    answer(asked, said | {"expectations": listed}, lambda: _shown(suite, since))
    return 0


def check(asked: Namespace) -> int:
    """1 where an expectation is not kept. Raises as `show` does, and StateError `no_lake`."""
    from pipelines.gates.check import check as judged

    settings = configuration.load(asked.conf, lake_path=asked.lake)
    suite = _suite(settings, asked.model)
    with told.status("gates check"):
        verdict = judged(settings.lake.path, suite, since=asked.since, docs=asked.docs)
    answer(asked, verdict.to_dict(), lambda: _judged(verdict))
    return 0 if verdict.passed else 1


def _suite(settings: Any, model: str) -> Suite:
    from pipelines.gates.suite import FOLDER, load_suite

    suite = load_suite(settings.conf, model)
    if not suite.expectations:
        there = sorted(file.stem for file in (settings.conf / FOLDER).glob("*.json"))
        raise InputError(
            "no_suite", f"{suite.file}: nothing is expected there of {model}{nearest(model, there)}; suites: {', '.join(there) or 'none'}"
        )
    return suite


def _since(root: Path, suite: Suite) -> int | None:
    """The log offset above which the row rules of a suite are in force in a lake; None where they are not."""
    from pipelines.definitions import DefinitionBook
    from pipelines.lake import Lake
    from pipelines.silver.tables import CONTROLS

    lake = Lake(root)
    declared = DefinitionBook(lake).rules() if lake.exists(CONTROLS) else []
    last = max((one for one in declared if one.model == suite.model), key=lambda one: one.offset, default=None)
    return last.offset if last is not None and last.rules == suite.rules else None


def _shown(suite: Suite, since: int | None) -> Group:
    table = Table(header_style="bold")
    for name in ("column", "expectation", "kept"):
        table.add_column(name, overflow="fold")
    for one in suite.expectations:
        kept = "by refine" if one.rule else f"at releases: {one.why}"
        table.add_row(*map(Text, (", ".join(one.columns), _said(one.type, one.kwargs), kept)))
    state = "not in force yet: the next `hindsight run` declares them" if since is None else f"in force above log offset {since}"
    return Group(table, Text(f"{len(suite.rules)} row rules of {suite.file}, {state}"))


def _said(type_: str, kwargs: dict[str, Any]) -> str:
    rest = ", ".join(f"{key}={value!r}" for key, value in kwargs.items() if not key.startswith("column"))
    return f"{type_.removeprefix('expect_')}({rest})"


def _judged(verdict: Verdict) -> Group:
    table = Table(header_style="bold")
    for name in ("", "column", "expectation", "unexpected", "found"):
        table.add_column(name, justify="right" if name == "unexpected" else "left", overflow="fold")
    for one in verdict.rules:
        mark = {True: Text("kept"), False: Text("broken", style="red"), None: Text("-")}[one.passed]
        found = one.told or ", ".join(map(repr, one.examples)) or ("" if one.observed is None else str(one.observed))
        unexpected = "" if one.unexpected is None else f"{one.unexpected:,}"
        table.add_row(mark, *map(Text, (one.column, _said(one.rule, one.kwargs), unexpected, found)))
    lines = [f"{verdict.rows:,} rows of {verdict.model}: " + ("nothing is broken" if verdict.passed else f"{len(verdict.failed)} broken")]
    return Group(table, *(Text(line) for line in [*lines, *([f"page: {verdict.docs}"] if verdict.docs else [])]))
