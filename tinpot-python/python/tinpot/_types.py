"""What the types of parameters have in common, the plain ones, and the words for what is wrong with a value."""

import json

# A type that is nested deeper than this is refused when it is loaded.
TYPE_DEPTH = 32
# So deep may a value be where its type does not say (`Any`); the coordinator takes no more either.
VALUE_DEPTH = 128
# So many wrong fields are named.
PROBLEMS = 50

# In which order the members of a union are tried.
CHOICE, FORMAT, PLAIN, FLOAT, COMPOUND, ANYTHING = range(6)


class SchemaError(Exception):
    """A parameter whose annotation or default cannot be offered."""


class Wrong(Exception):
    """A JSON value that is not of a type; its text says what would be right."""


class Kind:
    """A type that a parameter can have.

    schema: its JSON Schema.
    take: makes the Python value of a JSON value, or raises `Wrong`.
    plain: whether `take` gives back what it is given.
    inside: names what is wrong within a value: called with the value, its path and the list of what was found.
    rank: when it is tried in a union.
    arrives: the class of the Python values, if it is one.
    """

    __slots__ = ("schema", "take", "plain", "inside", "rank", "arrives")

    def __init__(self, schema, take, plain=False, inside=None, rank=COMPOUND, arrives=None):
        self.schema = schema
        self.take = take
        self.plain = plain
        self.inside = inside
        self.rank = rank
        self.arrives = arrives

    def changed(self, **changes):
        values = {name: getattr(self, name) for name in self.__slots__}
        values.update(changes)
        return Kind(**values)

    def explain(self, value, path, found):
        """Adds everything that is wrong with `value` to `found`, as pairs of path and message."""
        if len(found) >= PROBLEMS:
            return
        known = len(found)
        if self.inside is not None:
            self.inside(value, path, found)
        if len(found) == known:
            try:
                self.take(value)
            except Wrong as wrong:
                found.append((path, str(wrong)))


def below(path, name):
    return "%s.%s" % (path, name) if path else name


# Words, as the coordinator has them.

_TYPES = {
    "string": "a string", "integer": "an integer", "number": "a number", "boolean": "true or false", "array": "a list",
    "object": "an object", "null": "null",
}


def kind_of(value):
    """What a JSON value is, in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, float):
        return "the number %r" % value
    if isinstance(value, int):
        return "the integer %s" % shown(value)
    if isinstance(value, str):
        return "a string"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "an object"
    return "a value of type %s" % type(value).__name__


def shown(value):
    """A JSON value as an error shows it, however large."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return kind_of(value) if not isinstance(value, int) else "with too many digits"
    return text if len(text) <= 80 else text[:80] + "…"


def types_of(schema):
    """The names of the JSON types that a schema allows; nothing when it allows all."""
    if "anyOf" in schema:
        return [name for member in schema["anyOf"] for name in types_of(member)]
    kinds = schema.get("type", [])
    return kinds if isinstance(kinds, list) else [kinds]


def describe(schema):
    """What a schema asks for, in words."""
    names = []
    for kind in types_of(schema):
        if _TYPES[kind] not in names:
            names.append(_TYPES[kind])
    return " or ".join(names) or "anything"


def must_be(what, value):
    return Wrong("must be %s, not %s" % (what, kind_of(value)))


def fits_type(name, value):
    """Whether a JSON value is of a JSON type."""
    if name == "integer":
        return value.__class__ is int
    if name == "number":
        return value.__class__ in (int, float)
    return {"string": str, "boolean": bool, "array": list, "object": dict, "null": type(None)}[name] is value.__class__


# The plain types.


def _take_str(value):
    if value.__class__ is str:
        return value
    raise must_be("a string", value)


def _take_int(value):
    if value.__class__ is int:
        return value
    raise must_be("an integer", value)


def _take_float(value):
    if value.__class__ is float:
        if value - value == 0.0:
            return value
        raise Wrong("must be a number, not %r" % value)
    if value.__class__ is int:
        try:
            return float(value)
        except OverflowError:
            raise Wrong("is too large for a number: %s" % shown(value)) from None
    raise must_be("a number", value)


def _take_bool(value):
    if value is True or value is False:
        return value
    raise must_be("true or false", value)


def _take_none(value):
    if value is None:
        return value
    raise must_be("null", value)


def take_anything(value):
    if value.__class__ in (str, int, bool, type(None)):
        return value
    pending = [(value, 1)]
    while pending:
        one, depth = pending.pop()
        if one.__class__ is float:
            _take_float(one)
        elif one.__class__ in (list, dict):
            if depth > VALUE_DEPTH:
                raise Wrong("is more than %d deep" % VALUE_DEPTH)
            if one.__class__ is dict:
                if not all(key.__class__ is str for key in one):
                    raise Wrong("must have text as the names of fields")
                one = one.values()
            pending.extend((inner, depth + 1) for inner in one)
        elif one is not None and one.__class__ not in (str, int, bool):
            raise must_be("JSON", one)
    return value


STR = Kind({"type": "string"}, _take_str, plain=True, rank=PLAIN, arrives=str)
INT = Kind({"type": "integer"}, _take_int, plain=True, rank=PLAIN, arrives=int)
FLOAT_KIND = Kind({"type": "number"}, _take_float, rank=FLOAT, arrives=float)
BOOL = Kind({"type": "boolean"}, _take_bool, plain=True, rank=PLAIN, arrives=bool)
NONE = Kind({"type": "null"}, _take_none, plain=True, rank=CHOICE, arrives=type(None))
ANY = Kind({}, take_anything, plain=True, rank=ANYTHING)
