"""The decorator `action`, and the registry of decorated functions."""

from __future__ import annotations

import datetime
import inspect
import re
import sys
from typing import TYPE_CHECKING, Any, Union, overload

from tinpot import _instances, _wrapper

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol, TypeVar

    from typing_extensions import Concatenate, ParamSpec

    from tinpot._context import Context
    from tinpot._wrapper import Action, ContextAction
    from tinpot.schema import Signature

    P = ParamSpec("P")
    R = TypeVar("R")

    class _Decorator(Protocol):
        @overload
        def __call__(
            self, function: Callable[Concatenate[Context, P], R], /
        ) -> ContextAction[P, R]: ...
        @overload
        def __call__(self, function: Callable[P, R], /) -> Action[P, R]: ...


# Every decorated function, in the order in which the decorators ran.
registry: list[Entry] = []

# Bounds of the coordinator, checked here because here the error can name the file and the line.
_MAX_RETRIES = 1000
_MAX_SECONDS = 100 * 366 * 86_400

_Time = Union[int, float, datetime.timedelta, None]
_Size = Union[int, str, None]


class Entry:
    """A decorated function with the options of the decorator."""

    __slots__ = (
        "at",
        "concurrency",
        "delay_ms",
        "description",
        "expires_in_ms",
        "file",
        "function",
        "group",
        "home",
        "is_async",
        "isolation",
        "limits",
        "line",
        "module",
        "name",
        "owner",
        "priority",
        "queue",
        "retry",
        "signature",
        "timeout_ms",
    )

    name: str
    group: str | None
    description: str | None
    queue: str | None
    priority: int
    delay_ms: int | None
    expires_in_ms: int | None
    timeout_ms: int | None
    concurrency: int | None
    retry: dict[str, Any]
    limits: dict[str, Any] | None
    isolation: str | None
    function: Callable[..., Any]
    module: str | None
    # The place of the function's code.
    file: str
    line: int
    # The place of the decorator, and the globals of the module there.
    at: tuple[str, int]
    home: dict[str, Any]
    # Discovery sets these.
    is_async: bool
    signature: Signature | None
    owner: type | None

    def is_alive(self) -> bool:
        """Returns False if the import of its module has failed."""
        module = sys.modules.get(self.home.get("__name__", ""))
        return module is not None and module.__dict__ is self.home

    def is_twin(self, other: Entry) -> bool:
        """Returns True if the same line of the same module has decorated both, as in a loop."""
        codes = [getattr(inspect.unwrap(one.function), "__code__", None) for one in (self, other)]
        return self.home is other.home and codes[0] is codes[1]

    def signature_or_derive(self) -> Signature:
        """Returns the signature, also before discovery."""
        if self.signature is None:
            from tinpot import schema

            self.owner = _instances.find(inspect.unwrap(self.function))
            self.signature = schema.derive(self.function, is_method=self.owner is not None)
        return self.signature

    def call(self, parameters: dict[str, Any], context: Context) -> Any:
        """Calls the function with JSON parameters that were validated against its schema."""
        signature = self.signature_or_derive()
        if signature.plain and self.owner is None:
            if signature.context is None:
                return self.function(**parameters)
            return self.function(**parameters, **{signature.context: context})
        args, kwargs = signature.convert(parameters, trusted=True)
        if signature.context is not None:
            kwargs[signature.context] = context
        if self.owner is not None:
            return self.function(_instances.instance(self.owner), *args, **kwargs)
        return self.function(*args, **kwargs)


