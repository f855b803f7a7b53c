"""The template: an interpreter that makes others, which are copies of itself.

It has imported the actions and runs no attempt. A copy takes about a millisecond, a new interpreter
as long as all imports. Copies share the memory of what was imported.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import os
import select
import signal
import socket
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

# Of `prctl`: makes orphaned descendants children of this process.
_SUBREAPER = 36
_MAX_REQUEST = 4096
_MAX_DESCRIPTORS = 8
# The number of descriptors of a request before that of the group.
_PIPES = 5
# The field of `/proc/PID/stat` with the address of the environment, counted from the state.
_ENVIRONMENT_FIELD = 47


class Copy(NamedTuple):
    """The descriptors and settings of a copy."""

    requests: int
    replies: int
    lifeline: int
    mark: str
    memory_by_cgroup: bool


def is_possible() -> bool:
    """Returns True if this system can copy processes safely."""
    return sys.platform == "linux" and hasattr(os, "pidfd_open") and _prctl() is not None


def descriptors() -> frozenset[int]:
    """Returns the open descriptors."""
    found = set()
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc/self/fd"):
            # The list itself was read through one of them, which is closed now.
            with contextlib.suppress(OSError):
                os.fstat(int(name))
                found.add(int(name))
    return frozenset(found)


def opened(known: Iterable[int]) -> Iterator[tuple[int, int, int]]:
    """Yields each descriptor that an import left open, with the mode of its file and its flags."""
    for fd in descriptors().difference(known):
        yield fd, os.fstat(fd).st_mode, fcntl.fcntl(fd, fcntl.F_GETFL)


def is_asked(requests: int, template: int) -> bool:
    """Waits for the first request. Returns True if it is one for a copy."""
    poll = select.poll()
    poll.register(requests, select.POLLIN)
    poll.register(template, select.POLLIN)
    return template in [fd for fd, _ in poll.poll()]


def serve(
    template: int,
    lifeline: int,
    known: frozenset[int],
    enter: Callable[[int, int, str], object],
) -> Copy:
    """Makes copies until the worker kills this process. Returns in a copy only.

    template: the descriptor of the socket to the worker.
    lifeline: the pipe that ties this process to the worker. Each copy has its own.
    known: the descriptors that were open before the imports.
    enter: makes a copy use its own pipes and its own cookie.
    """
    server = _Template(template)
    nothing = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
    # Libraries may print when a copy is made, and the worker does not read that.
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    os.close(nothing)
    gc.collect()
    # What was imported stays, and is not written to when it is looked at.
    gc.freeze()
    files = _read_files(known.union((template, lifeline)))
    request, received = server.run()
    for fd in [lifeline, *server.children.values()]:
        os.close(fd)
    server.close()
    requests, replies, lifeline, stdout, stderr, *group = received
    for fd in group:
        os.close(fd)
    os.setsid()
    adopt: Any = _prctl()
    adopt(_SUBREAPER, 1, 0, 0, 0)
    _write_cookie(request["old_cookie"], request["cookie"])
    enter(stdout, stderr, request["cookie"])
    os.close(stdout)
    os.close(stderr)
    for fd in files:
        _reopen(fd)
    numbers: Any = sys.modules.get("numpy.random")
    if numbers is not None:
        numbers.seed()
    return Copy(requests, replies, lifeline, request["mark"], request["memory_by_cgroup"])


class _Template:
    """The loop that makes copies and reports their ends."""

    def __init__(self, fd: int) -> None:
        self.socket = socket.socket(fileno=fd)
        # The descriptors of the processes, by id.
        self.children: dict[int, int] = {}
        self._ends = _Ends()
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)
        self._poll.register(self._ends.fd, select.POLLIN)

    def close(self) -> None:
        """Closes what only the template needs, in a copy."""
        self.socket.close()
        self._ends.close()

    def run(self) -> tuple[dict[str, Any], list[int]]:
        """Returns the request and its descriptors in a copy, and never in the template."""
        while True:
            for fd, _ in self._poll.poll():
                if fd == self.socket.fileno():
                    received = self._receive()
                    if received is not None:
                        return received
                elif fd == self._ends.fd:
                    self._ends.read()
                    self._reap_adopted()
                else:
                    self._report(fd)

    def _receive(self) -> tuple[dict[str, Any], list[int]] | None:
        data, received, _, _ = socket.recv_fds(
            self.socket, _MAX_REQUEST, _MAX_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
        )
        request: dict[str, Any] = json.loads(data)
        reap = request.get("reap")
        if reap is not None:
            os.close(self.children.pop(reap))
            os.waitpid(reap, 0)
            self._reap_adopted()
            return None
        try:
            pid = os.fork()
        except OSError as error:
            self._send({"cookie": request["cookie"], "error": str(error)})
        else:
            if pid == 0:
                return request, received
            # Before the worker knows of it, which kills it by its group.
            for fd in received[_PIPES:]:
                with contextlib.suppress(OSError):
                    os.write(fd, str(pid).encode())
            self.children[pid] = os.pidfd_open(pid)
            self._poll.register(self.children[pid], select.POLLIN)
            self._send({"cookie": request["cookie"], "forked": pid})
        for fd in received:
            os.close(fd)
        return None

    def _reap_adopted(self) -> None:
        """Reaps what copies left: this process adopts it when they end.

        A copy that has ended and waits to be reaped comes first, and then this is called again.
        """
        with contextlib.suppress(ChildProcessError):
            while True:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if found is None or found.si_pid in self.children:
                    return
                os.waitpid(found.si_pid, 0)

    def _report(self, fd: int) -> None:
        # The process keeps its id until the worker knows of its end.
        self._poll.unregister(fd)
        found: Any = os.waitid(os.P_PIDFD, fd, os.WEXITED | os.WNOWAIT)
        status = found.si_status << 8 if found.si_code == os.CLD_EXITED else found.si_status
        self._send({"ended": found.si_pid, "status": status})

    def _send(self, message: dict[str, Any]) -> None:
        self.socket.send(json.dumps(message).encode())


class _Ends:
    """Tells that children have ended, also those that this process adopted."""

    def __init__(self) -> None:
        self.fd, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._former = signal.getsignal(signal.SIGCHLD)
        self._former_writer = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        # A handler that is not Python's could not be put back.
        if self._former is not None:
            signal.signal(signal.SIGCHLD, lambda _signal, _frame: None)

    def read(self) -> None:
        """Forgets the ends that were told so far."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.fd, 1 << 16)

    def close(self) -> None:
        """Puts back what was there before."""
        if self._former is not None:
            signal.signal(signal.SIGCHLD, self._former)
        signal.set_wakeup_fd(-1)
        os.close(self.fd)
        os.close(self._writer)
        # Its file may be closed.
        with contextlib.suppress(OSError, ValueError):
            signal.set_wakeup_fd(self._former_writer)


