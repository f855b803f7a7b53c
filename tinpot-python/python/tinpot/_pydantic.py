"""Models and types of pydantic 2, if the user has it. This module never imports pydantic."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

from tinpot import _unions
from tinpot._param import is_pydantic_field
from tinpot._types import Errors, Mismatch, Schema, SchemaError, ValueType

# The keywords that are the same in pydantic's dialect of JSON Schema and in Tinpot's.
_KEPT = {
    "type",
    "enum",
    "x-enum-names",
    "required",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "contentEncoding",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "title",
    "description",
    "default",
    "examples",
    "writeOnly",
}
_FORMATS = {"file-path": "path", "directory-path": "path", "base64": "binary"}
_JSON_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
_DECIMAL_BOUNDS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
}


def is_pydantic_type(base: Any) -> bool:
    """Returns True if pydantic has to read a class."""
    if "pydantic" not in sys.modules or not isinstance(base, type):
        return False
    return (
        "__pydantic_core_schema__" in dir(base)
        or hasattr(base, "__get_pydantic_core_schema__")
        or base.__module__.startswith("pydantic")
    )


def has_pydantic_marker(markers: Iterable[Any]) -> bool:
    """Returns True if `Annotated` has a marker that only pydantic understands."""
    for marker in markers:
        cls = type(marker)
        if is_pydantic_field(marker):
            if marker.discriminator is not None:
                return True
        elif cls.__module__.partition(".")[0] == "pydantic" and not cls.__name__.endswith(
            "PydanticGeneralMetadata"
        ):
            return True
    return False


def value_type(annotation: Any, is_result: bool) -> ValueType:
    """Returns the type of an annotation that pydantic reads."""
    pydantic: Any = sys.modules["pydantic"]
    try:
        adapter = pydantic.TypeAdapter(annotation)
        original = adapter.json_schema(
            mode="serialization" if is_result else "validation",
            by_alias=True,
            schema_generator=_schema_generator(pydantic),
        )
    except Exception as error:
        name = getattr(annotation, "__name__", annotation)
        raise SchemaError(f"pydantic does not accept the type {name}: {error}") from None
    schema = _convert(original, original.get("$defs", {}), ())
    is_model = isinstance(annotation, type) and hasattr(annotation, "model_validate")
    validate = annotation.model_validate if is_model else adapter.validate_python

    def parse(value: Any) -> Any:
        try:
            return validate(value)
        except pydantic.ValidationError as error:
            found = _errors(error, "")
            text = "; ".join(f"{path}: {message}" if path else message for path, message in found)
            raise Mismatch(text) from None

    def explain_inner(value: Any, path: str, errors: Errors) -> None:
        try:
            validate(value)
        except pydantic.ValidationError as error:
            errors.extend(_errors(error, path))

    return ValueType(
        schema,
        parse,
        explain_inner=explain_inner,
        python_class=annotation if isinstance(annotation, type) else None,
    )


_generators: dict[Any, Any] = {}


def _schema_generator(pydantic: Any) -> Any:
    """Returns the class that generates schemas.

    It overrides Decimal, which pydantic's own cannot tell from `float | str`.
    """
    if pydantic not in _generators:

        class Generator(pydantic.json_schema.GenerateJsonSchema):  # type: ignore[misc]
            def decimal_schema(self, schema: Any) -> Schema:
                made: Schema = {"type": ["string", "number"], "format": "decimal"}
                for name, keyword in _DECIMAL_BOUNDS.items():
                    if schema.get(name) is not None:
                        made[keyword] = float(schema[name])
                return made

        _generators[pydantic] = Generator
    return _generators[pydantic]


def field_default(field: Any) -> Callable[[], Any] | None:
    """Returns a function that makes the default of `Field(...)`; None if a value is required."""
    if field.default_factory is not None:
        return field.default_factory  # type: ignore[no-any-return]
    if field.default is Ellipsis or type(field.default).__name__ == "PydanticUndefinedType":
        return None
    return lambda: field.default


def _errors(error: Any, path: str) -> Errors:
    found = []
    for one in error.errors(include_url=False, include_context=False, include_input=False)[:50]:
        where = path
        for part in one["loc"]:
            if isinstance(part, int):
                where += f"[{part}]"
            else:
                where += f".{part}" if where else part
        if one["type"] == "missing":
            message = "is required and missing"
        elif one["type"] == "extra_forbidden":
            message = "is unknown"
        else:
            message = one["msg"][:1].lower() + one["msg"][1:]
        found.append((where, message))
    return found


def _convert(schema: Any, definitions: Schema, stack: tuple[str, ...]) -> Schema:
    """Converts a schema from pydantic's dialect to Tinpot's, which has no references."""
    if schema is True:
        return {}
    while "$ref" in schema or len(schema.get("allOf", ())) == 1:
        reference = schema.get("$ref")
        if reference is None:
            schema = {**schema["allOf"][0], **_without(schema, "allOf")}
            continue
        name = reference.rpartition("/")[2]
        if reference in stack:
            raise SchemaError(f"the type {name} contains itself, and such types have no form")
        stack = (*stack, reference)
        schema = {**definitions[name], **_without(schema, "$ref")}
    made = {name: value for name, value in schema.items() if name in _KEPT}
    if "const" in schema:
        made["enum"] = [schema["const"]]
    if "enum" in made and "type" not in made:
        names = list(dict.fromkeys(_JSON_TYPES[value.__class__] for value in made["enum"]))
        made["type"] = names if len(names) > 1 else names[0]
    members = schema.get("anyOf") or schema.get("oneOf")
    if members:
        union = _unions.union_schema([_convert(member, definitions, stack) for member in members])
        made = {**union, **made}
    if "properties" in schema:
        made["properties"] = {
            name: _without_generated_title(name, _convert(inner, definitions, stack))
            for name, inner in schema["properties"].items()
        }
    for name in ("items", "additionalProperties", "propertyNames"):
        if name in schema and schema[name] is not True:
            made[name] = schema[name] and _convert(schema[name], definitions, stack)
    if "prefixItems" in schema:
        made["prefixItems"] = [_convert(item, definitions, stack) for item in schema["prefixItems"]]
        made.setdefault("items", False)
    if made.get("type") == "object" and "properties" in made:
        made.setdefault("required", [])
    return _convert_format(made)


def _without(schema: Schema, name: str) -> Schema:
    return {key: value for key, value in schema.items() if key != name}


def _without_generated_title(name: str, schema: Schema) -> Schema:
    """Removes a title that pydantic generated from the name of the field."""
    if schema.get("title") == name.replace("_", " ").title():
        return _without(schema, "title")
    return schema


def _convert_format(schema: Schema) -> Schema:
    form = schema.get("format")
    if form == "binary" and "contentEncoding" not in schema:
        del schema["format"]  # for pydantic, bytes are UTF-8 text
    elif form in _FORMATS:
        schema["format"] = _FORMATS[form]
        if form == "base64":
            schema["contentEncoding"] = "base64"
    if schema.get("writeOnly") or form == "password":
        schema.pop("default", None)
    return schema
