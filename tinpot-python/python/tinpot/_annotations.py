"""Reads annotations: from what is written behind a parameter's name to its kind."""

import collections.abc
import enum
import typing

from tinpot import _param, _enums, _containers, _formats, _pydantic, _records, _unions
from tinpot._context import Context
from tinpot._types import ANY, BOOL, FLOAT_KIND, INT, NONE, STR, TYPE_DEPTH, SchemaError

_NONE = type(None)
_PLAIN = {str: STR, int: INT, float: FLOAT_KIND, bool: BOOL, _NONE: NONE, object: ANY}
_UNIONS = [typing.Union]
try:
    from types import UnionType  # Python 3.10

    _UNIONS.append(UnionType)
except ImportError:
    pass


class Scope:
    """Where an annotation stands.

    names: what an annotation that is text can use.
    variables: what type variables stand for, each with the scope in which that was written.
    stack: the classes and aliases that are being read, so that one that contains itself is noticed.
    returning: whether the annotation is that of a result.
    """

    __slots__ = ("names", "variables", "stack", "depth", "returning")

    def __init__(self, names, variables=None, stack=(), depth=0, returning=False):
        self.names = names
        self.variables = variables or {}
        self.stack = stack
        self.depth = depth
        self.returning = returning

    def resolve(self, annotation, names=None):
        """The annotation itself where it is written as text."""
        for _ in range(TYPE_DEPTH):
            if isinstance(annotation, typing.ForwardRef):
                annotation = annotation.__forward_arg__
            if not isinstance(annotation, str):
                return annotation
            annotation = _evaluate(annotation, {**self.names, **(names or {})})
        raise SchemaError("the annotation %r cannot be read" % (annotation,))

    def kind(self, annotation, names=None):
        """The kind of what an annotation says."""
        if self.depth >= TYPE_DEPTH:
            raise SchemaError("the type is nested more than %d deep, or contains itself" % TYPE_DEPTH)
        names = self.names if names is None else {**self.names, **names}
        scope = Scope(names, self.variables, self.stack, self.depth + 1, self.returning)
        return scope._kind(scope.resolve(annotation))

    def _kind(self, annotation):
        if annotation is None:
            annotation = _NONE
        if annotation is typing.Any:
            return ANY
        if isinstance(annotation, typing.TypeVar):
            return self._variable(annotation)
        if hasattr(annotation, "__metadata__"):
            return self._annotated(annotation)
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        base = annotation if origin is None else origin
        if type(base).__name__ == "TypeAliasType":
            return self._inside(base, arguments).kind(base.__value__)
        if type(annotation).__name__ == "InitVar":
            return self.kind(annotation.type)
        if hasattr(annotation, "__supertype__"):  # NewType
            return self.kind(annotation.__supertype__)
        if _is_literal(origin):
            return _enums.literal(arguments)
        if origin in _UNIONS:
            return _unions.either([self.kind(one) for one in arguments])
        found = self._class(annotation, base, arguments)
        if found is None:
            raise SchemaError(
                "the type %s is not supported: use str, int, float, bool, Literal, Enum, Optional, Union, list, set, tuple, dict, dates and "
                "times, Decimal, UUID, Path, bytes, Secret, a dataclass, TypedDict, NamedTuple or pydantic model" % name_of(annotation)
            )
        return found

    def _class(self, annotation, base, arguments):
        try:
            found = _PLAIN.get(base) or _formats.kind(base)
        except TypeError:  # not hashable
            return None
        if found is None and base is tuple and annotation is not tuple and str(annotation) in ("tuple[()]", "typing.Tuple[()]"):
            found = _containers.fixed([])
        found = found or _containers.kind(base, arguments, self.kind)
        if found is None and _pydantic.is_its(base):
            found = _pydantic.kind(annotation, self.returning)
        if found is None and isinstance(base, enum.EnumMeta):
            found = _enums.members(base)
        return found or _records.kind(base, _Lazily(self, base, arguments))

    def _inside(self, base, arguments):
        """The scope within a class or alias."""
        if any(base is known for known in self.stack):
            raise SchemaError("the type %s contains itself, and such types have no form" % name_of(base))
        variables = dict(self.variables)
        parameters = getattr(base, "__type_params__", ()) or getattr(base, "__parameters__", ())
        variables.update({variable: (argument, self) for variable, argument in zip(parameters, arguments)})
        return Scope(self.names, variables, self.stack + (base,), self.depth, self.returning)

    def _variable(self, variable):
        if variable in self.variables:
            annotation, scope = self.variables[variable]
            return Scope(scope.names, scope.variables, self.stack, self.depth, self.returning).kind(annotation)
        if variable.__bound__ is not None:
            return self.kind(variable.__bound__)
        if variable.__constraints__:
            return _unions.either([self.kind(one) for one in variable.__constraints__])
        return ANY

    def _annotated(self, annotation):
        markers = annotation.__metadata__
        if _pydantic.must_read(markers):
            return _pydantic.kind(annotation, self.returning)
        return _param.apply(self.kind(annotation.__origin__), _param.options_of(markers))


class _Lazily:
    """A scope within a class, which is entered when something is read in it: most classes are none with fields."""

    def __init__(self, scope, base, arguments):
        self._make = lambda: scope._inside(base, arguments)
        self._scope = None

    def __getattr__(self, name):
        if self._scope is None:
            self._scope = self._make()
        return getattr(self._scope, name)


def is_context(annotation):
    """Whether a parameter is for the context: `Context` or `Optional[Context]`."""
    if annotation is Context:
        return True
    if hasattr(annotation, "__metadata__"):
        return is_context(annotation.__origin__)
    arguments = typing.get_args(annotation) if typing.get_origin(annotation) in _UNIONS else ()
    return any(one is Context for one in arguments) and all(one is Context or one is _NONE for one in arguments)


def unpacked(annotation):
    """The TypedDict of `**kwargs: Unpack[...]`; None when it is another annotation."""
    if getattr(typing.get_origin(annotation), "_name", None) == "Unpack" or getattr(typing.get_origin(annotation), "__name__", None) == "Unpack":
        return typing.get_args(annotation)[0]
    return None


def name_of(annotation):
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")


def _is_literal(origin):
    return origin is typing.Literal or getattr(origin, "_name", None) == "Literal"


def _evaluate(text, names):
    try:
        return eval(text, names)  # the user's own annotation, in the user's own module
    except Exception as error:
        hint = ""
        if isinstance(error, NameError):
            hint = " (a name that is imported under TYPE_CHECKING only is not there when the action is loaded)"
        raise SchemaError("the annotation %r cannot be read: %s: %s%s" % (text, type(error).__name__, error, hint)) from None
