"""Runs attempts on threads of the worker's own process. Rust calls the functions of this module."""

from __future__ import annotations

import contextvars
import ctypes
import json
import os
import sys
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

from tinpot import _channel, _command, _connection, _context, _discovery, _run, _swallowed
from tinpot._errors import Cancelled

if TYPE_CHECKING:
    from tinpot._action import Entry

# The attempt of the running thread or coroutine.
_current: contextvars.ContextVar[Attempt | None] = contextvars.ContextVar(
    "tinpot_attempt", default=None
)
_discovering = threading.Lock()
# Like `json.loads`, without its search for surrounding blanks: the parameters were validated.
_decode = json.JSONDecoder().raw_decode
# The length of a line without an end that a stream keeps, in characters. The worker bounds the
# whole line.
_MAX_BUFFERED = 16 * 1024
_STOPPED = "the attempt was asked to end"


class Sink(Protocol):
    """The worker's end of an attempt, in Rust."""

    def emit(self, stream: int, data: bytes) -> None:
        """Takes output."""

    def ask(self, line: bytes) -> bytes | None:
        """Calls an action; returns None if the attempt was asked to end."""


class Attempt(_run.Control):
    """One attempt: the destination of its output, and the state through which it is stopped."""

    __slots__ = (
        "ask",
        "buffered",
        "closed",
        "context",
        "emit",
        "lock",
        "owed",
        "parts",
        "reply",
        "shielded",
        "thread",
    )

    def __init__(self, sink: Sink, execution: str | None, fence: str | None, number: int) -> None:
        super().__init__()
        self.emit = sink.emit
        self.ask = sink.ask
        attempt = _channel.Attempt(_Channel(self), execution, fence, number)
        self.context = _context.Context(attempt)
        self.parts: tuple[list[str], list[str]] = ([], [])
        self.buffered = 0
        # Guards `running`, `stopped`, `shielded` and `owed` against a stop from another thread.
        self.lock = threading.Lock()
        self.thread: int | None = None
        self.reply: bytes | None = None
        self.closed = False
        self.shielded = False
        # A request that came while the attempt was shielded.
        self.owed = False

    def write(self, stream: int, text: str) -> None:
        """Buffers output until the end of a line."""
        self.parts[stream].append(text)
        self.buffered += len(text)
        if "\n" in text or self.buffered > _MAX_BUFFERED:
            self.flush(stream)

    def flush(self, stream: int) -> None:
        """Sends the buffered output."""
        parts = self.parts[stream]
        text = "".join(parts)
        del parts[:]
        self.buffered = 0
        if text:
            self.emit(stream, text.encode("utf-8", "backslashreplace"))


class _Channel(_channel.PipeChannel):
    """Markup lines on the attempt's own streams."""

    # The same for all attempts, each of which has streams of its own.
    prefix = ""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = self.control = attempt
        self._calls = 0

    def send(self, markup: str) -> None:
        self._send(0, markup)

    def enter_step(self, number: int) -> None:
        self._send(1, f'{{"s":{number}}}')

    def _send(self, stream: int, markup: str) -> None:
        if not self._attempt.closed:
            for printed in (0, 1):
                self._attempt.flush(printed)
            line = self.prefix + markup + "\n"
            self._attempt.emit(stream, line.encode("utf-8", "replace"))

    def call(self, request: dict[str, Any]) -> _connection.Result:
        self._calls += 1
        request["number"] = self._calls
        answer = self._attempt.ask(json.dumps({"call": request}).encode())
        if answer is None:
            raise Cancelled(_STOPPED)
        return _connection.unwrap(json.loads(answer))


def discover(root: str, importing: Callable[[str], object]) -> tuple[bytes, dict[str, Entry]]:
    """Returns the description of a directory's actions as JSON, and the callables by name."""
    with _discovering:
        found = _discovery.discover(root, (), importing)
    return found.as_json(), found.entries()


def run(attempt: Attempt, entry: Entry, parameters: str, limit: int) -> None:
    """Runs an attempt on this thread, and stores the reply in it."""
    # In a new context: the next attempt must not see the context variables of this one.
    contextvars.Context().run(_run_in_context, attempt, entry, parameters, limit)


def _run_in_context(attempt: Attempt, entry: Entry, parameters: str, limit: int) -> None:
    _current.set(attempt)
    _context.current_context.set(attempt.context)
    try:
        try:
            with attempt.lock:
                attempt.thread = threading.get_ident()
                attempt.running = True
                if attempt.stopped:
                    raise Cancelled("the attempt was asked to end before it began")
            value = _run.call(entry, _decode(parameters)[0], attempt, attempt.context)
            attempt.reply = _run.succeeded(value, limit)
        finally:
            with attempt.lock:
                attempt.running = False
    except BaseException as error:
        # A stop that arrives after the reply does not replace it.
        if attempt.reply is None:
            attempt.reply = _run.failed(error, attempt)


