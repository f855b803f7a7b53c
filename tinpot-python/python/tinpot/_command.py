"""Prints, and runs commands with live output."""

from __future__ import annotations

import contextlib
import os
import selectors
import shlex
import signal
import subprocess
import sys
import threading
import time
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Union

from tinpot import _context
from tinpot._errors import CommandError, CommandTimeout
from tinpot._forms import is_secret, reveal

if TYPE_CHECKING:
    import datetime

    from tinpot._secret import Secret

# The interval of checks, in seconds. They notice the end of a command whose output a process that
# it left behind keeps open, and, in the worker's own process, a request to end.
_POLL_INTERVAL = 0.1
# The time between two states of an unfinished line, in seconds.
_SHOW_INTERVAL = 0.05
# The characters of a line without an end that are kept before they are printed.
_MAX_UNFINISHED = 16 * 1024
# The time between the request to end a command and its kill, in seconds.
_GRACE = 2.0
# The time that the rest of its process group has after the command itself, in seconds.
_REST_TIME = 0.2
# The time and the size of the output that is still read after the end of a command. A process that
# it left behind may go on writing.
_DRAIN_TIME = 1.0
_DRAIN_BYTES = 4 * 1024 * 1024
# Defers a request to end while a process starts, which nothing would end otherwise. Needed only
# where the request is an exception in a thread: elsewhere the process group is killed.
shield: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext
# The keywords that `subprocess.Popen` gets as they are.
_POPEN_KEYWORDS = frozenset(
    {
        "close_fds",
        "creationflags",
        "executable",
        "extra_groups",
        "group",
        "pass_fds",
        "pipesize",
        "preexec_fn",
        "process_group",
        "restore_signals",
        "start_new_session",
        "startupinfo",
        "umask",
        "user",
    }
)

_Text = Union[str, bytes, "os.PathLike[str]", "os.PathLike[bytes]"]


def action_print(*values: object, **options: Any) -> None:
    """Prints like `print`, and flushes the stream, so that the line is visible at once."""
    options.setdefault("flush", True)
    print(*values, **options)


@contextlib.contextmanager
def capture_subprocess_output() -> Iterator[None]:
    """Does nothing: everything that a process writes is in the log anyway.

    Older Tinpots needed it around a process whose output is read line by line.
    """
    yield


class Completed(subprocess.CompletedProcess):  # type: ignore[type-arg]
    """A command that has ended.

    args: the command as it was given.
    command: the command as text, with secrets masked.
    returncode: its exit code; negative if a signal killed it.
    stdout, stderr: its output; None if it went elsewhere.
    """

    stdout: Any
    stderr: Any

    def __init__(
        self, command: str, returncode: int, stdout: Any, stderr: Any, args: Any = None
    ) -> None:
        super().__init__(command if args is None else args, returncode, stdout, stderr)
        self.command = command

    def check_returncode(self) -> None:
        """Raises `CommandError` if the exit code is not 0."""
        if self.returncode:
            raise CommandError(self.command, self.returncode, self.stdout, self.stderr)


