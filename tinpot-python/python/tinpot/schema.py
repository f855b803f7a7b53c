"""What a function takes and gives back: the JSON Schema of its signature, and the Python values of JSON ones.

    signature = schema.derive(function)
    args, kwargs = signature.convert({"when": "2026-01-31"})

The types, the dialect of JSON Schema and what a form does with it are described in docs/types.md.
"""

import inspect

from tinpot import _annotations, _param, _containers, _docstring, _pydantic, _records, _unions, _encode
from tinpot._errors import ParameterError
from tinpot._types import ANY, PROBLEMS, SchemaError, Wrong, kind_of

__all__ = ["SchemaError", "Signature", "derive"]


class Signature:
    """What a function takes and gives back.

    schema: the JSON Schema of the parameters.
    result_schema: that of the result; None when the annotation does not say.
    description: the docstring without what it says of parameters and result.
    context: the name of the parameter that is annotated with `Context`; None when there is none.
    plain: whether JSON values that fit the schema can be given to the function as they are, by name.
    """

    __slots__ = (
        "schema", "result_schema", "description", "context", "plain", "_kinds", "_required", "_positional", "_variadic", "_fills", "_others",
        "_takes", "_lean",
    )

    def convert(self, parameters, trusted=False):
        """The arguments to call the function with, as a list and a dict; the context is not among them.

        Raises `ParameterError`, which names everything that is wrong. `trusted` parameters have been checked against the schema:
        what needs no conversion is then not looked at again.
        """
        if parameters.__class__ is not dict:
            raise ParameterError([("", "the parameters must be an object, not %s" % kind_of(parameters))])
        takes, others = self._lean if trusted else self._takes
        named = {}
        try:
            for name, value in parameters.items():
                take = takes.get(name, others)
                named[name] = value if take is None else take(value)
        except Wrong as wrong:
            self._refuse(parameters, wrong)
        if not self._required <= named.keys():
            self._refuse(parameters, None)
        for name, fill in self._fills:
            if name not in named:
                named[name] = fill()
        if not self._positional and self._variadic is None:
            return (), named
        return self._by_position(named), named

    def check(self, parameters):
        """Raises `ParameterError` when parameters do not fit, and does no more."""
        self.convert(parameters)

    def _by_position(self, named):
        further = named.pop(self._variadic, ()) if self._variadic is not None else ()
        # What follows in the row needs those before it: up to the last one that is given, defaults are filled in.
        last = max((at for at, (name, _) in enumerate(self._positional, 1) if name in named), default=0)
        count = len(self._positional) if further else last
        return [named.pop(name) if name in named else default for name, default in self._positional[:count]] + list(further)

    def _refuse(self, parameters, wrong):
        found = []
        _records.explain_fields(self._kinds, self._required, parameters, "", found, "parameters", self._others)
        if self._others is not None and self.context in parameters:
            found.append((self.context, "is unknown: it is given by the worker"))
        if not found:
            found.append(("", str(wrong)))
        if len(found) > PROBLEMS:
            found[PROBLEMS:] = [("", "and more")]
        raise ParameterError(found) from None


def _take_unknown(_value):
    raise Wrong("some are unknown")


def derive(function, is_method=False):
    """The signature of `function`; `SchemaError` names every parameter that cannot be offered, and why.

    The first parameter of a method is not among them.
    """
    signature, scope = _signature(function), _annotations.Scope(_names(function))
    documented = _docstring.parse(inspect.getdoc(function))
    reader, problems = _Reader(scope, documented.parameters), []
    for parameter in list(signature.parameters.values())[is_method:]:
        try:
            reader.read(parameter)
        except SchemaError as error:
            problems.append("parameter %r: %s" % (parameter.name, error))
    if problems:
        raise SchemaError("\n".join(problems))
    made = reader.signature()
    made.result_schema = _result_schema(signature.return_annotation, scope, documented.result)
    if made.result_schema is None and documented.result:
        made.description = "\n\n".join(filter(None, [documented.description, "Returns: " + documented.result]))
    else:
        made.description = documented.description
    return made


def _signature(function):
    try:
        return inspect.signature(function)
    except (ValueError, TypeError) as error:
        raise SchemaError("its signature cannot be read: %s" % error) from None


def _names(function):
    """What annotations that are text can use: the globals of the function, and the names around it that it uses."""
    inner = inspect.unwrap(function)
    if inspect.isclass(inner):
        inner = inspect.unwrap(inner.__init__)
    inner = getattr(inner, "__func__", inner)
    names = dict(getattr(inner, "__globals__", {}))
    names.update({variable.__name__: variable for variable in getattr(inner, "__type_params__", ())})
    for name, cell in zip(getattr(getattr(inner, "__code__", None), "co_freevars", ()), getattr(inner, "__closure__", None) or ()):
        try:
            names[name] = cell.cell_contents
        except ValueError:  # not set yet
            pass
    return names


def _result_schema(annotation, scope, words):
    if annotation is inspect.Signature.empty:
        return None
    try:
        found = _annotations.Scope(scope.names, returning=True).kind(annotation)
    except SchemaError:
        return None
    if not found.schema:
        return None
    schema = dict(found.schema)
    if words:
        schema["description"] = words
    return schema


