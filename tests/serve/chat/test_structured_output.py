"""Structured outputs, and the fields of a chat that reach the engine."""

from __future__ import annotations

from typing import Any

import pytest

from p2i_ray.config.serve import ChatConfig
from p2i_ray.serve.chat import schema
from p2i_ray.serve.edge.errors import APIError
from tests.support.chat_parts import MODEL

LIMITS = ChatConfig()
OBJECT = {"type": "object", "properties": {"score": {"type": "integer", "minimum": 1}}, "required": ["score"]}


def sent(**fields: Any) -> dict[str, Any]:
    """The request that the engine gets for these fields."""
    chat = schema.parse({"model": MODEL, "messages": [{"role": "user", "content": "x"}], **fields}, LIMITS)
    return schema.for_engine(chat, [], MODEL)


def json_schema(form: object) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "reply", "strict": True, "schema": form}}


def test_constraints_reach_the_engine_as_they_are() -> None:
    assert sent(response_format=json_schema(OBJECT))["response_format"] == json_schema(OBJECT)
    assert sent(response_format={"type": "json_object"})["response_format"] == {"type": "json_object"}
    five = {"choice": ["1", "2", "3", "4", "5"]}
    assert sent(structured_outputs=five)["structured_outputs"] == five
    assert sent(structured_outputs={"json": OBJECT})["structured_outputs"] == {"json": OBJECT}


def test_a_property_may_be_called_like_a_keyword() -> None:
    named = {"type": "object", "properties": {"pattern": {"type": "string"}, "maxItems": {"enum": ["pattern", 9**9]}}}
    assert sent(response_format=json_schema(named))["response_format"] == json_schema(named)


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"type": "string", "pattern": "(a{999}){999}"}, "pattern"),
        ({"anyOf": [{"type": "object", "patternProperties": {"a{999}": {}}}]}, "patternProperties"),
        ({"type": "object", "properties": {"a": {"type": "array", "maxItems": 10**9}}}, "maxItems"),
        ({"type": "string", "minLength": 10**9}, "minLength"),
        ({"$ref": "http://127.0.0.1/schema.json"}, "$ref"),
        ({"$defs": {"a": {"$ref": "file:///etc/passwd"}}}, "$ref"),
        ({"enum": ["x" * 30_000]}, "at most 20000"),
        ({"$ref": "#"}, "back to itself"),
        ({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}, "back to itself"),
        ({"properties": {"a": {"$ref": "#/$defs/b"}}}, "nowhere"),
    ],
)
def test_a_costly_schema_is_refused(form: dict[str, Any], says: str) -> None:
    with pytest.raises(APIError) as refusal:
        sent(response_format=json_schema(form))
    assert says in refusal.value.message and refusal.value.status == 400


def test_a_schema_may_recur_through_its_properties() -> None:
    tree = {"$defs": {"a/b": {"type": "object", "properties": {"next": {"$ref": "#"}}}}, "$ref": "#/$defs/a~1b"}
    assert sent(response_format=json_schema(tree))["response_format"] == json_schema(tree)


def test_a_deep_schema_is_refused() -> None:
    form: dict[str, Any] = {"type": "string"}
    for _ in range(50):
        form = {"type": "array", "items": form}
    with pytest.raises(APIError, match="nested deeper"):
        sent(response_format=json_schema(form))


@pytest.mark.parametrize(
    "fields",
    [
        {"response_format": {"type": "structural_tag", "format": {}}},
        {"response_format": {"type": "json_schema"}},
        {"response_format": {"type": "text", "json_schema": {"name": "a", "schema": {}}}},
        {"structured_outputs": {}},
        {"structured_outputs": {"regex": "a*"}},
        {"structured_outputs": {"grammar": "root ::= root"}},
        {"structured_outputs": {"structural_tag": "x"}},
        {"structured_outputs": {"choice": []}},
        {"structured_outputs": {"choice": ["a", ""]}},
        {"structured_outputs": {"choice": ["a"] * 1000}},
        {"structured_outputs": {"choice": ["a"], "json": OBJECT}},
        {"structured_outputs": {"choice": ["a"]}, "response_format": {"type": "json_object"}},
    ],
)
def test_other_constraints_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(APIError) as refusal:
        sent(**fields)
    assert refusal.value.status == 400


def test_the_engine_gets_only_what_is_requested() -> None:
    assert sent(user="me", store=False, stop="\n", n=2, max_tokens=9) == {
        "model": MODEL,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}],
        "max_completion_tokens": 9,
        "n": 2,
        "stop": ["\n"],
    }
    usage = {"include_usage": True, "include_obfuscation": False}
    assert sent(stream=True, stream_options=usage)["stream_options"] == {"include_usage": True}


def test_developers_are_the_system_to_older_templates() -> None:
    turns = [{"role": "developer", "content": "Be strict."}, {"role": "user", "content": "x"}]
    chat = schema.parse({"model": MODEL, "messages": turns}, LIMITS)
    assert [turn["role"] for turn in schema.for_engine(chat, [], MODEL)["messages"]] == ["system", "user"]
