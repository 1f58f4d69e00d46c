"""Structured outputs: a JSON schema, JSON, or one of several texts.

A constraint is compiled to an automaton before the first token. Regular expressions and grammars are refused: a short
one can cost the engine minutes and gigabytes, for all clients. In a schema that is true of patterns and large counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict, Field, model_validator

from p2i_ray.config.serve import ChatConfig
from p2i_ray.serve.edge.errors import bad_request
from p2i_ray.serve.edge.texts import given

MAX_CHOICES = 256
MAX_DEPTH = 32
MAX_COUNT = 1_024  # of minItems and similar keywords
COUNTS = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")
PATTERNS = ("pattern", "patternProperties")


class Strict(BaseModel):
    """Known fields of the right type alone; what is null, or unknown and empty, counts as absent."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _given(cls, fields: Any) -> Any:
        known = {name for key, field in cls.model_fields.items() for name in (key, field.alias) if name}
        return given(fields, known) if isinstance(fields, dict) else fields


class JsonSchema(Strict):
    """A schema and its name."""

    name: str = Field(max_length=64)
    description: str | None = None
    # BaseModel has a method of the field's own name.
    json_schema: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class ResponseFormat(Strict):
    """OpenAI's field for structured outputs."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StructuredOutputs(Strict):
    """vLLM's field: `extra_body={"structured_outputs": {"choice": ["1", "2"]}}` of the openai package."""

    choice: list[str] | None = Field(None, min_length=1, max_length=MAX_CHOICES)
    # BaseModel has a method of this name, too.
    json_object_schema: dict[str, Any] | None = Field(None, alias="json")


def check_constraint(constraint: ResponseFormat | StructuredOutputs, param: str, limits: ChatConfig) -> None:
    """Check a constraint against the limits.

    Raises:
        APIError: it names no constraint or several, is too large, or uses a keyword that is refused.
    """
    if isinstance(constraint, ResponseFormat):
        if (constraint.type == "json_schema") != (constraint.json_schema is not None):
            raise bad_request(f"{param}: json_schema comes with type=json_schema, and only with it", param)
        schema, choices = constraint.json_schema.json_schema if constraint.json_schema else None, []
    else:
        if (constraint.choice is None) == (constraint.json_object_schema is None):
            raise bad_request(f"{param}: give choice or json", param)
        schema, choices = constraint.json_object_schema, constraint.choice or []
    if any(not choice for choice in choices):
        raise bad_request(f"{param}.choice: an empty text is no choice", f"{param}.choice")
    size = sum(map(len, choices)) + (len(json.dumps(schema)) if schema else 0)
    if size > limits.max_schema_chars:
        raise bad_request(f"{param}: {size} characters; at most {limits.max_schema_chars}", param)
    for key, value, depth in _walk(schema, 0):
        if depth > MAX_DEPTH:
            raise bad_request(f"{param}: the schema is nested deeper than {MAX_DEPTH} levels; make it flatter", param)
        if key in PATTERNS:
            raise bad_request(f"{param}: {key} is not taken in a schema; leave it out", param)
        if key in COUNTS and not (isinstance(value, int) and 0 <= value <= MAX_COUNT):
            raise bad_request(f"{param}: {key} must be a whole number up to {MAX_COUNT}", param)
        if key == "$ref" and not (isinstance(value, str) and value.startswith("#")):
            raise bad_request(f"{param}: a $ref must point into the schema itself (#/…)", param)
    _check_references(schema, param)


def _walk(node: Any, depth: int) -> Iterator[tuple[str, Any, int]]:
    """Every keyword of a schema with its value and depth; property names are no keywords."""
    if depth > MAX_DEPTH:
        yield "", None, depth
    elif isinstance(node, list):
        for item in node:
            yield from _walk(item, depth + 1)
    elif isinstance(node, dict):
        for key, value in node.items():
            yield key, value, depth
            if key in ("properties", "$defs", "definitions", "dependentSchemas") and isinstance(value, dict):
                for part in value.values():
                    yield from _walk(part, depth + 1)
            elif key not in ("enum", "const", "default", "examples"):
                yield from _walk(value, depth + 1)


def _check_references(schema: Any, param: str) -> None:
    """Refuse a $ref that resolves to nothing, or through other $refs to itself: the engine would never finish."""
    for key, value, _ in _walk(schema, 0):
        visited: set[str] = set()
        while key == "$ref":
            if value in visited:
                raise bad_request(f"{param}: $ref {value[:80]} leads back to itself", param)
            visited.add(value)
            target = _at(schema, value)
            if target is None:
                raise bad_request(f"{param}: $ref {value[:80]} leads nowhere in the schema", param)
            if "$ref" not in target:
                break
            value = target["$ref"]


def _at(schema: Any, pointer: str) -> dict[str, Any] | None:
    """The schema at a JSON pointer such as #/$defs/a (RFC 6901); none: there is no schema."""
    node = schema
    for step in unquote(pointer).removeprefix("#").split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(node, list) and name.isdecimal() and int(name) < len(node):
            node = node[int(name)]
        elif isinstance(node, dict) and name in node:
            node = node[name]
        else:
            return None
    return node if isinstance(node, dict) else None