def run_command(
    cmd: _Text | Secret | Iterable[object],
    *,
    input: str | bytes | Secret | None = None,
    capture_output: bool = True,
    timeout: float | datetime.timedelta | None = None,
    check: bool = True,
    shell: bool | None = None,
    cwd: _Text | None = None,
    env: Mapping[str, object] | None = None,
    stdin: Any = None,
    stdout: Any = None,
    stderr: Any = None,
    text: bool | None = None,
    universal_newlines: bool | None = None,
    encoding: str | None = None,
    errors: str | None = None,
    bufsize: int = -1,
    **options: Any,
) -> Completed:
    """Runs a command, prints its output live, and returns its output.

    A `Secret` is passed on to the command, and masked in the log. The keywords are those of
    `subprocess.run`, with these differences:

    cmd: a list of arguments, which no shell sees, or a string, which a shell runs.
    shell: if False, a string is split like a shell does, without a shell.
    env: variables to add to the environment.
    timeout: the seconds after which the command is killed and `CommandTimeout` is raised.
    check: if True, an exit code other than 0 raises `CommandError`.
    stdin: nothing, if not given.
    stdout, stderr: None and `PIPE` print and return the output; a file gets it instead.
    capture_output: the output is printed and returned in any case.
    text: if False, the output is returned as bytes. Text is UTF-8 unless `encoding` is given.
    """
    for name in options:
        if name not in _POPEN_KEYWORDS:
            raise TypeError(f"run_command() has no keyword {name!r}")
    arguments, shown, is_shell = _arguments(cmd, shell)
    if input is not None:
        if stdin is not None:
            raise ValueError("run_command: input and stdin cannot be used together")
        stdin = subprocess.PIPE
    elif stdin == subprocess.PIPE:
        raise ValueError("run_command: nothing would write to stdin=PIPE: use input")
    if stdout == subprocess.STDOUT:
        raise ValueError("run_command: stdout cannot be STDOUT: only stderr can")
    codec = encoding or "utf-8"
    data = _input(input, codec, errors or "strict")
    environment = None if env is None else {**os.environ, **_environment(env)}
    seconds: Any = timeout
    if hasattr(seconds, "total_seconds"):
        seconds = seconds.total_seconds()
    has_group = _choose_group(options)
    action_print(f"$ {shown}")
    process: subprocess.Popen[bytes] | None = None
    streams: list[_Output | None] = [None, None]
    exchange: _Exchange | None = None
    in_time = True
    try:
        with shield():
            started: subprocess.Popen[Any] = subprocess.Popen(
                arguments,
                shell=is_shell,
                cwd=cwd,
                env=environment,
                stdin=subprocess.DEVNULL if stdin is None else stdin,
                stdout=subprocess.PIPE if stdout is None else stdout,
                stderr=subprocess.PIPE if stderr is None else stderr,
                bufsize=0,
                **options,
            )
            # Of bytes: none of the options asks for text.
            process = started
        pipes = (process.stdout, process.stderr)
        streams = [None if pipe is None else _Output(pipe, codec) for pipe in pipes]
        deadline = None if seconds is None else time.monotonic() + seconds
        exchange = _Exchange(process, [one for one in streams if one], data)
        in_time = exchange.run(deadline)
    finally:
        if exchange is not None:
            exchange.close()
        if process is not None:
            _end(process, [one for one in streams if one], has_group)
    assert process is not None
    is_text = text is not False or universal_newlines or encoding or errors
    translate = bool(text or universal_newlines or encoding or errors)
    got = [
        one and one.content(codec if is_text else None, errors or "replace", translate)
        for one in streams
    ]
    if not in_time:
        raise CommandTimeout(shown, seconds, *got)
    if check and process.returncode != 0:
        raise CommandError(shown, process.returncode, *got)
    return Completed(shown, process.returncode, got[0], got[1], args=cmd)


def _arguments(cmd: Any, shell: bool | None) -> tuple[str | list[str], str, bool]:
    """Returns the arguments, the text to show, and True if a shell runs them."""
    if isinstance(cmd, os.PathLike):
        # A path names a program.
        cmd, shell = [cmd], False
    if isinstance(cmd, (str, bytes)) or is_secret(type(cmd)):
        line, shown = _argument(cmd, "the command")
        is_shell = shell is None or bool(shell)
        if not line.strip():
            raise ValueError("run_command: the command must not be empty")
        return (line if is_shell else shlex.split(line)), shown, is_shell
    if cmd is None or not isinstance(cmd, Iterable):
        raise TypeError(
            f"run_command: the command must be a string or a list, not {type(cmd).__name__}"
        )
    if shell:
        raise TypeError("run_command: with shell=True the command must be a string, not a list")
    parts = [_argument(part, f"argument {at}") for at, part in enumerate(cmd)]
    if not parts:
        raise ValueError("run_command: the command must not be empty")
    shown = " ".join(
        text if text == "***" and text != part else shlex.quote(text) for part, text in parts
    )
    return [part for part, _ in parts], shown, False


def _argument(part: Any, where: str) -> tuple[str, str]:
    """Returns an argument, and the text to show for it."""
    if part is None:
        raise TypeError(f"run_command: {where} is None: leave it out, or pass a string")
    if is_secret(type(part)):
        return _revealed(part), "***"
    if isinstance(part, (str, bytes, os.PathLike)):
        text = os.fsdecode(part)
    elif isinstance(part, (list, tuple, dict, set, frozenset)):
        raise TypeError(f"run_command: {where} is a {type(part).__name__}, not a string: unpack it")
    else:
        text = str(part)
    if "\0" in text:
        raise ValueError(f"run_command: {where} has a null character")
    return text, text


