"""Types with named fields: dataclass, TypedDict, NamedTuple."""

import dataclasses
import inspect
import sys
import typing

from tinpot import _docstring, _unions, _encode
from tinpot._containers import fixed
from tinpot._types import Kind, SchemaError, Wrong, below, must_be

_MISSING = dataclasses.MISSING


def kind(annotation, scope):
    """The kind of a class with named fields; None when it is another class. `scope` reads the annotations of its fields."""
    if dataclasses.is_dataclass(annotation):
        return _dataclass(annotation, scope)
    if isinstance(annotation, type) and issubclass(annotation, tuple) and hasattr(annotation, "_fields"):
        return _named_tuple(annotation, scope)
    if hasattr(annotation, "__required_keys__") and hasattr(annotation, "__total__"):
        return _typed_dict(annotation, scope)
    return None


def _dataclass(cls, scope):
    kinds, required = {}, []
    documented = _docstring.parse(_own_doc(cls))
    for field in cls.__dataclass_fields__.values():
        annotation = scope.resolve(field.type, _owner(cls, field.name))
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
        kinds[field.name] = _described(found, text)
    return _record(cls, kinds, required, documented.description, cls)


def _default(cls, field):
    """The default of a field in JSON; missing where there is none to show."""
    value = field.default
    if value is _MISSING and field.default_factory is not _MISSING:
        try:
            value, again = field.default_factory(), field.default_factory()
            # What is made anew each time is no default that a form could send back.
            if _encode.to_json(value) != _encode.to_json(again) or _encode.is_moment(value):
                return _MISSING
        except Exception:
            return _MISSING
    if value is _MISSING:
        return value
    try:
        return _encode.to_json(value)
    except _encode.Hidden:
        return _MISSING
    except ValueError as error:
        raise SchemaError("field %r of %s: the default %s" % (field.name, cls.__name__, error)) from None


def _with_default(found, default):
    if default is None:
        found = _unions.or_none(found)
    return found.changed(schema={**found.schema, "default": default})


def _described(found, text):
    return found.changed(schema={**found.schema, "description": text}) if text and "description" not in found.schema else found


def _typed_dict(cls, scope):
    kinds, required = keys_of(cls, scope)
    return _record(cls, kinds, required, _docstring.parse(_own_doc(cls)).description, dict)


def keys_of(cls, scope):
    """The kinds of a TypedDict's keys, and which are required."""
    kinds, required = {}, []
    documented = _docstring.parse(_own_doc(cls))
    for name, annotation in cls.__annotations__.items():
        annotation = scope.resolve(annotation, _owner(cls, name))
        is_required = name in cls.__required_keys__
        while True:
            # Where the annotations were text, the class itself could not see these.
            form = getattr(typing.get_origin(annotation), "_name", None) or getattr(typing.get_origin(annotation), "__name__", None)
            if form not in ("Required", "NotRequired", "ReadOnly"):
                break
            is_required = form == "Required" if form != "ReadOnly" else is_required
            annotation = scope.resolve(typing.get_args(annotation)[0], _owner(cls, name))
        kinds[name] = _described(_read(cls, name, annotation, scope), documented.parameters.get(name))
        if is_required:
            required.append(name)
    return kinds, required


def _named_tuple(cls, scope):
    annotations = getattr(cls, "__annotations__", {})
    kinds = []
    for name in cls._fields:
        annotation = scope.resolve(annotations.get(name, typing.Any), _owner(cls, name))
        found = _read(cls, name, annotation, scope)
        if name in cls._field_defaults:
            try:
                found = _with_default(found, _encode.to_json(cls._field_defaults[name]))
            except _encode.Hidden:
                pass
            except ValueError as error:
                raise SchemaError("field %r of %s: the default %s" % (name, cls.__name__, error)) from None
        kinds.append(found)
    made = fixed(kinds, cls, cls._fields, len(kinds) - len(cls._field_defaults))
    return made.changed(schema={**made.schema, "title": cls.__name__})


def _read(cls, name, annotation, scope):
    try:
        return scope.kind(annotation, _owner(cls, name))
    except SchemaError as error:
        raise SchemaError("field %r of %s: %s" % (name, cls.__name__, error)) from None


def _owner(cls, name):
    """The names that an annotation of a field can use: those of the module of the class that has it."""
    for base in getattr(cls, "__mro__", (cls,)):
        if name in base.__dict__.get("__annotations__", {}):
            cls = base
            break
    return {**getattr(sys.modules.get(cls.__module__), "__dict__", {}), cls.__name__: cls}


def _own_doc(cls):
    """The docstring that was written for a class, not the one that `dataclass` makes or `dict` has."""
    text = cls.__dict__.get("__doc__")
    return None if not text or text.startswith(cls.__name__ + "(") else inspect.cleandoc(text)


def _record(cls, kinds, required, description, make):
    schema = {
        "type": "object", "title": cls.__name__, "properties": {name: found.schema for name, found in kinds.items()},
        "required": required, "additionalProperties": False,
    }
    if description:
        schema["description"] = description
    takes, needed = {name: found.take for name, found in kinds.items()}, frozenset(required)

    def take(value):
        if value.__class__ is not dict:
            raise must_be("an object", value)
        try:
            made = {name: takes[name](inner) for name, inner in value.items()}
        except KeyError:
            unknown = [name for name in value if name not in takes]
            if not unknown:
                raise
            raise Wrong("has an unknown field") from None
        if not needed <= made.keys():
            raise Wrong("lacks a field")
        if make is dict:
            return made
        try:
            return make(**made)
        except (ValueError, TypeError, AssertionError) as error:
            # What `__post_init__` refuses.
            raise Wrong(str(error) or "was refused by %s: %s" % (cls.__name__, type(error).__name__)) from None

    def inside(value, path, found):
        if value.__class__ is dict:
            explain_fields(kinds, needed, value, path, found, "fields")

    plain = make is dict and all(found.plain for found in kinds.values())
    return Kind(schema, take, plain, inside, arrives=make)


def explain_fields(kinds, needed, value, path, found, what, others=None):
    """Names every field that is missing, unknown or wrong; `others` is the kind of those that have no kind of their own."""
    for name in kinds:
        if name in value:
            kinds[name].explain(value[name], below(path, name), found)
        elif name in needed:
            found.append((below(path, name), "is required and missing"))
    for name in value:
        if name not in kinds and others is not None:
            others.explain(value[name], below(path, str(name)), found)
        elif name not in kinds:
            message = "is unknown: the %s are %s" % (what, ", ".join(sorted(kinds))) if kinds else "is unknown: there are no %s" % what
            found.append((below(path, str(name)), message))