def finish(attempt: Attempt) -> bytes | None:
    """Flushes the output of an attempt and returns its reply.

    Clears an exception that is pending for this thread. The caller calls this function again if
    the exception is raised in it.
    """
    with attempt.lock:
        attempt.running = False
    if attempt.stopped and attempt.thread is not None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(attempt.thread), None)
    for stream in (0, 1):
        attempt.flush(stream)
    attempt.closed = True
    attempt.context._attempt.close()
    return attempt.reply


def stop(attempt: Attempt) -> None:
    """Asks an attempt to end, from another thread.

    `Cancelled` is raised in the attempt as soon as it runs Python code.
    """
    with attempt.lock:
        if attempt.stopped:
            return
        attempt.stopped = True
        if attempt.running and attempt.thread is not None:
            _interrupt(attempt, attempt.thread)


def _stop_again(dropped: BaseException | None) -> Callable[[], object] | None:
    """Returns what asks this thread's attempt to end again; None if no request was dropped."""
    attempt = _current.get()
    # What another thread raises has no arguments, unlike all others.
    is_request = isinstance(dropped, Cancelled) and not dropped.args
    if attempt is None or not attempt.stopped or not is_request:
        return None

    def again() -> None:
        with attempt.lock:
            if attempt.running and attempt.thread is not None:
                _interrupt(attempt, attempt.thread)

    return again


def _interrupt(attempt: Attempt, thread: int) -> None:
    if attempt.shielded:
        attempt.owed = True
    elif attempt.hook is not None:
        attempt.hook()
    else:
        exception = ctypes.py_object(Cancelled)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), exception)


class _Shield:
    """A block that defers a request to end."""

    def __enter__(self) -> None:
        self._attempt = _current.get()
        if self._attempt is not None:
            with self._attempt.lock:
                self._attempt.shielded = True

    def __exit__(self, *_: object) -> None:
        if self._attempt is not None:
            with self._attempt.lock:
                is_owed = self._attempt.owed
                self._attempt.shielded = self._attempt.owed = False
            if is_owed:
                raise Cancelled(_STOPPED)


class _Stream:
    """Replaces `sys.stdout` or `sys.stderr`: output of an attempt goes to its log.

    Other output goes to the original stream.
    """

    is_log_of_attempt = True

    def __init__(self, original: Any, number: int) -> None:
        self._original = original
        self._number = number
        self.encoding = "utf-8"
        self.errors = "backslashreplace"

    def write(self, text: str) -> Any:
        attempt = _current.get()
        if attempt is None or attempt.closed:
            return self._original.write(text)
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        attempt.write(self._number, text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        attempt = _current.get()
        if attempt is None or attempt.closed:
            self._original.flush()
        else:
            attempt.flush(self._number)

    def isatty(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    @property
    def buffer(self) -> _Bytes:
        return _Bytes(self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)


class _Bytes:
    """The `buffer` of a `_Stream`."""

    def __init__(self, stream: _Stream) -> None:
        self._text = stream

    def write(self, data: bytes) -> int:
        self._text.write(bytes(data).decode("utf-8", "replace"))
        return len(data)

    def flush(self) -> None:
        self._text.flush()


def install(mark: str) -> None:
    """Replaces the streams, and makes threads inherit the attempt that starts them.

    mark: the mark of markup lines.
    """
    _Channel.prefix = _channel.markup_prefix(mark)
    _command.shield = _Shield
    _swallowed.bring_back(_stop_again)
    streams: tuple[Any, Any] = (_Stream(sys.stdout, 0), _Stream(sys.stderr, 1))
    sys.stdout, sys.stderr = streams
    start = threading.Thread.start

    def start_in_attempt(self: Any) -> None:
        if _current.get() is not None:
            context, run_thread = contextvars.copy_context(), self.run
            self.run = lambda: context.run(run_thread)
        start(self)

    thread_class: Any = threading.Thread
    thread_class.start = start_in_attempt


def use(
    path: Iterable[os.PathLike[str]],
    sites: Iterable[os.PathLike[str]],
    prefix: os.PathLike[str],
    executable: os.PathLike[str],
) -> None:
    """Makes the packages of a virtual environment importable, and no others."""
    import site

    # An import looks at texts only.
    sys.path[:] = map(os.fspath, path)
    for folder in sites:
        site.addsitedir(os.fspath(folder))
    sys.prefix = sys.exec_prefix = os.fspath(prefix)
    sys.executable = os.fspath(executable)
