"""Reads annotations: from the annotation of a parameter to its type."""

from __future__ import annotations

import enum
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tinpot import _containers, _enums, _formats, _param, _pydantic, _records, _unions
from tinpot._context import Context
from tinpot._types import (
    ANY,
    BOOL,
    INT,
    MAX_TYPE_DEPTH,
    NONE,
    NUMBER,
    STR,
    SchemaError,
    ValueType,
)

_NONE = type(None)
_PLAIN: dict[Any, ValueType] = {
    str: STR,
    int: INT,
    float: NUMBER,
    bool: BOOL,
    _NONE: NONE,
    object: ANY,
}
_UNIONS: list[Any] = [typing.Union]
try:
    from types import UnionType  # Python 3.10

    _UNIONS.append(UnionType)
except ImportError:
    pass


class Scope:
    """The surroundings of an annotation.

    names: the names that an annotation that is text can use.
    variables: the values of type variables, each with the scope of its own.
    stack: the classes and aliases that are being read, to detect one that contains itself.
    is_result: if True, the annotation is that of a result.
    """

    __slots__ = ("depth", "is_result", "names", "stack", "variables")

    def __init__(
        self,
        names: Mapping[str, Any],
        variables: dict[Any, tuple[Any, Scope]] | None = None,
        stack: tuple[Any, ...] = (),
        depth: int = 0,
        is_result: bool = False,
    ) -> None:
        self.names = names
        self.variables = variables or {}
        self.stack = stack
        self.depth = depth
        self.is_result = is_result

    def resolve(self, annotation: Any, names: Mapping[str, Any] | None = None) -> Any:
        """Evaluates an annotation that is text; returns any other one as it is."""
        for _ in range(MAX_TYPE_DEPTH):
            if isinstance(annotation, typing.ForwardRef):
                annotation = annotation.__forward_arg__
            if not isinstance(annotation, str):
                return annotation
            annotation = _evaluate(annotation, {**self.names, **(names or {})})
        raise SchemaError(f"the annotation {annotation!r} cannot be read")

    def read(self, annotation: Any, names: Mapping[str, Any] | None = None) -> ValueType:
        """Returns the type of an annotation."""
        if self.depth >= MAX_TYPE_DEPTH:
            raise SchemaError(
                f"the type is nested more than {MAX_TYPE_DEPTH} deep, or contains itself"
            )
        names = self.names if names is None else {**self.names, **names}
        scope = Scope(names, self.variables, self.stack, self.depth + 1, self.is_result)
        return scope._read_resolved(scope.resolve(annotation))

    def _read_resolved(self, annotation: Any) -> ValueType:
        if annotation is None:
            annotation = _NONE
        if annotation is typing.Any:
            return ANY
        if isinstance(annotation, typing.TypeVar):
            return self._read_variable(annotation)
        if hasattr(annotation, "__metadata__"):
            return self._read_annotated(annotation)
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        base: Any = annotation if origin is None else origin
        if type(base).__name__ == "TypeAliasType":
            return self.within(base, arguments).read(base.__value__)
        if type(annotation).__name__ == "InitVar":
            return self.read(annotation.type)
        if hasattr(annotation, "__supertype__"):  # NewType
            return self.read(annotation.__supertype__)
        if _is_literal(origin):
            return _enums.literal(arguments)
        if origin in _UNIONS:
            return _unions.one_of([self.read(one) for one in arguments])
        found = self._read_class(annotation, base, arguments)
        if found is None:
            raise SchemaError(
                f"the type {name_of(annotation)} is not supported: use str, int, float, bool,"
                " Literal, Enum, Optional, Union, list, set, tuple, dict, dates and times,"
                " Decimal, UUID, Path, bytes, Secret, a dataclass, TypedDict, NamedTuple or"
                " pydantic model"
            )
        return found

    def _read_class(self, annotation: Any, base: Any, arguments: Sequence[Any]) -> ValueType | None:
        try:
            found = _PLAIN.get(base) or _formats.value_type(base)
        except TypeError:  # not hashable
            return None
        # `get_args` does not tell `tuple[()]` from `tuple`.
        if found is None and str(annotation) in ("tuple[()]", "typing.Tuple[()]"):
            found = _containers.tuple_of([])
        found = found or _containers.value_type(base, arguments, self.read)
        if found is None and _pydantic.is_pydantic_type(base):
            found = _pydantic.value_type(annotation, self.is_result)
        if found is None and isinstance(base, enum.EnumMeta):
            found = _enums.members(typing.cast("type[enum.Enum]", base))
        scope = _LazyScope(lambda: self.within(base, arguments))
        return found or _records.value_type(base, typing.cast(Scope, scope))

    def within(self, base: Any, arguments: Sequence[Any]) -> Scope:
        """Returns the scope within a class or alias."""
        if any(base is known for known in self.stack):
            raise SchemaError(
                f"the type {name_of(base)} contains itself, and such types have no form"
            )
        variables = dict(self.variables)
        parameters = getattr(base, "__type_params__", ()) or getattr(base, "__parameters__", ())
        for variable, argument in zip(parameters, arguments):
            variables[variable] = (argument, self)
        return Scope(self.names, variables, (*self.stack, base), self.depth, self.is_result)

    def _read_variable(self, variable: typing.TypeVar) -> ValueType:
        if variable in self.variables:
            annotation, outer = self.variables[variable]
            scope = Scope(outer.names, outer.variables, self.stack, self.depth, self.is_result)
            return scope.read(annotation)
        if variable.__bound__ is not None:
            return self.read(variable.__bound__)
        if variable.__constraints__:
            return _unions.one_of([self.read(one) for one in variable.__constraints__])
        return ANY

    def _read_annotated(self, annotation: Any) -> ValueType:
        markers = annotation.__metadata__
        if _pydantic.has_pydantic_marker(markers):
            return _pydantic.value_type(annotation, self.is_result)
        return _param.constrain(self.read(annotation.__origin__), _param.options_of(markers))


