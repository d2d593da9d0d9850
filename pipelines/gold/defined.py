"""Definitions as a literal column: an array of structs that rows are matched with, so that no join and no job is needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from pyspark.sql import Column as Expression
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, StructField, StructType

from pipelines.contract import BOOL, DOUBLE, INT, LONG, STRING
from pipelines.definition import GRAINS, Definition

FIELD = StructType([StructField("name", STRING), StructField("values", ArrayType(STRING))])
CUT = StructType([StructField("name", STRING), StructField("at", ArrayType(INT))])
GRAIN = StructType([StructField("name", STRING), StructField("width", LONG)])
DEFINED = StructType(
    [
        StructField("definition", STRING),
        StructField("model", STRING),
        StructField("label", STRING),
        StructField("offset", LONG),
        StructField("policy", STRING),
        StructField("unit", STRING),
        StructField("type", STRING),
        StructField("window", LONG),
        StructField("silent", BOOL),
        StructField("absent", DOUBLE),
        StructField("absent_text", STRING),
        StructField("judges", STRING),
        StructField("positive", DOUBLE),
        StructField("positive_text", STRING),
        StructField("threshold", DOUBLE),
        StructField("positive_at", DOUBLE),
        StructField("classes", ArrayType(STRING)),
        StructField("score_buckets", LONG),
        StructField("measures", ArrayType(STRING)),
        StructField("fields", ArrayType(FIELD)),
        StructField("cuts", ArrayType(CUT)),
        StructField("grains", ArrayType(GRAIN)),
    ]
)
"""One definition. `silent`: silence has a value, `absent`. `fields`: what its cuts are made of; a cut names them by place."""

NEGATIVE = -1.0
NEGATIVE_TEXT = "__negative__"
"""What silence says under `absent = "negative"`: a value that is never the positive one."""


def defined(definitions: Sequence[Definition], *, labels: bool) -> Expression:
    """The label definitions, or the service definitions, as one literal array of DEFINED."""
    values = [_value(d) for d in definitions if (d.policy is not None) is labels]
    literals = [F.struct(*[_literal(value[f.name], f)for f in DEFINED.fields]) for value in values]
    return F.array(*literals).cast(ArrayType(DEFINED))


def matching(definitions: Expression, condition: Callable[[Expression], Expression]) -> Expression:
    """One row per definition that meets the condition, in a column `defined`."""
    return F.explode(F.filter(definitions, condition)).alias("defined")


def _literal(value: Any, field: StructField) -> Expression:
    if isinstance(value, list):
        element = field.dataType.elementType if isinstance(field.dataType, ArrayType) else STRING
        if isinstance(element, StructType):
            items = [F.struct(*[_literal(item[f.name], f) for f in element.fields]) for item in value]
            return F.array(*items).cast(field.dataType).alias(field.name)
        return F.array(*[F.lit(item) for item in value]).cast(field.dataType).alias(field.name)
    return F.lit(value).cast(field.dataType).alias(field.name)


def _value(definition: Definition) -> dict[str, Any]:
    policy = definition.policy
    fields = [name for name, _ in definition.segments if any(name in cut for cut in definition.cuts)]
    declared = dict(definition.segments)
    absent, absent_text = _absent(definition)
    positive = definition.positive
    return {
        "definition": definition.hash,
        "model": definition.model,
        "label": definition.label,
        "offset": definition.offset,
        "policy": policy.hash if policy else None,
        "unit": policy.unit if policy else None,
        "type": policy.type if policy else None,
        "window": policy.window if policy else None,
        "silent": policy is not None and policy.absent != "missing",
        "absent": absent,
        "absent_text": absent_text,
        "judges": definition.judges,
        "positive": None if isinstance(positive, str) else positive,
        "positive_text": positive if isinstance(positive, str) else None,
        "threshold": definition.threshold,
        "positive_at": definition.positive_at,
        "classes": list(definition.classes) or None,
        "score_buckets": definition.score_buckets,
        "measures": list(definition.measures),
        "fields": [{"name": name, "values": list(declared[name]) or None} for name in fields],
        "cuts": [
            {"name": "*".join(cut) or "all", "at": [fields.index(field) for field in cut]} for cut in definition.cuts
        ],
        "grains": [{"name": name, "width": GRAINS[name] // timedelta(microseconds=1)} for name in definition.grains],
    }


def _absent(definition: Definition) -> tuple[float | None, str | None]:
    absent = definition.policy.absent if definition.policy else "missing"
    if absent == "missing":
        return None, None
    if absent == "negative":
        return (None, NEGATIVE_TEXT) if isinstance(definition.positive, str) else (_other_than(definition.positive), None)
    return float(absent), None


def _other_than(positive: float | None) -> float:
    return NEGATIVE if positive != NEGATIVE else NEGATIVE - 1
