"""The commands `hindsight dataset …`: what may be asked of them, what they show while they work, and what they answer."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import settings as configuration
from pipelines.arguments import Commands, Parser, command, count, folder, grouped, instant, pair
from pipelines.console import answer, bar
from pipelines.dataset.export import FORMATS
from pipelines.dataset.spec import BASES, SAMPLINGS, SPLITTERS
from pipelines.errors import InputError
from pipelines.paths import docs_of

if TYPE_CHECKING:
    from pipelines.lake import Lake

_SPEC = ("window", "sampling", "size", "seed", "by", "basis", "versions", "split", "shares", "embargo", "texts", "deduplicate")


def add(known: Commands) -> None:
    """Add the commands to those that are known."""
    example = "hindsight dataset release --model arrival_delay --label late --split time --dry-run"
    top = grouped(known, "dataset", "training sets: releases of examples, each a manifest over rows that never change", example)
    kinds = top.add_subparsers(metavar="WHAT", title="what", required=True)
    _release(kinds, example)
    made = command(kinds, "list", list_, "the releases of a lake", "hindsight dataset list --model arrival_delay")
    made.add_argument("--model", help="one model (all)")
    made.add_argument("--label", help="one label (all)")
    _named(kinds, "show", show, "what a release is: its manifest", "hindsight dataset show arrival_delay/late/1")
    made = _named(kinds, "diff", diff, "which rows came, went or changed between two releases, and why",
                  "hindsight dataset diff arrival_delay/late/1 arrival_delay/late/2")  # fmt: skip
    made.add_argument("other", metavar="OTHER", help="the later release")
    made.add_argument("--limit", type=count, default=20, metavar="N", help="rows to show (20); --json has them all")
    made = _named(kinds, "explain", explain, "where a row of a release comes from: the votes behind it, down to the log",
                  "hindsight dataset explain arrival_delay/late/1 2013-01-14-B6-22-JFK-SYR-2249")  # fmt: skip
    made.add_argument("request", metavar="REQUEST", help="the request")
    made = _named(kinds, "rebuild", rebuild, "cut a release again, and compare; of this lake or, by its manifest, of another",
                  "hindsight dataset rebuild arrival_delay/late/1")  # fmt: skip
    made = _named(kinds, "export", export, "write a release as files, with its manifest",
                  "hindsight dataset export arrival_delay/late/1 --format huggingface --to flights")  # fmt: skip
    made.add_argument("--format", choices=FORMATS, default="parquet", help="of the files (parquet); pairs: chosen and rejected items")
    made.add_argument("--to", type=folder, required=True, metavar="DIR", help="a folder that is new or empty")


def _named(kinds: Commands, name: str, run: object, meaning: str, example: str) -> Parser:
    made = command(kinds, name, run, meaning, example)
    told = "MODEL/LABEL/N, MODEL/LABEL for the newest, or a digest"
    made.add_argument("name", metavar="NAME", help=f"{told}; or a file with a manifest" if name == "rebuild" else told)
    return made


def _release(kinds: Commands, example: str) -> None:
    meaning = "cut a release as of a time; what is not said here, the section [dataset.LABEL] of the model file says"
    made = command(kinds, "release", release, meaning, example)
    made.add_argument("--model", required=True, help="the model")
    made.add_argument("--label", required=True, help="the label")
    made.add_argument("--as-of", type=instant, metavar="TIME", help="as it was known then, such as 2013-01-25 (the frontier)")
    made.add_argument("--window", metavar="LENGTH", help="served no longer before that than this, such as '90 days' (all)")
    made.add_argument("--basis", action="append", choices=BASES, help="only such examples; again for more (both)")
    made.add_argument("--version", dest="versions", action="append", metavar="NAME", help="only of this version; again for more (all)")
    made.add_argument("--segment", action="append", type=pair, metavar="FIELD=VALUE", help="only of this segment; again for more (all)")
    made.add_argument("--deduplicate", action="store_const", const=True, help="of equal features and label keep the first")
    made.add_argument("--sampling", choices=SAMPLINGS, help="how rows are drawn (all)")
    made.add_argument("--size", type=count, metavar="N", help="how many are wanted")
    made.add_argument("--by", action="append", metavar="FIELD", help="segment whose proportions a stratified draw keeps; again for more")
    made.add_argument("--seed", type=count, metavar="N", help="another draw (1)")
    made.add_argument("--split", action="append", choices=SPLITTERS, help="by time, by hash of a group, or both (all is train)")
    made.add_argument("--shares", nargs=3, type=float, metavar="SHARE", help="of train, validation and test (0.8 0.1 0.1)")
    made.add_argument("--embargo", metavar="LENGTH", help="left out before a later split begins, such as '48 hours'")
    made.add_argument("--text", dest="texts", action="append", metavar="FEATURE", help="take this feature as text; again for more")
    made.add_argument("--dry-run", action="store_true", help="say what would be released")


def release(asked: Namespace) -> int:
    from pipelines.dataset.release import release as cut
    from pipelines.dataset.shown import manifest
    from pipelines.dataset.spec import load_spec
    from pipelines.gates.judge import gate_of

    settings = configuration.load(asked.conf, lake_path=asked.lake)
    said: dict[str, Any] = {name: value for name in _SPEC if (value := getattr(asked, name)) is not None}
    if asked.segment:
        said["segments"] = {field: [value for name, value in asked.segment if name == field] for field, _ in asked.segment}
    spec = load_spec(settings.models_path, asked.model, asked.label, said)
    gate = gate_of(asked.model, settings.conf, docs_of(settings.lake.path, asked.model))
    with _progress("release") as progress:
        found = cut(settings.lake.path, spec, as_of=asked.as_of, gate=gate, dry_run=asked.dry_run, progress=progress)
    answer(asked, {"dry_run": asked.dry_run, **asdict(found)}, lambda: manifest(found))
    return 0


def list_(asked: Namespace) -> int:
    from pipelines.dataset.manifest import manifests
    from pipelines.dataset.shown import listed

    found = manifests(_lake(asked), asked.model, asked.label)
    answer(asked, lambda: [asdict(one) for one in found], lambda: listed(found))
    return 0


def show(asked: Namespace) -> int:
    from pipelines.dataset.erased import runs
    from pipelines.dataset.manifest import named
    from pipelines.dataset.shown import manifest

    lake = _lake(asked)
    found = named(lake, asked.name)
    answer(asked, lambda: asdict(found), lambda: manifest(found, runs(lake, found)))
    return 0


def diff(asked: Namespace) -> int:
    from pipelines.dataset.difference import diff as compare
    from pipelines.dataset.manifest import named
    from pipelines.dataset.shown import difference

    lake = _lake(asked)
    found = compare(lake, named(lake, asked.name), named(lake, asked.other))
    answer(asked, lambda: {**asdict(found), "counts": found.counts}, lambda: difference(found, asked.limit))
    return 0


def explain(asked: Namespace) -> int:
    from pipelines.dataset.manifest import named
    from pipelines.dataset.path import explain as path
    from pipelines.dataset.shown import row_path
    from pipelines.explain.sources import plain

    lake = _lake(asked)
    found = path(lake, named(lake, asked.name), asked.request)
    answer(asked, lambda: plain(asdict(found)), lambda: row_path(found))
    return 0


def rebuild(asked: Namespace) -> int:
    """1 where other rows come out than the manifest says."""
    from pipelines.dataset.manifest import Manifest, named
    from pipelines.dataset.rebuild import rebuild as again
    from pipelines.dataset.shown import recut

    lake, file = _lake(asked), Path(asked.name)
    manifest = Manifest.of(_text(file)) if file.is_file() else named(lake, asked.name)
    with _progress("rebuild") as progress:
        found = again(lake, manifest, progress)
    answer(asked, lambda: asdict(found), lambda: recut(found, manifest))
    return 0 if found.same else 1


def export(asked: Namespace) -> int:
    from pipelines.dataset.export import export as write
    from pipelines.dataset.manifest import named
    from pipelines.dataset.shown import files

    lake = _lake(asked)
    found = write(lake, named(lake, asked.name), asked.format, asked.to)
    answer(asked, lambda: {"files": [str(file) for file in found]}, lambda: files(found))
    return 0


def _lake(asked: Namespace) -> Lake:
    from pipelines.dataset.manifest import lake_of

    return lake_of(configuration.load(asked.conf, lake_path=asked.lake).lake.path)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError("not_a_manifest", f"{file}: byte {error.start} is no UTF-8; expected a manifest") from error


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    with bar() as shown:
        task = shown.add_task(what, total=None)
        yield lambda done, of: shown.update(task, completed=done, total=of)
