"""Types that are one of a few values: Literal and Enum."""

import enum

from tinpot._types import CHOICE, Kind, SchemaError, Wrong, kind_of, shown

_NAMES = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


def literal(values):
    """The kind of `Literal[values]`; members of an Enum are given as what they are."""
    forms = [value.value if isinstance(value, enum.Enum) else value for value in values]
    for form, value in zip(forms, values):
        if form.__class__ not in _NAMES:
            raise SchemaError("the value %r of Literal has no JSON form" % (value,))
    plain = all(form is value and form.__class__ is not float for form, value in zip(forms, values))
    return _kind(forms, values, {}, plain)


def members(kind):
    """The kind of an Enum."""
    if issubclass(kind, enum.Flag):
        raise SchemaError("the type %s is not supported: a Flag is several values at once, use a list of an Enum" % kind.__name__)
    found = list(kind)
    if not found:
        raise SchemaError("the type %s is not supported: it has no members" % kind.__name__)
    forms = [_json(member) for member in found]
    more = {"x-enum-names": [member.name for member in found], "title": kind.__name__}
    return _kind(forms, found, more, False, kind)


def _json(member):
    value = member.value
    for base in (bool, str, int, float):
        if isinstance(value, base):
            # Not the member itself where the Enum is a str or an int.
            return value if base is bool else base.__str__(value) if base is str else base(value)
    if value is None:
        return None
    raise SchemaError(
        "the type %s is not supported: the value of %s is of type %s, and only str, int, float, bool and None can be chosen in JSON"
        % (type(member).__name__, member.name, type(value).__name__)
    )


def _kind(forms, values, more, plain, arrives=None):
    table = {}
    for form, value in zip(forms, values):
        table.setdefault((form.__class__, form), value)
        # To JSON, 1 and 1.0 are one number.
        if form.__class__ is float and form.is_integer():
            table.setdefault((int, int(form)), value)
    types = []
    for form in forms:
        name = _NAMES[form.__class__]
        if name not in types:
            types.append(name)
    allowed = ", ".join(shown(form) for form in forms)

    def take(value):
        try:
            return table[value.__class__, value]
        except (KeyError, TypeError):
            found = shown(value) if value is None or isinstance(value, (str, int, float)) else kind_of(value)
            raise Wrong("must be one of %s, not %s" % (allowed, found)) from None

    schema = {"type": types[0] if len(types) == 1 else types, "enum": forms, **more}
    return Kind(schema, take, plain=plain, rank=CHOICE, arrives=arrives)
