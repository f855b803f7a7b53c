"""A worker: a function that answers requests, its threads, and its shutdown."""

from __future__ import annotations

import inspect
import logging
import queue
import signal
import threading
import time
import traceback
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

from .link import Daemon, Link
from .messages import Head, Protocol
from .session import Session
from .values import Obj, Value
from .wire import Malformed, NotEncodable

MESSAGE_CHARACTERS = 4096
LAST_WORDS = 2.0
"""The time for which a worker that ends waits for the replies to its last messages."""

logger = logging.getLogger("tinpot_moor")

F = TypeVar("F", bound=Callable[..., Any])


class RequestError(Exception):
    """Ends a request with an error of MOO, E_INVARG. Its subclasses end it with others."""

    kind = "WorkerRequestError"


class InvalidRequest(RequestError):
    """The arguments are wrong: E_INVARG."""

    kind = "WorkerInvalidRequest"


class PermissionDenied(RequestError):
    """The request is not allowed: E_PERM."""

    kind = "WorkerPermissionDenied"


class InternalError(RequestError):
    """The worker is at fault: E_EXEC."""

    kind = "WorkerInternalError"


class TimedOut(RequestError):
    """The time of the request is over: E_QUOTA."""

    kind = "WorkerRequestTimedOut"


@dataclass(frozen=True)
class Request:
    """A request, for functions whose first parameter has this type."""

    id: UUID
    perms: Obj
    """The object with whose permissions the task runs that asks."""
    deadline: float
    """The end of its time, on the clock of `time.monotonic`."""
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set when no answer is expected any more."""

    def remaining(self) -> float:
        """Returns the seconds that are left: at least a little, for time limits of libraries."""
        return max(self.deadline - time.monotonic(), 0.001)

    def check(self) -> None:
        """Raises `TimedOut` if no answer is expected any more. Call it in loops."""
        if self.stopping.is_set():
            raise TimedOut("the request has ended")


@dataclass(eq=False)
class _Job:
    request: Request
    arguments: list[Value]
    is_answered: bool = False


class Worker:
    """A worker of one type.

    Each request runs in a thread, `slots` of them at a time; `waiting` more may wait for a slot.
    A request gets `timeout` seconds, or less if the daemon says so. A thread cannot be ended: a
    function that exceeds its time is answered for, and keeps its slot until it returns.
    """

    def __init__(
        self,
        worker_type: str,
        *,
        slots: int = 4,
        waiting: int = 100,
        timeout: float = 60.0,
        grace: float = 10.0,
        reply_timeout: float = 5.0,
        silence: float = 15.0,
    ) -> None:
        if not worker_type:
            raise ValueError("a worker type must have a name")
        if slots < 1:
            raise ValueError(f"slots must be at least 1 (got {slots})")
        self.id = uuid.uuid4()
        """The id of the worker, a new one for each process."""
        self.type, self.slots, self.waiting = worker_type, slots, waiting
        self.timeout, self.grace = timeout, grace
        self.reply_timeout, self.silence = reply_timeout, silence
        self._begin(Daemon())
        self._function: Callable[..., Any] | None = None
        self._takes_request = False
        self._jobs: dict[UUID, _Job] = {}
        self._queue: deque[_Job] = deque()
        self._running = 0
        self._done: queue.SimpleQueue[tuple[_Job, list[bytes], bool]] = queue.SimpleQueue()
        self._link: Link | None = None
        self._stops = 0
        self._stopped_at: float | None = None
        self._complaints = 0
        self._quiet_until = 0.0

    def serve(self, function: F) -> F:
        """Decorates the function that answers requests. It is called with their arguments.

        A first parameter of type `Request` is the request.
        """
        if self._function is not None:
            raise ValueError("a worker has one function: a type of requests of its own is a worker")
        first = next(iter(inspect.signature(function).parameters.values()), None)
        annotation = None if first is None else first.annotation
        # It is a text where annotations are not evaluated.
        is_text = isinstance(annotation, str) and annotation.rpartition(".")[2] == "Request"
        self._takes_request = annotation is Request or is_text
        self._function = function
        return function

    def _begin(self, daemon: Daemon) -> None:
        self._protocol = Protocol(self.type, self.id, daemon.key)
        self._session = Session(self._protocol, self.reply_timeout, self.silence)

    def run(self, daemon: Daemon | None = None) -> None:
        """Serves until SIGTERM, SIGINT or `stop`. Raises `Refused` if the daemon does.

        A worker runs once.
        """
        if self._function is None:
            raise ValueError("the worker has no function: decorate one with @worker.serve")
        daemon = daemon or Daemon()
        daemon.check()
        self._begin(daemon)
        self._link = Link(daemon)
        try:
            with self._signals(self._link):
                while not self._session.is_over:
                    self._step(self._link, time.monotonic())
        finally:
            for job in self._jobs.values():
                job.request.stopping.set()
            self._link.close()

    def stop(self) -> None:
        """Ends the worker: running requests may end within `grace`. A second call ends it at once.

        Any thread and any signal handler may call this.
        """
        self._stops += 1
        if self._link is not None:
            self._link.wake()

    @contextmanager
    def _signals(self, link: Link) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        chosen = (signal.SIGTERM, signal.SIGINT)
        before = [signal.signal(number, lambda *_: self.stop()) for number in chosen]
        # A signal that comes just before the poll does not interrupt it, and its handler waits for
        # the end of the poll. The byte that Python writes at once ends it.
        descriptor = signal.set_wakeup_fd(link.waker, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(descriptor)
            for number, handler in zip(chosen, before):
                signal.signal(number, handler)

    # The loop.

    def _step(self, link: Link, now: float) -> None:
        self._end_what_is_over(now)
        self._shut_down(now)
        session = self._session
        if session.is_stuck(now):
            session.lost()
            link.reconnect()
        if session.is_deaf(now):
            logger.warning("no ping for %g s; connecting again", session.silence)
            link.subscribe()
            link.reconnect()
            session.resubscribed(now)
        frames = session.turn(now)
        if frames is not None:
            link.send(frames)
        if session.is_over:
            return
        reply, published = link.poll(self._next_deadline(now) - now)
        now = time.monotonic()
        if reply is not None:
            session.replied(now, reply)
        for frames in published:
            self._published(now, frames)
        self._collect()

    def _next_deadline(self, now: float) -> float:
        times = [now + 60.0]
        times += [job.request.deadline for job in self._jobs.values() if not job.is_answered]
        if self._stopped_at is not None:
            ends = (self.grace, self.grace + LAST_WORDS, LAST_WORDS)
            times += [self._stopped_at + end for end in ends if self._stopped_at + end > now]
        due = self._session.deadline()
        return min(times if due is None else [*times, due])

    def _shut_down(self, now: float) -> None:
        if not self._stops:
            return
        if self._stopped_at is None:
            logger.info("stopping; %d requests run", self._running)
            self._stopped_at = now
            while self._queue:
                job = self._queue.popleft()
                self._fail(job, InternalError("the worker shuts down"))
                del self._jobs[job.request.id]
        if self._stops > 1:
            self._stopped_at = min(self._stopped_at, now - self.grace)
        if now >= self._stopped_at + self.grace:
            for job in list(self._jobs.values()):
                self._fail(job, InternalError("the worker shuts down"))
        if all(job.is_answered for job in self._jobs.values()):
            self._session.detach()
        # A request may overtake the reply to the attach, after which it can be answered.
        is_known = self._session.is_attached or bool(self._jobs)
        patience = LAST_WORDS + (self.grace if is_known else 0)
        if now >= self._stopped_at + patience or (self._stops > 1 and not is_known):
            self._session.is_over = True

    # Requests.

    def _published(self, now: float, frames: list[bytes]) -> None:
        try:
            name, body = self._protocol.published(frames)
        except Malformed as error:
            self._complain(now, f"a publication cannot be read: {error}")
            return
        if name == "PingWorkers":
            self._session.pinged(now)
        elif name == "PleaseDie":
            if body["worker_id"] == self.id:
                logger.info("the daemon asks this worker to end")
                self._stops += 1
        elif body.worker_id == self.id:
            self._requested(now, body, frames)

    def _requested(self, now: float, head: Head, frames: list[bytes]) -> None:
        if head.request_id in self._jobs:
            self._complain(now, f"request {head.request_id} came twice")
            return
        limit = self.timeout if head.timeout is None else min(self.timeout, head.timeout)
        job = _Job(Request(head.request_id, head.perms, now + limit), [])
        try:
            job.arguments = self._protocol.arguments(frames)
        except Malformed as error:
            self._fail(job, InvalidRequest(f"the request cannot be read: {error}"))
            return
        if self._stops:
            self._fail(job, InternalError("the worker shuts down"))
        elif self._running >= self.slots and len(self._queue) >= self.waiting:
            self._fail(job, InternalError(f"the worker is busy: {len(self._queue)} requests wait"))
        else:
            self._jobs[head.request_id] = job
            self._queue.append(job)
            self._start()

    def _start(self) -> None:
        while self._queue and self._running < self.slots:
            job = self._queue.popleft()
            self._running += 1
            name = f"request-{job.request.id}"
            threading.Thread(target=self._work, args=(job,), name=name, daemon=True).start()

    def _work(self, job: _Job) -> None:
        try:
            frames, is_result = self._outcome(job)
        except BaseException:  # an error may even fail to say what it is
            logger.exception("request %s fails", job.request.id)
            error = InternalError("the function has raised an error without a text")
            frames, is_result = self._error(job, error), False
        self._done.put((job, frames, is_result))
        if self._link is not None:
            self._link.wake()

    def _outcome(self, job: _Job) -> tuple[list[bytes], bool]:
        function, arguments = self._function, [*job.arguments]
        assert function is not None
        if self._takes_request:
            arguments.insert(0, job.request)  # type: ignore[arg-type]
        try:
            try:
                bound = inspect.signature(function).bind(*arguments)
            except TypeError as error:
                raise InvalidRequest(f"{function.__name__}: {error}") from None
            value = function(*bound.args, **bound.kwargs)
            return self._protocol.result(job.request.id, value), True
        except NotEncodable as error:
            return self._error(job, InternalError(f"the result cannot be sent: {error}")), False
        except RequestError as error:
            return self._error(job, error), False
        except BaseException as error:  # a function may raise anything
            logger.exception("request %s fails", job.request.id)
            last = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{last.filename.rpartition('/')[2]}:{last.lineno}"
            return self._error(
                job, RequestError(f"{type(error).__name__}: {error} ({place})")
            ), False

    def _collect(self) -> None:
        while not self._done.empty():
            job, frames, is_result = self._done.get()
            self._running -= 1
            self._jobs.pop(job.request.id, None)
            if not job.is_answered:
                job.is_answered = True
                self._session.answer(job.request.id, frames, is_result)
        self._start()

    def _end_what_is_over(self, now: float) -> None:
        for job in list(self._jobs.values()):
            if not job.is_answered and now >= job.request.deadline:
                waited = " before it could start" if job in self._queue else ""
                self._fail(job, TimedOut(f"the request has exceeded its time{waited}"))
                if waited:
                    self._queue.remove(job)
                    del self._jobs[job.request.id]

    def _fail(self, job: _Job, error: RequestError) -> None:
        if job.is_answered:
            return
        job.is_answered = True
        job.request.stopping.set()
        self._session.answer(job.request.id, self._error(job, error))

    def _error(self, job: _Job, error: RequestError) -> list[bytes]:
        text = (str(error) or type(error).__name__)[:MESSAGE_CHARACTERS]
        text = text.encode("utf-8", "replace").decode()
        return self._protocol.error(job.request.id, error.kind, text)

    def _complain(self, now: float, what: str) -> None:
        """Logs at most one line per second: what is published is for all workers."""
        self._complaints += 1
        if now >= self._quiet_until:
            logger.warning("%s (%d such lines)", what, self._complaints)
            self._complaints, self._quiet_until = 0, now + 1.0
