"""Runs attempts on threads of the worker's own process."""

import contextvars
import ctypes
import json
import sys
import threading

from tinpot import _command, _connection, _context, _discovery, _channel, _run
from tinpot._errors import Cancelled

# The attempt that the code at hand belongs to, if any.
_current = contextvars.ContextVar("tinpot_attempt", default=None)
_discovering = threading.Lock()
# `json.loads` without its search for blanks around: parameters are JSON that was checked.
_decode = json.JSONDecoder().raw_decode
# What a stream may hold back of a line that has not ended, in characters; the worker's side bounds the rest.
_HELD_BACK = 16 * 1024


class Attempt(_run.Control):
    """One attempt: where its lines go, and where it can be asked to end."""

    __slots__ = ("emit", "ask", "context", "parts", "held", "lock", "thread", "reply", "closed", "shielded")

    def __init__(self, sink, execution, fence, number):
        super().__init__()
        self.emit = sink.emit
        self.ask = sink.ask
        self.context = _context.Context(_channel.Attempt(_Link(self), execution, fence, number))
        self.parts = ([], [])
        self.held = 0
        self.lock = threading.Lock()
        self.thread = None
        self.reply = None
        self.closed = False
        self.shielded = False

    def write(self, stream, text):
        parts = self.parts[stream]
        parts.append(text)
        self.held += len(text)
        if "\n" in text or self.held > _HELD_BACK:
            self.send(stream)

    def send(self, stream):
        parts = self.parts[stream]
        text = "".join(parts)
        del parts[:]
        self.held = 0
        if text:
            self.emit(stream, text.encode("utf-8", "backslashreplace"))


class _Link(_channel.PipeLink):
    """Marked lines on the attempt's own streams."""

    # One for all attempts: each has streams of its own.
    prefix = None

    def __init__(self, attempt):
        self.attempt = self.control = attempt
        self.calls = 0

    def mark(self, text):
        self._line(0, text)

    def span(self, number):
        self._line(1, '{"s":%d}' % number)

    def _line(self, stream, text):
        if not self.attempt.closed:
            self.attempt.send(stream)
            self.attempt.emit(stream, (self.prefix + text + "\n").encode("utf-8", "replace"))

    def call(self, request):
        self.calls += 1
        request["number"] = self.calls
        answer = self.attempt.ask(json.dumps({"call": request}).encode())
        if answer is None:
            raise Cancelled("the attempt was asked to end")
        return _connection.judged(json.loads(answer))


def discover(root, importing):
    """What a directory offers: its JSON form, and the callables by name."""
    with _discovering:
        found = _discovery.discover(root, (), importing)
    return json.dumps(found.offer()).encode(), found.entries()


def run(attempt, entry, parameters, limit):
    """Runs an attempt on this thread; its reply is left in it."""
    # A context of its own: what the attempt sets in context variables is not there for the next.
    contextvars.Context().run(_in_context, attempt, entry, parameters, limit)


def _in_context(attempt, entry, parameters, limit):
    _current.set(attempt)
    _context._current.set(attempt.context)
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
        if attempt.reply is None:
            attempt.reply = _run.failed(error, attempt)


def settle(attempt):
    """Ends what `run` began: no exception is on its way to this thread any more, and no line is held back.

    Called again when the exception arrives in here.
    """
    with attempt.lock:
        attempt.running = False
    if attempt.stopped and attempt.thread is not None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(attempt.thread), None)
    for stream in (0, 1):
        attempt.send(stream)
    attempt.closed = True
    attempt.context._attempt.close()
    return attempt.reply


def stop(attempt):
    """Asks an attempt to end, from another thread: `Cancelled` is raised in it as soon as it runs Python code again."""
    with attempt.lock:
        if attempt.stopped:
            return
        attempt.stopped = True
        if not attempt.running or attempt.shielded:
            return
        if attempt.hook is not None:
            attempt.hook()
        else:
            exception = ctypes.py_object(Cancelled)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(attempt.thread), exception)


class _Shield:
    """A stretch in which a request to end waits."""

    def __enter__(self):
        self.attempt = _current.get()
        if self.attempt is not None:
            with self.attempt.lock:
                self.asked = self.attempt.stopped
                self.attempt.shielded = True

    def __exit__(self, *_):
        if self.attempt is not None:
            with self.attempt.lock:
                self.attempt.shielded = False
                asked_meanwhile = self.attempt.stopped and not self.asked
            if asked_meanwhile:
                raise Cancelled("the attempt was asked to end")


class _Stream:
    """Stands for `sys.stdout` or `sys.stderr`: what an attempt writes is its log, what others write goes where it went before."""

    def __init__(self, original, stream):
        self._original = original
        self._stream = stream
        self.encoding = "utf-8"
        self.errors = "backslashreplace"

    def write(self, text):
        attempt = _current.get()
        if attempt is None or attempt.closed:
            return self._original.write(text)
        if not isinstance(text, str):
            raise TypeError("write() argument must be str, not %s" % type(text).__name__)
        attempt.write(self._stream, text)
        return len(text)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def flush(self):
        if _current.get() is None:
            self._original.flush()

    def isatty(self):
        return False

    def writable(self):
        return True

    @property
    def buffer(self):
        return _Bytes(self)

    def __getattr__(self, name):
        return getattr(self._original, name)


class _Bytes:
    """The `buffer` of such a stream."""

    def __init__(self, stream):
        self._text = stream

    def write(self, data):
        self._text.write(bytes(data).decode("utf-8", "replace"))
        return len(data)

    def flush(self):
        self._text.flush()


def install(mark):
    """Puts the streams in place, and lets threads belong to the attempt that starts them. Lines with the mark are the attempts' own."""
    _Link.prefix = _channel.prefix(mark)
    _command.shield = _Shield
    sys.stdout = _Stream(sys.stdout, 0)
    sys.stderr = _Stream(sys.stderr, 1)
    start = threading.Thread.start

    def start_in_attempt(self):
        if _current.get() is not None:
            context, run = contextvars.copy_context(), self.run
            self.run = lambda: context.run(run)
        return start(self)

    threading.Thread.start = start_in_attempt


def use(path, sites, prefix, executable):
    """Makes the packages of a virtual environment, and those only, importable."""
    import site

    sys.path[:] = path
    for folder in sites:
        site.addsitedir(folder)
    sys.prefix = sys.exec_prefix = prefix
    sys.executable = executable