@overload
def action(function: Callable[Concatenate[Context, P], R], /) -> ContextAction[P, R]: ...
@overload
def action(function: Callable[P, R], /) -> Action[P, R]: ...
@overload
def action(
    name: str | None = None,
    group: str | None = None,
    description: str | None = None,
    queue: str | None = None,
    *,
    priority: int = 0,
    delay: _Time = None,
    expires_in: _Time = None,
    timeout: _Time = None,
    concurrency: int | None = None,
    retries: int = 0,
    retry_delay: _Time = 1.0,
    backoff: str = "exponential",
    max_retry_delay: _Time = None,
    retry_jitter: float | None = None,
    max_lost_attempts: int = 3,
    memory: _Size = None,
    cpu_seconds: _Time = None,
    open_files: int | None = None,
    max_output: _Size = None,
    max_result: _Size = None,
    isolation: str | None = None,
) -> _Decorator: ...
# The names that can be given by position are collected, and sorted out below.
def action(  # pyright: ignore[reportInconsistentOverload]
    function: Any = None,
    /,
    *positional: Any,
    name: str | None = None,
    group: str | None = None,
    description: str | None = None,
    queue: str | None = None,
    priority: int = 0,
    delay: _Time = None,
    expires_in: _Time = None,
    timeout: _Time = None,
    concurrency: int | None = None,
    retries: int = 0,
    retry_delay: _Time = 1.0,
    backoff: str = "exponential",
    max_retry_delay: _Time = None,
    retry_jitter: float | None = None,
    max_lost_attempts: int = 3,
    memory: _Size = None,
    cpu_seconds: _Time = None,
    open_files: int | None = None,
    max_output: _Size = None,
    max_result: _Size = None,
    isolation: str | None = None,
) -> Any:
    """Offers a function as an action.

    The function stays a plain function. A call of it from another action is a step of that
    action's execution; its `call` and `submit` run it as an execution of its own.

    A method can be an action too. Its class is constructed once per process, without arguments,
    and its `setup()` is called before the first use.

    `@action("name", "Group", "description", "queue")` is possible as well.

    Times are seconds or a timedelta, and at most 100 years. A submission can override every option
    from `queue` on.

    name: the name of the action, unique among all; the name of the function if not given.
    group: the group in the catalogue; "General" if not given.
    description: the description; the docstring if not given.
    queue: the queue to run in; "default" if not given.
    priority: the priority in the queue, a whole number of 32 bits; the highest runs first.
    delay: the minimum time between submission and start.
    expires_in: the maximum time that an execution waits for a worker; after that it fails.
    timeout: the maximum duration of an attempt.
    concurrency: for `async def`, the number of attempts that run at once in one interpreter,
        without taking slots of the worker.
    retries: the number of further attempts after one that failed, timed out or was lost, from 0 to
        1000. With retries you declare that running the action twice does no harm; without them it
        is started at most once.
    retry_delay: the time before the next attempt.
    backoff: "exponential" doubles the delay each time, "fixed" does not.
    max_retry_delay: the maximum delay; 300 s if not given, or `retry_delay` if that is longer.
    retry_jitter: the random part of a delay, from 0 to 1: with 0.2 a delay is between 80 % and
        100 % of its full length. 0.2 if not given, or 0 with fixed delays.
    max_lost_attempts: the number of attempts lost with their workers after which the execution
        fails as poisoned, even if retries are left; 1 or more.

    The following options limit an attempt; they override the limits of the worker. An attempt that
    exceeds one fails with the kind "LimitExceeded".

    memory: bytes, or text such as "256M" (with units of 1024), including the interpreter and its
        imports.
    cpu_seconds: processor time, not elapsed time; checked once per second.
    open_files: the number of files and connections open at once.
    max_output: bytes of log, as a number or as text such as "10M".
    max_result: bytes of the result as JSON, as a number or as text.

    isolation: "reuse" runs attempts in a process that has run others, and that finds the state of
        the process as the first one did. "fresh" runs each in a process of its own, in which
        also the globals of modules are new; that takes some milliseconds. The default is that of
        the worker, which is "reuse" unless it has been set.
    """

    # Checked before there is a function: the traceback then names the line of the decorator.
    function, texts = _by_position(
        function,
        positional,
        {"name": name, "group": group, "description": description, "queue": queue},
    )
    name, group, description, queue = texts.values()
    for label, value in texts.items():
        if value is not None and not isinstance(value, str):
            raise TypeError(f"@action: {label} must be a string, not {_shorten(value)}")
    if concurrency is not None:
        concurrency = _integer("concurrency", concurrency, 1, 100_000)
    if isolation not in (None, "reuse", "fresh"):
        raise ValueError(
            f"@action: isolation must be 'reuse' or 'fresh', not {_shorten(isolation)}"
        )
    options = {
        "group": group,
        "queue": queue,
        "priority": _integer("priority", priority, -(2**31), 2**31 - 1),
        "delay_ms": _milliseconds("delay", delay),
        "expires_in_ms": _milliseconds("expires_in", expires_in, least=1),
        "timeout_ms": _milliseconds("timeout", timeout, least=1),
        "concurrency": concurrency,
        "retry": _retry_policy(
            retries, retry_delay, backoff, max_retry_delay, retry_jitter, max_lost_attempts
        ),
        "isolation": isolation,
        "limits": _limits(memory, cpu_seconds, open_files, max_output, max_result),
    }

    def register(function: Any) -> Any:
        entry = _entry(function, name, description, options)
        registry.append(entry)
        return _wrapper.wrap(function, entry)

    return register if function is None else register(function)


