"""Integrations of other libraries: logging with levels, warnings, and progress bars."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import sys
import threading
import warnings
import weakref
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, ClassVar, TextIO

from tinpot import _context


def install() -> None:
    """Installs all integrations, in a process that runs nothing but actions.

    A module that is not imported yet is integrated when an action imports it.
    """
    warnings.showwarning = _show_warning
    late = {}
    patches: dict[str, Callable[[Any], None]] = {
        "logging": _integrate_logging,
        "logging.handlers": _integrate_queues,
        "loguru": _integrate_loguru,
        "structlog._output": _integrate_structlog,
        "tqdm.std": _integrate_tqdm,
    }
    for name, patch in patches.items():
        if name in sys.modules:
            patch(sys.modules[name])
        else:
            late[name] = patch
    if late:
        sys.meta_path.insert(0, _Finder(late))


class _Finder:
    """A finder that patches modules when they are imported."""

    def __init__(self, late: dict[str, Callable[[Any], None]]) -> None:
        self._late = late

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        patch = self._late.pop(name, None)
        if patch is None:
            return None
        if not self._late and self in sys.meta_path:
            sys.meta_path.remove(self)
        # This finder no longer answers for the name, so that the others are asked.
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            loader: Any = _Loader(spec.loader, patch)
            spec.loader = loader
        return spec


class _Loader:
    """A loader that patches the module after it was loaded."""

    def __init__(self, loader: Any, patch: Callable[[Any], None]) -> None:
        self._loader = loader
        self._patch = patch

    def create_module(self, spec: ModuleSpec) -> Any:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        self._patch(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    text = warnings.formatwarning(message, category, filename, lineno, line).rstrip("\n")
    context = _context.find()
    if context is None or file is not None:
        (sys.stderr if file is None else file).write(text + "\n")
    else:
        context.log("warning", text)


def _is_standard(stream: Any) -> bool:
    """Returns True for the streams whose output is the log of the attempt."""
    # Wrappers of tqdm and colorama.
    inner = getattr(stream, "_wrapped", None) or stream
    return (
        inner is sys.__stdout__
        or inner is sys.__stderr__
        or getattr(type(inner), "is_log_of_attempt", False)
    )


def _integrate_logging(logging: Any) -> None:
    """Writes records to the log of the attempt, with their levels.

    The handler for this is none of the root logger: `basicConfig` does nothing if that has any.
    """

    class Handler(logging.Handler):  # type: ignore[misc]
        def emit(self, record: Any) -> None:
            context = _context.find()
            try:
                text = self.format(record)
                if context is None:
                    sys.stderr.write(text + "\n")
                else:
                    context.log(_level(record.levelno), text)
            except Exception:
                self.handleError(record)

    class Formatter(logging.Formatter):  # type: ignore[misc]
        def formatMessage(self, record: Any) -> Any:
            # The name of the root logger does not say where a message comes from.
            if record.name == "root":
                return record.message
            return f"{record.name}: {record.message}"

    handler = Handler()
    handler.setFormatter(Formatter())
    call_handlers, emit = logging.Logger.callHandlers, logging.StreamHandler.emit
    configure = logging.basicConfig

    def basic_config(**options: Any) -> None:
        # Without a format the handler above is better than one that repeats the level as text.
        # `logging.info` calls this too, without options.
        if set(options) - {"level", "force"}:
            configure(**options)
        elif options.get("force") or not logging.root.handlers:
            for other in logging.root.handlers[:] if options.get("force") else ():
                logging.root.removeHandler(other)
                other.close()
            if options.get("level") is not None:
                logging.root.setLevel(options["level"])

    def call_all_handlers(self: Any, record: Any) -> None:
        if _context.find() is None:
            call_handlers(self, record)
            return
        found, logger = list(self.handlers), self
        while logger.propagate and logger.parent is not None:
            logger = logger.parent
            found.extend(logger.handlers)
        # Without any, `lastResort` writes the record.
        if not found or not logger.propagate or any(map(_is_console, found)):
            # They decide what is shown.
            call_handlers(self, record)
            return
        if all(type(other).__module__.startswith("logging") for other in found):
            call_handlers(self, record)
            handler.handle(record)
            return
        with _Watch(record) as watch:
            call_handlers(self, record)
        if not watch.has_written:
            handler.handle(record)

    def emit_with_level(self: Any, record: Any) -> None:
        context = _context.find()
        if context is None or not _is_standard(self.stream):
            emit(self, record)
            return
        try:
            context.log(_level(record.levelno), self.format(record))
        except Exception:
            self.handleError(record)

    logging.basicConfig = basic_config
    logging.Logger.callHandlers = call_all_handlers
    logging.StreamHandler.emit = emit_with_level
    # For loggers without any handler.
    logging.lastResort = handler
    # The default, which the user has not changed.
    if logging.root.level == logging.WARNING:
        logging.root.setLevel(logging.INFO)


class _Watch:
    """Notes if handlers print the message of a record, for example by `print`."""

    # By thread.
    _watches: ClassVar[dict[int, _Watch]] = {}

    def __init__(self, record: Any) -> None:
        self.has_written = False
        self._start = ""
        # A message that has no text is reported by the handlers.
        with contextlib.suppress(Exception):
            self._start = record.getMessage().strip().partition("\n")[0]

    def __enter__(self) -> _Watch:
        for stream in (sys.stdout, sys.stderr):
            attributes: Any = getattr(stream, "__dict__", None)
            if attributes is not None and not hasattr(stream.write, "is_watched"):
                # Stays until the end of the attempt.
                attributes["write"] = self._noting(stream.write)
        self._thread = threading.get_ident()
        self._outer = self._watches.get(self._thread)
        self._watches[self._thread] = self
        return self

    @classmethod
    def _noting(cls, write: Callable[[str], int]) -> Callable[[str], int]:
        watches, get_ident = cls._watches, threading.get_ident

        def note(text: str) -> int:
            watch = watches.get(get_ident())
            if watch is not None and watch._start and watch._start in text:
                watch.has_written = True
            return write(text)

        note.is_watched = True  # type: ignore[attr-defined]
        return note

    def __exit__(self, *_: object) -> None:
        if self._outer is None:
            del self._watches[self._thread]
        else:
            self._watches[self._thread] = self._outer


def _integrate_queues(handlers: Any) -> None:
    """Lets a handler with a queue know the handlers at the other end of it."""
    start = handlers.QueueListener.__init__

    def start_with_note(self: Any, queue: Any, *others: Any, **options: Any) -> None:
        start(self, queue, *others, **options)
        _listeners.add(self)

    handlers.QueueListener.__init__ = start_with_note


_listeners: weakref.WeakSet[Any] = weakref.WeakSet()


def _is_console(handler: Any) -> bool:
    """Returns True for a handler that writes to the log of the attempt, such as that of rich.

    So does a handler that passes records on to one.
    """
    target, queue = getattr(handler, "target", None), getattr(handler, "queue", None)
    if target is not None and hasattr(target, "handle"):
        return _is_console(target)
    if queue is not None:
        found = (one for one in list(_listeners) if one.queue is queue)
        return any(_is_console(other) for one in found for other in one.handlers)
    stream = getattr(handler, "stream", None) or getattr(
        getattr(handler, "console", None), "file", None
    )
    return stream is not None and _is_standard(stream)


def _level(number: int) -> str:
    """Returns the level of a number of `logging` or loguru."""
    if number >= 40:
        return "error"
    if number >= 30:
        return "warning"
    return "info" if number >= 20 else "debug"


class _LoguruStream:
    """Stands in for a standard stream as a sink of loguru, whose messages have levels."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, message: Any) -> None:
        context, record = _context.find(), getattr(message, "record", None)
        if context is None or record is None:
            self._stream.write(message)
        else:
            context.log(_level(record["level"].no), str(message).rstrip("\n"))

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()

    def isatty(self) -> bool:
        return False