class _Reader:
    """Reads the parameters of one function."""

    def __init__(self, scope, documented):
        self.scope = scope
        self.documented = documented
        self.kinds = {}
        self.required = []
        self.rows = []  # positional parameters and their defaults, whether or not they have to be passed that way
        self.only = 0  # how many of those have to be
        self.variadic = None
        self.others = None
        self.fills = []
        self.context = None
        self.context_in_row = False

    def read(self, parameter):
        annotation = ANY if parameter.annotation is parameter.empty else self.scope.resolve(parameter.annotation)
        if annotation is not ANY and _annotations.is_context(annotation):
            return self._context(parameter)
        if parameter.kind is parameter.VAR_KEYWORD:
            return self._keywords(annotation)
        name, default, field = parameter.name, parameter.default, _field(parameter.default, annotation)
        kind = ANY if annotation is ANY else self.scope.kind(annotation)
        if field is not None:
            if field is default:
                kind = _param.apply(kind, _param.options_of([field]))
            if field is default or default is parameter.empty:
                fill = _pydantic.field_default(field)
                if fill is None:
                    default = parameter.empty
                else:
                    self.fills.append((name, fill))
                    # What is made anew each time is not shown.
                    default = _Made if field.default_factory is not None else fill()
        if isinstance(default, _param.Param):
            raise SchemaError("Param belongs into the annotation: Annotated[..., %r]" % default)
        if parameter.kind is parameter.VAR_POSITIONAL:
            self.variadic = name
            kind = _containers.listed(kind)
            if self.context_in_row:
                raise SchemaError("the context %r stands before it: put it behind" % self.context)
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            self.rows.append((name, None if default is parameter.empty else default))
            self.only += parameter.kind is parameter.POSITIONAL_ONLY
        if parameter.kind is not parameter.VAR_POSITIONAL and default is parameter.empty:
            self.required.append(name)
        self._add(name, kind, default if parameter.kind is not parameter.VAR_POSITIONAL else parameter.empty)

    def _add(self, name, kind, default):
        if default is None:
            # `x: int = None` says that None will do, whatever the annotation says.
            kind = _unions.or_none(kind)
        schema = dict(kind.schema)
        if default is not inspect.Parameter.empty and default is not _Made:
            try:
                schema["default"] = _encode.to_json(default)
            except _encode.Hidden:
                pass
            except ValueError as error:
                raise SchemaError("the default %s" % error) from None
        words = self.documented.get(name)
        # A class may have a description of its own; one that was written for this parameter is better.
        if words and ("description" not in schema or schema.get("properties") is not None):
            schema["description"] = words
        self.kinds[name] = kind.changed(schema=schema)

    def _context(self, parameter):
        if self.context is not None:
            raise SchemaError("there is one context already, %r" % self.context)
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise SchemaError("the context is passed by name: it cannot stand before `/` or behind a star")
        self.context = parameter.name
        self.context_in_row = parameter.kind is parameter.POSITIONAL_OR_KEYWORD

    def _keywords(self, annotation):
        target = _annotations.unpacked(annotation)
        if target is None:
            self.others = ANY if annotation is ANY else self.scope.kind(annotation)
            return
        kinds, required = _records.keys_of(self.scope.resolve(target), self.scope)
        for name, kind in kinds.items():
            self._add(name, kind, inspect.Parameter.empty)
        self.required.extend(required)

    def signature(self):
        if self.variadic is not None:
            self.only = len(self.rows)
        made = Signature()
        made.schema = {
            "type": "object",
            "properties": {name: kind.schema for name, kind in self.kinds.items()},
            "required": self.required,
            "additionalProperties": False if self.others is None else self.others.schema or True,
        }
        made.context = self.context
        made._kinds = self.kinds
        made._required = frozenset(self.required)
        made._positional = tuple(self.rows[: self.only])
        made._variadic = self.variadic
        made._fills = tuple(self.fills)
        made._others = self.others
        made._takes = self._all_takes(lambda kind: kind.take)
        made._lean = self._all_takes(lambda kind: None if kind.plain else kind.take)
        open_ended = self.others is not None and (self.context is not None or not self.others.plain)
        by_position = made._positional or self.variadic is not None
        made.plain = not (open_ended or by_position or self.fills) and all(kind.plain for kind in self.kinds.values())
        return made

    def _all_takes(self, take_of):
        """What converts each parameter, and what converts those without a name of their own."""
        takes = {name: take_of(kind) for name, kind in self.kinds.items()}
        if self.context is not None:
            # Not to be given from outside, not even among other names.
            takes[self.context] = _take_unknown
        return takes, _take_unknown if self.others is None else take_of(self.others)


class _Made:
    """Stands for a default that is made anew each time."""


def _field(default, annotation):
    """pydantic's `Field(...)`, as the default or in `Annotated`."""
    if _param.is_field(default):
        return default
    return next((marker for marker in getattr(annotation, "__metadata__", ()) if _param.is_field(marker)), None)
