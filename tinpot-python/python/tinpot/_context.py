"""The context of an attempt: what an action can ask of the worker that runs it.

Log lines, steps and progress leave as markup lines between the printed lines, so that all of them
arrive in order. Calls of other actions use the connection to the worker and wait for an answer.
"""

from __future__ import annotations

import contextvars
import json
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tinpot import _log_records, _text
from tinpot._channel import Attempt, Channel
from tinpot._errors import ActionError, Cancelled, LimitError

if TYPE_CHECKING:
    from types import TracebackType

    from tinpot._connection import Result
    from tinpot._secret import Secret

T = TypeVar("T")

_LEVELS = {
    "debug": "debug",
    "info": "info",
    "warning": "warning",
    "warn": "warning",
    "error": "error",
    "critical": "error",
}
_MAX_PROGRESS_LENGTH = 1000
_MAX_NAME_LENGTH = 1000
# The bound of all artifacts of one attempt, and the part of an artifact in one line.
MAX_ARTIFACTS_BYTES = 64 * 1024 * 1024
_PIECE_BYTES = 36 * 1024
_MAX_SUMMARY_BYTES = 40 * 1024
_MAX_SECRET_LENGTH = 64 * 1024
# A hundred years: the coordinator has the same bound.
_MAX_SECONDS = 3.2e9

_to_text = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str).encode
escape = _log_records.escape

current_context: contextvars.ContextVar[Context | None] = contextvars.ContextVar(
    "tinpot_context", default=None
)
# The context of a process that runs one attempt at a time. Threads of the action find it here:
# they do not inherit context variables.
_running: Context | None = None
# The secrets of the worker by variable.
_secrets: dict[str, str] = {}


def take_secrets(given: Mapping[str, str]) -> None:
    """Takes the secrets of the worker.

    Those of the environment are taken out of it: everything that an action starts inherits it.
    """
    _secrets.update(given)
    for name in [name for name in os.environ if name.startswith("TINPOT_SECRET_")]:
        _secrets[name] = os.environ.pop(name)


def enter(attempt: Attempt) -> Context:
    """Makes an attempt the one that this process runs."""
    global _running
    _running = Context(attempt)
    return _running


def leave() -> None:
    """Ends the attempt that this process runs."""
    global _running
    if _running is not None:
        _running._attempt.close()
        _running = None


def find() -> Context | None:
    """Returns the context of the running attempt; None outside of an attempt."""
    return current_context.get() or _running


def current() -> Context:
    """Returns the context of the running attempt.

    Outside of a worker there is a context too: it prints to standard error and refuses calls.
    """
    return current_context.get() or _running or _outside


