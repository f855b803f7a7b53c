"""The base of parameter types, the plain types, and the wording of errors.

The coordinator validates parameters with the same words; keep both in step.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

# A type that is nested deeper than this is refused when its file is loaded.
MAX_TYPE_DEPTH = 32
# The depth to which a value of type `Any` may be nested. The coordinator has the same bound.
MAX_VALUE_DEPTH = 128
# The number of errors that one message lists.
MAX_ERRORS = 50

# The order in which a union tries its members.
CHOICE, FORMAT, PLAIN, FLOAT, COMPOUND, ANYTHING = range(6)

Schema = dict[str, Any]
# Pairs of a path and a message.
Errors = list[tuple[str, str]]
Parse = Callable[[Any], Any]
ExplainInner = Callable[[Any, str, Errors], None]


class SchemaError(Exception):
    """An annotation or default for which there is no schema."""


class Mismatch(Exception):
    """A JSON value that is not of the expected type; the text names what is expected."""


class ValueType:
    """A type that a parameter can have.

    schema: its JSON Schema.
    parse: converts a JSON value to a Python value, or raises `Mismatch`.
    is_identity: True if `parse` returns its argument unchanged.
    explain_inner: adds the errors within a value to a list, given the value and its path.
    rank: the position in the order in which a union tries its members.
    python_class: the class of the Python values, if there is exactly one.
    """

    __slots__ = ("explain_inner", "is_identity", "parse", "python_class", "rank", "schema")

    def __init__(
        self,
        schema: Schema,
        parse: Parse,
        is_identity: bool = False,
        explain_inner: ExplainInner | None = None,
        rank: int = COMPOUND,
        python_class: Any = None,
    ) -> None:
        self.schema = schema
        self.parse = parse
        self.is_identity = is_identity
        self.explain_inner = explain_inner
        self.rank = rank
        self.python_class = python_class

    def replace(self, **changes: Any) -> ValueType:
        """Returns a copy with some attributes replaced."""
        values = {name: getattr(self, name) for name in self.__slots__}
        values.update(changes)
        return ValueType(**values)

    def explain(self, value: Any, path: str, errors: Errors) -> None:
        """Adds every error of `value` to `errors`."""
        if len(errors) >= MAX_ERRORS:
            return
        known = len(errors)
        if self.explain_inner is not None:
            self.explain_inner(value, path, errors)
        if len(errors) == known:
            try:
                self.parse(value)
            except Mismatch as mismatch:
                errors.append((path, str(mismatch)))


def join_path(path: str, name: str) -> str:
    """Returns the path of a field of the value at `path`."""
    return f"{path}.{name}" if path else name


_TYPE_WORDS = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
_CLASSES: dict[str, type] = {
    "string": str,
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": type(None),
}


def describe_value(value: object) -> str:
    """Describes a JSON value in an error."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, float):
        return f"the number {value!r}"
    if isinstance(value, int):
        return f"the integer {shorten(value)}"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "an object"
    return f"a value of type {type(value).__name__}"


def shorten(value: object) -> str:
    """Returns the JSON text of a value for an error, cut after 80 characters."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return describe_value(value) if not isinstance(value, int) else "with too many digits"
    return text if len(text) <= 80 else text[:80] + "…"


def json_types(schema: Schema) -> list[str]:
    """Returns the JSON types that a schema allows; an empty list if it allows all."""
    if "anyOf" in schema:
        return [name for member in schema["anyOf"] for name in json_types(member)]
    names = schema.get("type", [])
    return names if isinstance(names, list) else [names]


def describe_schema(schema: Schema) -> str:
    """Describes the values that a schema allows."""
    words = dict.fromkeys(_TYPE_WORDS[name] for name in json_types(schema))
    return " or ".join(words) or "anything"


def expected(what: str, value: object) -> Mismatch:
    """Returns the error for a value that should be `what`."""
    return Mismatch(f"must be {what}, not {describe_value(value)}")


def is_json_type(name: str, value: object) -> bool:
    """Returns True if a JSON value is of a JSON type."""
    if name == "integer":
        return value.__class__ is int
    if name == "number":
        return value.__class__ in (int, float)
    return _CLASSES[name] is value.__class__


def _parse_str(value: Any) -> Any:
    if value.__class__ is str:
        return value
    raise expected("a string", value)


def _parse_int(value: Any) -> Any:
    if value.__class__ is int:
        return value
    raise expected("an integer", value)


def _parse_float(value: Any) -> Any:
    if value.__class__ is float:
        # False for NaN and the infinities.
        if value - value == 0.0:
            return value
        raise Mismatch(f"must be a number, not {value!r}")
    if value.__class__ is int:
        try:
            return float(value)
        except OverflowError:
            raise Mismatch(f"is too large for a number: {shorten(value)}") from None
    raise expected("a number", value)


def _parse_bool(value: Any) -> Any:
    if value is True or value is False:
        return value
    raise expected("true or false", value)


def _parse_none(value: Any) -> None:
    if value is not None:
        raise expected("null", value)


def parse_any(value: Any) -> Any:
    """Returns a JSON value of any type; raises `Mismatch` for what JSON does not have."""
    if value.__class__ in (str, int, bool, type(None)):
        return value
    # Not recursive: a value may be nested deeper than Python's stack.
    pending = [(value, 1)]
    while pending:
        one, depth = pending.pop()
        if one.__class__ is float:
            _parse_float(one)
        elif one.__class__ in (list, dict):
            if depth > MAX_VALUE_DEPTH:
                raise Mismatch(f"is more than {MAX_VALUE_DEPTH} deep")
            if one.__class__ is dict:
                if not all(key.__class__ is str for key in one):
                    raise Mismatch("must have text as the names of fields")
                one = one.values()
            pending.extend((inner, depth + 1) for inner in one)
        elif one is not None and one.__class__ not in (str, int, bool):
            raise expected("JSON", one)
    return value


STR = ValueType({"type": "string"}, _parse_str, True, rank=PLAIN, python_class=str)
INT = ValueType({"type": "integer"}, _parse_int, True, rank=PLAIN, python_class=int)
# Not an identity: an integer in JSON becomes a float.
NUMBER = ValueType({"type": "number"}, _parse_float, rank=FLOAT, python_class=float)
BOOL = ValueType({"type": "boolean"}, _parse_bool, True, rank=PLAIN, python_class=bool)
NONE = ValueType({"type": "null"}, _parse_none, True, rank=CHOICE, python_class=type(None))
ANY = ValueType({}, parse_any, True, rank=ANYTHING)
