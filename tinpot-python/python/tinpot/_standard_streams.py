"""The standard streams of a process that runs attempts: descriptors 0 to 2 and `sys.std*`."""

from __future__ import annotations

import contextlib
import fcntl
import gc
import io
import os
import sys
from collections.abc import Callable
from typing import Any

from tinpot import _channel, _streams
from tinpot._parts import note_calls


def _do_nothing(_argument: Any) -> None:
    """Stands in for a function of C that is not there."""


class StandardStreams:
    """The streams as the first attempt finds them."""

    def __init__(self) -> None:
        """Makes the streams write whole lines, and a crash in C code print a traceback."""
        # Other descriptors of the same files, which survive what an attempt does to 0, 1 and 2.
        self._copies = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3) for fd in range(3)]
        self._is_configured = self._is_open = True
        # If True, `take_reopened` has streams.
        self.has_reopened = False
        self._stdin: Any = sys.stdin
        self._stdout = self._configured(sys.stdout)
        _channel.pipes.remember()
        self._stderr = self._configured(_streams.open_errors())
        # `__stderr__` is read-only for type checkers alone.
        sys.stderr = sys.__stderr__ = self._stderr  # type: ignore[misc]
        self._attributes = [dict(vars(self._stdout)), dict(vars(self._stderr))]
        self._flush_c_stdio = _open_c_stdio()
        self._has_faulthandler_changed = False
        self._enable_faulthandler = self._enabled_faulthandler()

    def _enabled_faulthandler(self) -> Any:
        """Makes crashes print a traceback, if that is possible; returns the function for that."""
        try:
            import faulthandler

            enable = faulthandler.enable
            enable(2)
        except (ImportError, OSError):
            return _do_nothing

        def note() -> None:
            self._has_faulthandler_changed = True

        for name in ("enable", "disable"):
            note_calls(faulthandler, name, note)
        return enable

    def _configured(self, stream: Any) -> Any:
        _configure(stream)

        def reconfigure(**options: Any) -> None:
            self._is_configured = False
            io.TextIOWrapper.reconfigure(stream, **options)

        # Nothing else tells what was configured, the ends of lines for example.
        stream.reconfigure = reconfigure
        return stream

    def flush(self) -> None:
        """Flushes what was printed, also if the attempt replaced or closed the streams."""
        if sys.stdout is not self._stdout or sys.stderr is not self._stderr:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(Exception):
                    stream.flush()
        try:
            self._stdout.flush()
            self._stderr.flush()
        except (ValueError, OSError):
            self._is_open = False
        self._flush_c_stdio(None)

    def rebind(self, stdout: int, stderr: int) -> None:
        """Makes the streams of a copy of the process write to other pipes."""
        for fd, new in ((1, stdout), (2, stderr)):
            os.dup2(new, fd)
            os.dup2(new, self._copies[fd], inheritable=False)
        _channel.pipes.remember()

    def put_back(self) -> bool:
        """Puts back streams and descriptors, after `flush`.

        Returns False if something of the attempt may still close a descriptor.
        """
        is_safe = True
        if sys.stdout is not self._stdout or sys.stderr is not self._stderr:
            is_safe = self._drop_replacements()
        for fd, copy in enumerate(self._copies):
            os.dup2(copy, fd)
        if not (os.get_blocking(1) and os.get_blocking(2)):
            # Of the open file, which programs that were started have as well.
            os.set_blocking(1, True)
            os.set_blocking(2, True)
        if not self._is_open:
            self._reopen()
        if self._stdin is not None and self._stdin.closed:
            self._reopen_stdin()
        if self._attributes != [vars(self._stdout), vars(self._stderr)]:
            self._put_back_attributes()
        if not self._is_configured:
            for stream in (self._stdout, self._stderr):
                _configure(stream)
            self._is_configured = True
        if self._has_faulthandler_changed:
            self._has_faulthandler_changed = False
            self._enable_faulthandler(2)
        return is_safe

    def take_reopened(self) -> dict[str, Any]:
        """Returns the attributes of `sys` after streams were opened again."""
        self.has_reopened = False
        names = ("stdin", "__stdin__", "stdout", "__stdout__", "stderr", "__stderr__")
        return {name: getattr(sys, name) for name in names}

    def _drop_replacements(self) -> bool:
        replacements: list[Any] = [
            stream
            for stream, own in ((sys.stdout, self._stdout), (sys.stderr, self._stderr))
            if stream is not own
        ]
        sys.stdout, sys.stderr = self._stdout, self._stderr
        is_safe = True
        while replacements:
            stream = replacements.pop()
            owns_descriptor = False
            with contextlib.suppress(Exception):
                owns_descriptor = stream.fileno() <= 2
            if owns_descriptor:
                # It closes the descriptor when it is collected, which may be in any attempt.
                gc.collect()
                is_safe = is_safe and sys.getrefcount(stream) <= 2
            del stream
        return is_safe

    def _put_back_attributes(self) -> None:
        for stream, wanted in zip((self._stdout, self._stderr), self._attributes):
            found = vars(stream)
            for name in [name for name in found if name not in wanted]:
                del found[name]
            found.update(wanted)

    def _reopen_stdin(self) -> None:
        self._stdin = _open(0, "r")
        sys.stdin = sys.__stdin__ = self._stdin  # type: ignore[misc]
        self.has_reopened = True

    def _reopen(self) -> None:
        """Opens the streams again, which the attempt closed."""
        self._is_open = True
        self._stdout = self._configured(_open(1, "w"))
        self._stderr = self._configured(_streams.open_errors())
        self._attributes = [dict(vars(self._stdout)), dict(vars(self._stderr))]
        # `__stdout__` is read-only for type checkers alone.
        sys.stdout = sys.__stdout__ = self._stdout  # type: ignore[misc]
        sys.stderr = sys.__stderr__ = self._stderr  # type: ignore[misc]
        self.has_reopened = True


def _configure(stream: Any) -> None:
    io.TextIOWrapper.reconfigure(
        stream,
        encoding="utf-8",
        errors="backslashreplace",
        newline="\n",
        line_buffering=True,
        write_through=False,
    )


def _open(fd: int, mode: str) -> Any:
    return open(fd, mode, encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)


def _open_c_stdio() -> Callable[[Any], object]:
    """Makes C's stdout write whole lines; returns the function that flushes the rest."""
    try:
        import ctypes

        libc = ctypes.PyDLL(None)
        stdout = ctypes.c_void_p.in_dll(libc, "stdout")
        libc.setvbuf(stdout, None, 1, 0)  # _IOLBF
        flush: Callable[[Any], object] = libc.fflush
        flush.argtypes = (ctypes.c_void_p,)  # type: ignore[attr-defined]
        return flush
    except (ImportError, OSError, ValueError, AttributeError):
        return _do_nothing