class _LazyScope:
    """The scope within a class, created on first use: most classes have no fields to read."""

    def __init__(self, make: Callable[[], Scope]) -> None:
        self._make = make
        self._scope: Scope | None = None

    def __getattr__(self, name: str) -> Any:
        if self._scope is None:
            self._scope = self._make()
        return getattr(self._scope, name)


def is_context(annotation: Any) -> bool:
    """Returns True for the annotations `Context` and `Optional[Context]`."""
    if annotation is Context:
        return True
    if hasattr(annotation, "__metadata__"):
        return is_context(annotation.__origin__)
    arguments = typing.get_args(annotation) if typing.get_origin(annotation) in _UNIONS else ()
    return any(one is Context for one in arguments) and all(
        one is Context or one is _NONE for one in arguments
    )


def unpacked(annotation: Any) -> Any:
    """Returns the TypedDict of `**kwargs: Unpack[...]`; None for any other annotation."""
    origin = typing.get_origin(annotation)
    if "Unpack" in (getattr(origin, "_name", None), getattr(origin, "__name__", None)):
        return typing.get_args(annotation)[0]
    return None


def name_of(annotation: Any) -> str:
    """Returns the name of an annotation for an error."""
    if isinstance(annotation, type):
        return annotation.__name__
    return str(annotation).replace("typing.", "")


def _is_literal(origin: Any) -> bool:
    return origin is typing.Literal or getattr(origin, "_name", None) == "Literal"


def _evaluate(text: str, names: dict[str, Any]) -> Any:
    try:
        # Text of the user's own module, which is trusted as much as its code.
        return eval(text, names)
    except Exception as error:
        hint = ""
        if isinstance(error, NameError):
            hint = (
                " (a name that is imported under TYPE_CHECKING only is not there when the action"
                " is loaded)"
            )
        raise SchemaError(
            f"the annotation {text!r} cannot be read: {type(error).__name__}: {error}{hint}"
        ) from None
