"""Lists, sets, tuples and dicts of other types."""

from __future__ import annotations

import collections
from collections import abc
from typing import Any

from tinpot._types import (
    ANY,
    INT,
    MAX_ERRORS,
    STR,
    Errors,
    ExplainInner,
    Mismatch,
    Parse,
    Schema,
    SchemaError,
    ValueType,
    expected,
    join_path,
    shorten,
)

_LISTS: tuple[Any, ...] = (
    list,
    abc.Sequence,
    abc.MutableSequence,
    abc.Iterable,
    abc.Collection,
    abc.Reversible,
)
_SETS: tuple[Any, ...] = (set, abc.Set, abc.MutableSet)
_DICTS: tuple[Any, ...] = (dict, abc.Mapping, abc.MutableMapping)


def value_type(
    base: Any, arguments: abc.Sequence[Any], read: abc.Callable[[Any], ValueType]
) -> ValueType | None:
    """Returns the type of a container; None for any other class.

    `read` returns the type of an annotation.
    """
    if base in _LISTS:
        return list_of(read(arguments[0]) if arguments else ANY)
    if base in _SETS or base is frozenset:
        make = frozenset if base is frozenset else set
        return _set_of(make, read(arguments[0]) if arguments else ANY)
    if base is tuple:
        # `Tuple[()]` has the argument `()` before Python 3.11, and `tuple[()]` has none.
        if not arguments:
            return list_of(ANY, tuple)
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return list_of(read(arguments[0]), tuple)
        return tuple_of([read(argument) for argument in arguments if argument != ()])
    if base in _DICTS or base is collections.OrderedDict:
        keys, values = (read(argument) for argument in arguments) if arguments else (STR, ANY)
        is_ordered = base is collections.OrderedDict
        return _dict_of(keys, values, collections.OrderedDict if is_ordered else dict)
    return None


def _explain_items(inner: ValueType) -> ExplainInner:
    def explain_inner(value: Any, path: str, errors: Errors) -> None:
        if value.__class__ is list:
            for index, item in enumerate(value):
                inner.explain(item, f"{path}[{index}]", errors)
                if len(errors) >= MAX_ERRORS:
                    return

    return explain_inner


def _array(inner: ValueType, **extra: Any) -> Schema:
    items = {"items": inner.schema} if inner.schema else {}
    return {"type": "array", **items, **extra}


def list_of(inner: ValueType, make: Any = list) -> ValueType:
    """Returns the type of a list or tuple of any length."""
    parse_item = inner.parse

    def parse(value: Any) -> Any:
        if value.__class__ is not list:
            raise expected("a list", value)
        return [parse_item(item) for item in value]

    def parse_to_other(value: Any) -> Any:
        return make(parse(value))

    return ValueType(
        _array(inner),
        parse if make is list else parse_to_other,
        inner.is_identity and make is list,
        _explain_items(inner),
        python_class=make,
    )


def _set_of(make: Any, inner: ValueType) -> ValueType:
    if inner.python_class is not None and inner.python_class.__hash__ is None:
        name = inner.python_class.__name__
        raise SchemaError(f"a set cannot hold values of type {name}: they have no hash")
    parse_item = inner.parse

    def parse(value: Any) -> Any:
        if value.__class__ is not list:
            raise expected("a list", value)
        try:
            parsed = make([parse_item(item) for item in value])
        except TypeError as error:
            raise Mismatch(f"cannot be a set: {error}") from None
        if len(parsed) != len(value):
            raise Mismatch("must not have the same item twice")
        return parsed

    return ValueType(
        _array(inner, uniqueItems=True),
        parse,
        explain_inner=_explain_items(inner),
        python_class=make,
    )


def tuple_of(
    types: abc.Sequence[ValueType],
    make: Any = tuple,
    names: abc.Sequence[str] = (),
    least: int | None = None,
) -> ValueType:
    """Returns the type of a tuple of fixed length.

    Items from `least` on are optional. `names` are the field names of a NamedTuple.
    """
    parsers, most = tuple(item.parse for item in types), len(types)
    minimum = most if least is None else least
    count = f"{most} items" if minimum == most else f"{minimum} to {most} items"

    def parse(value: Any) -> Any:
        if value.__class__ is not list:
            raise expected("a list", value)
        if not minimum <= len(value) <= most:
            raise Mismatch(f"must have {count}, not {len(value)}")
        parsed = [parser(item) for parser, item in zip(parsers, value)]
        return make(parsed) if make is tuple else make(*parsed)

    def explain_inner(value: Any, path: str, errors: Errors) -> None:
        if value.__class__ is list and minimum <= len(value) <= most:
            for index, (item_type, item) in enumerate(zip(types, value)):
                item_type.explain(item, f"{path}[{index}]", errors)

    items = [item.schema for item in types]
    if names:
        items = [{**item, "title": name} for item, name in zip(items, names)]
    schema = {
        "type": "array",
        "prefixItems": items,
        "items": False,
        "minItems": minimum,
        "maxItems": most,
    }
    if not items:
        del schema["prefixItems"]
    return ValueType(schema, parse, explain_inner=explain_inner, python_class=make)


def _dict_of(keys: ValueType, values: ValueType, make: Any) -> ValueType:
    has_text_keys = keys is STR
    parse_key, names = (keys.parse, None) if has_text_keys else _key(keys)
    parse_value = values.parse

    def parse(value: Any) -> Any:
        if value.__class__ is not dict:
            raise expected("an object", value)
        if has_text_keys:
            parsed = {name: parse_value(inner) for name, inner in value.items()}
        else:
            parsed = {parse_key(name): parse_value(inner) for name, inner in value.items()}
            # Two texts may be one key: "1" and "01".
            if len(parsed) != len(value):
                raise Mismatch("must not have the same key twice")
        return parsed if make is dict else make(parsed)

    def explain_inner(value: Any, path: str, errors: Errors) -> None:
        if value.__class__ is not dict:
            return
        for name, inner in value.items():
            where = join_path(path, name) if isinstance(name, str) else path
            try:
                parse_key(name)
            except Mismatch as mismatch:
                errors.append((where, f"as a key, {mismatch}"))
            values.explain(inner, where, errors)
            if len(errors) >= MAX_ERRORS:
                return

    schema: Schema = {"type": "object"}
    if names is not None:
        schema["propertyNames"] = names
    if values.schema:
        schema["additionalProperties"] = values.schema
    is_identity = has_text_keys and values.is_identity and make is dict
    return ValueType(schema, parse, is_identity, explain_inner, python_class=make)


def _key(keys: ValueType) -> tuple[Parse, Schema]:
    """Returns the parser of a key, which is text in JSON, and the schema of that text."""
    if keys is INT:
        return _parse_int_key, {"pattern": "^-?[0-9]{1,40}$"}
    if keys.schema.get("type") == "string" or keys.schema.get("format") == "decimal":
        if keys.python_class is not None and keys.python_class.__hash__ is None:
            name = keys.python_class.__name__
            raise SchemaError(f"the keys of a dict cannot be of type {name}: they have no hash")
        ignored = ("type", "title", "description")
        return keys.parse, {
            name: value for name, value in keys.schema.items() if name not in ignored
        }
    raise SchemaError(
        "the keys of a dict must be text in JSON:"
        " use str, int, a text Enum or Literal, a date, UUID or Path"
    )


def _parse_int_key(text: str) -> int:
    digits = text[1:] if text[:1] == "-" else text
    if not (digits.isdecimal() and digits.isascii() and len(digits) <= 40):
        raise Mismatch(f"must be an integer, not {shorten(text)}")
    return int(text)
