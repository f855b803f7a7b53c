"""A worker: its actions, its attempts, and its connections."""

from __future__ import annotations

import asyncio
import contextlib
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
from pathlib import Path
from typing import Any, NoReturn, TypeVar, overload

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from .identity import Identity, JoinRequest, JoinToken
from .logs import Log, Logs
from .machine import Machine, Profile, Stop
from .messages import Dispatch, Epoch, Fence, Malformed, Message, encode, read_frame
from .mqtt import Connection
from .seal import CONTROL, LOGS, Sessions

VERSION = "0.1.0"
LANES = ("control", "logs")
FRAME_BYTES = 4 * 1024 * 1024 - 16
FRAME_MESSAGES = 512
RESULT_BYTES = 1024 * 1024
FAILURE_CHARACTERS = 64 * 1024
JOIN_PATIENCE = 30.0
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
        self._log = log

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
        started_at = time.time_ns() // 1000
        offer: Message = {"actions": []}
        self._profile = Profile(self.id, name, slots, offer, queues or [], [], VERSION, started_at)
        self._functions: dict[str, Callable[..., Any]] = {}
        self._attempts: dict[Fence, tuple[asyncio.Task[Any], Context, Dispatch]] = {}
        self._killed: set[Fence] = set()
        self._out: list[Message] = []
        self._links: list[Connection] = []
        self._sessions: Sessions | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._turn_is_due = False
        self._wakes = threading.Lock()
        self._log_wake_is_due = False

    @overload
    def action(self, function: F, **options: Any) -> F: ...

    @overload
    def action(self, function: None = None, **options: Any) -> Callable[[F], F]: ...

    def action(self, function: F | None = None, **options: Any) -> F | Callable[[F], F]:
        """Offers a function: `@worker.action` or `@worker.action(timeout=60)`.

        A first parameter of type `Context` is the attempt. The options are `name`, `group`,
        `queue`, `schema`, `timeout` in seconds, and `retry`, a policy as in the protocol.
        """
        if function is not None:
            self._offer(function, **options)
            return function

        def offer(function: F) -> F:
            self._offer(function, **options)
            return function

        return offer

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
        action: Message = {
            "name": name or function.__name__,
            "group": group,
            "queue": queue,
            "description": inspect.getdoc(function) or "",
            "schema": schema if schema is not None else schema_of(function),
        }
        if timeout is not None:
            action["timeout_ms"] = int(timeout * 1000)
        if retry is not None:
            action["retry"] = retry
        self._functions[action["name"]] = function
        self._profile.offer["actions"].append(action)

    # Life.

    async def run(self, signals: bool = True) -> None:
        """Runs until SIGTERM, SIGINT, `drain`, or the coordinator asks the worker to drain."""
        loop = self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._machine = Machine(self._profile, self)
        self._logs = Logs(self._log_written)
        self._threads = ThreadPoolExecutor(self._profile.slots, "tinpot-action")
        login: tuple[str | None, str | None] = (None, None)
        if self.identity is not None:
            login = (self.identity.user, self.identity.password)
            pins = self.identity.coordinator_keys
            self._sessions = Sessions(self.id, self.identity.key, self.namespace, pins)
        base = f"{self.namespace}/worker/{self.id.rpartition('-')[0]}/{self.id}"
        self._up = [f"{base}/up/{lane}" for lane in LANES]
        for lane, lane_name in enumerate(LANES):
            topics = [f"{base}/down/{lane_name}", f"{self.namespace}/workers/{lane_name}"]
            self._links.append(
                Connection(
                    self.broker,
                    f"{self.id}-{lane_name}",
                    topics,
                    self._link_up if lane == CONTROL else self._turn,
                    self._take_control if lane == CONTROL else self._take_logs,
                    login,
                )
            )
        if signals:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self.drain)
        try:
            await self._ended.wait()
            await self._last_lines()
        finally:
            if self._timer is not None:
                self._timer.cancel()
            for link in self._links:
                await asyncio.to_thread(link.close)
            self._threads.shutdown(wait=False)

    def drain(self) -> None:
        """Takes nothing new, and ends once everything is reported."""
        self._machine.drain(self._loop.time(), self.patience)
        self._turn()

    async def _last_lines(self) -> None:
        until = self._loop.time() + LAST_LINES
        while not self._logs.is_empty() and self._loop.time() < until:
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
        if self._sessions is None or self._sessions.is_open():
            self._machine.link_up(now)
        self._turn()

    def _take_control(self, frame: bytes) -> None:
        try:
            for message in self._open(CONTROL, frame):
                try:
                    self._machine.receive(self._loop.time(), message)
                except Malformed as error:
                    logger.warning("a message was skipped: %s", error)
        except Malformed as error:
            logger.info("a frame was dropped: %s", error)
        self._turn()

    def _take_logs(self, frame: bytes) -> None:
        try:
            for message in self._open(LOGS, frame):
                self._logs.receive(self._loop.time(), message)
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
            return []
        return [] if opened is None else read_frame(opened, self.id)

    def _flush(self, lane: int, messages: list[Message]) -> None:
        if not messages or not self._links[lane].is_up:
            # They are sent again.
            return
        head = b'{"v":1,"from":"' + self.id.encode() + b'","messages":['
        parts: list[bytes] = []
        size = 0
        for part in map(encode, messages):
            if parts and (len(parts) >= FRAME_MESSAGES or size + len(part) > FRAME_BYTES - 256):
                self._publish(lane, head + b",".join(parts) + b"]}")
                parts, size = [], 0
            parts.append(part)
            size += len(part) + 1
        self._publish(lane, head + b",".join(parts) + b"]}")

    def _publish(self, lane: int, document: bytes) -> None:
        sealed = [document] if self._sessions is None else self._sessions.seal(lane, document)
        for frame in sealed:
            self._links[lane].publish(self._up[lane], frame)

    def _flush_logs(self) -> None:
        if self._links[LOGS].is_up:
            self._flush(LOGS, self._logs.due(self._loop.time()))

    def _log_written(self) -> None:
        # Called by any thread. Lines that are written together travel together.
        with self._wakes:
            if self._log_wake_is_due:
                return
            self._log_wake_is_due = True
        self._loop.call_soon_threadsafe(self._take_lines)

    def _take_lines(self) -> None:
        with self._wakes:
            self._log_wake_is_due = False
        self._turn()

    def _turn(self) -> None:
        """Has everything sent that is ready once the present callbacks have run."""
        if not self._turn_is_due:
            self._turn_is_due = True
            self._loop.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self._turn_is_due = False
        now = self._loop.time()
        if self._sessions is not None:
            init = self._sessions.tick(now)
            if init is not None and self._links[CONTROL].is_up:
                self._links[CONTROL].publish(self._up[CONTROL], init)
            if init is not None and self._sessions.unanswered % 15 == 5:
                logger.warning("no coordinator answers: is one running, and the key enrolled?")
        due = self._machine.wake_at()
        if due is not None and due <= now:
            self._machine.tick(now)
        out, self._out = self._out, []
        self._flush(CONTROL, out)
        self._flush_logs()
        if self._machine.draining and not self._machine.held:
            self._ended.set()
        times = [self._machine.wake_at(), self._logs.wake_at()]
        times.append(None if self._sessions is None else self._sessions.wake_at())
        wake = min((at for at in times if at is not None), default=None)
        if self._timer is not None:
            self._timer.cancel()
        # Without a connection, nothing is urgent.
        floor = now + (0.001 if self._links[CONTROL].is_up else 0.1)
        self._timer = None if wake is None else self._loop.call_at(max(wake, floor), self._turn)

    # What the machine asks for.

    def send(self, message: Message) -> None:
        """Sends a message at the end of this turn."""
        self._out.append(message)

    def start(self, dispatch: Dispatch) -> None:
        """Starts an attempt."""
        context = Context(dispatch, self._logs.open(dispatch.fence))
        task = self._loop.create_task(self._outcome(dispatch, context))
        self._attempts[dispatch.fence] = (task, context, dispatch)
        task.add_done_callback(lambda task: self._finished(dispatch.fence, task))

    def stop(self, fence: Fence, reason: Stop, grace: float) -> None:
        """Asks an attempt to end."""
        task, context, dispatch = self._attempts[fence]
        context.stopping.set()
        if inspect.iscoroutinefunction(self._functions[dispatch.action]):
            task.cancel()
        self._loop.call_later(grace, self._grace_is_over, fence, reason)

    def _grace_is_over(self, fence: Fence, reason: Stop) -> None:
        if fence not in self._attempts:
            return
        task, _, dispatch = self._attempts[fence]
        self._killed.add(fence)
        if inspect.iscoroutinefunction(self._functions[dispatch.action]):
            task.cancel()
        if reason is Stop.FENCED and dispatch.retryable:
            self._exit(f"{dispatch.action} ({fence}) does not end, and another worker may run it")

    def _exit(self, why: str) -> NoReturn:
        logger.critical("the process exits: %s", why)
        os._exit(EXIT_FENCED)

    def forget(self, fence: Fence) -> None:
        """Drops the log of an attempt."""
        self._logs.forget(fence)

    def drain_requested(self) -> None:
        """Drains, since the coordinator asks for it."""
        logger.info("the coordinator asks this worker to drain")
        self._machine.drain(self._loop.time(), self.patience)

    # Attempts.

    def _finished(self, fence: Fence, task: asyncio.Task[Any]) -> None:
        _, context, _ = self._attempts.pop(fence)
        # A task that is cancelled before its first step has no result.
        outcome = "cancelled" if task.cancelled() else task.result()
        killed = fence in self._killed
        self._killed.discard(fence)
        log = context._log
        log.finished = True
        self._machine.finished(self._loop.time(), fence, outcome, log.last_seq, killed)
        self._turn()

    async def _outcome(self, dispatch: Dispatch, context: Context) -> Any:
        function = self._functions[dispatch.action]
        arguments = [context] if takes_context(function) else []
        try:
            if inspect.iscoroutinefunction(function):
                value = await function(*arguments, **dispatch.parameters)
            else:
                value = await self._loop.run_in_executor(
                    self._threads, lambda: function(*arguments, **dispatch.parameters)
                )
        except (asyncio.CancelledError, Cancelled):
            if context.stopping.is_set():
                return "cancelled"
            return failed("CancelledError", "the action cancelled itself")
        except BaseException as error:  # noqa: BLE001 an action may raise anything
            trace = traceback.format_exc()
            return failed(type(error).__name__, str(error), trace, isinstance(error, Permanent))
        try:
            size = len(encode(value))
        except (ValueError, TypeError, RecursionError) as error:
            return failed("ResultError", f"the result has no JSON form: {error}", permanent=True)
        if size > RESULT_BYTES:
            message = f"the result has {size} bytes; at most {RESULT_BYTES} are taken"
            return failed("ResultTooLarge", message, code="result_too_large")
        return {"succeeded": value}