def _revealed(secret: Any) -> str:
    """Returns the content of a secret, which the log masks from now on."""
    text = reveal(secret)
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    context = _context.find()
    if context is not None:
        context._mask(text)
    return text


def _environment(given: Mapping[str, object]) -> dict[str, str]:
    return {
        os.fsdecode(name): _argument(value, f"the environment variable {name}")[0]
        for name, value in given.items()
    }


def _input(given: Any, codec: str, errors: str) -> bytes | None:
    if given is None:
        return None
    if is_secret(type(given)):
        given = _revealed(given)
    if isinstance(given, str):
        return given.encode(codec, errors)
    if isinstance(given, (bytes, bytearray, memoryview)):
        return bytes(given)
    raise TypeError(f"run_command: input must be str, bytes or Secret, not {type(given).__name__}")


def _choose_group(options: dict[str, Any]) -> bool:
    """Gives the command a process group of its own, in which its end reaches what it started.

    Returns True if it has one.
    """
    if not {"start_new_session", "process_group"} & set(options):
        # A thread of an action hears of no request to end: its command gets the signal instead,
        # with the process group of the interpreter. A script keeps its terminal.
        is_main = threading.current_thread() is threading.main_thread()
        if _context.find() is not None and (is_main or shield is not contextlib.nullcontext):
            options["start_new_session"] = True
    return bool(options.get("start_new_session")) or options.get("process_group") == 0


def _signal(process: subprocess.Popen[bytes], number: int, has_group: bool) -> None:
    with contextlib.suppress(ProcessLookupError):
        if has_group:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)


class _Exchange:
    """The input and output of a running command."""

    def __init__(
        self, process: subprocess.Popen[bytes], outputs: Sequence[_Output], data: bytes | None
    ) -> None:
        self._process = process
        self._outputs = outputs
        self._data = memoryview(data or b"")
        self._shown_at = 0.0
        self._shown = ""

    def run(self, deadline: float | None) -> bool:
        """Reads the output until the command ends; returns False if the deadline passes before."""
        with selectors.DefaultSelector() as selector:
            for output in self._outputs:
                selector.register(output.pipe, selectors.EVENT_READ, output)
            if self._process.stdin is not None:
                os.set_blocking(self._process.stdin.fileno(), False)
                selector.register(self._process.stdin, selectors.EVENT_WRITE)
            while selector.get_map():
                wait = _SHOW_INTERVAL
                if deadline is not None:
                    wait = min(wait, deadline - time.monotonic())
                    if wait <= 0:
                        return False
                self._show()
                for key, _ in selector.select(wait):
                    goes_on = key.data.read() if key.data is not None else self._write()
                    if not goes_on:
                        selector.unregister(key.fileobj)
                if self._process.poll() is not None:
                    # The rest is in the pipes.
                    return True
        while True:
            # In short waits: an exception reaches a thread only between two system calls.
            wait = _POLL_INTERVAL
            if deadline is not None:
                wait = min(wait, deadline - time.monotonic())
            try:
                self._process.wait(max(0, wait))
                return True
            except subprocess.TimeoutExpired:
                if wait <= 0:
                    return False

    def _show(self) -> None:
        """Shows the line that the command is writing, from time to time."""
        now = time.monotonic()
        if now < self._shown_at + _SHOW_INTERVAL or not any(out.changed for out in self._outputs):
            return
        line = next(filter(None, (output.unfinished() for output in self._outputs)), "")
        if line != self._shown:
            self._shown_at, self._shown = now, line
            _context.current()._show_unfinished(line)

    def close(self) -> None:
        """Ends the line that is shown."""
        if self._shown:
            _context.current()._show_unfinished("")

    def _write(self) -> bool:
        """Writes a part of the input; returns False if nothing is left to write."""
        stdin = self._process.stdin
        if stdin is None:
            return False
        try:
            self._data = self._data[os.write(stdin.fileno(), self._data[:65536]) :]
        except BlockingIOError:
            return True
        except BrokenPipeError:
            self._data = self._data[:0]
        return bool(self._data) or self._close(stdin)

    def _close(self, stdin: Any) -> bool:
        # Nothing is registered any more once this returns False.
        self._process.stdin = None
        with contextlib.suppress(OSError):
            stdin.close()
        return False