def _prctl() -> Callable[..., int] | None:
    try:
        import ctypes

        found: Callable[..., int] = ctypes.CDLL(None).prctl
        return found
    except (ImportError, OSError, AttributeError):
        return None


def _read_files(known: Iterable[int]) -> list[int]:
    """Returns the descriptors of regular files that imports opened to read."""
    return [
        fd
        for fd, mode, flags in opened(known)
        if stat.S_ISREG(mode) and flags & os.O_ACCMODE == os.O_RDONLY
    ]


def _reopen(fd: int) -> None:
    """Gives this process a position of its own in a file, which copies would share."""
    new = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    os.lseek(new, os.lseek(fd, 0, os.SEEK_CUR), os.SEEK_SET)
    os.dup2(new, fd, os.get_inheritable(fd))
    os.close(new)


def _write_cookie(old: str, new: str) -> None:
    """Changes the environment that others see, which is a copy of the template's."""
    with open("/proc/self/environ", "rb") as file:
        at = file.read().index(old.encode())
    with open("/proc/self/stat", "rb") as file:
        start = int(file.read().rpartition(b")")[2].split()[_ENVIRONMENT_FIELD])
    with open("/proc/self/mem", "r+b", buffering=0) as memory:
        memory.seek(start + at)
        memory.write(new.encode())
