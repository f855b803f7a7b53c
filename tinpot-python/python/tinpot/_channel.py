"""The channel from an attempt to its worker."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any, Optional

from tinpot import _text
from tinpot._errors import ActionError

if TYPE_CHECKING:
    from tempfile import TemporaryDirectory

    from tinpot._connection import Connection, Result
    from tinpot._run import Control


# The device and the inode that a file descriptor refers to; None if it is closed.
_Identity = Optional[tuple[int, int]]
# The characters of standard error in one markup line. Writes of at most 4 KiB are never mixed with
# those of other processes, and JSON writes a character as six bytes at most.
_MAX_ERRORS = 640


class Attempt:
    """The attempt that a process, thread or task runs: the state that its contexts share."""

    def __init__(
        self,
        channel: Channel,
        execution: str | None = None,
        fence: str | None = None,
        number: int = 1,
        traceparent: str | None = None,
        uploads: str | None = None,
    ) -> None:
        self.channel = channel
        # The directory with the files to which the parameters refer.
        self.uploads = uploads
        self.traceparent = traceparent
        self.execution = execution
        self.fence = fence
        self.number = number
        self.steps = 0
        self.artifacts = 0
        self.artifact_bytes = 0
        # True once a log line said that a total of the progress is no number.
        self.has_odd_total = False
        self._tmpdir: TemporaryDirectory[str] | None = None

    def tmpdir(self) -> str:
        """Returns the path of the attempt's directory, which the first call creates."""
        if self._tmpdir is None:
            import tempfile

            self._tmpdir = tempfile.TemporaryDirectory(prefix="tinpot-", dir=self.channel.tmp)
        return self._tmpdir.name

    def close(self) -> None:
        """Removes the attempt's directory."""
        if self._tmpdir is not None:
            directory, self._tmpdir = self._tmpdir, None
            with contextlib.suppress(OSError):
                directory.cleanup()


class Channel:
    """A channel without a worker: it prints log lines to standard error and refuses calls."""

    # The directory for temporary files; None for the system's.
    tmp: str | None = None
    # True once the attempt has ended.
    closed = False

    def is_stopped(self) -> bool:
        """Returns True if the attempt was asked to end."""
        return False

    def send(self, markup: str) -> None:
        """Sends a markup line, which is JSON."""

    def print(self, line: str) -> None:
        """Prints a log line, where there is no worker to send it to."""
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(line + "\n")

    def enter_step(self, number: int) -> None:
        """Attributes the standard error that follows to a step; 0 for none."""

    async def call_async(self, request: dict[str, Any]) -> Result:
        """Calls an action without blocking the event loop."""
        import asyncio

        return await asyncio.get_running_loop().run_in_executor(None, self.call, request)

    def call(self, request: dict[str, Any]) -> Result:
        """Calls an action, and waits for its result if the request says so."""
        raise ActionError(
            "no worker to call actions through: this code runs outside of an attempt",
            kind="Unavailable",
        )

    def write(self, stream: int, text: str) -> None:
        """Writes what the attempt printed, where attempts share their streams."""

    def flush(self, stream: int) -> None:
        """Sends what `write` has kept."""


class PipeChannel(Channel):
    """Markup lines on standard output, between the lines that the attempt prints.

    The worker takes them out again. They share the pipe with printed lines to keep the order.
    """

    def __init__(
        self,
        mark: str,
        connection: Connection | None,
        control: Control,
        tmp: str | None = None,
    ) -> None:
        self.prefix = markup_prefix(mark)
        self._prefix_bytes = self.prefix.encode()
        self._connection = connection
        self.control = control
        self.tmp = tmp

    def is_stopped(self) -> bool:
        return self.control.stopped

    def send(self, markup: str) -> None:
        flush(sys.stdout)
        self.write_mark(markup)

    def send_errors(self, text: str, step: int) -> bool:
        """Sends text of standard error; returns False if that is not possible."""
        # What was printed before must be in the pipe before.
        flush(sys.stdout)
        for at in range(0, len(text), _MAX_ERRORS):
            piece = _text.dumps(text[at : at + _MAX_ERRORS], ensure_ascii=False)
            if not self.write_mark(f'{{"o":1,"m":{piece},"s":{step}}}'):
                return False
        return True

    def write_mark(self, markup: str) -> bool:
        """Writes a markup line; returns False if the pipe to the worker is closed."""
        out = pipes.open_out()
        if out is not None:
            write_all(out, (self.prefix + markup + "\n").encode("utf-8", "replace"))
        return out is not None

    def print(self, line: str) -> None:
        pass

    def enter_step(self, number: int) -> None:
        flush(sys.stderr)
        if pipes.has_errors():
            os.write(2, b'%b{"s":%d}\n' % (self._prefix_bytes, number))

    def call(self, request: dict[str, Any]) -> Result:
        if self._connection is None:
            return super().call(request)
        return self._connection.call(request)


def markup_prefix(mark: str) -> str:
    """Returns the first characters of every markup line."""
    return "\x1b_" + mark


class Pipes:
    """The pipes of this process to its worker.

    A number alone says little: an action may redirect or close a descriptor, and open a file of its
    own under the same number.
    """

    def __init__(self) -> None:
        self._out = -1
        self._identities: tuple[_Identity, _Identity] = (None, None)

    def remember(self) -> None:
        """Takes descriptors 1 and 2 as the pipes, and keeps the first one under another number."""
        if self._out >= 0:
            # This process is a copy of one with other pipes.
            os.close(self._out)
        self._out = os.dup(1)
        self._identities = (_identity(1), _identity(2))

    def open_out(self) -> int | None:
        """Returns a descriptor of the pipe of standard output; None if there is none."""
        pipe = self._identities[0]
        for fd in (self._out, 1):
            if pipe is not None and _identity(fd) == pipe:
                return fd
        return None

    def has_errors(self) -> bool:
        """Returns True if descriptor 2 is the pipe of standard error."""
        pipe = self._identities[1]
        return pipe is not None and _identity(2) == pipe


pipes = Pipes()


def flush(stream: Any) -> None:
    """Flushes a stream that may be closed."""
    # A flush that a signal handler begins within another one is a RuntimeError.
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        stream.flush()


def _identity(fd: int) -> _Identity:
    """Returns what a file descriptor refers to; None if it is closed."""
    try:
        status = os.fstat(fd)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def write_all(fd: int, data: bytes) -> None:
    """Writes all of `data` to a file descriptor."""
    while data:
        data = data[os.write(fd, data) :]
