"""Runs of actions, and servers, for tests. With pytest, use the fixtures of `tinpot.pytest_plugin`.

run = run_action(backup, "db1", days=1)
assert run.value == 3 and run.lines[-1] == "done"
"""

from __future__ import annotations

import base64
import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from tinpot import _channel, _context, _encode, _isolated_run, _run, _text
from tinpot._errors import ActionError, Cancelled, ParameterError
from tinpot._test_server import Server as Server

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator
    from typing import overload

    from typing_extensions import ParamSpec

    from tinpot._connection import Result
    from tinpot._wrapper import Action, Json

    P = ParamSpec("P")

T_co = TypeVar("T_co", covariant=True)

# The bounds of what a run keeps: an action in a loop must not take all memory of the test.
_MAX_LINES = 1_000_000
_MAX_RESULT_BYTES = 64 * 1024 * 1024
_MASK = "***"


class Line(NamedTuple):
    """A line of the log.

    level: "info" for printed ones.
    stream: "stdout" or "stderr" for printed ones, "log" for others.
    step: the names of the open steps, from the outermost one.
    """

    level: str
    message: str
    stream: str
    fields: dict[str, Any]
    step: tuple[str, ...]


class Progress(NamedTuple):
    """A report of progress."""

    done: float
    total: float | None
    message: str


class Step(NamedTuple):
    """A step, in the order in which they began; its outcome is None if it has not ended."""

    name: str
    outcome: str | None


class Call(NamedTuple):
    """A call of another action."""

    action: str
    parameters: dict[str, Any]


class Run(Generic[T_co]):
    """An attempt of an action that has ended.

    status: "succeeded", "failed" or "cancelled".
    error: the exception that ended it; None if it succeeded.
    log: the lines in order; `lines` has their texts alone.
    progress: all reports, also those that a server would leave out.
    artifacts: the bytes of each file by name.
    summary: the last summary, in Markdown.
    calls: the calls of other actions.
    """

    def __init__(self) -> None:
        self.status = "succeeded"
        self.error: BaseException | None = None
        self.log: list[Line] = []
        self.progress: list[Progress] = []
        self.steps: list[Step] = []
        self.artifacts: dict[str, bytes] = {}
        self.summary: str | None = None
        self.calls: list[Call] = []
        self._value: Any = None

    def __repr__(self) -> str:
        return f"Run(status={self.status!r}, error={self.error!r}, lines={len(self.log)})"

    @property
    def value(self) -> T_co:
        """The result as a caller receives it, as JSON; the error of a failure is raised."""
        if self.error is not None:
            raise self.error
        value: T_co = self._value
        return value

    @property
    def lines(self) -> list[str]:
        """The texts of the log."""
        return [line.message for line in self.log]


