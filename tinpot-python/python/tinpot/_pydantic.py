"""pydantic's models and types, where the user has pydantic (version 2): it is never imported from here."""

import sys

from tinpot import _unions
from tinpot._param import is_field
from tinpot._types import Kind, SchemaError, Wrong

_KEPT = {
    "type", "enum", "x-enum-names", "required", "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties", "minLength", "maxLength",
    "pattern", "format", "contentEncoding", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "title", "description",
    "default", "examples", "writeOnly",
}
_FORMATS = {"file-path": "path", "directory-path": "path", "base64": "binary"}


def is_its(base):
    """Whether a class is pydantic's to read."""
    if "pydantic" not in sys.modules or not isinstance(base, type):
        return False
    return "__pydantic_core_schema__" in dir(base) or hasattr(base, "__get_pydantic_core_schema__") or base.__module__.startswith("pydantic")


def must_read(markers):
    """Whether `Annotated` says something that only pydantic understands."""
    for marker in markers:
        if is_field(marker):
            if marker.discriminator is not None:
                return True
        elif type(marker).__module__.partition(".")[0] == "pydantic" and not type(marker).__name__.endswith("PydanticGeneralMetadata"):
            return True
    return False


def kind(annotation, returning):
    """The kind of what pydantic reads."""
    pydantic = sys.modules["pydantic"]
    try:
        adapter = pydantic.TypeAdapter(annotation)
        said = adapter.json_schema(mode="serialization" if returning else "validation", by_alias=True, schema_generator=_generator(pydantic))
    except Exception as error:
        raise SchemaError("pydantic does not take the type %s: %s" % (getattr(annotation, "__name__", annotation), error)) from None
    schema = _normal(said, said.get("$defs", {}), ())
    is_model = isinstance(annotation, type) and hasattr(annotation, "model_validate")
    validate, refused = annotation.model_validate if is_model else adapter.validate_python, pydantic.ValidationError

    def take(value):
        try:
            return validate(value)
        except refused as error:
            raise Wrong("; ".join("%s: %s" % pair if pair[0] else pair[1] for pair in _problems(error, ""))) from None

    def inside(value, path, found):
        try:
            validate(value)
        except refused as error:
            found.extend(_problems(error, path))

    return Kind(schema, take, inside=inside, arrives=annotation if isinstance(annotation, type) else None)


_generators = {}


def _generator(pydantic):
    """What makes JSON Schemas, with a Decimal as we have it: pydantic's own cannot be told from `float | str`."""
    if pydantic not in _generators:

        class Generator(pydantic.json_schema.GenerateJsonSchema):
            def decimal_schema(self, schema):
                made = {"type": ["string", "number"], "format": "decimal"}
                for name, keyword in _DECIMAL_BOUNDS.items():
                    if schema.get(name) is not None:
                        made[keyword] = float(schema[name])
                return made

        _generators[pydantic] = Generator
    return _generators[pydantic]


_DECIMAL_BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum", "multiple_of": "multipleOf"}


def field_default(field):
    """What `Field(...)` says a parameter is when it is left out, as a function; None when it must be given."""
    if field.default_factory is not None:
        return field.default_factory
    if field.default is Ellipsis or type(field.default).__name__ == "PydanticUndefinedType":
        return None
    return lambda: field.default


def _problems(error, path):
    found = []
    for one in error.errors(include_url=False, include_context=False, include_input=False)[:50]:
        where = path
        for part in one["loc"]:
            where += "[%d]" % part if isinstance(part, int) else "." + part if where else part
        message = {"missing": "is required and missing", "extra_forbidden": "is unknown"}.get(one["type"])
        if message is None:
            message = one["msg"][:1].lower() + one["msg"][1:]
        found.append((where, message))
    return found


def _normal(schema, defs, stack):
    """A schema of pydantic's in our dialect."""
    if schema is True:
        return {}
    while "$ref" in schema or len(schema.get("allOf", ())) == 1:
        reference = schema.get("$ref")
        if reference is None:
            schema = {**schema["allOf"][0], **{name: value for name, value in schema.items() if name != "allOf"}}
            continue
        if reference in stack:
            raise SchemaError("the type %s contains itself, and such types have no form" % reference.rpartition("/")[2])
        stack += (reference,)
        schema = {**defs[reference.rpartition("/")[2]], **{name: value for name, value in schema.items() if name != "$ref"}}
    made = {name: value for name, value in schema.items() if name in _KEPT}
    if "const" in schema:
        made["enum"] = [schema["const"]]
    if "enum" in made and "type" not in made:
        names = dict.fromkeys(_TYPES[value.__class__] for value in made["enum"])
        made["type"] = list(names) if len(names) > 1 else next(iter(names))
    members = schema.get("anyOf") or schema.get("oneOf")
    if members:
        made = {**_unions.either_schema([_normal(member, defs, stack) for member in members]), **made}
    if "properties" in schema:
        made["properties"] = {name: _property(name, _normal(inner, defs, stack)) for name, inner in schema["properties"].items()}
    for name in ("items", "additionalProperties", "propertyNames"):
        if name in schema and schema[name] is not True:
            made[name] = schema[name] and _normal(schema[name], defs, stack)
    if "prefixItems" in schema:
        made["prefixItems"] = [_normal(item, defs, stack) for item in schema["prefixItems"]]
        made.setdefault("items", False)
    if made.get("type") == "object" and "properties" in made:
        made.setdefault("required", [])
    return _format(made)


_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


def _property(name, schema):
    # The titles that pydantic makes of names say nothing new.
    if schema.get("title") == name.replace("_", " ").title():
        schema = {key: value for key, value in schema.items() if key != "title"}
    return schema


def _format(made):
    form = made.get("format")
    if form == "binary" and "contentEncoding" not in made:
        del made["format"]  # bytes are UTF-8 text to pydantic
    elif form in _FORMATS:
        made["format"] = _FORMATS[form]
        if form == "base64":
            made["contentEncoding"] = "base64"
    if made.get("writeOnly") or form == "password":
        made.pop("default", None)
    return made