class Context:
    """The running attempt.

    An action gets it as the parameter with this annotation, or from `tinpot.current()`.
    """

    __slots__ = ("_attempt", "_options", "_step")

    def __init__(
        self, attempt: Attempt, step: int = 0, options: Mapping[str, Any] | None = None
    ) -> None:
        self._attempt = attempt
        self._step = step
        self._options = options

    @property
    def execution_id(self) -> str | None:
        """The id of the execution; None outside of a worker."""
        return self._attempt.execution

    @property
    def attempt(self) -> int:
        """The number of the attempt, from 1."""
        return self._attempt.number

    @property
    def fence(self) -> str | None:
        """The right to report on the attempt; None outside of a worker.

        It grows with every attempt: pass it to resources that can reject a smaller one.
        """
        return self._attempt.fence

    @property
    def traceparent(self) -> str | None:
        """The trace context that the submitter gave, as W3C Trace Context has it; None without one.

        The variable TRACEPARENT has it, too, unless attempts share an interpreter.
        """
        return self._attempt.traceparent

    @property
    def tmpdir(self) -> str:
        """A directory for this attempt, removed with it."""
        return self._attempt.tmpdir()

    def _innermost(self) -> Context:
        """Returns the context of the running step, if that belongs to the same attempt."""
        here = find()
        return here if here is not None and here._attempt is self._attempt else self

    def log(self, level: str, message: object, /, **fields: Any) -> None:
        """Writes to the log.

        level: "debug", "info", "warning" or "error".
        fields: values that are stored with the message, under any names.
        """
        known = _LEVELS.get(str(level).lower())
        if known is None:
            raise ValueError(f"level must be debug, info, warning or error, not {level!r}")
        text = str(message)
        channel = self._attempt.channel
        if type(channel) is Channel:
            tail = "".join(f" {name}={value!r}" for name, value in fields.items())
            return channel.print(f"{known}: {text}{tail}")
        step = self._innermost()._step
        extra = f',"f":{_log_records.fields(fields)}' if fields else ""
        for part in _log_records.parts(text):
            channel.send(f'{{"l":"{known}","m":{part},"s":{step}{extra}}}')
            extra = ""
        return None

    def debug(self, message: object, /, **fields: Any) -> None:
        """Writes to the log with the level "debug"."""
        self.log("debug", message, **fields)

    def info(self, message: object, /, **fields: Any) -> None:
        """Writes to the log with the level "info"."""
        self.log("info", message, **fields)

    def warning(self, message: object, /, **fields: Any) -> None:
        """Writes to the log with the level "warning"."""
        self.log("warning", message, **fields)

    def error(self, message: object, /, **fields: Any) -> None:
        """Writes to the log with the level "error"."""
        self.log("error", message, **fields)

    def progress(self, done: float, total: float | None = None, message: object = "") -> None:
        """Reports progress; a later report replaces an earlier one.

        A log line says so if `done` is no finite number. A total that is none is left out.
        """
        text = _log_records.shortened(str(message), _MAX_PROGRESS_LENGTH)
        count = _log_records.number(done)
        if count is None:
            shown = repr(done)[:80]
            return self.log("warning", f"[tinpot] no progress: done must be a number, not {shown}")
        whole = None if total is None else _log_records.number(total)
        if total is not None and (whole is None or whole < 0):
            whole = None
            if not self._attempt.has_odd_total:
                self._attempt.has_odd_total = True
                shown = repr(total)[:80]
                self.log("warning", f"[tinpot] total must be a number from 0, not {shown}")
        if count < 0:
            count = 0.0
        self._attempt.channel.send(_to_text({"p": [count, whole, text]}))
        return None

    def step(self, name: object) -> Step:
        """Runs a block as a step with a name: `with ctx.step("build"): …`. Steps nest."""
        return Step(self, _log_records.shortened(str(name), _MAX_NAME_LENGTH))

    def summary(self, markdown: object) -> None:
        """Sets the summary of the execution, in Markdown; at most 40 KiB.

        A later summary replaces an earlier one.
        """
        text = _text.valid(str(markdown))
        size = len(text.encode())
        if size > _MAX_SUMMARY_BYTES:
            raise LimitError(f"summary must have at most {_MAX_SUMMARY_BYTES} bytes, not {size}")
        self._attempt.channel.send(_to_text({"e": {"summary": {"markdown": text}}}))

    def artifact(self, path: str | os.PathLike[str], name: str | None = None) -> None:
        """Stores a file with the execution, for download. At most 64 MiB in all per attempt.

        name: the name of the download; the name of the file if not given.
        """
        import base64
        import mimetypes

        attempt, channel = self._attempt, self._attempt.channel
        name = os.path.basename(os.fspath(path)) if name is None else str(name)
        is_name = name not in ("", ".", "..") and not set("/\\") & set(name)
        if not is_name or len(name) > 255 or not name.isprintable():
            raise ValueError(
                "the name of an artifact must be a printable file name of at most 255 characters,"
                f" not {name!r}"
            )
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            left = MAX_ARTIFACTS_BYTES - attempt.artifact_bytes
            if size > left:
                raise LimitError(
                    f"artifact {name} must have at most {left} of {MAX_ARTIFACTS_BYTES} bytes,"
                    f" not {size}"
                )
            number, sent = attempt.artifacts + 1, 0
            while sent < size:
                piece = file.read(min(_PIECE_BYTES, size - sent))
                if not piece:
                    break
                sent += len(piece)
                channel.send(f'{{"d":"{number} {base64.b64encode(piece).decode()}"}}')
        attempt.artifacts = number
        attempt.artifact_bytes += sent
        about = {
            "number": number,
            "attempt": attempt.number,
            "name": name,
            "size_bytes": sent,
            "media_type": mimetypes.guess_type(name)[0] or "application/octet-stream",
        }
        channel.send(_to_text({"e": {"artifact": about}}))

    def check_cancelled(self) -> None:
        """Raises `Cancelled` if the attempt was asked to end.

        Needed only in threads, and where exceptions are swallowed.
        """
        if self._attempt.channel.is_stopped():
            raise Cancelled("the attempt was asked to end")

    def secret(self, name: str) -> Secret:
        """Returns a secret, and masks it in the log.

        It comes from the variable TINPOT_SECRET_<NAME> of the worker, a file of that name in
        TINPOT_SECRETS_DIR, or the secrets that the coordinator keeps: `tinpot secrets set NAME`.
        Only this attempt gets it. A coroutine that shares its interpreter with others uses
        `await ctx.secret_async(name)`.
        """
        from tinpot import _secret

        text = _secret.find_local(name, _secrets)
        if text is None:
            try:
                text = self._attempt.channel.call({"secret": name})[1]
            except ActionError as error:
                raise _secret.missing(name, error) from None
        return self._masked(text)

    async def secret_async(self, name: str) -> Secret:
        """Returns a secret without blocking the event loop."""
        from tinpot import _secret

        text = _secret.find_local(name, _secrets)
        if text is None:
            try:
                text = (await self._attempt.channel.call_async({"secret": name}))[1]
            except ActionError as error:
                raise _secret.missing(name, error) from None
        return self._masked(text)

    def _masked(self, text: str) -> Secret:
        from tinpot._secret import Secret

        self._mask(text)
        return Secret(text)

    def _show_unfinished(self, line: str) -> None:
        """Shows the line that a command is writing; none if it is empty."""
        self._attempt.channel.send(_to_text({"u": _text.valid(line[-_MAX_PROGRESS_LENGTH:])}))

    def _mask(self, text: str) -> None:
        """Masks a text, and each of its lines, in the log from now on."""
        lines = [text] if len(text) <= _MAX_SECRET_LENGTH else text.splitlines()
        for line in lines:
            # The worker looks for no longer ones: no line of the log has as much.
            if len(line) <= _MAX_SECRET_LENGTH:
                self._attempt.channel.send(_to_text({"x": _text.valid(line)}))

    def with_options(self, **options: Any) -> Context:
        """Returns this context with options for `call` and `submit`.

        They are priority, timeout, delay, expires_in, retries, queue, idempotency_key and
        max_lost_attempts. Times are seconds or a timedelta.
        """
        return Context(self._attempt, self._step, _submit_options(options))

    def call(self, action: Any, /, *args: Any, **parameters: Any) -> Any:
        """Runs another action on a worker of its queue, and returns its result as JSON.

        action: a decorated function, or the name of an action, whose arguments have to be named.

        This attempt takes no slot while it waits. Raises `ActionError`, with the traceback of the
        called action, if that does not succeed.
        """
        return self._request(action, _by_name(action, args, parameters), True)[1]

    async def call_async(self, action: Any, /, *args: Any, **parameters: Any) -> Any:
        """Runs another action like `call`, without blocking other coroutines."""
        request = self._describe(action, _by_name(action, args, parameters), True)
        return (await self._attempt.channel.call_async(request))[1]

    def submit(self, action: Any, /, *args: Any, **parameters: Any) -> Child[Any]:
        """Submits another action and returns at once; `result()` of the child waits for its end."""
        import uuid

        parameters = _by_name(action, args, parameters)
        options = dict(self._options or {})
        # The key lets `result()` ask for the same execution again.
        options.setdefault("idempotency_key", f"submit {uuid.uuid4()}")
        context = Context(self._attempt, self._step, options)
        execution, _ = context._request(action, parameters, False)
        return Child(context, action, parameters, execution)

    def _request(self, action: Any, parameters: Mapping[str, Any], wait: bool) -> Result:
        return self._attempt.channel.call(self._describe(action, parameters, wait))

    def _describe(self, action: Any, parameters: Mapping[str, Any], wait: bool) -> dict[str, Any]:
        from tinpot._encode import parameters as as_json

        name = action if isinstance(action, str) else action.__tinpot_name__
        request = {
            "action": name,
            "parameters": as_json(parameters),
            "wait": wait,
            "span": self._innermost()._step,
        }
        if self._options:
            request["options"] = self._options
        return request


