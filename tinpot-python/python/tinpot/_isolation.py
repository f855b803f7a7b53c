"""Fresh isolation: an attempt in a process that no other attempt has used.

The process is a copy of an interpreter that has imported the actions and runs no attempt itself. A
copy takes a millisecond or two, and a new interpreter as long as all imports.
"""

from __future__ import annotations

import _thread
import contextlib
import gc
import os
import select
import signal
import tempfile
from collections.abc import Callable

# The reply for an attempt that did not begin.
HUNG = b'{"hung":true}'


class Copies:
    """Makes copies of this process, each of which runs one attempt."""

    def __init__(self, start_seconds: float) -> None:
        """Sets the time in which a copy has to begin its attempt."""
        self._start_seconds = start_seconds
        # The file through which the reply comes: a process that inherits it cannot keep its end
        # open, as it could that of a pipe.
        self._file: int | None = None

    def are_possible(self) -> bool:
        """Returns True if the process can be copied, which is not the case if it has threads."""
        if _thread._count() > 0:
            return False
        try:
            # C code may have threads, too.
            return len(os.listdir("/proc/self/task")) == 1
        except OSError:
            return False

    def run(self, attempt: Callable[[], bytes]) -> bytes:
        """Runs an attempt in a copy of this process, and returns its reply."""
        if self._file is None:
            self._file = _temporary_file()
            # What is left of the imports stays, and need not be copied when it is looked at.
            gc.collect()
            gc.freeze()
        # What libraries do in a new process may hang.
        begun, begin = os.pipe()
        pid = os.fork()
        if pid == 0:
            with contextlib.suppress(BaseException):
                os.close(begun)
                os.write(begin, b"\0")
                os.close(begin)
                _write(self._file, attempt())
            os._exit(0)
        os.close(begin)
        is_late = not _says_something(begun, self._start_seconds)
        if is_late:
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        # It may have begun before it was killed, and must not run twice then.
        is_hung = is_late and not _has_bytes(begun)
        os.close(begun)
        reply = _read(self._file)
        os.ftruncate(self._file, 0)
        if is_hung:
            return HUNG
        return reply if status == 0 and reply else b'{"died":%d}' % status


def _has_bytes(pipe: int) -> bool:
    os.set_blocking(pipe, False)
    try:
        return bool(os.read(pipe, 1))
    except BlockingIOError:
        return False


def _says_something(pipe: int, seconds: float) -> bool:
    """Waits for a byte in a pipe, or its end. Returns False if there is none in time."""
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    # Too long for the call would be an error.
    return bool(poll.poll(min(seconds * 1000, 1 << 30)))


def _temporary_file() -> int:
    """Returns the descriptor of a file without a name."""
    try:
        return os.memfd_create("reply")
    except (AttributeError, OSError):
        with tempfile.TemporaryFile() as file:
            return os.dup(file.fileno())


def _write(file: int, data: bytes) -> None:
    at = 0
    while at < len(data):
        at += os.pwrite(file, data[at : at + (1 << 24)], at)


def _read(file: int) -> bytes:
    size = os.fstat(file).st_size
    found = b""
    while len(found) < size:
        part = os.pread(file, size - len(found), len(found))
        if not part:
            break
        found += part
    return found