def _by_position(
    function: Any, rest: tuple[Any, ...], named: dict[str, str | None]
) -> tuple[Any, dict[str, str | None]]:
    """Returns the function, and the texts that were given by position or by name."""
    if isinstance(function, str) or (function is None and rest):
        function, rest = None, (function, *rest)
    if len(rest) > len(named) or (rest and function is not None):
        raise TypeError(f"@action takes by position only {', '.join(named)}; give options by name")
    for label, value in zip(named, rest):
        if named[label] is not None:
            raise TypeError(f"@action: {label} is given twice")
        named[label] = value
    return function, named


def _entry(
    function: Any, name: str | None, description: str | None, options: dict[str, Any]
) -> Entry:
    code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
    if code is None:
        raise TypeError(f"@action must decorate a function, not {_shorten(function)}")
    entry = Entry()
    for label, value in options.items():
        setattr(entry, label, value)
    entry.name = function.__name__ if name is None else name
    if description is None:
        entry.description = inspect.getdoc(function)
    else:
        entry.description = inspect.cleandoc(description)
    entry.function = function
    entry.module = getattr(function, "__module__", None)
    entry.file = code.co_filename
    entry.line = code.co_firstlineno
    entry.at, entry.home = _place_of_decorator()
    entry.is_async = False
    entry.signature = None
    entry.owner = None
    if entry.concurrency is not None:
        if not inspect.iscoroutinefunction(inspect.unwrap(function)):
            raise TypeError(
                "@action: concurrency is for `async def`: other functions take one slot each"
            )
        if entry.isolation == "fresh":
            raise TypeError(
                "@action: attempts share an interpreter with concurrency: remove it, or isolation"
            )
        if {"memory", "cpu_seconds", "open_files"} & set(entry.limits or {}):
            raise TypeError(
                "@action: memory, cpu_seconds and open_files limit a whole interpreter, which"
                " attempts share with concurrency: remove either"
            )
    return entry


def _place_of_decorator() -> tuple[tuple[str, int], dict[str, Any]]:
    """Returns the line of the module that is being imported, and its globals."""
    frame = sys._getframe(1)
    nearest = frame
    while frame.f_code.co_name != "<module>":
        if frame.f_back is None:
            frame = nearest
            break
        frame = frame.f_back
    return (frame.f_code.co_filename, frame.f_lineno), frame.f_globals


