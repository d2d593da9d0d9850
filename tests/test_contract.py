"""One declaration of a table, and all that derives from it."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import FloatType

from pipelines.bronze import tables as bronze
from pipelines.contract import AMOUNT, DATE, DOUBLE, LONG, STRING, TIMESTAMP, Column, Table, spelled, struct
from pipelines.dataset import tables as dataset
from pipelines.errors import ContractError
from pipelines.gold import tables as gold
from pipelines.silver import tables as silver
from pipelines.spark_types import arrow_type, spark_type

ALL = (*bronze.TABLES, *silver.TABLES, *gold.TABLES, *dataset.TABLES)
PAIRS = Table(
    "silver.pairs",
    "One row per pair; the buyer's.",
    (
        Column("id", STRING, "The buyer's id.", wire=str),
        Column("seen_at", TIMESTAMP, "When.", skipping=True),
        Column("count", LONG, "How many.", nullable=True, wire=int | None),
        Column("seen_date", DATE, "Its date.", skipping=True),
    ),
    key=("id",),
    partition_by=("seen_date",),
    indexed="id",
)


@pytest.mark.parametrize("table", ALL, ids=lambda table: table.name)
def test_a_default_row_fills_the_frame_and_every_schema_agrees(table: Table) -> None:
    frame = table.frame([table.row()])
    assert frame.schema == table.arrow
    assert tuple(frame.column_names) == table.names == tuple(table.schema.fieldNames())
    assert all(
        row is not None or column.nullable for column, row in zip(table.columns, table.row().values(), strict=True)
    )
    spark = to_arrow_schema(table.schema, timezone="UTC")
    assert [_plain(field.type) for field in spark] == [_plain(field.type) for field in table.arrow]


def _plain(kind: pa.DataType) -> str:
    """A type without what the engines differ in: names and nullability inside lists and maps."""
    return str(kind).replace(" not null", "").replace("element:", "item:").replace("entries:", "item:")


@pytest.mark.parametrize("table", ALL, ids=lambda table: table.name)
def test_every_column_says_what_a_value_means(table: Table) -> None:
    assert table.meaning.endswith(".")
    assert all(len(column.meaning) > 4 for column in table.columns)


@pytest.mark.parametrize("table", ALL, ids=lambda table: table.name)
def test_no_minimum_or_maximum_is_kept_of_an_id_a_person_or_an_amount(table: Table) -> None:
    kept = {column.name: column.type for column in table.columns if column.skipping}
    personal = {
        "request_id",
        "feedback_id",
        "event_id",
        "unit_id",
        "item",
        "subject",
        "session",
        "rater",
        "text",
        "segment",
    }
    assert not personal & kept.keys()
    assert not {AMOUNT, DOUBLE} & set(kept.values())


def test_names_of_tables_are_unique() -> None:
    assert len({table.name for table in ALL}) == len(ALL)


def test_a_row_shows_only_what_a_test_cares_about() -> None:
    assert PAIRS.row(id="a") == {
        "id": "a",
        "seen_at": datetime(2026, 3, 1, tzinfo=UTC),
        "count": None,
        "seen_date": datetime(2026, 3, 1, tzinfo=UTC).date(),
    }


def test_a_row_with_an_unknown_column_is_refused() -> None:
    with pytest.raises(ContractError) as refused:
        PAIRS.row(colour="red")
    assert refused.value.code == "contract_invalid"
    assert "colour" in str(refused.value)


@pytest.mark.parametrize(
    "changed",
    [
        {"columns": (*PAIRS.columns, PAIRS.columns[0])},
        {"key": ("nope",)},
        {"partition_by": ("nope",)},
        {"indexed": "nope"},
        {"name": "pairs"},
    ],
    ids=str,
)
def test_a_wrong_declaration_fails_at_import(changed: dict[str, object]) -> None:
    declared = {"name": "silver.pairs", "meaning": "x", "columns": PAIRS.columns, "key": ("id",)}
    with pytest.raises(ContractError) as refused:
        Table(**{**declared, **changed})
    assert refused.value.code == "contract_invalid"


def test_only_required_columns_are_not_null() -> None:
    assert [field.nullable for field in PAIRS.schema] == [False, False, True, False]
    assert all(field.nullable for field in PAIRS.row_type)


def test_what_is_sent_and_what_is_kept_of_files() -> None:
    assert [column.name for column in PAIRS.sent] == ["id", "count"]
    assert PAIRS.skipping == ("seen_at",)
    assert PAIRS.noun == "pairs"


def test_the_ddl_quotes_what_needs_it() -> None:
    assert PAIRS.ddl() == (
        "CREATE TABLE silver.pairs (\n"
        "  id STRING NOT NULL COMMENT 'The buyer\\'s id.',\n"
        "  seen_at TIMESTAMP NOT NULL COMMENT 'When.',\n"
        "  count BIGINT COMMENT 'How many.',\n"
        "  seen_date DATE NOT NULL COMMENT 'Its date.'\n"
        ") USING DELTA\nPARTITIONED BY (seen_date)\nCOMMENT 'One row per pair; the buyer\\'s.'"
    )


def test_times_are_utc_microseconds_and_amounts_have_nine_places() -> None:
    assert pa.timestamp("us", "UTC") == TIMESTAMP
    assert pa.array([Decimal("1.000000001")], AMOUNT).to_pylist() == [Decimal("1.000000001")]


NESTED = pa.map_(STRING, pa.list_(struct(Column("a", LONG, ""), Column("b", AMOUNT, ""))))


def test_types_nest() -> None:
    assert spelled(NESTED) == spark_type(NESTED).simpleString() == "map<string,array<struct<a:bigint,b:decimal(38,9)>>>"
    assert arrow_type(spark_type(NESTED)) == NESTED


def test_a_type_that_nobody_declared_is_refused() -> None:
    for refuse, kind in ((spelled, pa.float32()), (arrow_type, FloatType())):
        with pytest.raises(ContractError) as refused:
            refuse(kind)
        assert refused.value.code == "contract_invalid"


def test_declarations_and_releases_are_read_without_spark() -> None:
    read = "import sys, pipelines.dataset, pipelines.silver.tables, pipelines.paths; sys.exit('pyspark' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", read], check=False).returncode == 0
