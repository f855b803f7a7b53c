"""What `Annotated` can say of a type: bounds, choices and words."""

import datetime
import re
import sys

from tinpot import _encode
from tinpot._types import SchemaError, Wrong, shown, types_of
from tinpot._secret import Secret


class Param:
    """Says more about a parameter: `Annotated[int, Param(min=1, max=9, description="How many.")]`.

    min, max, exclusive_min, exclusive_max: bounds of numbers, dates, times and durations.
    multiple_of: of numbers.
    min_length, max_length: of text (in characters), bytes, lists and dicts.
    pattern: a regular expression that is found somewhere in the text.
    choices: the values that are allowed, or a dict from those to the names that a form shows.
    title, description, examples: for people.
    """

    __slots__ = ("options",)

    def __init__(
        self, *, min=None, max=None, exclusive_min=None, exclusive_max=None, multiple_of=None, min_length=None, max_length=None,
        pattern=None, choices=None, title=None, description=None, examples=None,
    ):
        given = dict(
            min=min, max=max, exclusive_min=exclusive_min, exclusive_max=exclusive_max, multiple_of=multiple_of, min_length=min_length,
            max_length=max_length, pattern=pattern, choices=choices, title=title, description=description, examples=examples,
        )
        self.options = {name: value for name, value in given.items() if value is not None}

    def __repr__(self):
        return "Param(%s)" % ", ".join("%s=%r" % option for option in self.options.items())


# The classes of annotated-types, of pydantic and of typing that mean the same, and what their attributes are called here.
_MARKERS = {
    "Ge", "Gt", "Le", "Lt", "Interval", "MinLen", "MaxLen", "Len", "MultipleOf", "PydanticGeneralMetadata", "_PydanticGeneralMetadata",
    "Doc", "DocInfo",
}
_ATTRIBUTES = {
    "ge": "min", "gt": "exclusive_min", "le": "max", "lt": "exclusive_max", "min_length": "min_length", "max_length": "max_length",
    "multiple_of": "multiple_of", "pattern": "pattern", "documentation": "description",
}


def options_of(markers):
    """What markers say, by the names of `Param`; those of others are left alone. A string is a description."""
    said, words = {}, None
    for marker in markers:
        if isinstance(marker, Param):
            said.update(marker.options)
        elif isinstance(marker, str):
            words = marker
        elif is_field(marker):
            said.update(options_of(marker.metadata))
            for name in ("title", "description", "examples"):
                if getattr(marker, name, None) is not None:
                    said[name] = getattr(marker, name)
        elif type(marker).__name__ in _MARKERS:
            for attribute, name in _ATTRIBUTES.items():
                if getattr(marker, attribute, None) is not None:
                    said[name] = getattr(marker, attribute)
    if words is not None:
        said.setdefault("description", words)
    return said


def is_field(marker):
    """Whether it is pydantic's `Field(...)`."""
    return type(marker).__name__ == "FieldInfo" and type(marker).__module__.startswith("pydantic")


def apply(kind, options):
    """The kind within those bounds."""
    schema, checks = dict(kind.schema), []
    for name, value in options.items():
        if name in ("title", "description"):
            if not isinstance(value, str):
                raise SchemaError("%s must be text, not %r" % (name, value))
            schema[name] = value
        elif name == "examples":
            schema[name] = _form(list(value), name)
        elif name in _ORDER:
            checks.append(_order(kind, schema, name, value))
        elif name in ("min_length", "max_length"):
            checks.append(_length(schema, name, value))
        elif name == "pattern":
            checks.append(_pattern(schema, value))
        elif name == "multiple_of":
            checks.append(_multiple(schema, value))
    inner = kind.take
    if "choices" in options:
        inner = _choices(kind, schema, options["choices"])

    def take(value):
        made = inner(value)
        for check in checks:
            check(made)
        return made

    return kind.changed(schema=schema, take=take if checks else inner)


def _form(value, name):
    try:
        return _encode.to_json(value)
    except (ValueError, _encode.Hidden) as error:
        raise SchemaError("%s: %s" % (name, error or "a Secret cannot be shown")) from None


def _is_not_for(name, schema):
    what = schema.get("format") or " or ".join(types_of(schema)) or "anything"
    return SchemaError("%s does not apply to the type %s" % (name, what))


_ORDER = {
    "min": ("", "Minimum", "at least", lambda value, bound: value >= bound),
    "max": ("", "Maximum", "at most", lambda value, bound: value <= bound),
    "exclusive_min": ("exclusive", "Minimum", "more than", lambda value, bound: value > bound),
    "exclusive_max": ("exclusive", "Maximum", "less than", lambda value, bound: value < bound),
}
_MOMENTS = ("date", "time", "date-time", "duration")


def _order(kind, schema, name, value):
    exclusive, keyword, words, fits = _ORDER[name]
    if schema.get("format") in _MOMENTS:
        bound = _moment(kind, name, value)
        schema["format" + exclusive.capitalize() + keyword] = _form(bound, name)
        classes = (type(bound),)
    elif not {"integer", "number"} & set(types_of(schema)):
        raise _is_not_for(name, schema)
    else:
        bound = _number(kind, name, value)
        schema[exclusive + keyword if exclusive else keyword.lower()] = _json_number(bound)
        classes = _numbers()

    def check(made):
        if isinstance(made, classes) and made.__class__ is not bool:
            try:
                right = fits(made, bound)
            except TypeError as error:
                raise Wrong("cannot be compared with %s: %s" % (shown(_encode.to_json(bound)), error)) from None
            if not right:
                raise Wrong("must be %s %s, not %s" % (words, _said(bound), _said(made)))

    return check


