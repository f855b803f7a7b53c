"""Runs one attempt of an action, and encodes its outcome as the reply to the worker."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tinpot import _encode, _text
from tinpot._errors import Cancelled, LimitExceeded, ParameterError

if TYPE_CHECKING:
    from tinpot._action import Entry
    from tinpot._context import Context
    from tinpot._discovery import Discovery

CANCELLED = b'{"cancelled":true}'

encode = _encode.encode


class Control:
    """The state through which a running attempt is asked to end.

    running: if True, the code of the action runs, and can be interrupted.
    stopped: if True, the attempt was asked to end.
    hook: called to end the attempt, instead of raising `Cancelled`. A coroutine is cancelled
        through its event loop.
    """

    __slots__ = ("hook", "running", "stopped")

    def __init__(self) -> None:
        self.running = False
        self.stopped = False
        self.hook: Callable[[], object] | None = None


def call(entry: Entry, parameters: dict[str, Any], control: Control, context: Context) -> Any:
    """Calls the function, and runs a coroutine or a generator to its end."""
    if entry.is_async:
        return _run_async(lambda: entry.call(parameters, context), control, context)
    result = entry.call(parameters, context)
    if isinstance(result, (types.CoroutineType, types.AsyncGeneratorType)):
        # The function is behind a decorator that does not show it as a coroutine.
        return _run_async(lambda: result, control, context)
    if isinstance(result, types.GeneratorType):
        return _exhaust(result, context)
    return result


def _exhaust(generator: types.GeneratorType[Any, Any, Any], context: Context) -> Any:
    """Reports the values of a generator as they come, and returns its result."""
    while True:
        try:
            value = next(generator)
        except StopIteration as end:
            return end.value
        _report(value, context)


def _report(value: Any, context: Context) -> None:
    """Reports a number, (done, total) or (done, total, message) as progress; prints the rest."""
    if isinstance(value, bool) or value is None:
        return
    if isinstance(value, (int, float)):
        context.progress(value)
    elif (
        isinstance(value, (tuple, list))
        and 2 <= len(value) <= 3
        and all(isinstance(part, (int, float)) for part in value[:2])
    ):
        context.progress(*value)
    elif isinstance(value, dict) and "done" in value and set(value) <= {"done", "total", "message"}:
        context.progress(**value)
    else:
        print(value, flush=True)


def _run_async(start: Callable[[], Any], control: Control, context: Context) -> Any:
    import asyncio

    async def main() -> Any:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        if task is not None:
            cancel = task.cancel
            control.hook = lambda: loop.call_soon_threadsafe(cancel)
        try:
            result = start()
            if not hasattr(result, "__aiter__"):
                return await result
            async for value in result:
                _report(value, context)
            return None
        finally:
            control.hook = None

    return asyncio.run(main())


def succeeded(value: Any, limit: int) -> bytes:
    """Returns the reply for a result, without a line end. `limit` bounds the result in bytes."""
    try:
        data = _encode.result(value, limit)
    except _encode.NoForm as error:
        if error.is_too_large:
            return _too_large(limit, str(error), "")
        # The code has succeeded: to run it again would do its work twice.
        return failure("ResultError", f"the result has no JSON form: {error}", permanent=True)
    if len(data) > limit:
        return _too_large(limit, "the result is too large", f", {len(data)} bytes")
    return b'{"ok":' + data + b"}"


def _too_large(limit: int, what: str, size: str) -> bytes:
    return failure(
        "LimitExceeded",
        f"the limit max_result of {limit} bytes was exceeded: {what}{size}",
        code="result_too_large",
        permanent=True,
    )


def failed(error: BaseException, control: Control) -> bytes:
    """Returns the reply for an exception."""
    if control.stopped and _is_caused_by_stop(error):
        return CANCELLED
    if isinstance(error, SystemExit):
        if is_success(error):
            return b'{"ok":null,"exited":true}'
        return failure("SystemExit", f"called sys.exit({error.code!r})")
    try:
        text = str(error)
    except Exception:
        text = "(its str() fails)"
    return failure(type(error).__name__, text, _text.traceback_of(error), _code(error))


def is_success(error: SystemExit) -> bool:
    """Returns True if the exit code is that of a success, as it is for a script."""
    return error.code is None or (isinstance(error.code, int) and error.code == 0)


def _code(error: BaseException) -> str | None:
    """Returns the failure code of an exception; None for one of the action's own.

    The class decides, not its name: an action may have a class `LimitExceeded` too.
    """
    if isinstance(error, LimitExceeded):
        return "limit_exceeded"
    return "invalid_parameters" if isinstance(error, ParameterError) else None


def _is_caused_by_stop(error: BaseException | None) -> bool:
    """Returns True if the request to end raised the exception, or an exception behind it."""
    # The exception of asyncio can only be raised if asyncio is imported.
    asyncio: Any = sys.modules.get("asyncio")
    kinds = (Cancelled, asyncio.CancelledError) if asyncio else (Cancelled,)
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, kinds):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


def unknown(name: str, found: Discovery) -> bytes:
    """Returns the reply for an action that discovery did not find."""
    message = f"there is no action {name!r}"
    for load_error in found.load_errors:
        message += f"\n{load_error['place']}: {load_error['message']}"
    return failure("UnknownAction", message, code="action_unavailable")


def failure(
    kind: str,
    message: str,
    trace: str | None = None,
    code: str | None = None,
    permanent: bool = False,
) -> bytes:
    """Returns the reply for a failure.

    code: the failure code of the SDK; None for an error of the action itself.
    permanent: if True, the action is not tried again, even if retries are left.
    """
    document: dict[str, Any] = {"kind": kind, "message": message}
    if permanent:
        document["permanent"] = True
    if code is not None:
        document["code"] = code
    if trace is not None:
        document["traceback"] = trace
    return _text.to_bytes(f'{{"failed":{encode(document)}}}')
