"""Types with named fields: dataclass, TypedDict, NamedTuple."""

from __future__ import annotations

import dataclasses
import inspect
import sys
import typing
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from tinpot import _docstring, _encode, _unions
from tinpot._containers import tuple_of
from tinpot._types import (
    Errors,
    Mismatch,
    Schema,
    SchemaError,
    ValueType,
    expected,
    join_path,
)

if TYPE_CHECKING:
    from tinpot._annotations import Scope

_MISSING: Any = dataclasses.MISSING


def value_type(annotation: Any, scope: Scope) -> ValueType | None:
    """Returns the type of a class with named fields; None for any other class.

    `scope` reads the annotations of the fields.
    """
    if dataclasses.is_dataclass(annotation):
        return _dataclass(annotation, scope)
    is_tuple = isinstance(annotation, type) and issubclass(annotation, tuple)
    if is_tuple and hasattr(annotation, "_fields"):
        return _named_tuple(annotation, scope)
    if hasattr(annotation, "__required_keys__") and hasattr(annotation, "__total__"):
        return _typed_dict(annotation, scope)
    return None


def _dataclass(cls: Any, scope: Scope) -> ValueType:
    fields: dict[str, ValueType] = {}
    required: list[str] = []
    documented = _docstring.parse(_own_doc(cls))
    for field in cls.__dataclass_fields__.values():
        annotation = scope.resolve(field.type, _names_of_owner(cls, field.name))
        if isinstance(annotation, dataclasses.InitVar):
            annotation = annotation.type
        elif field._field_type.name == "_FIELD_CLASSVAR" or not field.init:
            continue
        found = _read(cls, field.name, annotation, scope)
        default = _default(cls, field)
        if field.default is _MISSING and field.default_factory is _MISSING:
            required.append(field.name)
        if default is not _MISSING:
            found = _with_default(found, default)
        text = field.metadata.get("description") or documented.parameters.get(field.name)
        fields[field.name] = _with_description(found, text)
    return _record(cls, fields, required, documented.description, cls)


def _default(cls: Any, field: Any) -> Any:
    """Returns the default of a field as JSON; `_MISSING` if a form cannot show one."""
    value = field.default
    if value is _MISSING and field.default_factory is not _MISSING:
        try:
            value, second = field.default_factory(), field.default_factory()
            # A default that differs on each call (an id, the time) must not be sent back.
            if _encode.to_json(value) != _encode.to_json(second) or _encode.is_moment(value):
                return _MISSING
        except Exception:
            return _MISSING
    if value is _MISSING:
        return value
    try:
        return _encode.to_json(value)
    except _encode.ContainsSecret:
        return _MISSING
    except ValueError as error:
        raise _field_error(cls, field.name, f"the default {error}") from None


def _field_error(cls: Any, name: str, message: str) -> SchemaError:
    return SchemaError(f"field {name!r} of {cls.__name__}: {message}")


def _with_default(found: ValueType, default: Any) -> ValueType:
    if default is None:
        found = _unions.or_none(found)
    return found.replace(schema={**found.schema, "default": default})


def _with_description(found: ValueType, text: str | None) -> ValueType:
    if not text or "description" in found.schema:
        return found
    return found.replace(schema={**found.schema, "description": text})


def _typed_dict(cls: Any, scope: Scope) -> ValueType:
    keys, required = typed_dict_keys(cls, scope)
    return _record(cls, keys, required, _docstring.parse(_own_doc(cls)).description, dict)


def typed_dict_keys(cls: Any, scope: Scope) -> tuple[dict[str, ValueType], list[str]]:
    """Returns the types of a TypedDict's keys, and the names of those that are required."""
    keys: dict[str, ValueType] = {}
    required: list[str] = []
    documented = _docstring.parse(_own_doc(cls))
    for name, written in cls.__annotations__.items():
        annotation = scope.resolve(written, _names_of_owner(cls, name))
        is_required = name in cls.__required_keys__
        # The class does not see these qualifiers where annotations are text.
        while True:
            origin = typing.get_origin(annotation)
            qualifier = getattr(origin, "_name", None) or getattr(origin, "__name__", None)
            if qualifier not in ("Required", "NotRequired", "ReadOnly"):
                break
            if qualifier != "ReadOnly":
                is_required = qualifier == "Required"
            inner = typing.get_args(annotation)[0]
            annotation = scope.resolve(inner, _names_of_owner(cls, name))
        found = _read(cls, name, annotation, scope)
        keys[name] = _with_description(found, documented.parameters.get(name))
        if is_required:
            required.append(name)
    return keys, required


