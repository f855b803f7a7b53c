"""Prints, and runs commands with live output."""

from __future__ import annotations

import contextlib
import os
import selectors
import shlex
import signal
import subprocess
import sys
import time
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Union

from tinpot._errors import CommandError, CommandTimeout

# The interval of checks, in seconds. They notice the end of a command whose output a process that
# it left behind keeps open, and, in the worker's own process, a request to end.
_POLL_INTERVAL = 0.1
# The time between the request to end a command and its kill, in seconds.
_GRACE = 2.0
# Defers a request to end while a process starts, which nothing would end otherwise. Needed only
# where the request is an exception in a thread: elsewhere the process group is killed.
shield: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext

_Text = Union[str, bytes, "os.PathLike[str]", "os.PathLike[bytes]"]


def action_print(*values: object, **options: Any) -> None:
    """Prints like `print`, and flushes the stream, so that the line is visible at once."""
    options.setdefault("flush", True)
    print(*values, **options)


class Completed:
    """A command that has ended.

    command: the command as text.
    returncode: its exit code; negative if a signal killed it.
    stdout, stderr: its output.
    """

    __slots__ = ("command", "returncode", "stderr", "stdout")

    def __init__(self, command: str, returncode: int, stdout: str, stderr: str) -> None:
        self.command = command
        self.returncode = returncode
        self.stdout = stdout
        self.stderr = stderr

    def __repr__(self) -> str:
        return f"Completed(command={self.command!r}, returncode={self.returncode!r})"


def run_command(
    cmd: _Text | Iterable[object],
    *,
    cwd: _Text | None = None,
    env: Mapping[str, object] | None = None,
    timeout: float | None = None,
    check: bool = True,
    shell: bool | None = None,
) -> Completed:
    """Runs a command, prints its output live, and returns its output.

    cmd: a list of arguments, or a string that is split like a shell does, without a shell.
    cwd: the working directory.
    env: variables to add to the environment.
    timeout: the seconds after which the command is killed and `CommandTimeout` is raised.
    check: if True, an exit code other than 0 raises `CommandError`.
    shell: if True, a shell runs the string, with all that its special characters do.
    """
    arguments: str | list[str]
    if isinstance(cmd, (str, bytes, os.PathLike)):
        text = os.fsdecode(cmd)
        arguments = text if shell else shlex.split(text)
    else:
        if shell:
            raise TypeError("run_command: with shell=True the command must be a string, not a list")
        arguments = [_argument(part) for part in cmd]
        text = " ".join(shlex.quote(part) for part in arguments)
    if not arguments:
        raise ValueError("run_command: the command must not be empty")
    environment = None
    if env is not None:
        environment = {**os.environ, **{name: str(value) for name, value in env.items()}}
    action_print(f"$ {text}")
    process: subprocess.Popen[bytes] | None = None
    outputs: list[_Output] = []
    try:
        with shield():
            process = subprocess.Popen(
                arguments,
                shell=bool(shell),
                cwd=cwd,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
            )
        outputs = [_Output(process.stdout), _Output(process.stderr)]
        deadline = None if timeout is None else time.monotonic() + timeout
        in_time = _follow(process, outputs, deadline)
    finally:
        if process is not None:
            _terminate(process)
        for output in outputs:
            output.finish()
    stdout, stderr = (output.text() for output in outputs)
    if not in_time:
        raise CommandTimeout(text, timeout, stdout, stderr)
    if check and process.returncode != 0:
        raise CommandError(text, process.returncode, stdout, stderr)
    return Completed(text, process.returncode, stdout, stderr)


def _argument(part: object) -> str:
    return os.fsdecode(part) if isinstance(part, (str, bytes, os.PathLike)) else str(part)


def _follow(
    process: subprocess.Popen[bytes], outputs: Sequence[_Output], deadline: float | None
) -> bool:
    """Reads the output until the command ends; returns False if the deadline passes before."""
    with selectors.DefaultSelector() as selector:
        for output in outputs:
            os.set_blocking(output.pipe.fileno(), False)
            selector.register(output.pipe, selectors.EVENT_READ, output)
        while selector.get_map():
            wait = _POLL_INTERVAL
            if deadline is not None:
                wait = min(wait, deadline - time.monotonic())
                if wait <= 0:
                    return False
            ready = selector.select(wait)
            for key, _ in ready:
                if not key.data.read():
                    selector.unregister(key.fileobj)
            if not ready and process.poll() is not None:
                break
    while True:
        # In short waits: an exception reaches a thread only between two system calls.
        wait = _POLL_INTERVAL
        if deadline is not None:
            wait = min(wait, deadline - time.monotonic())
        try:
            process.wait(max(0, wait))
            return True
        except subprocess.TimeoutExpired:
            if wait <= 0:
                return False


def _terminate(process: subprocess.Popen[bytes]) -> None:
    """Ends the command if it still runs."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class _Output:
    """One output stream of a command: printed line by line, and kept."""

    def __init__(self, pipe: Any) -> None:
        self.pipe = pipe
        self._decoder = getincrementaldecoder("utf-8")("replace")
        self._parts: list[str] = []
        self._line = ""

    def read(self) -> bool:
        """Reads what is available; returns False at the end of the stream."""
        try:
            data = os.read(self.pipe.fileno(), 65536)
        except BlockingIOError:
            return True
        self._take(self._decoder.decode(data, final=not data))
        return bool(data)

    def _take(self, text: str) -> None:
        if not text:
            return
        self._parts.append(text)
        whole, end, rest = text.rpartition("\n")
        if end:
            sys.stdout.write(self._line + whole + end)
            sys.stdout.flush()
            self._line = rest
        else:
            self._line += text

    def finish(self) -> None:
        """Closes the stream and prints a last line without a line end."""
        self.pipe.close()
        self._take(self._decoder.decode(b"", final=True))
        if self._line:
            action_print(self._line)
            self._line = ""

    def text(self) -> str:
        """Returns the whole output."""
        return "".join(self._parts)
