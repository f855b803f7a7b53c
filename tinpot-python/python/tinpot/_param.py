"""`Param` and other markers in `Annotated`: bounds, choices and descriptions."""

from __future__ import annotations

import datetime
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tinpot import _encode
from tinpot._secret import Secret
from tinpot._types import (
    Mismatch,
    Parse,
    Schema,
    SchemaError,
    ValueType,
    json_types,
    shorten,
)

Check = Callable[[Any], None]


class Param:
    """Constrains and describes a parameter: `Annotated[int, Param(min=1, max=9)]`.

    min, max, exclusive_min, exclusive_max: bounds of numbers, dates, times and durations.
    multiple_of: the step of numbers.
    min_length, max_length: bounds of text (in characters), bytes, lists and dicts.
    pattern: a regular expression that must match somewhere in the text.
    choices: the allowed values, or a dict of allowed values and the names that a form shows.
    title, description, examples: texts for people.
    """

    __slots__ = ("options",)

    def __init__(
        self,
        *,
        min: Any = None,
        max: Any = None,
        exclusive_min: Any = None,
        exclusive_max: Any = None,
        multiple_of: Any = None,
        min_length: int | None = None,
        max_length: int | None = None,
        pattern: Any = None,
        choices: Iterable[Any] | None = None,
        title: str | None = None,
        description: str | None = None,
        examples: Iterable[Any] | None = None,
    ) -> None:
        given = {
            "min": min,
            "max": max,
            "exclusive_min": exclusive_min,
            "exclusive_max": exclusive_max,
            "multiple_of": multiple_of,
            "min_length": min_length,
            "max_length": max_length,
            "pattern": pattern,
            "choices": choices,
            "title": title,
            "description": description,
            "examples": examples,
        }
        self.options = {name: value for name, value in given.items() if value is not None}

    def __repr__(self) -> str:
        return f"Param({', '.join(f'{name}={value!r}' for name, value in self.options.items())})"


# The classes of annotated-types, pydantic and typing with the same meaning as `Param`, and the
# names of their attributes here.
_MARKERS = {
    "Ge",
    "Gt",
    "Le",
    "Lt",
    "Interval",
    "MinLen",
    "MaxLen",
    "Len",
    "MultipleOf",
    "PydanticGeneralMetadata",
    "_PydanticGeneralMetadata",
    "Doc",
    "DocInfo",
}
_ATTRIBUTES = {
    "ge": "min",
    "gt": "exclusive_min",
    "le": "max",
    "lt": "exclusive_max",
    "min_length": "min_length",
    "max_length": "max_length",
    "multiple_of": "multiple_of",
    "pattern": "pattern",
    "documentation": "description",
}


def options_of(markers: Iterable[Any]) -> dict[str, Any]:
    """Returns the options of markers, by the names of `Param`. Ignores unknown markers.

    A string is a description.
    """
    options: dict[str, Any] = {}
    description = None
    for marker in markers:
        if isinstance(marker, Param):
            options.update(marker.options)
        elif isinstance(marker, str):
            description = marker
        elif is_pydantic_field(marker):
            options.update(options_of(marker.metadata))
            for name in ("title", "description", "examples"):
                if getattr(marker, name, None) is not None:
                    options[name] = getattr(marker, name)
        elif type(marker).__name__ in _MARKERS:
            for attribute, name in _ATTRIBUTES.items():
                if getattr(marker, attribute, None) is not None:
                    options[name] = getattr(marker, attribute)
    if description is not None:
        options.setdefault("description", description)
    return options


def is_pydantic_field(marker: object) -> bool:
    """Returns True for pydantic's `Field(...)`."""
    cls = type(marker)
    return cls.__name__ == "FieldInfo" and cls.__module__.startswith("pydantic")


def constrain(inner: ValueType, options: Mapping[str, Any]) -> ValueType:
    """Returns a type with the options of `Param`."""
    schema = dict(inner.schema)
    checks: list[Check] = []
    for name, value in options.items():
        if name in ("title", "description"):
            if not isinstance(value, str):
                raise SchemaError(f"{name} must be text, not {value!r}")
            schema[name] = value
        elif name == "examples":
            schema[name] = _to_json(list(value), name)
        elif name in _BOUNDS:
            checks.append(_bound_check(inner, schema, name, value))
        elif name in ("min_length", "max_length"):
            checks.append(_length_check(schema, name, value))
        elif name == "pattern":
            checks.append(_pattern_check(schema, value))
        elif name == "multiple_of":
            checks.append(_multiple_check(schema, value))
    parse_inner = inner.parse
    if "choices" in options:
        parse_inner = _choice_parser(inner, schema, options["choices"])

    def parse(value: Any) -> Any:
        parsed = parse_inner(value)
        for check in checks:
            check(parsed)
        return parsed

    return inner.replace(schema=schema, parse=parse if checks else parse_inner)