def _by_name(action: Any, args: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
    """Returns the parameters of a call. The signature of the called function names positional ones.

    A context among them is left out: the worker of the child passes one.
    """
    args = tuple(value for value in args if not isinstance(value, Context))
    named = {name: value for name, value in named.items() if not isinstance(value, Context)}
    if not args:
        return named
    if isinstance(action, str):
        raise TypeError(
            f"{action!r} is the name of an action: name its arguments, or pass the decorated"
            " function instead"
        )
    by_name: dict[str, Any] = action.__tinpot_signature__().name_arguments(args, named)
    return by_name


_TIME_OPTIONS = {"timeout": "timeout_ms", "delay": "delay_ms", "expires_in": "expires_in_ms"}
_OTHER_OPTIONS = ("priority", "retries", "queue", "idempotency_key", "max_lost_attempts")


def _submit_options(options: Mapping[str, Any]) -> dict[str, Any]:
    converted = {}
    for name, value in options.items():
        if name in _TIME_OPTIONS:
            seconds = value.total_seconds() if hasattr(value, "total_seconds") else value
            is_number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
            if not is_number or not 0 <= seconds < _MAX_SECONDS:
                raise ValueError(f"{name} must be seconds or a timedelta, not {value!r}")
            converted[_TIME_OPTIONS[name]] = int(seconds * 1000)
        elif name in _OTHER_OPTIONS:
            converted[name] = value
        else:
            known = ", ".join([*_TIME_OPTIONS, *_OTHER_OPTIONS])
            raise TypeError(f"there is no option {name!r}: the options are {known}")
    return converted


class Child(Generic[T]):
    """A submitted execution.

    id: the id of the execution.
    """

    def __init__(
        self,
        context: Context,
        action: Any,
        parameters: Mapping[str, Any],
        execution: str | None,
    ) -> None:
        self.id = execution
        self._context, self._action, self._parameters = context, action, parameters

    def result(self) -> T:
        """Waits for the end of the execution and returns its result as JSON.

        Raises `ActionError` if it does not succeed.
        """
        # The same idempotency key, and so the same execution.
        found: T = self._context._request(self._action, self._parameters, True)[1]
        return found

    def __repr__(self) -> str:
        return f"Child({self.id!r})"

    def __tinpot_json__(self) -> str | None:
        return self.id


class Step:
    """A named part of an attempt, with a beginning, an end and a duration."""

    __slots__ = ("_began", "_context", "_inner", "_name", "_token")

    _inner: Context
    _token: contextvars.Token[Context | None]
    _began: float

    def __init__(self, context: Context, name: str) -> None:
        self._context = context
        self._name = name

    def __enter__(self) -> Context:
        outer = self._context._innermost()
        attempt = outer._attempt
        attempt.steps += 1
        number, parent = attempt.steps, outer._step
        self._inner = Context(attempt, number, outer._options)
        self._token = current_context.set(self._inner)
        parent_field = f'"parent":"{attempt.number}.{parent}",' if parent else ""
        attempt.channel.send(
            f'{{"e":{{"span_started":{{"span":"{attempt.number}.{number}",{parent_field}'
            f'"name":{escape(self._name)},"at":{time.time() * 1e6:.0f}}}}},"s":{number}}}'
        )
        attempt.channel.enter_step(number)
        self._began = time.perf_counter()
        return self._inner

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        took = (time.perf_counter() - self._began) * 1e6
        attempt, number = self._inner._attempt, self._inner._step
        try:
            current_context.reset(self._token)
        except ValueError:
            # A generator that was closed in another context.
            current_context.set(None)
        outer = find()
        parent = outer._step if outer is not None and outer._attempt is attempt else 0
        outcome, error_field = "succeeded", ""
        is_exit = isinstance(error, SystemExit) and not error.code
        if kind is not None and not is_exit and not issubclass(kind, GeneratorExit):
            # asyncio's CancelledError, whose module may not be imported.
            is_cancelled = issubclass(kind, Cancelled) or kind.__name__ == "CancelledError"
            outcome = "cancelled" if is_cancelled else "failed"
            try:
                text = str(error)[:1000]
            except Exception:
                text = ""
            text = f"{kind.__name__}: {text}" if text else kind.__name__
            error_field = f',"error":{escape(text)}'
        attempt.channel.send(
            f'{{"e":{{"span_ended":{{"span":"{attempt.number}.{number}","outcome":"{outcome}",'
            f'"took_us":{took:.0f}{error_field}}}}},"s":{parent}}}'
        )
        attempt.channel.enter_step(parent)


_outside = Context(Attempt(Channel()))
