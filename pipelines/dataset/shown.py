"""What a terminal shows of releases. All times are UTC."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from pipelines.dataset.difference import Difference
from pipelines.dataset.manifest import Manifest
from pipelines.dataset.path import RowPath
from pipelines.dataset.rebuild import Recut
from pipelines.dataset.spec import BASES, SPLITS
from pipelines.explain.shown import request_path

_UNSAID: tuple[Any, ...] = (None, [], {}, False)


def listed(found: Sequence[Manifest]) -> Group:
    """The releases, one a row."""
    if not found:
        return Group(Text("No release yet: hindsight dataset release --model MODEL --label LABEL"))
    table = _table(("release", "as of", "rows", "train", "validation", "test", "sampling", "gates", "content", "superseded by"))
    heirs = {one.supersedes: one.name for one in found}
    for one in found:
        splits = [f"{one.splits[name]:,}" for name in SPLITS]
        told = [one.name, one.as_of, f"{one.rows:,}", *splits, one.spec["sampling"], str(len(one.gates) or "-"), one.content[:16]]
        gone = heirs.get(one.name, "")
        table.add_row(*map(escape, [*told, gone]), style="dim" if gone else None)
    return Group(table)


def manifest(found: Manifest, runs: Sequence[str] = ()) -> Group:
    """One release."""
    facts = {
        "as of": f"{found.as_of}: what was known before",
        "digest": found.digest or "-",
        "policy": found.policy,
        "asked": "; ".join(_asked(found)),
        "read": ", ".join(f"{name} version {version}" for name, version in found.inputs.items()),
        "rows": f"{found.rows:,} ({_counts({name: found.splits[name] for name in SPLITS})})",
        "outcomes": _counts(found.classes) or found.schema["label"],
        "left out": _counts({name.replace("_", " "): count for name, count in found.exclusions.items()}) or "none",
        "features": ", ".join(f"{name} ({kind})" for name, kind in found.schema["features"].items()) or "none",
        "gates": f"{sum(one['passed'] is True for one in found.gates):,} rules held" if found.gates else "none",
        "content": found.content,
        "supersedes": f"{found.supersedes}, since the erasure at log offset {found.erased_by}" if found.supersedes else "",
        "that was used by": ", ".join(found.runs),
        "used by": ", ".join(runs),
    }
    width = max(map(len, facts))
    lines = [Text(f"{name.ljust(width)}  {told}") for name, told in facts.items() if told]
    return Group(Text(found.name or f"{found.model}/{found.label}: would be released", style="bold"), *lines)


def _asked(found: Manifest) -> Iterator[str]:
    """What of the spec has a say, in words."""
    plain = {"basis": list(BASES), "embargo": "0 seconds", "model": found.model, "label": found.label}
    plain |= {} if found.spec["split"] else {"shares": found.spec["shares"]}
    plain |= {"seed": found.spec["seed"]} if found.spec["sampling"] == "all" and not found.spec["split"] else {}
    for name, value in found.spec.items():
        if value not in _UNSAID and value != plain.get(name):
            pairs = value.items() if isinstance(value, dict) else ()
            words = [f"{one} = {' or '.join(of)}" for one, of in pairs] or (value if isinstance(value, list) else [value])
            yield name if value is True else f"{name} {', '.join(map(str, words))}"


def difference(found: Difference, limit: int) -> Group:
    """How many rows differ and why, and the first of them."""
    counts = _table(("what", "rows"))
    for what, count in {"the same": found.same, **found.counts}.items():
        counts.add_row(escape(what), f"{count:,}")
    rows = _table(("change", "why", "request", "item", "before", "after"))
    for one in found.changes[:limit]:
        rows.add_row(*(escape(text or "-") for text in (one.change, one.reason, one.unit_id, one.item, one.before, one.after)))
    more = len(found.changes) - limit
    told = [Text(f"{more:,} more: --limit, or --json for all")] if more > 0 else []
    return Group(Text(f"{found.before} to {found.after}", style="bold"), counts, *([rows] if found.changes else []), *told)


def row_path(found: RowPath) -> Group:
    """The rows of a request in a release, and what they rest on."""
    lines = [Text(f"{found.release} {'holds it' if found.rows else 'does not hold it'}", style="bold")]
    for row in found.rows:
        value = row["number"] if row["text"] is None else row["text"]
        told = f"{row['basis']}, outcome {value}, weight {row['weight']:g}, {row['split']}; known at {row['known_at']:%Y-%m-%d %H:%M:%S}"
        lines.append(Text(f"  {row['item'] or 'the request'}: {told}; inference at log offset {row['offset']}"))
    lines += [Text(f"  {item or 'the request'}: left out, {fate.replace('_', ' ')}") for item, fate in found.left_out.items()]
    return Group(*lines, request_path(found.path))


def recut(found: Recut, manifest: Manifest) -> Text:
    """What came out, beside what the manifest says."""
    if found.same:
        return Text(f"{found.name}: the same {found.rows:,} rows again, content {found.content}")
    told = f"{found.name}: {found.rows:,} rows of content {found.content}; the manifest says {manifest.rows:,} of {manifest.content}"
    return Text(told, style="bold red")


def files(found: Sequence[Path]) -> Group:
    """What was written."""
    return Group(*(Text(str(file)) for file in found))


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)


def _table(names: Sequence[str]) -> Table:
    table = Table(header_style="bold", box=SIMPLE)
    for name in names:
        table.add_column(name, justify="right" if name in ("rows", "train", "validation", "test") else "left", overflow="fold")
    return table