def _to_json(value: Any, name: str) -> Any:
    try:
        return _encode.to_json(value)
    except (ValueError, _encode.ContainsSecret) as error:
        raise SchemaError(f"{name}: {error or 'a Secret cannot be shown'}") from None


def _does_not_apply(name: str, schema: Schema) -> SchemaError:
    what = schema.get("format") or " or ".join(json_types(schema)) or "anything"
    return SchemaError(f"{name} does not apply to the type {what}")


# By option: the prefix and name of the keyword, the words of the error, and the comparison.
_BOUNDS: dict[str, tuple[str, str, str, Callable[[Any, Any], bool]]] = {
    "min": ("", "Minimum", "at least", lambda value, bound: bool(value >= bound)),
    "max": ("", "Maximum", "at most", lambda value, bound: bool(value <= bound)),
    "exclusive_min": (
        "exclusive",
        "Minimum",
        "more than",
        lambda value, bound: bool(value > bound),
    ),
    "exclusive_max": (
        "exclusive",
        "Maximum",
        "less than",
        lambda value, bound: bool(value < bound),
    ),
}
_MOMENTS = ("date", "time", "date-time", "duration")


def _bound_check(inner: ValueType, schema: Schema, name: str, value: Any) -> Check:
    exclusive, keyword, words, fits = _BOUNDS[name]
    classes: tuple[type, ...]
    if schema.get("format") in _MOMENTS:
        bound = _moment(inner, name, value)
        # JSON Schema has bounds for numbers only: these keywords are those of ajv-formats.
        schema["format" + exclusive.capitalize() + keyword] = _to_json(bound, name)
        classes = (type(bound),)
    elif not {"integer", "number"} & set(json_types(schema)):
        raise _does_not_apply(name, schema)
    else:
        bound = _number(inner, name, value)
        schema[exclusive + keyword if exclusive else keyword.lower()] = _json_number(bound)
        classes = _number_classes()

    def check(parsed: Any) -> None:
        if isinstance(parsed, classes) and parsed.__class__ is not bool:
            try:
                is_within = fits(parsed, bound)
            except TypeError as error:
                limit = shorten(_encode.to_json(bound))
                raise Mismatch(f"cannot be compared with {limit}: {error}") from None
            if not is_within:
                raise Mismatch(f"must be {words} {_json_text(bound)}, not {_json_text(parsed)}")

    return check


def _json_text(value: Any) -> str:
    return str(_encode.to_json(value))


def _moment(inner: ValueType, name: str, value: Any) -> Any:
    """Returns a bound of dates, times or durations; text is parsed like a parameter."""
    try:
        is_moment = isinstance(value, (datetime.date, datetime.time, datetime.timedelta))
        bound = value if is_moment else inner.parse(value)
    except Mismatch as mismatch:
        raise SchemaError(f"{name}: {value!r} {mismatch}") from None
    if inner.python_class is not None and type(bound) is not inner.python_class:
        raise SchemaError(f"{name} must be a {inner.python_class.__name__}, not {value!r}")
    return bound


def _number_classes() -> tuple[type, ...]:
    decimal: Any = sys.modules.get("decimal")
    return (int, float, decimal.Decimal) if decimal else (int, float)


def _number(inner: ValueType, name: str, value: Any) -> Any:
    is_number = isinstance(value, _number_classes()) and not isinstance(value, bool)
    # The difference is not 0 for NaN and the infinities.
    if not is_number or not value - value == 0:
        raise SchemaError(f"{name} must be a number, not {value!r}")
    if inner.schema.get("format") == "decimal" and inner.python_class:
        return inner.python_class(str(value))
    return value


def _json_number(value: Any) -> Any:
    if isinstance(value, (int, float)):
        return value
    return int(value) if value == int(value) else float(value)