def _named_tuple(cls: Any, scope: Scope) -> ValueType:
    annotations = getattr(cls, "__annotations__", {})
    fields = []
    for name in cls._fields:
        annotation = scope.resolve(annotations.get(name, typing.Any), _names_of_owner(cls, name))
        found = _read(cls, name, annotation, scope)
        if name in cls._field_defaults:
            try:
                found = _with_default(found, _encode.to_json(cls._field_defaults[name]))
            except _encode.ContainsSecret:
                pass
            except ValueError as error:
                raise _field_error(cls, name, f"the default {error}") from None
        fields.append(found)
    made = tuple_of(fields, cls, cls._fields, len(fields) - len(cls._field_defaults))
    return made.replace(schema={**made.schema, "title": cls.__name__})


def _read(cls: Any, name: str, annotation: Any, scope: Scope) -> ValueType:
    try:
        return scope.read(annotation, _names_of_owner(cls, name))
    except SchemaError as error:
        raise _field_error(cls, name, str(error)) from None


def _names_of_owner(cls: Any, name: str) -> dict[str, Any]:
    """Returns the names that the annotation of a field can use.

    They are those of the module of the class that declares the field, which may be a base class.
    """
    for base in getattr(cls, "__mro__", (cls,)):
        if name in base.__dict__.get("__annotations__", {}):  # noqa: RUF063
            cls = base
            break
    return {**getattr(sys.modules.get(cls.__module__), "__dict__", {}), cls.__name__: cls}


def _own_doc(cls: Any) -> str | None:
    """Returns the docstring of a class, unless `dataclass` generated it or `dict` has it."""
    text = cls.__dict__.get("__doc__")
    if not text or text.startswith(cls.__name__ + "("):
        return None
    return inspect.cleandoc(text)


def _record(
    cls: Any,
    fields: dict[str, ValueType],
    required: Collection[str],
    description: str | None,
    make: Any,
) -> ValueType:
    schema: Schema = {
        "type": "object",
        "title": cls.__name__,
        "properties": {name: found.schema for name, found in fields.items()},
        "required": required,
        "additionalProperties": False,
    }
    if description:
        schema["description"] = description
    parsers, needed = {name: found.parse for name, found in fields.items()}, frozenset(required)

    def parse(value: Any) -> Any:
        if value.__class__ is not dict:
            raise expected("an object", value)
        try:
            parsed = {name: parsers[name](inner) for name, inner in value.items()}
        except KeyError:
            # A KeyError may also come from code of the user's, such as `__post_init__`.
            if all(name in parsers for name in value):
                raise
            raise Mismatch("has an unknown field") from None
        if not needed <= parsed.keys():
            raise Mismatch("lacks a field")
        if make is dict:
            return parsed
        try:
            return make(**parsed)
        except (ValueError, TypeError, AssertionError) as error:
            # `__post_init__` validates.
            reason = str(error) or f"was refused by {cls.__name__}: {type(error).__name__}"
            raise Mismatch(reason) from None

    def explain_inner(value: Any, path: str, errors: Errors) -> None:
        if value.__class__ is dict:
            explain_fields(fields, needed, value, path, errors, "fields")

    is_identity = make is dict and all(found.is_identity for found in fields.values())
    return ValueType(schema, parse, is_identity, explain_inner, python_class=make)


def explain_fields(
    fields: Mapping[str, ValueType],
    required: Collection[str],
    value: Mapping[str, Any],
    path: str,
    errors: Errors,
    what: str,
    others: ValueType | None = None,
) -> None:
    """Adds an error for every field that is missing, unknown or wrong.

    `others` is the type of all fields that are not in `fields`, if such fields are allowed.
    """
    for name, field in fields.items():
        if name in value:
            field.explain(value[name], join_path(path, name), errors)
        elif name in required:
            errors.append((join_path(path, name), "is required and missing"))
    for name in value:
        if name in fields:
            continue
        where = join_path(path, str(name))
        if others is not None:
            others.explain(value[name], where, errors)
        elif fields:
            errors.append((where, f"is unknown: the {what} are {', '.join(sorted(fields))}"))
        else:
            errors.append((where, f"is unknown: there are no {what}"))