def _said(value):
    return str(_encode.to_json(value))


def _moment(kind, name, value):
    """A bound of dates, times or durations; text is read like a parameter."""
    try:
        bound = kind.take(value) if isinstance(value, str) or not isinstance(value, (datetime.date, datetime.time, datetime.timedelta)) else value
    except Wrong as wrong:
        raise SchemaError("%s: %r %s" % (name, value, wrong)) from None
    if kind.arrives is not None and type(bound) is not kind.arrives:
        raise SchemaError("%s must be a %s, not %r" % (name, kind.arrives.__name__, value))
    return bound


def _numbers():
    decimal = sys.modules.get("decimal")
    return (int, float, decimal.Decimal) if decimal else (int, float)


def _number(kind, name, value):
    if isinstance(value, bool) or not isinstance(value, _numbers()) or not value - value == 0:
        raise SchemaError("%s must be a number, not %r" % (name, value))
    return kind.arrives(str(value)) if kind.schema.get("format") == "decimal" and kind.arrives else value


def _json_number(value):
    if isinstance(value, (int, float)):
        return value
    return int(value) if value == int(value) else float(value)


def _multiple(schema, step):
    import decimal

    if not {"integer", "number"} & set(types_of(schema)):
        raise _is_not_for("multiple_of", schema)
    if isinstance(step, bool) or not isinstance(step, (int, float, decimal.Decimal)) or not step > 0:
        raise SchemaError("multiple_of must be a number above 0, not %r" % (step,))
    schema["multipleOf"] = _json_number(step)
    exact = decimal.Decimal(str(step))

    def check(made):
        if isinstance(made, (int, float, decimal.Decimal)) and made.__class__ is not bool:
            try:
                right = not made % step if isinstance(made, int) and isinstance(step, int) else not decimal.Decimal(str(made)) % exact
            except decimal.InvalidOperation:
                right = False
            if not right:
                raise Wrong("must be a multiple of %s, not %s" % (step, made))

    return check


_LENGTHS = {"string": ("Length", "character"), "array": ("Items", "item"), "object": ("Properties", "field")}


def _length(schema, name, bound):
    if isinstance(bound, bool) or not isinstance(bound, int) or bound < 0:
        raise SchemaError("%s must be a whole number, 0 or more, not %r" % (name, bound))
    least, applies = name == "min_length", [kind for kind in types_of(schema) if kind in _LENGTHS]
    form = schema.get("format")
    if not applies or form in _MOMENTS + ("decimal", "uuid"):
        raise _is_not_for(name, schema)
    for kind in applies:
        size = -(-bound // 3) * 4 if form == "binary" else bound
        keyword = name[:3] + _LENGTHS[kind][0]
        schema[keyword] = max(size, schema[keyword]) if least and keyword in schema else size
    word = "byte" if form == "binary" else _LENGTHS[applies[0]][1]

    def check(made):
        size = len(made) if hasattr(made, "__len__") else len(str(made)) if hasattr(made, "__fspath__") else bound
        if size < bound if least else size > bound:
            raise Wrong("must have %s %d %s, not %d" % ("at least" if least else "at most", bound, word + "s" * (bound != 1), size))

    return check


def _pattern(schema, pattern):
    text = getattr(pattern, "pattern", pattern)
    if "string" not in types_of(schema) or schema.get("format") not in (None, "password", "path"):
        raise _is_not_for("pattern", schema)
    try:
        search = re.compile(text).search
    except (re.error, TypeError) as error:
        raise SchemaError("the pattern %r cannot be read: %s" % (text, error)) from None
    schema["pattern"] = text

    def check(made):
        words = made.reveal() if isinstance(made, Secret) else str(made) if hasattr(made, "__fspath__") else made
        if isinstance(words, str) and not search(words):
            raise Wrong("must match the pattern %s" % text)

    return check


def _choices(kind, schema, choices):
    names = list(choices.values()) if isinstance(choices, dict) else None
    allowed = [_form(choice, "choices") for choice in choices]
    if not allowed:
        raise SchemaError("choices must not be empty")
    listed = types_of(schema) == ["array"] and "items" in schema
    for choice in allowed:
        try:
            kind.take([choice] if listed else choice)
        except Wrong as wrong:
            raise SchemaError("the choice %s %s" % (shown(choice), wrong)) from None
    more = {"enum": allowed} if names is None else {"enum": allowed, "x-enum-names": names}
    if listed:
        schema["items"] = {**schema["items"], **more}
    else:
        if "null" in types_of(schema) and None not in allowed:
            more = {name: known + [None] for name, known in more.items()}
        schema.update(more)
    words, inner = ", ".join(map(shown, allowed)), kind.take

    def is_allowed(value):
        return any(value == one and (value.__class__ is bool) == (one.__class__ is bool) for one in more["enum"])

    def take(value):
        made = inner(value)
        for one in value if listed else (value,):
            if not is_allowed(one):
                raise Wrong("must be one of %s, not %s" % (words, shown(one)))
        return made

    return take
