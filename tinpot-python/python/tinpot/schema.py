"""Signatures: the JSON Schema of a function's parameters, and conversion of JSON to arguments.

    signature = schema.derive(function)
    args, kwargs = signature.convert({"when": "2026-01-31"})

docs/types.md describes the types, the dialect of JSON Schema and how a form shows them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, Optional

from tinpot import (
    _annotations,
    _containers,
    _docstring,
    _encode,
    _param,
    _pydantic,
    _records,
    _unions,
)
from tinpot._errors import ParameterError
from tinpot._types import (
    ANY,
    MAX_ERRORS,
    STR,
    Errors,
    Mismatch,
    Parse,
    Schema,
    SchemaError,
    ValueType,
    describe_value,
)

__all__ = ["SchemaError", "Signature", "derive"]

if TYPE_CHECKING:
    # Parsers by parameter, and the parser of all other parameters. None stands for an identity.
    _Parsers = tuple[dict[str, Optional[Parse]], Optional[Parse]]


class Signature:
    """The parameters and the result of a function.

    schema: the JSON Schema of the parameters.
    result_schema: the JSON Schema of the result; None if the annotation does not say.
    description: the docstring without the parts about parameters and the result.
    context: the name of the parameter with the annotation `Context`; None without one.
    plain: if True, the function can be called with validated JSON values, by name.
    """

    __slots__ = (
        "_all_parsers",
        "_defaults",
        "_lean_parsers",
        "_others",
        "_positional",
        "_positional_names",
        "_required",
        "_types",
        "_variadic",
        "context",
        "description",
        "plain",
        "result_schema",
        "schema",
    )

    schema: Schema
    result_schema: Schema | None
    description: str | None
    context: str | None
    plain: bool
    # The type of each parameter, and that of `**kwargs`.
    _types: dict[str, ValueType]
    _others: ValueType | None
    _required: frozenset[str]
    # The parameters that must be passed by position, with their defaults; and `*args`.
    _positional: tuple[tuple[str, Any], ...]
    _variadic: str | None
    # All parameters that can be passed by position.
    _positional_names: tuple[str, ...]
    # Functions that make the defaults which Python does not fill in.
    _defaults: tuple[tuple[str, Callable[[], Any]], ...]
    _all_parsers: _Parsers
    # The same, but None for types that need no conversion after validation.
    _lean_parsers: _Parsers

    def convert(
        self, parameters: Any, trusted: bool = False
    ) -> tuple[Sequence[Any], dict[str, Any]]:
        """Returns the arguments to call the function with, except for the context.

        Raises `ParameterError`, which names all errors. If `trusted`, the parameters were
        validated against the schema: values that need no conversion are not checked again.
        """
        if parameters.__class__ is not dict:
            what = describe_value(parameters)
            raise ParameterError([("", f"the parameters must be an object, not {what}")])
        parsers, other_parser = self._lean_parsers if trusted else self._all_parsers
        named = {}
        try:
            for name, value in parameters.items():
                parse = parsers.get(name, other_parser)
                named[name] = value if parse is None else parse(value)
        except Mismatch as mismatch:
            self._reject(parameters, mismatch)
        if not self._required <= named.keys():
            self._reject(parameters, None)
        for name, make_default in self._defaults:
            if name not in named:
                named[name] = make_default()
        if not self._positional and self._variadic is None:
            return (), named
        return self._by_position(named), named

    def check(self, parameters: Any) -> None:
        """Raises `ParameterError` if the parameters do not fit."""
        self.convert(parameters)

    def name_arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the arguments of a call by name, as parameters of a submission have them."""
        if not args:
            return dict(kwargs)
        names = self._positional_names
        named = dict(zip(names, args))
        further = list(args[len(names) :])
        if further and self._variadic is None:
            raise TypeError(f"takes at most {len(names)} positional arguments, not {len(args)}")
        if further and self._variadic is not None:
            named[self._variadic] = further
        for name, value in kwargs.items():
            if name in named:
                raise TypeError(f"got several values for the argument {name!r}")
            named[name] = value
        return named

    def _by_position(self, named: dict[str, Any]) -> list[Any]:
        variadic = named.pop(self._variadic, ()) if self._variadic is not None else ()
        # Arguments before the last given one must be there too: fill in their defaults.
        given = (at for at, (name, _) in enumerate(self._positional, 1) if name in named)
        count = len(self._positional) if variadic else max(given, default=0)
        positional = [
            named.pop(name) if name in named else default
            for name, default in self._positional[:count]
        ]
        return [*positional, *variadic]

    def _reject(self, parameters: dict[str, Any], mismatch: Mismatch | None) -> NoReturn:
        errors: Errors = []
        _records.explain_fields(
            self._types, self._required, parameters, "", errors, "parameters", self._others
        )
        if self._others is not None and self.context is not None and self.context in parameters:
            errors.append((self.context, "is unknown: the worker provides it"))
        if not errors:
            errors.append(("", str(mismatch)))
        if len(errors) > MAX_ERRORS:
            errors[MAX_ERRORS:] = [("", "and more")]
        raise ParameterError(errors) from None


