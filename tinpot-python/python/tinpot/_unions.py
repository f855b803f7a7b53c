"""Optional and Union: one value of several types."""

from tinpot._types import ANYTHING, NONE, PROBLEMS, Kind, Wrong, describe, fits_type, kind_of, types_of


def either(kinds):
    """The kind of a value that is of one of several."""
    flat = []
    for kind in kinds:
        if not any(kind is known for known in flat):
            flat.append(kind)
    if any(not kind.schema for kind in flat):
        return next(kind for kind in flat if not kind.schema)
    if len(flat) == 1:
        return flat[0]
    rest = [kind for kind in flat if kind.schema != {"type": "null"}]
    if len(rest) == 1 and len(rest) < len(flat):
        return or_none(rest[0])
    schema = either_schema([kind.schema for kind in flat])
    ordered = sorted(flat, key=lambda kind: kind.rank)
    takes = tuple(kind.take for kind in ordered)
    what = describe(schema)

    def take(value):
        for one in takes:
            try:
                return one(value)
            except Wrong:
                pass
        raise Wrong("must be %s, not %s" % (what, kind_of(value)) if not _fitting(ordered, value) else "fits none of its types")

    def inside(value, path, found):
        fitting = _fitting(ordered, value)
        # Where one of them must be meant, that one says what is wrong; a value that one takes has nothing wrong within.
        if len(fitting) > 1 and value.__class__ is dict:
            fitting = [kind for kind in fitting if _marked(kind.schema, value)] or fitting
        if any(_takes(kind, value) for kind in fitting):
            return
        if len(fitting) == 1:
            fitting[0].explain(value, path, found)
        elif fitting and len(found) < PROBLEMS:
            reasons = []
            for kind in fitting:
                one = []
                kind.explain(value, "", one)
                reasons.append(", ".join("%s %s" % pair if pair[0] else pair[1] for pair in one[:3]))
            found.append((path, " or ".join(reasons)))

    return Kind(schema, take, plain=all(kind.plain for kind in flat), inside=inside, rank=max(kind.rank for kind in flat))


def or_none(kind):
    """The kind, and None."""
    if kind.rank == ANYTHING or kind is NONE:
        return kind
    inner = kind.take

    def take(value):
        return None if value is None else inner(value)

    def inside(value, path, found):
        if value is not None and any(fits_type(name, value) for name in types_of(kind.schema)):
            kind.explain(value, path, found)
        elif value is not None:
            found.append((path, "must be %s, not %s" % (describe(schema), kind_of(value))))

    schema = nullable(kind.schema)
    return Kind(schema, take, kind.plain, inside, kind.rank, kind.arrives)


def nullable(schema):
    """The schema, and null."""
    if "anyOf" in schema:
        if any("null" in types_of(member) for member in schema["anyOf"]):
            return schema
        return {**schema, "anyOf": schema["anyOf"] + [{"type": "null"}]}
    types = types_of(schema)
    if not types or "null" in types:
        return schema
    schema = {**schema, "type": types + ["null"]}
    if "enum" in schema:
        schema["enum"] = schema["enum"] + [None]
        if "x-enum-names" in schema:
            schema["x-enum-names"] = schema["x-enum-names"] + [None]
    return schema


def either_schema(schemas):
    """One schema for either of several; null is folded into `type` where that says the same."""
    flat = []
    for schema in schemas:
        for member in schema["anyOf"] if set(schema) == {"anyOf"} else [schema]:
            if member not in flat:
                flat.append(member)
    if {} in flat:
        return {}
    if len(flat) == 1:
        return flat[0]
    if all(set(schema) == {"type"} for schema in flat):
        names = []
        for schema in flat:
            names.extend(name for name in types_of(schema) if name not in names)
        return {"type": names}
    rest = [schema for schema in flat if schema != {"type": "null"}]
    if len(rest) == 1:
        return nullable(rest[0])
    return {"anyOf": rest + ([{"type": "null"}] if len(rest) < len(flat) else [])}


def _fitting(kinds, value):
    return [kind for kind in kinds if any(fits_type(name, value) for name in types_of(kind.schema))]


def _marked(schema, value):
    """Whether all fields of an object that can have one value only have that value."""
    for name, inner in schema.get("properties", {}).items():
        if len(inner.get("enum", ())) == 1 and value.get(name) not in inner["enum"]:
            return False
    return True


def _takes(kind, value):
    try:
        kind.take(value)
        return True
    except Wrong:
        return False
