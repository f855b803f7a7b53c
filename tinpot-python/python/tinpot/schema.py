"""Derives the JSON Schema of a function's parameters from its signature.

This module alone knows which Python types there are, and what they look like as JSON.
"""

import inspect
import json
import typing

_NONE = type(None)
_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", list: "array", dict: "object", _NONE: "null"}
_UNIONS = {typing.Union}
try:
    from types import UnionType  # Python 3.10

    _UNIONS.add(UnionType)
except ImportError:
    pass


class SchemaError(Exception):
    """A parameter whose annotation or default cannot be offered."""


def derive(function):
    """The schema of `function`'s parameters, and the names of those that can only be passed by position."""
    signature = inspect.signature(function)
    names = getattr(inspect.unwrap(function), "__globals__", {})
    properties, required, positional, open_ended = {}, [], [], False
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            continue
        if parameter.kind is parameter.VAR_KEYWORD:
            open_ended = True
            continue
        if parameter.kind is parameter.POSITIONAL_ONLY:
            positional.append(parameter.name)
        properties[parameter.name] = _property(parameter, names)
        if parameter.default is parameter.empty:
            required.append(parameter.name)
    schema = {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": open_ended,
    }
    return schema, tuple(positional)


def _property(parameter, names):
    schema = {}
    if parameter.annotation is not parameter.empty:
        try:
            schema = schema_of(parameter.annotation, names)
        except SchemaError as error:
            raise SchemaError("parameter %r: %s" % (parameter.name, error)) from None
    if parameter.default is not parameter.empty:
        if parameter.default is None:
            # `x: int = None` says that None will do, whatever the annotation says.
            schema = _union([schema, {"type": "null"}])
        schema["default"] = _default(parameter)
    return schema


def _default(parameter):
    try:
        json.dumps(parameter.default, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise SchemaError(
            "parameter %r: the default %r has no JSON form: %s" % (parameter.name, parameter.default, error)
        ) from None
    return parameter.default


def schema_of(annotation, names):
    """The schema of one annotation; `names` are the globals in which an annotation that is text is read."""
    if isinstance(annotation, typing.ForwardRef):
        annotation = annotation.__forward_arg__
    if isinstance(annotation, str):
        annotation = _evaluate(annotation, names)
    if annotation is None:
        annotation = _NONE
    if annotation is typing.Any or annotation is object:
        return {}
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    # `typing.List` without an argument has an origin and no arguments.
    if origin in (list, dict) and not arguments:
        annotation = origin
    try:
        plain = _PLAIN.get(annotation)
    except TypeError:  # not hashable
        plain = None
    if plain is not None:
        return {"type": plain}
    if hasattr(annotation, "__metadata__"):  # Annotated
        return schema_of(annotation.__origin__, names)
    if origin in _UNIONS:
        return _union([schema_of(one, names) for one in arguments])
    if origin is list:
        return _with("array", "items", schema_of(arguments[0], names))
    if origin is dict:
        if schema_of(arguments[0], names) != {"type": "string"}:
            raise SchemaError("the keys of a dict must be str, as in JSON: %s" % _name(annotation))
        return _with("object", "additionalProperties", schema_of(arguments[1], names))
    raise SchemaError(
        "the type %s is not supported: use str, int, float, bool, list, dict, Optional or Union of them" % _name(annotation)
    )


def _with(kind, keyword, schema):
    return {"type": kind, keyword: schema} if schema else {"type": kind}


def _evaluate(text, names):
    try:
        return eval(text, dict(names))  # the user's own annotation, in the user's own module
    except Exception as error:
        raise SchemaError("the annotation %r cannot be read: %s: %s" % (text, type(error).__name__, error)) from None


def _union(schemas):
    """One schema for either of several; null is folded into `type` where that says the same."""
    flat = []
    for schema in schemas:
        flat.extend(schema["anyOf"] if set(schema) == {"anyOf"} else [schema])
    if {} in flat:
        return {}
    flat = [schema for index, schema in enumerate(flat) if schema not in flat[:index]]
    if len(flat) == 1:
        return flat[0]
    if sum(set(schema) != {"type"} for schema in flat) <= 1:
        # At most one has more to say than its type, so one `type` list carries all of them.
        rich = next((schema for schema in flat if set(schema) != {"type"}), {})
        if "anyOf" not in rich:
            kinds = []
            for schema in flat:
                kind = schema["type"]
                kinds.extend(k for k in (kind if isinstance(kind, list) else [kind]) if k not in kinds)
            return {**rich, "type": kinds}
    return {"anyOf": flat}


def _name(annotation):
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")
