"""The types of columns as Spark has them, and back: declarations are of Arrow, so that who only reads needs no Spark."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    BooleanType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    IntegerType,
    LongType,
    MapType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from pipelines.errors import ContractError

_PAIRS: tuple[tuple[pa.DataType, DataType], ...] = (
    (pa.string(), StringType()),
    (pa.int64(), LongType()),
    (pa.int32(), IntegerType()),
    (pa.float64(), DoubleType()),
    (pa.bool_(), BooleanType()),
    (pa.binary(), BinaryType()),
    (pa.date32(), DateType()),
    (pa.timestamp("us", "UTC"), TimestampType()),
    (pa.decimal128(38, 9), DecimalType(38, 9)),
)
_SPARK: dict[pa.DataType, DataType] = dict(_PAIRS)
_ARROW: dict[DataType, pa.DataType] = {spark: arrow for arrow, spark in _PAIRS}


def spark_type(arrow: pa.DataType) -> DataType:
    """The Spark type that holds the same values."""
    if pa.types.is_list(arrow):
        return ArrayType(spark_type(arrow.value_type))
    if pa.types.is_map(arrow):
        return MapType(spark_type(arrow.key_type), spark_type(arrow.item_type))
    if pa.types.is_struct(arrow):
        return spark_schema(arrow)
    return _SPARK[arrow]


def spark_schema(fields: Iterable[pa.Field]) -> StructType:
    """A row of these fields: of a struct, or of a schema."""
    return StructType([StructField(field.name, spark_type(field.type), field.nullable) for field in fields])


def arrow_type(spark: DataType) -> pa.DataType:
    """The Arrow type that holds the same values. Raises ContractError `contract_invalid`."""
    if isinstance(spark, ArrayType):
        return pa.list_(arrow_type(spark.elementType))
    if isinstance(spark, MapType):
        return pa.map_(arrow_type(spark.keyType), arrow_type(spark.valueType))
    if isinstance(spark, StructType):
        return pa.struct([pa.field(f.name, arrow_type(f.dataType), f.nullable) for f in spark.fields])
    if spark not in _ARROW:
        raise ContractError("contract_invalid", f"no Arrow type is declared for {spark.simpleString()}")
    return _ARROW[spark]


def arrow_schema(spark: StructType) -> pa.Schema:
    """The Arrow schema of rows of this type, every field nullable, as frames that travel through Spark are."""
    return pa.schema([pa.field(field.name, arrow_type(field.dataType)) for field in spark.fields])
