"""The main loop of a child interpreter: reads requests, runs one attempt at a time, replies.

Standard output and standard error are pipes to the worker. Requests and replies have a socket.
"""

from __future__ import annotations

import _thread
import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tinpot import (
    _channel,
    _context,
    _discovery,
    _integrations,
    _limits,
    _modules,
    _run,
    _sources,
    _streams,
    _text,
)
from tinpot._connection import Connection
from tinpot._errors import Cancelled, LimitExceeded

if TYPE_CHECKING:
    from types import FrameType

# The time in which a process that the action started may end by itself after the action, in
# seconds.
_SETTLE_TIME = 0.02
# F_SETSIG, which Linux alone has, and which the module `fcntl` lacks.
_F_SETSIG = 10
_control = _run.Control()
_stdout: Any = None
_stderr: Any = None


def _flush_nothing(_stream: Any) -> None:
    """Stands in for `fflush` where the C library cannot be loaded."""


_flush_c_stdio: Callable[[Any], object] = _flush_nothing


def main(control_fd: int, lifeline_fd: int) -> None:
    """Runs the interpreter until the worker closes the connection."""
    for fd in (control_fd, lifeline_fd):
        os.set_inheritable(fd, False)
    signal.signal(signal.SIGTERM, _on_terminate)
    _tie_to_worker(lifeline_fd)
    _open_streams()
    end = socket.socket(fileno=control_fd)
    end.setblocking(True)
    connection = Connection(end)
    settings = json.loads(connection.request() or b"null")
    _integrations.install()

    def importing(files: list[str]) -> None:
        connection.send(_text.json_bytes({"importing": files}) + b"\n")

    found = _discover(settings, importing)
    _flush()
    connection.send(b'{"ready":' + found.as_json() + b"}\n")
    try:
        if settings["shared"]:
            # Imported here: asyncio takes as long to import as everything else.
            from tinpot import _shared_interpreter

            _shared_interpreter.serve(
                end, found, settings["result_limit_bytes"], settings["mark"], settings["tmp"]
            )
            return
        channel = _channel.PipeChannel(settings["mark"], connection, _control, settings["tmp"])
        limit_memory = not settings["memory_by_cgroup"]
        guards = _limits.guards(found.entries(), settings["limits"], limit_memory)
        _serve(connection, found, settings["result_limit_bytes"], guards, channel)
    except (BrokenPipeError, ConnectionResetError):
        pass
    os._exit(0)


def _discover(
    settings: Mapping[str, Any], importing: Callable[[list[str]], object]
) -> _discovery.Discovery:
    root, skip = settings["root"], settings["skip"]
    options = {name: settings[name] for name in ("only", "names", "owners")}
    if settings["sources"] is None:
        found = _discovery.discover(root, skip, lambda file: importing([file]), **options)
    else:
        sources = _sources.Sources(root, settings["store"], settings["sources"], importing)
        sources.install()
        found = _discovery.discover(root, skip, sources=sources, **options)
        sources.finish()
    _modules.tell_spawned_processes(root)
    return found


def _serve(
    connection: Connection,
    found: _discovery.Discovery,
    limit: int,
    guards: Mapping[str, _limits.Guard],
    channel: _channel.Channel,
) -> None:
    entries = found.entries()
    next_request, send, loads = connection.request, connection.send, json.loads
    baseline, own_pid = _Baseline(), os.getpid()
    request: Any
    attempt: Any
    entry: Any
    context: Any
    while True:
        line = next_request()
        if line is None:
            return
        if _control.stopped:
            # Asked to end between two attempts: another interpreter has to run this one.
            send(b'{"refused":true}\n')
            continue
        threads = _thread._count()
        left = False
        try:
            _control.running = True
            try:
                request = loads(line)
                attempt = _channel.Attempt(
                    channel,
                    request.get("execution"),
                    request.get("fence"),
                    request.get("attempt", 1),
                )
                context = _context.enter(attempt)
                entry = entries.get(request["action"])
                if entry is None:
                    reply = _run.unknown(request["action"], found)
                else:
                    guard = guards.get(request["action"])
                    call = _run.call if guard is None else guard.call
                    value = call(entry, request["parameters"], _control, context)
                    own_limit = None if guard is None else guard.max_result
                    reply = _run.succeeded(value, limit if own_limit is None else own_limit)
                    value = None
                if _thread._count() > threads:
                    left = _end_threads(threads)
            finally:
                _control.running = False
        except BaseException as error:
            _control.running = False
            reply = _run.failed(error, _control)
            # It was raised anywhere, and may have left any state behind.
            is_spent = isinstance(error, LimitExceeded)
            if _thread._count() > threads and not _control.stopped:
                left = _end_threads(threads)
            left = left or is_spent
        # Locals of the action must not live until the next attempt.
        request = entry = context = attempt = None
        _flush()
        _context.leave()
        if os.getpid() != own_pid:
            # The action forked, and this is the child: the parent sends the reply.
            os._exit(0)
        baseline.restore()
        if _has_children(baseline):
            left = True
        send(reply[:-1] + b',"left":true}\n' if left else reply + b"\n")


def _on_terminate(_signal: int, _frame: FrameType | None) -> None:
    _control.stopped = True
    if not _control.running:
        return
    _control.running = False
    if _control.hook is not None:
        _control.hook()
    else:
        raise Cancelled("the attempt was asked to end")


