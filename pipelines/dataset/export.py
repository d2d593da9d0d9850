"""A release as files that others read: Parquet, CSV, JSON lines, the layout of Hugging Face, preference pairs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from shutil import rmtree
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from pipelines.dataset.features import typed
from pipelines.dataset.manifest import Manifest, rows_of
from pipelines.dataset.pairs import pairs
from pipelines.errors import InputError
from pipelines.explain.sources import plain
from pipelines.lake import Lake

FORMATS = ("parquet", "csv", "jsonl", "huggingface", "pairs")
Write = Callable[[pa.Table, Path], None]


def export(lake: Lake, manifest: Manifest, form: str, target: Path) -> list[Path]:
    """Write a release into a new folder, a file per split and the manifest; the files. All of them are there, or none.

    Raises InputError `folder_in_use`, `no_pairs`, and what `rows_of` raises.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError("folder_in_use", f"{target}: there is something already; expected a folder that is new or empty")
    rows = rows_of(lake, manifest)
    found = pairs(lake, manifest, rows) if form == "pairs" else flat(typed(rows, manifest.schema["features"], manifest.schema["label"]))
    scratch = target.with_name(f"{target.name}.tmp")
    rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    ending, write = _WRITERS[form]
    for split, part in _splits(found):
        file = scratch / (f"data/{split}-00000-of-00001.parquet" if form == "huggingface" else f"{split}.{ending}")
        file.parent.mkdir(exist_ok=True)
        write(part, file)
    if form == "huggingface":
        (scratch / "README.md").write_text(card(manifest, found), encoding="utf-8")
    (scratch / "manifest.json").write_text(json.dumps(asdict(manifest), indent=2), encoding="utf-8")
    if target.exists():
        target.rmdir()
    scratch.rename(target)
    return sorted(file for file in target.rglob("*") if file.is_file())


def flat(rows: pa.Table) -> pa.Table:
    """Rows with a column per segment, segments.NAME, in place of the map: what every format can hold."""
    segments = rows["segments"].combine_chunks()
    for name in sorted(filter(None, pc.unique(segments.keys).to_pylist())):
        rows = rows.append_column(f"segments.{name}", pc.map_lookup(segments, name, "first"))
    return rows.drop_columns(["segments"])


def card(manifest: Manifest, rows: pa.Table) -> str:
    """The dataset card: where each split lies, as Hugging Face reads it, and what a person wants to know."""
    files = "".join(f"  - split: {split}\n    path: data/{split}-*\n" for split, _ in _splits(rows))
    columns = "".join(f"| `{field.name}` | {field.type} |\n" for field in rows.schema)
    left_out = ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in manifest.exclusions.items()) or "none"
    return (
        f"---\nconfigs:\n- config_name: default\n  data_files:\n{files}---\n\n# {manifest.name}\n\n"
        f'Training examples of the model "{manifest.model}", label "{manifest.label}", as they were known before {manifest.as_of}: '
        f"{manifest.rows:,} rows, sampled: {manifest.spec['sampling']}. Left out: {left_out}. `weight` says how many examples a row stands "
        f"for.\n\nContent `{manifest.content}`, policy of the label `{manifest.policy}`; everything else is in `manifest.json`.\n\n"
        f"| Column | Type |\n|---|---|\n{columns}"
    )


def _splits(rows: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """The splits that have rows."""
    for split in pc.unique(rows["split"]).to_pylist():
        yield split, rows.filter(pc.equal(rows["split"], split))


def _parquet(rows: pa.Table, file: Path) -> None:
    pq.write_table(rows, file, compression="zstd", write_page_checksum=True)


def _jsonl(rows: pa.Table, file: Path) -> None:
    with file.open("w", encoding="utf-8") as out:
        for batch in rows.to_batches(1 << 14):
            out.writelines(json.dumps(_said(row), ensure_ascii=False) + "\n" for row in batch.to_pylist())


def _said(row: dict[str, Any]) -> dict[str, Any]:
    return {name: plain(value) for name, value in row.items()}


_WRITERS: dict[str, tuple[str, Write]] = {
    "parquet": ("parquet", _parquet),
    "csv": ("csv", csv.write_csv),
    "jsonl": ("jsonl", _jsonl),
    "huggingface": ("parquet", _parquet),
    "pairs": ("jsonl", _jsonl),
}
