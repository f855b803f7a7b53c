"""The template: an interpreter that makes others, which are copies of itself.

It has imported the actions and runs no attempt. A copy takes about a millisecond, a new interpreter
as long as all imports. Copies share the memory of what was imported.
"""

from __future__ import annotations

import _thread
import contextlib
import fcntl
import gc
import json
import os
import random
import select
import socket
import stat
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from tinpot._leftovers import Children

# Of `prctl`: makes orphaned descendants children of this process.
_SUBREAPER = 36
_MAX_REQUEST = 4096
_MAX_DESCRIPTORS = 8
# The field of `/proc/PID/stat` with the address of the environment, counted from the state.
_ENVIRONMENT_FIELD = 47
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


class Copy(NamedTuple):
    """The descriptors and settings of a copy."""

    requests: int
    replies: int
    lifeline: int
    mark: str
    memory_by_cgroup: bool


def reason_against(known: frozenset[int], children: Children) -> str:
    """Returns the reason why this process cannot be copied; empty if it can.

    known: the descriptors that were open before the imports.
    children: the processes that the imports started.
    """
    if not (sys.platform == "linux" and hasattr(os, "pidfd_open") and _prctl() is not None):
        return "this system cannot copy processes safely"
    names = [thread.name for thread in threading.enumerate()[1:]]
    if names or _thread._count() > 0:
        return f"an import started a thread ({', '.join(names) or 'without a name'})"
    if children.were_there():
        return "an import started a process"
    return _open_file(known) or _generator() or _threads_of_c()


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


def _open_file(known: Iterable[int]) -> str:
    for fd in descriptors().difference(known):
        found = os.fstat(fd)
        flags = fcntl.fcntl(fd, fcntl.F_GETFL)
        place = os.readlink(f"/proc/self/fd/{fd}")
        if stat.S_ISDIR(found.st_mode) or place in _DEVICES:
            continue
        is_shareable = flags & os.O_ACCMODE == os.O_RDONLY or flags & os.O_APPEND
        if not (stat.S_ISREG(found.st_mode) and is_shareable):
            return f"an import left {place} open"
    return ""


def _generator() -> str:
    """Finds a generator of random numbers: each copy would return the same ones."""
    kinds: list[Any] = [random.Random]
    numbers: Any = sys.modules.get("numpy.random")
    if numbers is not None:
        kinds += [numbers.Generator, numbers.RandomState]
    # Those that copies seed again.
    known = [
        vars(random).get("_inst"),
        getattr(sys.modules.get("numpy.random.mtrand"), "_rand", None),
    ]
    for name, module in list(sys.modules.items()):
        for key, value in list(getattr(module, "__dict__", {}).items()):
            is_one = isinstance(value, tuple(kinds)) and not isinstance(value, random.SystemRandom)
            if is_one and not any(value is one for one in known):
                return f"{name}.{key} generates random numbers, which would be the same everywhere"
    return ""


def _threads_of_c() -> str:
    """Finds threads of C code that it does not end before a copy is made, as OpenBLAS does."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    with contextlib.suppress(OSError):
        if len(os.listdir("/proc/self/task")) == 1:
            return ""
    return "an import started threads of C code"


def is_asked(requests: int, template: int) -> bool:
    """Waits for the first request. Returns True if it is one for a copy."""
    poll = select.poll()
    poll.register(requests, select.POLLIN)
    poll.register(template, select.POLLIN)
    return template in [fd for fd, _ in poll.poll()]


def serve(template: int, lifeline: int, enter: Callable[[int, int, str], object]) -> Copy:
    """Makes copies until the worker kills this process. Returns in a copy only.

    template: the descriptor of the socket to the worker.
    lifeline: the pipe that ties this process to the worker. Each copy has its own.
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
    request, received = server.run()
    for fd in [lifeline, *server.children.values()]:
        os.close(fd)
    server.socket.close()
    requests, replies, lifeline, stdout, stderr, *group = received
    for fd in group:
        os.write(fd, b"0")
        os.close(fd)
    os.setsid()
    adopt: Any = _prctl()
    adopt(_SUBREAPER, 1, 0, 0, 0)
    _write_cookie(request["old_cookie"], request["cookie"])
    enter(stdout, stderr, request["cookie"])
    os.close(stdout)
    os.close(stderr)
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
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)

    def run(self) -> tuple[dict[str, Any], list[int]]:
        """Returns the request and its descriptors in a copy, and never in the template."""
        while True:
            for fd, _ in self._poll.poll():
                if fd == self.socket.fileno():
                    received = self._receive()
                    if received is not None:
                        return received
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
            return None
        try:
            pid = os.fork()
        except OSError as error:
            self._send({"cookie": request["cookie"], "error": str(error)})
        else:
            if pid == 0:
                return request, received
            self.children[pid] = os.pidfd_open(pid)
            self._poll.register(self.children[pid], select.POLLIN)
            self._send({"cookie": request["cookie"], "forked": pid})
        for fd in received:
            os.close(fd)
        return None

    def _report(self, fd: int) -> None:
        # The process keeps its id until the worker knows of its end.
        self._poll.unregister(fd)
        found: Any = os.waitid(os.P_PIDFD, fd, os.WEXITED | os.WNOWAIT)
        status = found.si_status << 8 if found.si_code == os.CLD_EXITED else found.si_status
        self._send({"ended": found.si_pid, "status": status})

    def _send(self, message: dict[str, Any]) -> None:
        self.socket.send(json.dumps(message).encode())


def _prctl() -> Callable[..., int] | None:
    try:
        import ctypes

        found: Callable[..., int] = ctypes.CDLL(None).prctl
        return found
    except (ImportError, OSError, AttributeError):
        return None


def _write_cookie(old: str, new: str) -> None:
    """Changes the environment that others see, which is a copy of the template's."""
    with open("/proc/self/environ", "rb") as file:
        at = file.read().index(old.encode())
    with open("/proc/self/stat", "rb") as file:
        start = int(file.read().rpartition(b")")[2].split()[_ENVIRONMENT_FIELD])
    with open("/proc/self/mem", "r+b", buffering=0) as memory:
        memory.seek(start + at)
        memory.write(new.encode())