def _integrate_loguru(module: Any) -> None:
    """Writes messages to the log of the attempt, with their levels."""
    logger_class = type(module.logger)
    add = logger_class.add

    def add_with_levels(self: Any, sink: Any, **options: Any) -> Any:
        return add(self, _LoguruStream(sink) if _is_standard(sink) else sink, **options)

    logger_class.add = add_with_levels
    # The sink of the import. Its number must stay, because users remove it by that.
    for handler in module.logger._core.handlers.values():
        sink = handler._sink
        if _is_standard(getattr(sink, "_stream", None)):
            sink._stream = _LoguruStream(sink._stream)


def _integrate_structlog(module: Any) -> None:
    """Writes messages that would be printed to the log of the attempt, with their levels."""
    levels = {"debug": "debug", "info": "info", "warn": "warning", "warning": "warning"}
    levels.update(dict.fromkeys(("fatal", "failure", "err", "error", "critical"), "error"))
    levels["exception"] = "error"

    def with_level(print_message: Any, level: str) -> Any:
        def write(self: Any, message: str) -> Any:
            context = _context.find()
            if context is None or not _is_standard(self._file):
                return print_message(self, message)
            return context.log(level, message)

        return write

    for printer in (module.PrintLogger, module.WriteLogger):
        for name, level in levels.items():
            if hasattr(printer, name):
                setattr(printer, name, with_level(getattr(printer, name), level))