def _tie_to_worker(lifeline_fd: int) -> None:
    """Ends this process group with the worker, even while C code holds the interpreter lock.

    On Linux the kernel does it: when the last writer closes the pipe, it signals the group.
    """
    group = os.getpgrp()
    try:
        fcntl.fcntl(lifeline_fd, fcntl.F_SETOWN, -group)
        fcntl.fcntl(lifeline_fd, _F_SETSIG, signal.SIGKILL)
        flags = fcntl.fcntl(lifeline_fd, fcntl.F_GETFL)
        is_async = os.O_ASYNC if hasattr(os, "O_ASYNC") else fcntl.FASYNC
        fcntl.fcntl(lifeline_fd, fcntl.F_SETFL, flags | is_async)
        is_tied = sys.platform == "linux"
    except (OSError, AttributeError):
        is_tied = False
    if not is_tied:
        threading.Thread(target=_watch, args=(lifeline_fd, group), daemon=True).start()
    elif select.select([lifeline_fd], [], [], 0)[0]:
        # The worker ended before the signal was set up.
        os.killpg(group, signal.SIGKILL)


def _watch(lifeline_fd: int, group: int) -> None:
    os.read(lifeline_fd, 1)
    os.killpg(group, signal.SIGKILL)


def _open_streams() -> None:
    """Makes the streams write whole lines, and a crash in C code print a traceback."""
    global _stdout, _stderr, _flush_c_stdio
    _channel.pipes.remember()
    _stdout = sys.stdout
    _stdout.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    # `__stderr__` is read-only for type checkers alone.
    sys.stderr = sys.__stderr__ = _stderr = _streams.open_errors()  # type: ignore[misc]
    _flush_c_stdio = _open_c_stdio()
    try:
        import faulthandler

        faulthandler.enable(2)
    except (ImportError, OSError):
        pass


def _open_c_stdio() -> Callable[[Any], object]:
    """Makes C's stdout write whole lines; returns the function that flushes the rest."""
    try:
        import ctypes

        libc = ctypes.PyDLL(None)
        stdout = ctypes.c_void_p.in_dll(libc, "stdout")
        libc.setvbuf(stdout, None, 1, 0)  # _IOLBF
        flush = libc.fflush
        flush.argtypes = (ctypes.c_void_p,)
        return flush
    except (ImportError, OSError, ValueError, AttributeError):
        return _flush_nothing


def _flush() -> None:
    """Flushes everything that was printed, also if the action replaced `sys.stdout`."""
    global _stdout, _stderr
    if sys.stdout is not _stdout:
        _try_flush(sys.stdout)
        sys.stdout = _stdout
    if sys.stderr is not _stderr:
        _try_flush(sys.stderr)
        sys.stderr = _stderr
    try:
        _stdout.flush()
        _stderr.flush()
    except (ValueError, OSError):
        # The action closed them. `__stdout__` is read-only for type checkers alone.
        sys.stdout = sys.__stdout__ = _stdout = _reopen_stdout()  # type: ignore[misc]
        sys.stderr = sys.__stderr__ = _stderr = _streams.open_errors()  # type: ignore[misc]
    _flush_c_stdio(None)


def _try_flush(stream: Any) -> None:
    with contextlib.suppress(Exception):
        stream.flush()


def _reopen_stdout() -> Any:
    return open(1, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)


def _end_threads(before: int) -> bool:
    """Joins the threads that the action left, except daemons, as at the end of a script.

    Returns True if there were any: then the interpreter cannot be used again.
    """
    for _ in range(20):
        if len(threading.enumerate()) <= 1 and _thread._count() > before:
            # A joined thread is counted for a moment longer.
            time.sleep(0.001)
    if _thread._count() <= before:
        return False
    shutdown: Callable[[], None] = threading._shutdown  # type: ignore[attr-defined]
    shutdown()
    return True


class _Baseline:
    """The state of the process that is restored after each attempt."""

    def __init__(self) -> None:
        self.directory = os.getcwd()
        self.environment: dict[bytes, bytes] = dict(_environment())
        self.children = _children()

    def restore(self) -> None:
        """Restores the working directory, the environment and the handler of SIGTERM."""
        try:
            has_moved = os.getcwd() != self.directory
        except OSError:
            has_moved = True
        if has_moved:
            with contextlib.suppress(OSError):
                os.chdir(self.directory)
        if _environment() != self.environment:
            for key in [key for key in _environment() if key not in self.environment]:
                del os.environ[os.fsdecode(key)]
            for key, value in self.environment.items():
                if _environment().get(key) != value:
                    os.environ[os.fsdecode(key)] = os.fsdecode(value)
        if signal.getsignal(signal.SIGTERM) is not _on_terminate:
            signal.signal(signal.SIGTERM, _on_terminate)


def _environment() -> dict[bytes, bytes]:
    # The bytes behind `os.environ`: comparing them needs no conversion to text.
    data: dict[bytes, bytes] = os.environ._data  # type: ignore[attr-defined]
    return data


def _has_children(baseline: _Baseline) -> bool:
    """Returns True if a process of the attempt is alive. Orphans become our children."""
    try:
        # One system call, about half a microsecond, in the usual case that there is none.
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    deadline = time.monotonic() + _SETTLE_TIME
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return False
        if baseline.children and _children() <= baseline.children:
            return False
        if time.monotonic() >= deadline:
            return True
        time.sleep(0.001)


def _children() -> set[str]:
    """Returns the ids of the living children of this process."""
    try:
        exited = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if not exited and not os.path.isdir("/proc/self"):
            return set()
    except ChildProcessError:
        return set()
    own_pid, found = str(os.getpid()), set()
    try:
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    with open(f"/proc/{name}/stat") as stat:
                        state, parent = stat.read().rpartition(")")[2].split()[:2]
                except OSError:
                    continue
                if parent == own_pid and state not in "ZX":
                    found.add(name)
    except OSError:
        pass
    return found
