"""A worker: its actions, its attempts, and its connections."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import logging
import os
import signal
import threading
import time
import traceback
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, overload

from .identity import Identity
from .logs import Log, Logs
from .machine import Machine, Stop
from .messages import VERSION, Dispatch, Epoch, Fence, Malformed, Message, encode, read_frame
from .mqtt import Connection
from .seal import CONTROL, LOGS, Sessions

LANES = ("control", "logs")
FRAME_BYTES = 4 * 1024 * 1024 - 16
FRAME_MESSAGES = 512
RESULT_BYTES = 1024 * 1024
FAILURE_CHARACTERS = 64 * 1024
LAST_LINES = 5.0
"""The time for which a worker that ends waits for its last acknowledgements."""
EXIT_FENCED = 70

logger = logging.getLogger("tinpot_worker")

F = TypeVar("F", bound=Callable[..., Any])


class Cancelled(BaseException):
    """Ends an action that was asked to end: `Context.check` raises it."""


class Permanent(Exception):
    """A failure after which the execution is not retried."""


class Context:
    """The attempt that an action runs in. Any thread may use it."""

    def __init__(self, dispatch: Dispatch, log: Log) -> None:
        self.execution = dispatch.execution
        """The id of the execution."""
        self.attempt = dispatch.attempt
        """The number of the attempt, from 1."""
        self.fence = str(dispatch.fence)
        """The identity of the attempt. Those of later attempts are greater."""
        self.stopping = threading.Event()
        """Set when the attempt is asked to end."""
        self._dispatch, self._log = dispatch, log
        self._task: asyncio.Task[Any]
        self._killed = False

    def log(self, message: str, level: str = "info", **fields: Any) -> None:
        """Writes a line with structured fields. Levels: debug, info, warning, error."""
        self._log.write(message, "log", level, fields or None)

    def print(self, text: str) -> None:
        """Writes lines as the output of the action."""
        self._log.write(text, "stdout", "info")

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Reports progress. The last report counts."""
        report: Message = {"done": float(done), "message": message}
        if total is not None:
            report["total"] = float(total)
        self._log.progress = report
        self._log.wake()

    def check(self) -> None:
        """Raises `Cancelled` if the attempt is asked to end. For functions without `await`."""
        if self.stopping.is_set():
            raise Cancelled