def failed(
    kind: str,
    message: str,
    trace: str | None = None,
    permanent: bool = False,
    code: str | None = None,
) -> Message:
    """Returns the outcome of an action that failed."""
    failure: Message = {"kind": kind, "message": _shown(message)}
    if trace is not None:
        failure["traceback"] = _shown(trace)
    if permanent:
        failure["permanent"] = True
    if code is not None:
        failure["code"] = code
    return {"failed": failure}


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
    required = []
    for parameter in list(inspect.signature(function).parameters.values())[
        takes_context(function) :
    ]:
        annotation = parameter.annotation
        type_name = annotation if isinstance(annotation, str) else annotation.__name__
        kind = TYPES.get(type_name.partition("[")[0])
        properties[parameter.name] = {} if kind is None else {"type": kind}
        if parameter.default is inspect.Parameter.empty:
            required.append(parameter.name)
        else:
            with contextlib.suppress(ValueError, TypeError):
                encode(parameter.default)
                properties[parameter.name]["default"] = parameter.default
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


async def join(
    broker: str,
    token: str,
    name: str,
    *,
    namespace: str = "tinpot",
    save: Path | None = None,
    patience: float = JOIN_PATIENCE,
) -> Identity:
    """Has a new key enrolled with a join token. Raises `JoinRefused`, or TimeoutError."""
    key = Ed25519PrivateKey.generate()
    request = JoinRequest(JoinToken.parse(token.strip()), key, namespace, name, VERSION)
    answered: asyncio.Future[Identity] = asyncio.get_running_loop().create_future()

    def take(frame: bytes) -> None:
        try:
            if not answered.done():
                answered.set_result(request.answer(frame, broker))
        except Malformed as error:
            logger.info("a frame is no answer to the join: %s", error)
        except Exception as error:  # noqa: BLE001 the refusal is the result
            answered.set_exception(error)

    topics = [f"{namespace}/join/{request.joiner}/down"]
    login = ("join", "") if "@" not in broker else (None, None)
    link = Connection(broker, f"{request.joiner}-control", topics, lambda: None, take, login)
    try:
        until = asyncio.get_running_loop().time() + patience
        while not answered.done() and asyncio.get_running_loop().time() < until:
            link.publish(f"{namespace}/join/{request.joiner}/up", request.frame)
            await asyncio.wait([answered], timeout=1.0 if link.is_up else 0.1)
    finally:
        await asyncio.to_thread(link.close)
    if not answered.done():
        raise TimeoutError(link.refusal or "no coordinator answered the join")
    identity = answered.result()
    if save is not None:
        identity.save(save)
    return identity