def _multiple_check(schema: Schema, step: Any) -> Check:
    import decimal

    if not {"integer", "number"} & set(json_types(schema)):
        raise _does_not_apply("multiple_of", schema)
    is_number = isinstance(step, (int, float, decimal.Decimal)) and not isinstance(step, bool)
    if not is_number or not step > 0:
        raise SchemaError(f"multiple_of must be a number above 0, not {step!r}")
    schema["multipleOf"] = _json_number(step)
    exact = decimal.Decimal(str(step))

    def is_multiple(parsed: Any) -> bool:
        if isinstance(parsed, int) and isinstance(step, int):
            return not parsed % step
        try:
            # In decimal, because 0.3 % 0.1 is not 0 in binary.
            return not decimal.Decimal(str(parsed)) % exact
        except decimal.InvalidOperation:
            return False

    def check(parsed: Any) -> None:
        if isinstance(parsed, bool) or not isinstance(parsed, (int, float, decimal.Decimal)):
            return
        if not is_multiple(parsed):
            raise Mismatch(f"must be a multiple of {step}, not {parsed}")

    return check


_LENGTHS = {
    "string": ("Length", "character"),
    "array": ("Items", "item"),
    "object": ("Properties", "field"),
}


def _length_check(schema: Schema, name: str, bound: Any) -> Check:
    if isinstance(bound, bool) or not isinstance(bound, int) or bound < 0:
        raise SchemaError(f"{name} must be a whole number, 0 or more, not {bound!r}")
    is_minimum = name == "min_length"
    applicable = [json_type for json_type in json_types(schema) if json_type in _LENGTHS]
    form = schema.get("format")
    if not applicable or form in (*_MOMENTS, "decimal", "uuid"):
        raise _does_not_apply(name, schema)
    for json_type in applicable:
        # The schema counts characters of base64: 4 for every 3 bytes.
        size = -(-bound // 3) * 4 if form == "binary" else bound
        keyword = name[:3] + _LENGTHS[json_type][0]
        if is_minimum and keyword in schema:
            size = max(size, schema[keyword])
        schema[keyword] = size
    word = "byte" if form == "binary" else _LENGTHS[applicable[0]][1]
    words = f"at {'least' if is_minimum else 'most'} {bound} {word}{'s' * (bound != 1)}"

    def check(parsed: Any) -> None:
        if hasattr(parsed, "__len__"):
            size = len(parsed)
        elif hasattr(parsed, "__fspath__"):
            size = len(str(parsed))
        else:
            return
        if size < bound if is_minimum else size > bound:
            raise Mismatch(f"must have {words}, not {size}")

    return check


def _pattern_check(schema: Schema, pattern: Any) -> Check:
    text = getattr(pattern, "pattern", pattern)
    if "string" not in json_types(schema) or schema.get("format") not in (None, "password", "path"):
        raise _does_not_apply("pattern", schema)
    try:
        search = re.compile(text).search
    except (re.error, TypeError) as error:
        raise SchemaError(f"the pattern {text!r} cannot be read: {error}") from None
    schema["pattern"] = text

    def check(parsed: Any) -> None:
        if isinstance(parsed, Secret):
            parsed = parsed.reveal()
        elif hasattr(parsed, "__fspath__"):
            parsed = str(parsed)
        if isinstance(parsed, str) and not search(parsed):
            raise Mismatch(f"must match the pattern {text}")

    return check


def _choice_parser(inner: ValueType, schema: Schema, choices: Iterable[Any]) -> Parse:
    allowed = [_to_json(choice, "choices") for choice in choices]
    if not allowed:
        raise SchemaError("choices must not be empty")
    # The choices of a list are those of its items.
    is_list = json_types(schema) == ["array"] and "items" in schema
    for choice in allowed:
        try:
            inner.parse([choice] if is_list else choice)
        except Mismatch as mismatch:
            raise SchemaError(f"the choice {shorten(choice)} {mismatch}") from None
    extra: dict[str, list[Any]] = {"enum": allowed}
    if isinstance(choices, Mapping):
        extra["x-enum-names"] = list(choices.values())
    if is_list:
        schema["items"] = {**schema["items"], **extra}
    else:
        if "null" in json_types(schema) and None not in allowed:
            extra = {name: [*values, None] for name, values in extra.items()}
        schema.update(extra)
    words, parse_inner = ", ".join(map(shorten, allowed)), inner.parse

    def is_allowed(value: Any) -> bool:
        # True == 1, but only one of them may be among the choices.
        return any(
            value == one and (value.__class__ is bool) == (one.__class__ is bool)
            for one in extra["enum"]
        )

    def parse(value: Any) -> Any:
        parsed = parse_inner(value)
        for one in value if is_list else (value,):
            if not is_allowed(one):
                raise Mismatch(f"must be one of {words}, not {shorten(one)}")
        return parsed

    return parse
