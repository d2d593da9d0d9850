"""The manifest of a release: what was asked, of what, and what came of it; and the manifests of a lake."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from pipelines import kept
from pipelines.contract import Table, spelled
from pipelines.dataset.spec import Spec
from pipelines.dataset.standing import ORDER
from pipelines.dataset.tables import RELEASED, RELEASES
from pipelines.definition import canonical, digest
from pipelines.errors import InputError, StateError, nearest
from pipelines.lake import Lake, Mark
from pipelines.retrain.tables import RETRAININGS

_FREE = ("release", "recorded_at")
_BESIDE = ("name", "digest", "root", "inputs")
"""What says where a release lies and what it was read from, not what it is."""


@dataclass(frozen=True)
class Manifest:
    """One release. Equal questions of equal data have equal digests, on any machine; `name` is MODEL/LABEL/N.

    `as_of`: what was known before. `inputs`: versions of the tables that were read. `schema`: the types of label and features.
    `content`: hash of the rows. `drawn`: where sampling and split have cut. `exclusions`: examples that were left out, by reason.
    `supersedes`: the release that this one stands for since the erasure at log offset `erased_by`; `runs`: what had used that one.
    `root`: the digest under which the rows lie.
    """

    name: str
    digest: str
    model: str
    label: str
    policy: str
    as_of: str
    spec: dict[str, Any]
    inputs: dict[str, int]
    rows: int
    splits: dict[str, int]
    classes: dict[str, int]
    schema: dict[str, Any]
    content: str
    drawn: dict[str, Any]
    exclusions: dict[str, int]
    gates: list[dict[str, Any]] = field(default_factory=list)
    supersedes: str | None = None
    erased_by: int | None = None
    runs: list[str] = field(default_factory=list)
    root: str = ""

    @classmethod
    def of(cls, text: str) -> Manifest:
        """The manifest that a text says. Raises InputError `not_a_manifest`."""
        try:
            return msgspec.json.decode(text, type=cls)
        except msgspec.MsgspecError as error:
            told = f"{error}; expected a manifest, as `hindsight dataset show NAME --json` prints it"
            raise InputError("not_a_manifest", told) from error

    def sealed(self) -> Manifest:
        """With its digest; of a first release that is where the rows lie."""
        found = digest({name: value for name, value in asdict(self).items() if name not in _BESIDE})
        return replace(self, digest=found, root=self.root or found)

    @property
    def asked(self) -> Spec:
        return Spec.of(self.spec)

    def row(self) -> dict[str, Any]:
        """As gold.releases holds it."""
        return {
            "name": self.name,
            "digest": self.digest,
            "model": self.model,
            "label": self.label,
            "number": int(self.name.rpartition("/")[2]),
            "manifest": canonical(asdict(self)).decode(),
        }


def content(rows: pa.Table) -> str:
    """A hash of rows of gold.released, which are put in order first: the same for the same rows, in whatever files they lie."""
    rows = in_order(rows)
    found = hashlib.blake2b(digest_size=16)
    for column in RELEASED.columns:
        if column.name not in _FREE:
            found.update(f"{column.name}:{spelled(column.type)}\0".encode())
            for part in _bytes(rows[column.name].combine_chunks()):
                found.update(part)
    return found.hexdigest()


def in_order(rows: pa.Table) -> pa.Table:
    return rows.sort_by([(name, "ascending") for name in ORDER])


def manifests(lake: Lake, model: str | None = None, label: str | None = None) -> list[Manifest]:
    """The releases of a lake by model and label, the first first."""
    if not lake.exists(RELEASES):
        return []
    rows = lake.read(RELEASES, ["model", "label", "number", "manifest"])
    rows = rows.sort_by([(name, "ascending") for name in ("model", "label", "number")])
    found = [Manifest.of(text) for text in rows["manifest"].to_pylist()]
    return [one for one in found if model in (None, one.model) and label in (None, one.label)]


def named(lake: Lake, name: str) -> Manifest:
    """The release of this name or digest; of MODEL/LABEL the newest. Raises InputError `unknown_release`."""
    known = manifests(lake)
    found = [one for one in known if name in (one.name, one.digest, one.name.rpartition("/")[0])]
    if not found:
        told = f"the lake has: {', '.join(one.name for one in known[-5:])}" if known else "the lake has none: `hindsight dataset release`"
        raise InputError("unknown_release", f'there is no release "{name}"{nearest(name, [one.name for one in known])}; {told}.')
    return found[-1]


def rows_of(lake: Lake, manifest: Manifest) -> pa.Table:
    """The rows of a release, in order, as gold.released holds them.

    Raises InputError `release_superseded`, since rows of it were erased, and StateError `release_damaged`.
    """
    refuse_superseded(lake, manifest)
    rows = in_order(stored(lake, manifest))
    if content(rows) != manifest.content:
        raise StateError(
            "release_damaged",
            f"{manifest.name}: gold.released holds {rows.num_rows:,} rows of content {content(rows)}, the manifest says {manifest.rows:,} "
            f"of {manifest.content}. `hindsight doctor` says whether files are damaged; bring them back from a backup.",
        )
    return rows


def refuse_superseded(lake: Lake, manifest: Manifest) -> None:
    """Raise InputError `release_superseded` where rows of it were erased."""
    heirs = [one.name for one in manifests(lake, manifest.model, manifest.label) if one.supersedes == manifest.name]
    if heirs:
        raise InputError("release_superseded", f"{manifest.name}: rows of it were erased; what is left of it is {heirs[0]}.")


def stored(lake: Lake, manifest: Manifest, columns: Sequence[str] | None = None) -> pa.Table:
    """What gold.released holds for a release."""
    return lake.read(RELEASED, list(RELEASED.names if columns is None else columns), pc.field("release") == manifest.root)


def keep(lake: Lake, manifest: Manifest, rows: pa.Table | None = None) -> None:
    """Append a manifest, after the rows that it speaks of: each once, whoever tries again."""
    lake.create(RELEASES, RELEASED)
    parts: list[tuple[Table, pa.Table]] = [] if rows is None else [(RELEASED, rows)]
    parts.append((RELEASES, pa.Table.from_pylist([manifest.row()], schema=RELEASES.computed)))
    for table, part in parts:
        mark = Mark(f"release:{manifest.digest}:{table.name}", 0)
        kept.append(lake, table, part, mark, {"job": "release", "release": manifest.digest})


def next_name(lake: Lake, model: str, label: str) -> str:
    """A name that no release has, nor one that a retraining learnt from, should it be lost. The caller holds the lease `dataset`."""
    used = {one.name for one in manifests(lake, model, label)}
    if lake.exists(RETRAININGS):
        used |= {*lake.read(RETRAININGS, ["release"])["release"].drop_null().to_pylist()}
    numbers = [int(number) for about, _, number in (name.rpartition("/") for name in used) if about == f"{model}/{label}"]
    return f"{model}/{label}/{1 + max(numbers, default=0)}"


def lake_of(path: Path | str) -> Lake:
    """The lake under a folder, opened to read releases. Raises StateError as `paths.existing` does."""
    from pipelines.paths import existing

    return Lake(existing(Path(path)))


def _bytes(column: pa.Array) -> Iterator[bytes]:
    """What a column says, whatever lies in its buffers where nothing is said."""
    if isinstance(column, pa.MapArray):
        yield from _bytes(_lengths(column))
        yield from _bytes(column.keys.slice(column.offsets[0].as_py(), column.offsets[-1].as_py() - column.offsets[0].as_py()))
        yield from _bytes(column.items.slice(column.offsets[0].as_py(), column.offsets[-1].as_py() - column.offsets[0].as_py()))
        return
    yield column.is_valid().to_numpy(zero_copy_only=False).tobytes()
    if pa.types.is_string(column.type):
        filled = pc.fill_null(column, "")
        yield pc.binary_length(filled).to_numpy(zero_copy_only=False).astype("<i8").tobytes()
        yield "".join(filled.to_pylist()).encode()
    else:
        numbers = column.cast(pa.int64()) if pa.types.is_temporal(column.type) else column
        yield pc.fill_null(numbers, 0).to_numpy(zero_copy_only=False).tobytes()


def _lengths(column: pa.MapArray) -> pa.Array:
    ends = column.offsets.to_numpy()
    lengths = pa.array(ends[1:] - ends[:-1], pa.int64())
    return pc.if_else(column.is_valid(), lengths, pa.scalar(None, pa.int64()))
