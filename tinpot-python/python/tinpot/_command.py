"""Printing, and running commands whose output is seen live."""

import contextlib
import os
import selectors
import shlex
import signal
import subprocess
import sys
import time
from codecs import getincrementaldecoder

from tinpot._errors import CommandError, CommandTimeout

# How often to look whether a command has ended although something it left behind keeps its output open, in seconds;
# and, in the worker's own process, how soon a request to end is noticed.
_LOOK_EVERY = 0.1
# How long a command may take to end after it was asked to, in seconds.
_GRACE = 2.0
# Keeps a request to end away from the middle of starting a process, which would then be nobody's. Only needed where such a request is an
# exception in a thread: elsewhere the process group is killed.
shield = contextlib.nullcontext


def action_print(*values, **options):
    """`print`, and the line is on its way at once."""
    options.setdefault("flush", True)
    print(*values, **options)


class Completed:
    """A command that has ended."""

    __slots__ = ("command", "returncode", "stdout", "stderr")

    def __init__(self, command, returncode, stdout, stderr):
        self.command = command
        self.returncode = returncode
        self.stdout = stdout
        self.stderr = stderr

    def __repr__(self):
        return "Completed(command=%r, returncode=%r)" % (self.command, self.returncode)


def run_command(cmd, *, cwd=None, env=None, timeout=None, check=True, shell=None):
    """Runs a command, prints what it writes while it runs, and returns what it wrote.

    cmd: a list of arguments, or one string that is split like a shell would, without running a shell.
    cwd: where it runs.
    env: variables in addition to the environment.
    timeout: seconds after which it is killed, which raises `CommandTimeout`.
    check: whether another exit code than 0 raises `CommandError`.
    shell: True to hand a string to a shell, with all that means for what is in the string.
    """
    if isinstance(cmd, (str, bytes, os.PathLike)):
        text = os.fsdecode(cmd)
        arguments = text if shell else shlex.split(text)
    else:
        if shell:
            raise TypeError("run_command: with shell=True the command must be a string, not a list")
        arguments = [os.fsdecode(part) if isinstance(part, (str, bytes, os.PathLike)) else str(part) for part in cmd]
        text = " ".join(shlex.quote(part) for part in arguments)
    if not arguments:
        raise ValueError("run_command: the command is empty")
    action_print("$ " + text)
    process, outputs = None, []
    try:
        with shield():
            process = subprocess.Popen(
                arguments,
                shell=bool(shell),
                cwd=cwd,
                env=None if env is None else {**os.environ, **{key: str(value) for key, value in env.items()}},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
            )
        outputs = [_Output(process.stdout), _Output(process.stderr)]
        in_time = _follow(process, outputs, None if timeout is None else time.monotonic() + timeout)
    finally:
        if process is not None:
            _end(process)
        for output in outputs:
            output.finish()
    stdout, stderr = (output.text() for output in outputs)
    if not in_time:
        raise CommandTimeout(text, timeout, stdout, stderr)
    if check and process.returncode != 0:
        raise CommandError(text, process.returncode, stdout, stderr)
    return Completed(text, process.returncode, stdout, stderr)


def _follow(process, outputs, deadline):
    """Reads until the command has ended; False when the deadline came first."""
    with selectors.DefaultSelector() as selector:
        for output in outputs:
            os.set_blocking(output.pipe.fileno(), False)
            selector.register(output.pipe, selectors.EVENT_READ, output)
        while selector.get_map():
            wait = _LOOK_EVERY
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
        # In pieces: in the worker's own process a request to end is noticed between two system calls only.
        wait = _LOOK_EVERY if deadline is None else min(_LOOK_EVERY, deadline - time.monotonic())
        try:
            process.wait(max(0, wait))
            return True
        except subprocess.TimeoutExpired:
            if wait <= 0:
                return False


def _end(process):
    """Makes sure that the command is gone."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class _Output:
    """One stream of a command: printed line by line, and kept."""

    def __init__(self, pipe):
        self.pipe = pipe
        self.decoder = getincrementaldecoder("utf-8")("replace")
        self.parts = []
        self.line = ""

    def read(self):
        """Takes what is there; False at the end of the stream."""
        try:
            data = os.read(self.pipe.fileno(), 65536)
        except BlockingIOError:
            return True
        self.take(self.decoder.decode(data, final=not data))
        return bool(data)

    def take(self, text):
        if not text:
            return
        self.parts.append(text)
        whole, end, rest = text.rpartition("\n")
        if end:
            sys.stdout.write(self.line + whole + end)
            sys.stdout.flush()
            self.line = rest
        else:
            self.line += text

    def finish(self):
        self.pipe.close()
        self.take(self.decoder.decode(b"", final=True))
        if self.line:
            action_print(self.line)
            self.line = ""

    def text(self):
        return "".join(self.parts)