class Worker:
    """A worker of Tinpot. Actions are coroutines, which end at an `await`, or plain functions.

    A plain function runs in a thread. It ends early only if it calls `Context.check`. If a
    *retryable* attempt does not end in time, the process exits: another worker may run it then.
    """

    def __init__(
        self,
        broker: str = "mqtt://localhost:1883",
        *,
        name: str = "python",
        slots: int = 1,
        queues: list[str] | None = None,
        namespace: str = "tinpot",
        identity: Identity | None = None,
        patience: float = 10.0,
    ) -> None:
        self.identity = identity
        if identity is not None:
            name, namespace, broker = identity.name, identity.namespace, identity.broker or broker
        self.broker, self.namespace, self.patience = broker, namespace, patience
        safe = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in name)
        self.id = f"{safe[:64]}-{uuid.uuid4().hex[:8]}"
        hello: Message = {"name": name, "slots": slots, "queues": queues or [], "groups": []}
        hello.update(version=VERSION, started_at=time.time_ns() // 1000, offer={"actions": []})
        self._hello = hello
        self._functions: dict[str, tuple[Callable[..., Any], bool]] = {}
        """The call of each action, which takes the context first; true if it is a coroutine."""
        self._attempts: dict[Fence, Context] = {}
        self._out: list[Message] = []
        self._links: list[Connection] = []
        self._sessions: Sessions | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._turn_is_due = False

    @overload
    def action(self, function: F, **options: Any) -> F: ...

    @overload
    def action(self, function: None = None, **options: Any) -> Callable[[F], F]: ...

    def action(self, function: F | None = None, **options: Any) -> F | Callable[[F], F]:
        """Offers a function: `@worker.action` or `@worker.action(timeout=60)`.

        A first parameter of type `Context` is the attempt. The options are `name`, `group`,
        `queue`, `schema`, `timeout` in seconds, and `retry`, a policy as in the protocol.
        """
        if function is None:
            return lambda function: self.action(function, **options)
        self._offer(function, **options)
        return function

    def _offer(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        group: str = "default",
        queue: str = "default",
        schema: Message | None = None,
        timeout: float | None = None,
        retry: Message | None = None,
    ) -> None:
        action: Message = {"name": name or function.__name__, "group": group, "queue": queue}
        action["description"] = inspect.getdoc(function) or ""
        action["schema"] = schema_of(function) if schema is None else schema
        if timeout is not None:
            action["timeout_ms"] = int(timeout * 1000)
        if retry is not None:
            action["retry"] = retry
        call = function if takes_context(function) else lambda _, /, **rest: function(**rest)
        self._functions[action["name"]] = (call, inspect.iscoroutinefunction(function))
        self._hello["offer"]["actions"].append(action)

    # Life.

    async def run(self, signals: bool = True) -> None:
        """Runs until SIGTERM, SIGINT, `drain`, or the coordinator asks the worker to drain."""
        loop = self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._machine = Machine(self._hello, self, self.patience)
        self._logs = Logs()
        self._threads = ThreadPoolExecutor(self._hello["slots"], "tinpot-action")
        login = None
        if self.identity is not None:
            login, pins = self.identity.login, self.identity.coordinator_keys
            self._sessions = Sessions(self.id, self.identity.key, self.namespace, pins)
        base = f"{self.namespace}/worker/{self.id.rpartition('-')[0]}/{self.id}"
        self._up = [f"{base}/up/{lane}" for lane in LANES]
        for lane, on_up in enumerate((self._link_up, self._turn)):
            topics = [f"{base}/down/{LANES[lane]}", f"{self.namespace}/workers/{LANES[lane]}"]
            take, client = functools.partial(self._take, lane), f"{self.id}-{LANES[lane]}"
            self._links.append(Connection(self.broker, client, topics, on_up, take, login))
        if signals:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self.drain)
        try:
            await self._ended.wait()
            logger.info("the worker has drained")
            await self._last_lines()
        finally:
            if self._timer is not None:
                self._timer.cancel()
            await asyncio.gather(*(link.close() for link in self._links))
            self._threads.shutdown(wait=False)

    def drain(self) -> None:
        """Takes nothing new, and ends once everything is reported."""
        self._machine.drain(self._loop.time())
        self._turn()

    async def _last_lines(self) -> None:
        until = self._loop.time() + LAST_LINES
        while self._logs and self._loop.time() < until:
            await asyncio.sleep(0.02)
            self._flush_logs()
        self.send(self._machine.goodbye())
        self._flush(CONTROL, self._out)
        self._out = []

    # Frames.

    def _link_up(self) -> None:
        now = self._loop.time()
        if self._sessions is not None:
            self._sessions.link_up(now)
        if self._sessions is None or self._sessions.open:
            self._machine.link_up(now)
        self._turn()

    def _take(self, lane: int, frame: bytes) -> None:
        receive = self._machine.receive if lane == CONTROL else self._logs.receive
        try:
            for message in self._open(lane, frame):
                try:
                    receive(self._loop.time(), message)
                except Malformed as error:
                    logger.warning("a message was skipped: %s", error)
        except Malformed as error:
            logger.info("a frame was dropped: %s", error)
        self._turn()

    def _open(self, lane: int, frame: bytes) -> list[Message]:
        if self._sessions is None:
            if frame[:4] == b"TPF1":
                # A notice, or a frame for a worker that has joined.
                raise Malformed("the coordinator takes sealed frames: this worker has not joined")
            return read_frame(frame, self.id)
        opened = self._sessions.read(self._loop.time(), lane, frame)
        if isinstance(opened, Epoch):
            # The coordinator seals with a session only once it has opened a frame in it.
            self._machine.link_up(self._loop.time())
        return read_frame(opened, self.id) if isinstance(opened, bytes) else []

    def _flush(self, lane: int, messages: list[Message]) -> None:
        if not messages or not self._links[lane].is_up:
            # They are sent again.
            return
        parts: list[bytes] = []
        size = 0
        for part in map(encode, messages):
            if parts and (len(parts) >= FRAME_MESSAGES or size + len(part) > FRAME_BYTES - 256):
                self._publish(lane, parts)
                parts, size = [], 0
            parts.append(part)
            size += len(part) + 1
        self._publish(lane, parts)

    def _publish(self, lane: int, parts: list[bytes]) -> None:
        document = b'{"v":1,"from":"%b","messages":[%b]}' % (self.id.encode(), b",".join(parts))
        sealed = [document] if self._sessions is None else self._sessions.seal(lane, document)
        for frame in sealed:
            self._links[lane].publish(self._up[lane], frame)

    def _flush_logs(self) -> None:
        if self._links[LOGS].is_up:
            self._flush(LOGS, self._logs.due(self._loop.time()))

    def _turn(self) -> None:
        """Has everything sent that is ready once the present callbacks have run.

        Any thread may call it. Lines that are written together travel together.
        """
        if not self._turn_is_due:
            self._turn_is_due = True
            self._loop.call_soon_threadsafe(self._end_turn)

    def _end_turn(self) -> None:
        self._turn_is_due = False
        now = self._loop.time()
        if self._sessions is not None:
            init = self._sessions.tick(now)
            if init is not None:
                self._links[CONTROL].publish(self._up[CONTROL], init)
                if self._sessions.unanswered % 15 == 5:
                    logger.warning("no coordinator answers: is one running, and the key enrolled?")
        if self._machine.wake_at() <= now:
            self._machine.tick(now)
        out, self._out = self._out, []
        self._flush(CONTROL, out)
        self._flush_logs()
        if self._machine.draining and not self._machine.held:
            self._ended.set()
        wake = min(self._machine.wake_at(), self._logs.wake_at())
        if self._sessions is not None:
            wake = min(wake, self._sessions.due)
        if self._timer is not None:
            self._timer.cancel()
        # Without a connection, nothing is urgent.
        floor = now + (0.001 if self._links[CONTROL].is_up else 0.1)
        # Without anything to do, it wakes up now and then.
        self._timer = self._loop.call_at(min(max(wake, floor), now + 60), self._turn)

    # What the machine asks for.

    def send(self, message: Message) -> None:
        """Sends a message at the end of this turn."""
        self._out.append(message)

    def start(self, dispatch: Dispatch) -> None:
        """Starts an attempt."""
        log = self._logs[dispatch.fence] = Log(dispatch.fence, self._turn)
        context = self._attempts[dispatch.fence] = Context(dispatch, log)
        context._task = self._loop.create_task(self._outcome(context))
        context._task.add_done_callback(functools.partial(self._finished, context))

    def stop(self, fence: Fence, reason: Stop, grace: float) -> None:
        """Asks an attempt to end."""
        self._ask_to_end(self._attempts[fence])
        self._loop.call_later(grace, self._grace_is_over, fence, reason)

    def _ask_to_end(self, context: Context) -> None:
        context.stopping.set()
        if self._functions[context._dispatch.action][1]:
            context._task.cancel()

    def _grace_is_over(self, fence: Fence, reason: Stop) -> None:
        context = self._attempts.get(fence)
        if context is None:
            return
        context._killed = True
        self._ask_to_end(context)
        if reason is Stop.FENCED and context._dispatch.retryable:
            why = "does not end, and another worker may run it"
            logger.critical("the process exits: %s (%s) %s", context._dispatch.action, fence, why)
            os._exit(EXIT_FENCED)

    def forget(self, fence: Fence) -> None:
        """Drops the log of an attempt."""
        self._logs.pop(fence, None)

    # Attempts.

    def _finished(self, context: Context, task: asyncio.Task[Any]) -> None:
        fence, log = context._dispatch.fence, context._log
        del self._attempts[fence]
        # A task that is cancelled before its first step has no result.
        outcome = "cancelled" if task.cancelled() else task.result()
        log.finished = True
        self._machine.finished(self._loop.time(), fence, outcome, log.last_seq, context._killed)
        self._turn()

    async def _outcome(self, context: Context) -> Any:
        function, is_coroutine = self._functions[context._dispatch.action]
        call = functools.partial(function, context, **context._dispatch.parameters)
        try:
            if is_coroutine:
                value = await call()
            else:
                value = await self._loop.run_in_executor(self._threads, call)
        except (asyncio.CancelledError, Cancelled):
            if context.stopping.is_set():
                return "cancelled"
            return failed("CancelledError", "the action cancelled itself")
        except BaseException as error:  # noqa: BLE001 an action may raise anything
            details: Message = {"traceback": _shown(traceback.format_exc())}
            if isinstance(error, Permanent):
                details["permanent"] = True
            return failed(type(error).__name__, str(error), **details)
        try:
            size = len(encode(value))
        except (ValueError, TypeError, RecursionError) as error:
            return failed("ResultError", f"the result has no JSON form: {error}", permanent=True)
        if size > RESULT_BYTES:
            message = f"the result has {size} bytes; at most {RESULT_BYTES} are taken"
            return failed("ResultTooLarge", message, code="result_too_large")
        return {"succeeded": value}


