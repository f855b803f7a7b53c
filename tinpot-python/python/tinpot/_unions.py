"""Optional and Union: a value of one of several types."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tinpot._types import (
    ANYTHING,
    MAX_ERRORS,
    NONE,
    Errors,
    Mismatch,
    Schema,
    ValueType,
    describe_schema,
    describe_value,
    expected,
    is_json_type,
    json_types,
)


def one_of(types: Iterable[ValueType]) -> ValueType:
    """Returns the type of a value that has one of several types."""
    flat: list[ValueType] = []
    for member in types:
        if not any(member is known for known in flat):
            flat.append(member)
    for member in flat:
        if not member.schema:
            return member
    if len(flat) == 1:
        return flat[0]
    rest = [member for member in flat if member.schema != {"type": "null"}]
    if len(rest) == 1 and len(rest) < len(flat):
        return or_none(rest[0])
    schema = union_schema([member.schema for member in flat])
    ordered = sorted(flat, key=lambda member: member.rank)
    parsers = tuple(member.parse for member in ordered)
    what = describe_schema(schema)

    def parse(value: Any) -> Any:
        for parser in parsers:
            try:
                return parser(value)
            except Mismatch:
                pass
        if _candidates(ordered, value):
            raise Mismatch("fits none of its types")
        raise expected(what, value)

    def explain_inner(value: Any, path: str, errors: Errors) -> None:
        candidates = _candidates(ordered, value)
        # A field with a single allowed value tells members apart that are all objects.
        if len(candidates) > 1 and value.__class__ is dict:
            tagged = [member for member in candidates if _has_tags(member.schema, value)]
            candidates = tagged or candidates
        if any(_parses(member, value) for member in candidates):
            return
        if len(candidates) == 1:
            candidates[0].explain(value, path, errors)
        elif candidates and len(errors) < MAX_ERRORS:
            reasons = []
            for member in candidates:
                found: Errors = []
                member.explain(value, "", found)
                reasons.append(
                    ", ".join(f"{where} {text}" if where else text for where, text in found[:3])
                )
            errors.append((path, " or ".join(reasons)))

    return ValueType(
        schema,
        parse,
        all(member.is_identity for member in flat),
        explain_inner,
        max(member.rank for member in flat),
    )


def or_none(inner: ValueType) -> ValueType:
    """Returns the type of a value that is of type `inner` or None."""
    if inner.rank == ANYTHING or inner is NONE:
        return inner
    inner_parse = inner.parse
    schema = nullable(inner.schema)

    def parse(value: Any) -> Any:
        return None if value is None else inner_parse(value)

    def explain_inner(value: Any, path: str, errors: Errors) -> None:
        if value is None:
            return
        if any(is_json_type(name, value) for name in json_types(inner.schema)):
            inner.explain(value, path, errors)
        else:
            what = describe_schema(schema)
            errors.append((path, f"must be {what}, not {describe_value(value)}"))

    return ValueType(
        schema, parse, inner.is_identity, explain_inner, inner.rank, inner.python_class
    )


def nullable(schema: Schema) -> Schema:
    """Returns a schema that also allows null."""
    if "anyOf" in schema:
        if any("null" in json_types(member) for member in schema["anyOf"]):
            return schema
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    types = json_types(schema)
    if not types or "null" in types:
        return schema
    schema = {**schema, "type": [*types, "null"]}
    if "enum" in schema:
        schema["enum"] = [*schema["enum"], None]
        if "x-enum-names" in schema:
            schema["x-enum-names"] = [*schema["x-enum-names"], None]
    return schema


def union_schema(schemas: Sequence[Schema]) -> Schema:
    """Returns one schema for several; null moves into `type` where that means the same."""
    flat: list[Schema] = []
    for schema in schemas:
        for member in schema["anyOf"] if set(schema) == {"anyOf"} else [schema]:
            if member not in flat:
                flat.append(member)
    if {} in flat:
        return {}
    if len(flat) == 1:
        return flat[0]
    if all(set(schema) == {"type"} for schema in flat):
        names = dict.fromkeys(name for schema in flat for name in json_types(schema))
        return {"type": list(names)}
    rest = [schema for schema in flat if schema != {"type": "null"}]
    if len(rest) == 1:
        return nullable(rest[0])
    return {"anyOf": rest + ([{"type": "null"}] if len(rest) < len(flat) else [])}


def _candidates(types: Iterable[ValueType], value: Any) -> list[ValueType]:
    return [
        member
        for member in types
        if any(is_json_type(name, value) for name in json_types(member.schema))
    ]


def _has_tags(schema: Schema, value: dict[str, Any]) -> bool:
    """Returns True if every field that allows a single value has that value."""
    for name, inner in schema.get("properties", {}).items():
        if len(inner.get("enum", ())) == 1 and value.get(name) not in inner["enum"]:
            return False
    return True


def _parses(member: ValueType, value: Any) -> bool:
    try:
        member.parse(value)
        return True
    except Mismatch:
        return False