# The position of `miniters` among the parameters of a bar.
_MINITERS = 9


def _nothing(_self: Any, *_args: Any, **_options: Any) -> None:
    """Stands in for a method that a bar lacks."""


class _Discard:
    """Stands in for the stream of a bar, which writes carriage returns even if it shows nothing."""

    encoding = "utf-8"

    def write(self, _text: str) -> None:
        pass

    def flush(self) -> None:
        pass


def _integrate_tqdm(module: Any) -> None:
    """Reports the outermost bar as progress, and prints none."""
    bar = module.tqdm
    start, display, clear, moveto, close = (
        getattr(bar, name, _nothing) for name in ("__init__", "display", "clear", "moveto", "close")
    )

    takes_miniters = "miniters" in inspect.signature(start).parameters

    def is_progress(self: Any) -> bool:
        # A bar without a stream of its own writes to standard error.
        stream = getattr(self, "fp", None) or sys.stderr
        return _context.find() is not None and _is_standard(stream)

    def start_bar(self: Any, *args: Any, **options: Any) -> None:
        stream = options.get("file") or sys.stderr
        if _context.find() is not None and _is_standard(stream):
            # This means: no bar unless there is a terminal. Progress disturbs no log.
            if options.get("disable", False) is None:
                options["disable"] = False
            # Instead of the thread that looks after bars that were fast and become slow.
            if takes_miniters and len(args) < _MINITERS:
                options.setdefault("miniters", 1)
        start(self, *args, **options)

    def display_as_progress(self: Any, msg: Any = None, pos: Any = None) -> Any:
        context = _context.find()
        if context is None or not is_progress(self):
            return display(self, msg, pos)
        # Inner bars do not tell the progress of the whole.
        if getattr(self, "pos", 0) not in (0, None):
            return True
        text = str(getattr(self, "desc", None) or "").rstrip(": ")
        postfix = getattr(self, "postfix", None)
        if msg:
            text = str(msg)
        elif postfix:
            text = f"{text} {postfix}" if text else str(postfix)
        context.progress(getattr(self, "n", 0), getattr(self, "total", None), text)
        return True

    def clear_nothing(self: Any, *args: Any, **options: Any) -> Any:
        return None if is_progress(self) else clear(self, *args, **options)

    def move_nowhere(self: Any, n: int) -> Any:
        return None if is_progress(self) else moveto(self, n)

    def close_as_progress(self: Any) -> Any:
        if getattr(self, "disable", True) or not is_progress(self):
            return close(self)
        if getattr(self, "pos", 0) in (0, None):
            self.display()
        # Keeps tqdm from printing the last state and from erasing its line.
        self.leave = False
        self.sp = lambda _text: None
        self.fp = _Discard()
        return close(self)

    # An attempt that leaves a thread costs its interpreter.
    bar.monitor_interval = 0
    bar.__init__ = start_bar
    bar.display = display_as_progress
    bar.clear = clear_nothing
    bar.moveto = move_nowhere
    bar.close = close_as_progress
