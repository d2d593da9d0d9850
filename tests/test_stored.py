"""What a verification reads of the disk: the files of tables, wherever the lake lies."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from pipelines.verify.stored import Stored
from tests.small import made


@pytest.mark.parametrize("name", ["my lake", "läke", "it's [old] *", "{a,b}=?#"])
def test_a_lake_may_have_any_name(tmp_path: Path, name: str) -> None:
    query = Stored(made(tmp_path / name), "bronze.events").select("count(*)")
    assert query is not None
    assert duckdb.connect().execute(query).fetchone() == (17,)