def _reject_unknown(_value: Any) -> NoReturn:
    raise Mismatch("some are unknown")


def derive(function: Callable[..., Any], is_method: bool = False) -> Signature:
    """Returns the signature of `function`, without the first parameter if it is a method.

    Raises `SchemaError`, which names every parameter that is not supported, and the reason.
    """
    signature, scope = _inspect(function), _annotations.Scope(_names(function))
    documented = _docstring.parse(inspect.getdoc(function))
    reader, problems = _Reader(scope, documented.parameters), []
    for parameter in list(signature.parameters.values())[is_method:]:
        try:
            reader.read(parameter)
        except SchemaError as error:
            problems.append(f"parameter {parameter.name!r}: {error}")
    if problems:
        raise SchemaError("\n".join(problems))
    made = reader.signature()
    made.result_schema = _result_schema(signature.return_annotation, scope, documented.result)
    made.description = documented.description
    if made.result_schema is None and documented.result:
        parts = [documented.description, f"Returns: {documented.result}"]
        made.description = "\n\n".join(filter(None, parts))
    return made


def _inspect(function: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except (ValueError, TypeError) as error:
        raise SchemaError(f"its signature cannot be read: {error}") from None


def is_context(function: Callable[..., Any], annotation: Any) -> bool:
    """Returns True if an annotation of the function is `Context`."""
    if annotation is inspect.Parameter.empty:
        return False
    try:
        resolved = _annotations.Scope(_names(function)).resolve(annotation)
    except SchemaError:
        return False
    return _annotations.is_context(resolved)


def _names(function: Callable[..., Any]) -> dict[str, Any]:
    """Returns the names that annotations that are text can use.

    They are the globals of the function and the enclosing variables that it uses.
    """
    inner: Any = inspect.unwrap(function)
    if inspect.isclass(inner):
        inner = inspect.unwrap(inner.__init__)
    inner = getattr(inner, "__func__", inner)
    names = dict(getattr(inner, "__globals__", {}))
    for variable in getattr(inner, "__type_params__", ()):
        names[variable.__name__] = variable
    free_variables = getattr(getattr(inner, "__code__", None), "co_freevars", ())
    for name, cell in zip(free_variables, getattr(inner, "__closure__", None) or ()):
        try:
            names[name] = cell.cell_contents
        except ValueError:  # not set yet
            pass
    return names


def _result_schema(
    annotation: Any, scope: _annotations.Scope, description: str | None
) -> Schema | None:
    if annotation is inspect.Signature.empty:
        return None
    try:
        found = _annotations.Scope(scope.names, is_result=True).read(annotation)
    except SchemaError:
        # An action may return more than the table of types has.
        return None
    if not found.schema:
        return None
    schema = dict(found.schema)
    if description:
        schema["description"] = description
    return schema


class _Reader:
    """Reads the parameters of one function."""

    def __init__(self, scope: _annotations.Scope, documented: Mapping[str, str]) -> None:
        self.scope = scope
        self.documented = documented
        self.types: dict[str, ValueType] = {}
        self.required: list[str] = []
        # All parameters that can be passed by position, with their defaults.
        self.positional: list[tuple[str, Any]] = []
        # The number of those that cannot be passed by name.
        self.positional_only = 0
        self.variadic: str | None = None
        self.others: ValueType | None = None
        self.defaults: list[tuple[str, Callable[[], Any]]] = []
        self.context: str | None = None
        self.context_is_positional = False

    def read(self, parameter: inspect.Parameter) -> None:
        """Reads one parameter."""
        annotation = ANY
        if parameter.annotation is not parameter.empty:
            annotation = self.scope.resolve(parameter.annotation)
        if annotation is not ANY and _annotations.is_context(annotation):
            return self._read_context(parameter)
        if parameter.kind is parameter.VAR_KEYWORD:
            return self._read_keywords(annotation)
        name = parameter.name
        value_type = ANY if annotation is ANY else self.scope.read(annotation)
        if annotation is ANY and type(parameter.default) is str:
            # A form has a text field for it, and a command line takes `007` as it is.
            value_type = STR
        value_type, default = self._apply_field(parameter, annotation, value_type)
        if isinstance(default, _param.Param):
            raise SchemaError(f"Param must be in the annotation: Annotated[..., {default!r}]")
        if parameter.kind is parameter.VAR_POSITIONAL:
            self.variadic = name
            value_type = _containers.list_of(value_type)
            if self.context_is_positional:
                raise SchemaError(f"the context {self.context!r} must stand after it")
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            self.positional.append((name, None if default is parameter.empty else default))
            self.positional_only += parameter.kind is parameter.POSITIONAL_ONLY
        if parameter.kind is parameter.VAR_POSITIONAL:
            default = parameter.empty
        elif default is parameter.empty:
            self.required.append(name)
        self._add(name, value_type, default)
        return None

    def _apply_field(
        self, parameter: inspect.Parameter, annotation: Any, value_type: ValueType
    ) -> tuple[ValueType, Any]:
        """Returns the type and default of a parameter with pydantic's `Field(...)` applied."""
        default = parameter.default
        field = _pydantic_field(default, annotation)
        if field is None:
            return value_type, default
        if field is default:
            value_type = _param.constrain(value_type, _param.options_of([field]))
        if field is default or default is parameter.empty:
            make_default = _pydantic.field_default(field)
            if make_default is None:
                return value_type, parameter.empty
            self.defaults.append((parameter.name, make_default))
            # A default that differs on each call is not shown.
            default = _GeneratedDefault if field.default_factory is not None else make_default()
        return value_type, default

    def _add(self, name: str, value_type: ValueType, default: Any) -> None:
        if default is None:
            # `x: int = None` allows None, even if the annotation does not.
            value_type = _unions.or_none(value_type)
        schema = dict(value_type.schema)
        if default is not inspect.Parameter.empty and default is not _GeneratedDefault:
            try:
                schema["default"] = _encode.to_json(default)
            except _encode.ContainsSecret:
                pass
            except ValueError as error:
                raise SchemaError(f"the default {error}") from None
        words = self.documented.get(name)
        # The text for this parameter is better than that of its class.
        if words and ("description" not in schema or schema.get("properties") is not None):
            schema["description"] = words
        self.types[name] = value_type.replace(schema=schema)

    def _read_context(self, parameter: inspect.Parameter) -> None:
        if self.context is not None:
            raise SchemaError(f"the context {self.context!r} is there already: remove one")
        if parameter.kind in (
            parameter.POSITIONAL_ONLY,
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        ):
            raise SchemaError(
                "the context is passed by name: it must not stand before `/` or have a star"
            )
        self.context = parameter.name
        self.context_is_positional = parameter.kind is parameter.POSITIONAL_OR_KEYWORD

    def _read_keywords(self, annotation: Any) -> None:
        unpacked = _annotations.unpacked(annotation)
        if unpacked is None:
            self.others = ANY if annotation is ANY else self.scope.read(annotation)
            return
        keys, required = _records.typed_dict_keys(self.scope.resolve(unpacked), self.scope)
        for name, value_type in keys.items():
            self._add(name, value_type, inspect.Parameter.empty)
        self.required.extend(required)

    def signature(self) -> Signature:
        """Returns the signature of what was read."""
        if self.variadic is not None:
            # Arguments of `*args` can only follow arguments that are passed by position.
            self.positional_only = len(self.positional)
        made = Signature()
        made.schema = {
            "type": "object",
            "properties": {name: found.schema for name, found in self.types.items()},
            "required": self.required,
            "additionalProperties": False if self.others is None else self.others.schema or True,
        }
        made.context = self.context
        made._types = self.types
        made._required = frozenset(self.required)
        made._positional = tuple(self.positional[: self.positional_only])
        made._positional_names = tuple(name for name, _ in self.positional)
        made._variadic = self.variadic
        made._defaults = tuple(self.defaults)
        made._others = self.others
        made._all_parsers = self._parsers(lambda found: found.parse)
        made._lean_parsers = self._parsers(lambda found: None if found.is_identity else found.parse)
        is_open = self.others is not None and (
            self.context is not None or not self.others.is_identity
        )
        by_position = made._positional or self.variadic is not None
        made.plain = not (is_open or by_position or self.defaults) and all(
            found.is_identity for found in self.types.values()
        )
        return made

    def _parsers(self, parser_of: Callable[[ValueType], Parse | None]) -> _Parsers:
        parsers = {name: parser_of(found) for name, found in self.types.items()}
        if self.context is not None:
            # The caller cannot provide it, not even through `**kwargs`.
            parsers[self.context] = _reject_unknown
        return parsers, _reject_unknown if self.others is None else parser_of(self.others)


class _GeneratedDefault:
    """Stands for a default that differs on each call."""


def _pydantic_field(default: Any, annotation: Any) -> Any:
    """Returns pydantic's `Field(...)`, from the default or from `Annotated`."""
    if _param.is_pydantic_field(default):
        return default
    markers = getattr(annotation, "__metadata__", ())
    return next((marker for marker in markers if _param.is_pydantic_field(marker)), None)
