"""Lists, sets, tuples and dicts of other types."""

import collections
import collections.abc as abc

from tinpot._types import ANY, INT, PROBLEMS, STR, Kind, SchemaError, Wrong, below, must_be, shown

_LISTS = (list, abc.Sequence, abc.MutableSequence, abc.Iterable, abc.Collection, abc.Reversible)
_SETS = (set, abc.Set, abc.MutableSet)
_DICTS = (dict, abc.Mapping, abc.MutableMapping)


def kind(base, arguments, read):
    """The kind of a container; None when `base` is none. `read` makes a kind of an annotation."""
    if base in _LISTS:
        return listed(read(arguments[0]) if arguments else ANY)
    if base in _SETS or base is frozenset:
        return _set(frozenset if base is frozenset else set, read(arguments[0]) if arguments else ANY)
    if base is tuple:
        # `Tuple[()]` has the argument `()` before Python 3.11, and `tuple[()]` has none.
        if not arguments:
            return listed(ANY, tuple)
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return listed(read(arguments[0]), tuple)
        return fixed([read(argument) for argument in arguments if argument != ()])
    if base in _DICTS or base is collections.OrderedDict:
        make = collections.OrderedDict if base is collections.OrderedDict else dict
        return _dict(*([read(argument) for argument in arguments] or [STR, ANY]), make)
    return None


def _items(inner):
    def inside(value, path, found):
        if value.__class__ is list:
            for index, one in enumerate(value):
                inner.explain(one, "%s[%d]" % (path, index), found)
                if len(found) >= PROBLEMS:
                    return

    return inside


def _array(inner, **more):
    return {"type": "array", "items": inner.schema, **more} if inner.schema else {"type": "array", **more}


def listed(inner, make=list):
    """A list or tuple of any length."""
    one = inner.take

    def take(value):
        if value.__class__ is not list:
            raise must_be("a list", value)
        return [one(item) for item in value]

    def take_other(value):
        return make(take(value))

    return Kind(_array(inner), take if make is list else take_other, inner.plain and make is list, _items(inner), arrives=make)


def _set(make, inner):
    if inner.arrives is not None and inner.arrives.__hash__ is None:
        raise SchemaError("a set cannot hold values of type %s: they have no hash" % inner.arrives.__name__)
    one = inner.take

    def take(value):
        if value.__class__ is not list:
            raise must_be("a list", value)
        try:
            made = make([one(item) for item in value])
        except TypeError as error:
            raise Wrong("cannot be a set: %s" % error) from None
        if len(made) != len(value):
            raise Wrong("must not have the same item twice")
        return made

    return Kind(_array(inner, uniqueItems=True), take, inside=_items(inner), arrives=make)


def fixed(kinds, make=tuple, names=(), least=None):
    """A tuple of that many items; those from `least` on may be left out. `names` are those of a NamedTuple's fields."""
    takes, most = tuple(kind.take for kind in kinds), len(kinds)
    least = most if least is None else least
    count = "%d items" % most if least == most else "%d to %d items" % (least, most)

    def take(value):
        if value.__class__ is not list:
            raise must_be("a list", value)
        if not least <= len(value) <= most:
            raise Wrong("must have %s, not %d" % (count, len(value)))
        made = [one(item) for one, item in zip(takes, value)]
        return make(made) if make is tuple else make(*made)

    def inside(value, path, found):
        if value.__class__ is list and least <= len(value) <= most:
            for index, (kind, one) in enumerate(zip(kinds, value)):
                kind.explain(one, "%s[%d]" % (path, index), found)

    items = [kind.schema for kind in kinds]
    if names:
        items = [{**item, "title": name} for item, name in zip(items, names)]
    schema = {"type": "array", "prefixItems": items, "items": False, "minItems": least, "maxItems": most}
    if not items:
        del schema["prefixItems"]
    return Kind(schema, take, inside=inside, arrives=make)


def _dict(keys, values, make):
    key, one, plain_keys = keys.take, values.take, keys is STR
    if not plain_keys:
        key, names = _key(keys)

    def take(value):
        if value.__class__ is not dict:
            raise must_be("an object", value)
        if plain_keys:
            made = {name: one(inner) for name, inner in value.items()}
        else:
            made = {}
            for name, inner in value.items():
                made[key(name)] = one(inner)
            if len(made) != len(value):
                raise Wrong("must not have the same key twice")
        return made if make is dict else make(made)

    def inside(value, path, found):
        if value.__class__ is dict:
            for name, inner in value.items():
                where = below(path, name) if isinstance(name, str) else path
                try:
                    key(name)
                except Wrong as wrong:
                    found.append((where, "as a key, %s" % wrong))
                values.explain(inner, where, found)
                if len(found) >= PROBLEMS:
                    return

    schema = {"type": "object"}
    if not plain_keys:
        schema["propertyNames"] = names
    if values.schema:
        schema["additionalProperties"] = values.schema
    return Kind(schema, take, plain_keys and values.plain and make is dict, inside, arrives=make)


def _key(keys):
    """How a key is made of its text, and the schema of that text."""
    if keys is INT:
        return _whole, {"pattern": "^-?[0-9]{1,40}$"}
    if keys.schema.get("type") == "string" or (keys.schema.get("format") == "decimal"):
        if keys.arrives is not None and keys.arrives.__hash__ is None:
            raise SchemaError("the keys of a dict cannot be of type %s: they have no hash" % keys.arrives.__name__)
        return keys.take, {name: value for name, value in keys.schema.items() if name not in ("type", "title", "description")}
    raise SchemaError("the keys of a dict must be text in JSON: use str, int, a text Enum or Literal, a date, UUID or Path")


def _whole(text):
    digits = text[1:] if text[:1] == "-" else text
    if not (digits.isdecimal() and digits.isascii() and len(digits) <= 40):
        raise Wrong("must be an integer, not %s" % shown(text))
    return int(text)