def failed(kind: str, message: str, **details: Any) -> Message:
    """Returns the outcome of an action that failed."""
    return {"failed": {"kind": kind, "message": _shown(message), **details}}


def _shown(text: str) -> str:
    return text[:FAILURE_CHARACTERS].encode("utf-8", "replace").decode("utf-8")


def takes_context(function: Callable[..., Any]) -> bool:
    """Returns true if the first parameter of a function is the context."""
    first = next(iter(inspect.signature(function).parameters.values()), None)
    return first is not None and first.annotation in (Context, "Context")


TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}
TYPES.update({"list": "array", "dict": "object"})


def schema_of(function: Callable[..., Any]) -> Message:
    """Returns the schema of a function's parameters: simple types, and anything for others."""
    properties: Message = {}
    parameters = list(inspect.signature(function).parameters.values())[takes_context(function) :]
    for parameter in parameters:
        annotation = parameter.annotation
        type_name = annotation if isinstance(annotation, str) else annotation.__name__
        kind = TYPES.get(type_name.partition("[")[0])
        properties[parameter.name] = {} if kind is None else {"type": kind}
        if parameter.default is not parameter.empty:
            with contextlib.suppress(ValueError, TypeError):
                encode(parameter.default)
                properties[parameter.name]["default"] = parameter.default
    required = [it.name for it in parameters if it.default is it.empty]
    schema: Message = {"type": "object", "properties": properties, "required": required}
    return {**schema, "additionalProperties": False}
