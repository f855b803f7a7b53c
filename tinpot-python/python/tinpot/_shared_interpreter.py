"""Runs many coroutines at once in one interpreter: the actions with `concurrency`."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import functools
import os
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

from tinpot import _channel, _connection, _context, _run, _text
from tinpot._discovery import Discovery
from tinpot._errors import ActionError

# The longest line from the worker, which bounds parameters and results of children itself.
_MAX_LINE_BYTES = 512 * 1024 * 1024
# The most characters of printed text in one markup line.
_MAX_PIECE = 15 * 1024
# The seconds after which text without a line end is sent.
_FLUSH_AFTER = 0.02


def serve(
    connection: _connection.Connection, found: Discovery, limit: int, mark: str, tmp: str
) -> None:
    """Runs attempts until the worker closes the connection."""
    asyncio.run(_Loop(found, limit, mark, tmp).run(connection))


class _Loop:
    def __init__(self, found: Discovery, limit: int, mark: str, tmp: str) -> None:
        self.mark = mark
        self.tmp = tmp
        self._found = found
        self._entries = found.entries()
        self._limit = limit
        self._tasks: dict[int, tuple[_run.Control, asyncio.Task[None]]] = {}
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._calls = 0
        self._replies: asyncio.WriteTransport | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def call_later(self, seconds: float, call: Callable[[], object]) -> None:
        """Calls a function on the event loop; any thread may ask for that."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.call_later, seconds, call)

    async def run(self, connection: _connection.Connection) -> None:
        """Reads requests and starts a task for each attempt."""
        self._loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_MAX_LINE_BYTES)
        await self._loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), connection.requests.raw
        )
        replies = os.fdopen(connection.replies_fd, "wb", 0)
        self._replies, _ = await self._loop.connect_write_pipe(asyncio.Protocol, replies)
        streams: tuple[Any, Any] = (_Stream(sys.stdout, 0), _Stream(sys.stderr, 1))
        sys.stdout, sys.stderr = streams
        _pass_context_to_threads(self._loop)
        while True:
            line = await reader.readline()
            if not line:
                return
            request = _text.loads(line)
            if "called" in request:
                answer = self._answers.pop(request["called"], None)
                if answer is not None and not answer.done():
                    answer.set_result(request)
            elif "cancel" in request:
                running = self._tasks.get(request["cancel"])
                if running is not None:
                    control, task = running
                    control.stopped = True
                    task.cancel()
            else:
                control = _run.Control()
                task = asyncio.create_task(self._attempt(request, control))
                self._tasks[request["id"]] = (control, task)

    def _write(self, line: bytes) -> None:
        if self._replies is not None:
            self._replies.write(line)

    async def _attempt(self, request: dict[str, Any], control: _run.Control) -> None:
        number = request["id"]
        channel = _Channel(self, number, control)
        attempt = _channel.Attempt(
            channel,
            request.get("execution"),
            request.get("fence"),
            request.get("attempt", 1),
            request.get("traceparent"),
            request.get("uploads"),
        )
        context = _context.Context(attempt)
        # Each task has a copy of the context variables.
        _context.current_context.set(context)
        try:
            entry = self._entries.get(request["action"])
            if entry is None:
                reply = _run.unknown(request["action"], self._found)
            else:
                value = await entry.call(request["parameters"], context)
                reply = _run.succeeded(value, self._limit)
        except BaseException as error:
            reply = _run.failed(error, control)
        finally:
            self._tasks.pop(number, None)
        channel.end()
        attempt.close()
        self._write(b'{"id":%d,' % number + reply[1:] + b"\n")

    async def call(self, number: int, request: dict[str, Any]) -> _connection.Result:
        """Calls an action for the attempt with that number."""
        self._calls += 1
        request["number"] = self._calls
        request["id"] = number
        self._answers[self._calls] = answer = asyncio.get_running_loop().create_future()
        self._write(b'{"call":' + _text.dumps(request, allow_nan=False).encode() + b"}\n")
        return _connection.unwrap(await answer)


def _pass_context_to_threads(loop: Any) -> None:
    """Makes the threads of `run_in_executor` belong to the attempt, as those of `to_thread` do."""
    run_in_executor = loop.run_in_executor

    def run_in_context(executor: Any, call: Callable[..., Any], *args: Any) -> Any:
        # Another process cannot get a context.
        if executor is None or isinstance(executor, concurrent.futures.ThreadPoolExecutor):
            call = functools.partial(contextvars.copy_context().run, call)
        return run_in_executor(executor, call, *args)

    loop.run_in_executor = run_in_context


class _Channel(_channel.PipeChannel):
    """Markup lines that name their attempt."""

    def __init__(self, loop: _Loop, number: int, control: _run.Control) -> None:
        super().__init__(loop.mark, None, control, loop.tmp)
        self._loop = loop
        self._number = number
        self._parts = ["", ""]
        # Threads of the attempt may print too.
        self._lock = threading.RLock()
        self._will_flush = False

    def send(self, markup: str) -> None:
        with self._lock:
            self._flush()
            self.write_mark(f'{{"a":{self._number},{markup[1:]}')

    def enter_step(self, number: int) -> None:
        # Each piece of text names its step.
        pass

    def write(self, stream: int, text: str) -> None:
        with self._lock:
            whole, end, rest = (self._parts[stream] + text).rpartition("\n")
            self._parts[stream] = rest
            if end:
                self._send_text(stream, whole + end)
            if len(rest) > _MAX_PIECE:
                self.flush(stream)
            elif rest and not self._will_flush:
                self._will_flush = True
                self._loop.call_later(_FLUSH_AFTER, self._flush)

    def flush(self, stream: int) -> None:
        """Sends the part of a line that has no end yet."""
        with self._lock:
            text, self._parts[stream] = self._parts[stream], ""
            if text:
                self._send_text(stream, text)

    def end(self) -> None:
        """Sends the rest; what comes later does not belong to the attempt any more."""
        with self._lock:
            self._flush()
            self.closed = True

    def _flush(self) -> None:
        with self._lock:
            self._will_flush = False
            for stream in (0, 1):
                self.flush(stream)

    def _send_text(self, stream: int, text: str) -> None:
        here = _context.find()
        step = here._step if here is not None and here._attempt.channel is self else 0
        for at in range(0, len(text), _MAX_PIECE):
            piece = _context.escape(text[at : at + _MAX_PIECE])
            self.write_mark(f'{{"a":{self._number},"o":{stream},"m":{piece},"s":{step}}}')

    def call(self, request: dict[str, Any]) -> _connection.Result:
        raise ActionError(
            "this action shares an interpreter with others, which `call` would block:"
            " use `await ctx.call_async(…)`",
            kind="InvalidInput",
        )

    async def call_async(self, request: dict[str, Any]) -> _connection.Result:
        return await self._loop.call(self._number, request)


class _Stream:
    """Replaces `sys.stdout` or `sys.stderr`: output of a coroutine goes to its attempt's log."""

    is_log_of_attempt = True

    def __init__(self, original: Any, number: int) -> None:
        self._original = original
        self._number = number

    def write(self, text: str) -> Any:
        context = _context.find()
        if context is None or context._attempt.channel.closed:
            return self._original.write(text)
        context._attempt.channel.write(self._number, text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        context = _context.find()
        if context is None or context._attempt.channel.closed:
            self._original.flush()
        else:
            context._attempt.channel.flush(self._number)

    def isatty(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)