class Runner:
    """Runs actions in this process, as a worker does in its own: see `run_action`."""

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        self._options = dict(options or {})

    def with_options(
        self,
        *,
        cancel_after: float | None = None,
        calls: Mapping[str, Any] | None = None,
        secrets: Mapping[str, str] | None = None,
        isolated: bool = False,
    ) -> Runner:
        """Returns a runner with options.

        cancel_after: the seconds after which the attempt is asked to end; main thread only.
        calls: by the names of other actions, their results, or functions that return them.
        secrets: the texts of secrets by name.
        isolated: if True, each run has a new interpreter: modules have their first state, a crash
            is a failure, and what the action starts ends with it. `calls` takes results only then.
        """
        return Runner(
            {
                "cancel_after": cancel_after,
                "calls": calls,
                "secrets": secrets,
                "isolated": isolated,
            }
        )

    if TYPE_CHECKING:

        @overload
        def __call__(
            self, action: Action[P, Coroutine[Any, Any, Json]], /, *args: P.args, **kwargs: P.kwargs
        ) -> Run[Json]: ...
        @overload
        def __call__(
            self, action: Action[P, Generator[Any, Any, Json]], /, *args: P.args, **kwargs: P.kwargs
        ) -> Run[Json]: ...
        @overload
        def __call__(
            self, action: Action[P, Json], /, *args: P.args, **kwargs: P.kwargs
        ) -> Run[Json]: ...
        @overload
        def __call__(
            self, action: Action[P, Any], /, *args: P.args, **kwargs: P.kwargs
        ) -> Run[Any]: ...

    def __call__(self, action: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Runs an action with these arguments, and returns the `Run`.

        The arguments pass through JSON, the schema and the conversion, as on their way to a worker.
        An exception of the action is the `error` of the run.
        """
        entry = getattr(getattr(action, "__tinpot_signature__", None), "__self__", None)
        if entry is None:
            raise TypeError(f"run_action takes a decorated function, not {type(action).__name__}")
        parameters = _encode.parameters(_context._by_name(action, args, kwargs))
        parameters = json.loads(json.dumps(parameters, ensure_ascii=False, allow_nan=False))
        run: Run[Any] = Run()
        if self._options.get("isolated"):
            try:
                entry.signature_or_derive().check(parameters)
            except ParameterError as error:
                run.status, run.error = "failed", error
            else:
                _isolated_run.run(run, action, parameters, self._options)
            return run
        control = _run.Control()
        channel = _Recorder(run, control, self._options.get("calls") or {})
        secrets = _variables(self._options.get("secrets") or {})
        with _swapped_secrets(secrets), channel.recorded():
            context = _context.enter(_channel.Attempt(channel, fence="1"))
            try:
                entry.signature_or_derive().check(parameters)
                with _cancelled_after(self._options.get("cancel_after"), control):
                    value = _run.call(entry, parameters, control, context)
                reply = _text.loads(_run.succeeded(value, _MAX_RESULT_BYTES))
                if "failed" in reply:
                    failure = reply["failed"]
                    raise ActionError(failure["message"], failure["kind"])
                run._value = reply["ok"]
            except (KeyboardInterrupt, GeneratorExit):
                raise
            except SystemExit as error:
                if not _run.is_success(error):
                    run.status, run.error = "failed", error
            except BaseException as error:
                is_cancelled = _run.failed(error, control) == _run.CANCELLED
                run.status = "cancelled" if is_cancelled else "failed"
                run.error = error
            finally:
                _context.leave()
        return run


run_action = Runner()


class _Recorder(_channel.Channel):
    """A channel that keeps what an attempt sends."""

    def __init__(self, run: Run[Any], control: _run.Control, calls: Mapping[str, Any]) -> None:
        self._run, self._control, self._calls = run, control, calls
        self._lock = threading.RLock()
        # By number: the name, and the step around it.
        self._steps: dict[int, tuple[str, int]] = {}
        self._step = 0
        self._masks: list[str] = []
        self._pieces: dict[int, list[bytes]] = {}
        # The results of submitted actions by their idempotency keys.
        self._submitted: dict[str, Result] = {}

    def is_stopped(self) -> bool:
        return self._control.stopped

    def enter_step(self, number: int) -> None:
        self._step = number

    @contextlib.contextmanager
    def recorded(self) -> Iterator[None]:
        """Records what is printed."""
        out, errors = _Lines(self, "stdout"), _Lines(self, "stderr")
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            try:
                yield
            finally:
                out.finish()
                errors.finish()

    def add(self, level: str, text: str, stream: str, fields: dict[str, Any], step: int) -> None:
        """Adds a line to the log."""
        with self._lock:
            for mask in self._masks:
                text = text.replace(mask, _MASK)
            names: list[str] = []
            while step in self._steps:
                name, step = self._steps[step]
                names.append(name)
            if len(self._run.log) < _MAX_LINES:
                self._run.log.append(Line(level, text, stream, fields, tuple(reversed(names))))

    def printed(self, text: str, stream: str) -> None:
        self.add("info", text, stream, {}, self._step)

    def send(self, markup: str) -> None:
        mark = json.loads(markup)
        run = self._run
        if "l" in mark:
            self.add(mark["l"], mark["m"], "log", mark.get("f", {}), mark.get("s", 0))
        elif "p" in mark:
            run.progress.append(Progress(*mark["p"]))
        elif mark.get("x"):
            self._masks.append(mark["x"])
        elif "d" in mark:
            number, _, text = mark["d"].partition(" ")
            self._pieces.setdefault(int(number), []).append(base64.b64decode(text))
        elif "e" in mark:
            self._event(mark["e"])

    def _event(self, event: dict[str, Any]) -> None:
        run = self._run
        if "span_started" in event:
            started = event["span_started"]
            number = int(started["span"].partition(".")[2])
            parent = int(started.get("parent", ".0").partition(".")[2])
            self._steps[number] = (started["name"], parent)
            run.steps.append(Step(started["name"], None))
        elif "span_ended" in event:
            index = int(event["span_ended"]["span"].partition(".")[2]) - 1
            run.steps[index] = Step(run.steps[index].name, event["span_ended"]["outcome"])
        elif "summary" in event:
            run.summary = event["summary"]["markdown"]
        elif "artifact" in event:
            about = event["artifact"]
            run.artifacts[about["name"]] = b"".join(self._pieces.pop(about["number"], []))

    def call(self, request: dict[str, Any]) -> Result:
        name, parameters = request["action"], request["parameters"]
        key = (request.get("options") or {}).get("idempotency_key")
        if key is not None and key in self._submitted:
            return self._submitted[key]
        self._run.calls.append(Call(name, parameters))
        if name not in self._calls:
            raise ActionError(
                f"no result for a call of {name!r}: use with_options(calls={{{name!r}: …}})",
                kind="Unavailable",
                status="refused",
            )
        fake = self._calls[name]
        value = fake(**parameters) if callable(fake) else fake
        value = json.loads(_encode.encode(value))
        result = (f"call-{len(self._run.calls)}", value)
        if key is not None:
            self._submitted[key] = result
        return result


class _Lines:
    """A text stream whose lines go to the log of a run."""

    encoding = "utf-8"
    errors = "replace"
    closed = False

    def __init__(self, recorder: _Recorder, stream: str) -> None:
        self._recorder, self._stream = recorder, stream
        self._rest = ""
        self._lock = threading.Lock()

    def write(self, text: str) -> int:
        with self._lock:
            *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._recorder.printed(line, self._stream)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def finish(self) -> None:
        """Takes a last line without an end."""
        if self._rest:
            self.write("\n")

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False


@contextlib.contextmanager
def _cancelled_after(seconds: float | None, control: _run.Control) -> Iterator[None]:
    """Asks the attempt in this block to end after a time, by a signal as a worker does."""
    if seconds is None:
        yield
        return
    import signal

    if threading.current_thread() is not threading.main_thread():
        raise ValueError("cancel_after needs the main thread, which receives signals")
    main = threading.main_thread().ident or 0
    # Another attempt may run when a late signal arrives.
    is_over = threading.Event()

    def end(_number: int, _frame: Any) -> None:
        if is_over.is_set() or control.stopped:
            return
        control.stopped = True
        if control.hook is not None:
            control.hook()
        else:
            raise Cancelled("the attempt was asked to end")

    before = signal.signal(signal.SIGUSR1, end)
    timer = threading.Timer(seconds, lambda: signal.pthread_kill(main, signal.SIGUSR1))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        is_over.set()
        timer.cancel()
        timer.join()
        signal.signal(signal.SIGUSR1, before)


def _variables(secrets: Mapping[str, str]) -> dict[str, str]:
    from tinpot import _secret

    return {_secret._variable(name): text for name, text in secrets.items()}


@contextlib.contextmanager
def _swapped_secrets(secrets: dict[str, str]) -> Iterator[None]:
    before = dict(_context._secrets)
    _context._secrets.update(secrets)
    try:
        yield
    finally:
        _context._secrets.clear()
        _context._secrets.update(before)
