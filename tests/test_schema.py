"""The published schemas say what the pipeline takes, no more and no less."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import InputError
from pipelines.schema import EXAMPLES, json_schema, optional
from pipelines.silver.reasons import BY_KIND, REASONS
from pipelines.silver.wire import KINDS, Refused, decode

GOLDEN = Path(__file__).parent / "golden" / "log.ndjson"
FORMS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "object": (dict,),
    "array": (list,),
    "boolean": (bool,),
    "null": (type(None),),
}


def accepts(schema: dict[str, Any], value: Any, root: dict[str, Any] | None = None) -> bool:
    """JSON Schema, as far as ours use it."""
    root = root or schema
    if "$ref" in schema:
        return accepts(root["$defs"][schema["$ref"].removeprefix("#/$defs/")], value, root)
    many = {"anyOf": any, "allOf": all, "oneOf": lambda found: sum(found) == 1}
    return all(
        [
            _is(schema["type"], value) if "type" in schema else True,
            *(
                combine([accepts(s, value, root) for s in schema[word]])
                for word, combine in many.items()
                if word in schema
            ),
            not accepts(schema["not"], value, root) if "not" in schema else True,
            accepts(schema["then"], value, root) if "if" in schema and accepts(schema["if"], value, root) else True,
            value == schema.get("const", value),
            value in schema.get("enum", [value]),
            _bounded(schema, value),
            _object(schema, value, root) if isinstance(value, dict) else True,
            all(accepts(schema["items"], v, root) for v in value)
            if isinstance(value, list) and "items" in schema
            else True,
        ]
    )


def _is(name: str, value: Any) -> bool:
    return isinstance(value, FORMS[name]) and (not isinstance(value, bool) or name == "boolean")


def _bounded(schema: dict[str, Any], value: Any) -> bool:
    if isinstance(value, str):
        return schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 1 << 30)
    if isinstance(value, list):
        return len(value) >= schema.get("minItems", 0)
    if isinstance(value, int | float):
        return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))
    return True


def _object(schema: dict[str, Any], value: dict[str, Any], root: dict[str, Any]) -> bool:
    properties, more = schema.get("properties", {}), schema.get("additionalProperties", True)
    return (
        all(name in value for name in schema.get("required", []))
        and all(accepts(properties[name], v, root) for name, v in value.items() if name in properties)
        and all(accepts(schema.get("propertyNames", {}), name, root) for name in value)
        and all(
            more if isinstance(more, bool) else accepts(more, v, root)
            for name, v in value.items()
            if name not in properties
        )
    )


def encoded(event: dict[str, Any]) -> bytes:
    return json.dumps(event).encode()


@pytest.mark.parametrize("kind", KINDS)
def test_the_examples_are_valid_by_the_schema_and_by_the_parser(kind: str) -> None:
    for example in EXAMPLES[kind]:
        assert accepts(json_schema(kind), example)
        assert not isinstance(decode(encoded(example)), Refused)


@pytest.mark.parametrize("kind", KINDS)
def test_every_sent_field_is_described_and_no_other_is_allowed(kind: str) -> None:
    schema = json_schema(kind)
    assert list(schema["properties"]) == ["kind", *(column.name for column in KINDS[kind].sent)]
    assert all(field["description"] for field in schema["properties"].values())
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["kind", *(column.name for column in KINDS[kind].sent if not optional(column))]


@pytest.mark.parametrize("kind", KINDS)
def test_the_reasons_of_each_kind_stand_in_its_schema(kind: str) -> None:
    assert json_schema(kind)["x-reasons"] == BY_KIND[kind]
    assert set(BY_KIND[kind]) <= set(REASONS)


def test_the_schema_is_json_and_names_its_draft() -> None:
    schema = json.loads(json.dumps(json_schema("inference")))
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert set(schema["$defs"]) == {"Item", "Experiment"}


def test_the_golden_log_is_accepted_where_the_parser_accepts_it() -> None:
    for line in GOLDEN.read_text(encoding="utf-8").splitlines():
        payload = json.loads(line)["payload"]
        if not isinstance(decode(payload.encode()), Refused):
            event = json.loads(payload)
            assert accepts(json_schema(event["kind"]), event)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("inference", {"score": 1.5}),
        ("inference", {"score": "0.5"}),
        ("inference", {"score": True}),
        ("inference", {"request_id": ""}),
        ("inference", {"request_id": "x" * 257}),
        ("inference", {"request_id": None}),
        ("inference", {"prediction": 1e13}),
        ("inference", {"nonsense": 1}),
        ("inference", {"segments": {"origin": 3}}),
        ("inference", {"items": [{"item": "a", "colour": "red"}]}),
        ("inference", {"items": [{"position": 1}]}),
        ("inference", {"experiments": {"e": {"arm": "a", "propensity": 0}}}),
        ("feedback", {"action": "assure"}),
        ("feedback", {"value": False}),
        ("feedback", {"role": ""}),
        ("control", {"action": "forget"}),
        ("control", {"body": []}),
        ("control", {"offsets": []}),
        ("control", {"offsets": ["1"]}),
    ],
)
def test_a_single_wrong_field_is_refused_by_both(kind: str, changes: dict[str, Any]) -> None:
    event = {**copy.deepcopy(EXAMPLES[kind][0]), **changes}
    assert not accepts(json_schema(kind), event)
    assert isinstance(decode(encoded(event)), Refused)


@pytest.mark.parametrize(
    ("kind", "changes", "valid"),
    [
        ("inference", {"prediction": None}, False),
        ("inference", {"prediction": None, "items": [{"item": "a"}]}, True),
        ("inference", {"prediction": None, "status": "error"}, True),
        ("inference", {"prediction": "yes", "score": None}, True),
        ("feedback", {"session": "s"}, False),
        ("feedback", {"session": None}, True),
        ("feedback", {"request_id": None}, False),
        ("feedback", {"value": None}, False),
        ("feedback", {"action": "withdraw", "rater": "r"}, False),
        ("feedback", {"action": "withdraw", "value": None, "rater": "r"}, True),
        ("feedback", {"action": "correct"}, False),
        ("feedback", {"action": "correct", "target_feedback_id": "f"}, True),
        ("control", {"at": None}, False),
        ("control", {"action": "define"}, False),
        ("control", {"action": "redrive"}, False),
        ("control", {"action": "redrive", "offsets": [1, 2]}, True),
    ],
)
def test_what_goes_beyond_single_fields_is_in_the_schema(kind: str, changes: dict[str, Any], valid: bool) -> None:
    assert accepts(json_schema(kind), {**copy.deepcopy(EXAMPLES[kind][0]), **changes}) is valid


def test_an_unknown_kind_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match='did you mean "feedback"') as caught:
        json_schema("feedbak")
    assert caught.value.code == "unknown_kind"
