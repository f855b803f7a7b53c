"""The wrapper that a decorated function becomes.

It behaves like the function. Inside of another action a call of it is a step of that action.
"""

from __future__ import annotations

import functools
import inspect
import sys
from typing import TYPE_CHECKING, Any

from tinpot import _context

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from typing import Generic, TypeVar, Union, overload

    # Part of the type checkers' own library. It is not imported at run time, and need not be there.
    from typing_extensions import Concatenate, ParamSpec

    from tinpot._action import Entry

    P = ParamSpec("P")
    Q = ParamSpec("Q")
    R = TypeVar("R")
    R_co = TypeVar("R_co", covariant=True)
    Owner = TypeVar("Owner")
    # Results that are the same values after a round trip through JSON.
    Json = TypeVar(
        "Json",
        bound=Union[
            bool,
            float,
            str,
            list[str],
            list[int],
            list[float],
            list[bool],
            dict[str, str],
            dict[str, int],
            dict[str, float],
            dict[str, bool],
            None,
        ],
    )

    class Action(Generic[P, R_co]):
        """A decorated function: callable like the function, and from other actions by `call`.

        P: the parameters.
        R_co: what the function returns.
        """

        __tinpot_name__: str
        __name__: str

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
            raise NotImplementedError

        # Methods: `Backup().run()` does not pass the object again.
        @overload
        def __get__(self, instance: None, owner: Any, /) -> Action[P, R_co]: ...
        @overload
        def __get__(
            self: Action[Concatenate[Owner, Q], R], instance: Owner, owner: Any, /
        ) -> Action[Q, R]: ...
        def __get__(self, instance: Any, owner: Any, /) -> Any:
            raise NotImplementedError

        # The result of `call` has passed through JSON: it is of the same type if that is plain,
        # and of another type otherwise.
        @overload
        def call(
            self: Action[Q, Coroutine[Any, Any, Json]], *args: Q.args, **kwargs: Q.kwargs
        ) -> Json: ...
        @overload
        def call(
            self: Action[Q, Generator[Any, Any, Json]], *args: Q.args, **kwargs: Q.kwargs
        ) -> Json: ...
        @overload
        def call(self: Action[Q, Json], *args: Q.args, **kwargs: Q.kwargs) -> Json: ...
        @overload
        def call(self, *args: P.args, **kwargs: P.kwargs) -> Any: ...
        def call(self, *args: Any, **kwargs: Any) -> Any:
            """Runs the action on a worker of its queue, and returns its result as JSON."""
            raise NotImplementedError

        @overload
        async def call_async(
            self: Action[Q, Coroutine[Any, Any, Json]], *args: Q.args, **kwargs: Q.kwargs
        ) -> Json: ...
        @overload
        async def call_async(self: Action[Q, Json], *args: Q.args, **kwargs: Q.kwargs) -> Json: ...
        @overload
        async def call_async(self, *args: P.args, **kwargs: P.kwargs) -> Any: ...
        async def call_async(self, *args: Any, **kwargs: Any) -> Any:
            """Runs the action like `call`, without blocking other coroutines."""
            raise NotImplementedError

        @overload
        def submit(
            self: Action[Q, Coroutine[Any, Any, Json]], *args: Q.args, **kwargs: Q.kwargs
        ) -> _context.Child[Json]: ...
        @overload
        def submit(
            self: Action[Q, Generator[Any, Any, Json]], *args: Q.args, **kwargs: Q.kwargs
        ) -> _context.Child[Json]: ...
        @overload
        def submit(
            self: Action[Q, Json], *args: Q.args, **kwargs: Q.kwargs
        ) -> _context.Child[Json]: ...
        @overload
        def submit(self, *args: P.args, **kwargs: P.kwargs) -> _context.Child[Any]: ...
        def submit(self, *args: Any, **kwargs: Any) -> Any:
            """Submits the action and returns at once."""
            raise NotImplementedError

    class ContextAction(Action[P, R_co]):
        """An action whose first parameter is the context, which callers need not pass."""

        @overload
        def __call__(
            self, context: _context.Context, /, *args: P.args, **kwargs: P.kwargs
        ) -> R_co: ...
        @overload
        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
        def __call__(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[misc]
            raise NotImplementedError

else:

    class Action:
        """The type of decorated functions, for annotations: `Action[[str, int], bool]`.

        At run time a decorated function is a plain function, and not an instance of this class.
        """

        def __class_getitem__(cls, _parameters):
            return cls

    class ContextAction(Action):
        """The type of decorated functions whose first parameter is the context."""


def wrap(function: Any, entry: Entry) -> Any:
    """Returns the wrapper of a decorated function."""
    if not inspect.isfunction(function):
        # A built-in or a partial: it cannot have attributes, and a call of it is not a step.
        return function
    # An async generator stays as it is: a step around it would be open between its values.
    wrapper = function if inspect.isasyncgenfunction(function) else _as_step(function, entry)

    attributes: Any = wrapper

    def call(*args: Any, **kwargs: Any) -> Any:
        return _context.current().call(wrapper, *args, **kwargs)

    async def call_async(*args: Any, **kwargs: Any) -> Any:
        return await _context.current().call_async(wrapper, *args, **kwargs)

    def submit(*args: Any, **kwargs: Any) -> Any:
        return _context.current().submit(wrapper, *args, **kwargs)

    attributes.__tinpot_name__ = entry.name
    attributes.__tinpot_signature__ = entry.signature_or_derive
    attributes.call = call
    attributes.call_async = call_async
    attributes.submit = submit
    return wrapper


class _Injector:
    """Passes the context of the step to a function that has a parameter for it.

    The caller of an action does not pass it, as in `call`.
    """

    __slots__ = ("_entry", "_index", "_name", "_signature")

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        # None until the first call: the annotations are complete only after the import.
        self._name: str | None = None
        self._index = 0
        self._signature: inspect.Signature | None = None

    def __call__(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], context: _context.Context | None
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Returns the arguments with the context. Outside of an attempt a default is kept."""
        if self._signature is None:
            self._find()
        name, index, signature = self._name, self._index, self._signature
        if name is None or signature is None or name in kwargs:
            return args, kwargs
        if context is None:
            if signature.parameters[name].default is not inspect.Parameter.empty:
                return args, kwargs
            context = _context.current()
        if len(args) <= index:
            return args, {**kwargs, name: context}
        if args[index] is None or isinstance(args[index], _context.Context):
            return args, kwargs
        injected = (*args[:index], context, *args[index:])
        try:
            signature.bind(*injected, **kwargs)
        except TypeError:
            # The caller passed its own, such as a test.
            return args, kwargs
        return injected, kwargs

    def _find(self) -> None:
        from tinpot import schema

        function = self._entry.function
        self._signature = inspect.signature(function)
        for index, parameter in enumerate(self._signature.parameters.values()):
            if schema.is_context(function, parameter.annotation):
                is_by_name = parameter.kind is inspect.Parameter.KEYWORD_ONLY
                self._name, self._index = parameter.name, sys.maxsize if is_by_name else index


def _as_step(function: Callable[..., Any], entry: Entry) -> Callable[..., Any]:
    find, step, name, inject = _context.find, _context.Step, entry.name, _Injector(entry)
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def run_coroutine(*args: Any, **kwargs: Any) -> Any:
            context = find()
            if context is None:
                args, kwargs = inject(args, kwargs, None)
                return await function(*args, **kwargs)
            with step(context, name) as inner:
                args, kwargs = inject(args, kwargs, inner)
                return await function(*args, **kwargs)

        return run_coroutine
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def run_generator(*args: Any, **kwargs: Any) -> Any:
            context = find()
            if context is None:
                args, kwargs = inject(args, kwargs, None)
                return (yield from function(*args, **kwargs))
            with step(context, name) as inner:
                args, kwargs = inject(args, kwargs, inner)
                return (yield from function(*args, **kwargs))

        return run_generator

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        context = find()
        if context is None:
            args, kwargs = inject(args, kwargs, None)
            return function(*args, **kwargs)
        with step(context, name) as inner:
            args, kwargs = inject(args, kwargs, inner)
            return function(*args, **kwargs)

    return run
