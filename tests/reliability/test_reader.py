"""The reader of the kill check sees half a batch when there is one, and only then."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.bronze.tables import EVENTS
from pipelines.contract import Table
from pipelines.jobs import TABLES
from pipelines.lake import Lake, Mark
from pipelines.paths import checkpoints
from pipelines.silver.tables import CONTROLS, QUARANTINE
from tests.reliability.application import Place
from tests.reliability.reader import Reader
from tests.reliability.world import DAY, START, World

BATCHES = (2, 5)
"""Where the two batches end; the first record is a control, the others are refused."""


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    """A reader of a lake whose two batches are planned."""
    world = World([b"{}"])
    for number in range(4):
        world.refuse(b"?", START + number * DAY, "not_json")
    place = Place(tmp_path / "lake", tmp_path / "conf")
    Lake(place.lake).create(*TABLES)
    offsets = checkpoints(place.lake) / "land+refine+expose+absences" / "offsets"
    offsets.mkdir(parents=True)
    for batch, end in enumerate(BATCHES):
        (offsets / str(batch)).write_text(f"v1\n{{}}\n{json.dumps({'offset': end})}")
    return Reader(place, world.truth(), DAY)


def write(reader: Reader, table: Table, *offsets: int) -> None:
    rows = table.frame([table.row(offset=offset) for offset in offsets])
    Lake(reader.place.lake).append(table, rows, Mark(f"{table.name} {offsets}", 0), {})


def test_a_batch_that_is_there_in_all_its_tables_is_whole(reader: Reader) -> None:
    assert reader.look() == []
    write(reader, CONTROLS, 0)
    write(reader, QUARANTINE, 1)
    assert reader.look() == [], "what lies downstream is written first"
    write(reader, EVENTS, 0, 1)
    assert reader.look() == []


def test_a_record_that_has_landed_without_its_home_is_half_a_batch(reader: Reader) -> None:
    write(reader, CONTROLS, 0)
    write(reader, EVENTS, 0, 1)
    assert "0 of them quarantined, expected one of [1, 4]" in reader.look()[0]


@pytest.mark.parametrize("offsets", [(0,), (0, 0), (1, 2), (0, 1, 2)])
def test_a_part_of_the_records_of_a_batch_is_half_a_batch(reader: Reader, offsets: tuple[int, ...]) -> None:
    write(reader, CONTROLS, 0)
    write(reader, QUARANTINE, 1, 2, 3, 4)
    write(reader, EVENTS, *offsets)
    assert "no whole number of the batches" in reader.look()[0]
