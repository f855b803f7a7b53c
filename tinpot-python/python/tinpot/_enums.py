"""Types with a fixed set of values: Literal and Enum."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

from tinpot._types import CHOICE, Mismatch, Schema, SchemaError, ValueType, describe_value, shorten

_JSON_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


def literal(values: Sequence[Any]) -> ValueType:
    """Returns the type of `Literal[values]`; members of an Enum stand for their values in JSON."""
    forms = [value.value if isinstance(value, enum.Enum) else value for value in values]
    for form, value in zip(forms, values):
        if form.__class__ not in _JSON_TYPES:
            raise SchemaError(f"the value {value!r} of Literal has no JSON form")
    is_identity = all(
        form is value and form.__class__ is not float for form, value in zip(forms, values)
    )
    return _one_of(forms, values, {}, is_identity)


def members(cls: type[enum.Enum]) -> ValueType:
    """Returns the type of an Enum."""
    if issubclass(cls, enum.Flag):
        raise SchemaError(
            f"the type {cls.__name__} is not supported: a Flag combines several values,"
            " use a list of an Enum"
        )
    found = list(cls)
    if not found:
        raise SchemaError(f"the type {cls.__name__} is not supported: it has no members")
    forms = [_json_value(member) for member in found]
    extra = {"x-enum-names": [member.name for member in found], "title": cls.__name__}
    return _one_of(forms, found, extra, False, cls)


def _json_value(member: enum.Enum) -> Any:
    value = member.value
    # The plain value, not the member itself, for an Enum that is also a str or an int.
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    for base in (int, float):
        if isinstance(value, base):
            return base(value)
    raise SchemaError(
        f"the type {type(member).__name__} is not supported: the value of {member.name} is of type"
        f" {type(value).__name__}, use str, int, float, bool or None"
    )


def _one_of(
    forms: Sequence[Any],
    values: Sequence[Any],
    extra: Schema,
    is_identity: bool,
    python_class: type | None = None,
) -> ValueType:
    # The class is part of the key because True == 1 == 1.0.
    table: dict[tuple[type, Any], Any] = {}
    for form, value in zip(forms, values):
        table.setdefault((form.__class__, form), value)
        # In JSON, 1 and 1.0 are the same number.
        if form.__class__ is float and form.is_integer():
            table.setdefault((int, int(form)), value)
    types = list(dict.fromkeys(_JSON_TYPES[form.__class__] for form in forms))
    allowed = ", ".join(shorten(form) for form in forms)

    def parse(value: Any) -> Any:
        try:
            return table[value.__class__, value]
        except (KeyError, TypeError):
            is_scalar = value is None or isinstance(value, (str, int, float))
            found = shorten(value) if is_scalar else describe_value(value)
            raise Mismatch(f"must be one of {allowed}, not {found}") from None

    schema = {"type": types[0] if len(types) == 1 else types, "enum": list(forms), **extra}
    return ValueType(schema, parse, is_identity, rank=CHOICE, python_class=python_class)