def _retry_policy(
    retries: int,
    delay: _Time,
    backoff: str,
    max_delay: _Time,
    jitter: float | None,
    max_lost_attempts: int,
) -> dict[str, Any]:
    """Returns the retry policy as the coordinator reads it."""
    if backoff not in ("exponential", "fixed"):
        raise ValueError(
            f"@action: backoff must be 'exponential' or 'fixed', not {_shorten(backoff)}"
        )
    is_fixed = backoff == "fixed"
    delay_ms = _milliseconds("retry_delay", delay)
    if delay_ms is None:
        raise TypeError("@action: retry_delay must be seconds or a timedelta, not None")
    max_delay_ms = _milliseconds("max_retry_delay", max_delay)
    if max_delay_ms is None:
        max_delay_ms = delay_ms if is_fixed else max(delay_ms, 300_000)
    if jitter is None:
        jitter = 0.0 if is_fixed else 0.2
    return {
        "retries": _integer("retries", retries, 0, _MAX_RETRIES),
        "delay_ms": delay_ms,
        "factor": 1.0 if is_fixed else 2.0,
        "max_delay_ms": max_delay_ms,
        "jitter": _fraction("retry_jitter", jitter),
        "max_lost_attempts": _integer("max_lost_attempts", max_lost_attempts, 1, 2**32 - 1),
    }


def _limits(
    memory: _Size,
    cpu_seconds: _Time,
    open_files: int | None,
    max_output: _Size,
    max_result: _Size,
) -> dict[str, Any] | None:
    """Returns the limits that are given, by name."""
    cpu_ms = _milliseconds("cpu_seconds", cpu_seconds, least=1)
    if open_files is not None:
        open_files = _integer("open_files", open_files, 0, 2**31 - 1)
    limits = {
        "memory": _bytes("memory", memory),
        "cpu_seconds": None if cpu_ms is None else cpu_ms / 1000,
        "open_files": open_files,
        "max_output": _bytes("max_output", max_output),
        "max_result": _bytes("max_result", max_result),
    }
    return {name: value for name, value in limits.items() if value is not None} or None


def _bytes(label: str, value: _Size) -> int | None:
    """Returns a size in bytes; None if there is none."""
    if value is None:
        return None
    if isinstance(value, str):
        size = re.fullmatch(
            r"\s*(\d{1,18})\s*([KMGT]?)(?:i?B)?\s*", value, re.ASCII | re.IGNORECASE
        )
        if size is None:
            raise ValueError(
                f"@action: {label} must be bytes, or text like '256M', not {_shorten(value)}"
            )
        value = int(size[1]) << 10 * " KMGT".index(size[2].upper() or " ")
    return _integer(label, value, 1, 2**62)


def _integer(label: str, value: Any, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"@action: {label} must be a whole number, not {_shorten(value)}")
    if not least <= value <= most:
        raise ValueError(
            f"@action: {label} must be a whole number from {least} to {most}, not {_shorten(value)}"
        )
    return int(value)


def _fraction(label: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"@action: {label} must be a number, not {_shorten(value)}")
    if not 0 <= value <= 1:
        raise ValueError(f"@action: {label} must be a number from 0 to 1, not {_shorten(value)}")
    return float(value)


def _milliseconds(label: str, value: Any, least: int = 0) -> int | None:
    """Returns a time as whole milliseconds, at least `least`; None if there is none."""
    if value is None:
        return None
    seconds = value.total_seconds() if isinstance(value, datetime.timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"@action: {label} must be seconds or a timedelta, not {_shorten(value)}")
    # Both conditions are false for NaN.
    if not (seconds > 0 or (seconds == 0 and not least)):
        bound = "more than 0 seconds" if least else "0 seconds or more"
        raise ValueError(f"@action: {label} must be {bound}, not {_shorten(value)}")
    if not seconds <= _MAX_SECONDS:
        raise ValueError(
            f"@action: {label} must be at most {_MAX_SECONDS} seconds (100 years),"
            f" not {_shorten(value)}"
        )
    return max(least, round(seconds * 1000))


def _shorten(value: object) -> str:
    """Returns the text of a value for an error, cut after 80 characters."""
    try:
        text = repr(value)
    except Exception:
        return f"a value of type {type(value).__name__}"
    return text if len(text) <= 80 else text[:80] + "…"