def _end(process: subprocess.Popen[bytes], outputs: Sequence[_Output], has_group: bool) -> None:
    """Ends the command if it still runs, and prints the rest of its output."""
    try:
        if process.poll() is None:
            _signal(process, signal.SIGTERM, has_group)
            # It may print while it ends, more than a pipe holds.
            _drain(process, outputs, time.monotonic() + _GRACE)
            if has_group and process.poll() is not None:
                _end_rest(process.pid)
        if process.poll() is None:
            _signal(process, signal.SIGKILL, has_group)
            process.wait()
        _drain(None, outputs, time.monotonic() + _DRAIN_TIME)
    finally:
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        for output in outputs:
            output.finish()


def _end_rest(group: int) -> None:
    """Ends what a command that was asked to end has left in its process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        deadline = time.monotonic() + _REST_TIME
        while time.monotonic() < deadline:
            os.killpg(group, 0)
            time.sleep(0.005)
        os.killpg(group, signal.SIGKILL)


def _drain(
    process: subprocess.Popen[bytes] | None, outputs: Sequence[_Output], deadline: float
) -> None:
    """Reads until the process has ended; without a process, until nothing is in the pipes."""
    left = _DRAIN_BYTES
    pending = [output for output in outputs if not output.has_ended]
    while time.monotonic() < deadline and left > 0:
        before = sum(output.size for output in outputs)
        pending = [output for output in pending if output.read()]
        read = sum(output.size for output in outputs) - before
        left -= read
        if process is None:
            if not read:
                return
        elif process.poll() is not None:
            return
        elif not read:
            time.sleep(0.005)


class _Output:
    """One output stream of a command: printed line by line, and kept."""

    def __init__(self, pipe: Any, codec: str) -> None:
        self.pipe = pipe
        self.size = 0
        self.has_ended = False
        self._decoder = getincrementaldecoder(codec)("replace")
        self._parts: list[bytes] = []
        # The beginning of a line that has no end yet, and its length since it was last cut.
        self._line: list[str] = []
        self._length = 0
        self.changed = False
        os.set_blocking(pipe.fileno(), False)

    def read(self) -> bool:
        """Reads what is available; returns False at the end of the stream."""
        try:
            data = os.read(self.pipe.fileno(), 65536)
        except BlockingIOError:
            return True
        self.size += len(data)
        self.has_ended = not data
        self._parts.append(data)
        self._take(self._decoder.decode(data, final=not data))
        return bool(data)

    def _take(self, text: str) -> None:
        if not text:
            return
        self.changed = True
        whole, end, rest = text.rpartition("\n")
        if end:
            self._line.append(whole + end)
            self._write()
        if rest:
            self._line.append(rest)
            self._length += len(rest)
        if self._length > _MAX_UNFINISHED:
            # Of a meter that overwrites itself, the last state is enough.
            line = "".join(self._line)
            start = line.rstrip("\r").rfind("\r")
            self._line, self._length = [line[start:] if start > 0 else line], 0
            if start <= 0:
                self._write()

    def _write(self) -> None:
        """Prints what was kept."""
        sys.stdout.write("".join(self._line))
        sys.stdout.flush()
        self._line, self._length = [], 0

    def unfinished(self) -> str:
        """Returns the line that has no end yet, as a terminal shows it."""
        self.changed = False
        return "".join(self._line).rstrip("\r").rpartition("\r")[2]

    def finish(self) -> None:
        """Closes the stream and prints a last line without a line end."""
        self.pipe.close()
        self._take(self._decoder.decode(b"", final=True))
        if self._line:
            self._line.append("\n")
            self._write()

    def content(self, codec: str | None, errors: str, translate: bool) -> Any:
        """Returns the whole output: text, or bytes without a codec."""
        data = b"".join(self._parts)
        if codec is None:
            return data
        text = data.decode(codec, errors)
        return text.replace("\r\n", "\n").replace("\r", "\n") if translate else text
