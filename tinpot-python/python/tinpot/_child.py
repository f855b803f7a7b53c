"""The main loop of a child interpreter: reads requests, runs one attempt at a time, writes replies.

Standard output and standard error are pipes that the worker reads; requests and replies have a socket of their own.
"""

import _thread
import fcntl
import io
import json
import os
import select
import signal
import socket
import sys
import threading
import time

from tinpot import _integrations, _context, _discovery, _limits, _channel, _run, _sources
from tinpot._connection import Connection
from tinpot._errors import Cancelled, LimitExceeded

# How long a process that the action started may take to end by itself after the action has ended, in seconds.
_SETTLE = 0.02
_control = _run.Control()


def main(control_fd, lifeline_fd):
    for fd in (control_fd, lifeline_fd):
        os.set_inheritable(fd, False)
    signal.signal(signal.SIGTERM, _on_terminate)
    _tie(lifeline_fd)
    _open_streams()
    end = socket.socket(fileno=control_fd)
    end.setblocking(True)
    connection = Connection(end)
    settings = json.loads(connection.request())
    _integrations.install()

    def say(message):
        connection.send(json.dumps(message).encode() + b"\n")

    found = _discover(settings, lambda files: say({"importing": files}))
    _flush()
    say({"ready": found.offer()})
    try:
        link = _channel.PipeLink(settings["mark"], connection, _control, settings["tmp"])
        guards = _limits.guards(found.entries(), settings["limits"], not settings["memory_by_cgroup"])
        if settings["shared"]:
            from tinpot import _shared_interpreter  # asyncio takes as long to import as all else here

            return _shared_interpreter.serve(end, found, settings["result_limit_bytes"], settings["mark"], settings["tmp"])
        _serve(connection, found, settings["result_limit_bytes"], guards, link)
    except (BrokenPipeError, ConnectionResetError):
        pass
    os._exit(0)


def _discover(settings, importing):
    if settings["sources"] is None:
        return _discovery.discover(settings["root"], settings["skip"], lambda file: importing([file]))
    sources = _sources.Sources(settings["root"], settings["store"], settings["sources"], importing)
    sources.install()
    found = _discovery.discover(settings["root"], settings["skip"], sources=sources)
    sources.settle()
    return found


def _serve(connection, found, limit, guards, link):
    entries = found.entries()
    next_request, send, loads = connection.request, connection.send, json.loads
    home, me = _Home(), os.getpid()
    while True:
        line = next_request()
        if line is None:
            return
        if _control.stopped:
            # Asked to end while nothing ran: whatever comes is for another interpreter.
            send(b'{"refused":true}\n')
            continue
        threads = _thread._count()
        left = False
        try:
            _control.running = True
            try:
                request = loads(line)
                context = _context.enter(_channel.Attempt(link, request.get("execution"), request.get("fence"), request.get("attempt", 1)))
                entry = entries.get(request["action"])
                if entry is None:
                    reply = _run.unknown(request["action"], found)
                else:
                    guard = guards.get(request["action"])
                    value = (guard or _run).call(entry, request["parameters"], _control, context)
                    most = limit if guard is None or guard.max_result is None else guard.max_result
                    reply = _run.succeeded(value, most)
                    value = None
                if _thread._count() > threads:
                    left = _end_threads(threads)
            finally:
                _control.running = False
        except BaseException as error:
            _control.running = False
            reply = _run.failed(error, _control)
            # It was raised at any place, and what it left behind is not known.
            spent = isinstance(error, LimitExceeded)
            # Frames keep the locals of the action alive.
            error = None
            if _thread._count() > threads and not _control.stopped:
                left = _end_threads(threads)
            left = left or spent
        request = entry = context = None
        _flush()
        _context.leave()
        if os.getpid() != me:
            os._exit(0)  # the action forked, and this is the copy: the reply is not its to give
        home.restore()
        if _has_children(home):
            left = True
        send(reply[:-1] + b',"left":true}\n' if left else reply + b"\n")


def _on_terminate(_signal, _frame):
    _control.stopped = True
    if not _control.running:
        return
    _control.running = False
    if _control.hook is not None:
        _control.hook()
    else:
        raise Cancelled("the attempt was asked to end")


def _tie(lifeline_fd):
    """Makes the end of the worker the end of this process group, even while C code holds the interpreter lock."""
    group = os.getpgrp()
    try:
        fcntl.fcntl(lifeline_fd, fcntl.F_SETOWN, -group)
        fcntl.fcntl(lifeline_fd, 10, signal.SIGKILL)  # F_SETSIG, which Linux alone has
        flags = fcntl.fcntl(lifeline_fd, fcntl.F_GETFL)
        fcntl.fcntl(lifeline_fd, fcntl.F_SETFL, flags | os.O_ASYNC if hasattr(os, "O_ASYNC") else flags | fcntl.FASYNC)
        tied = sys.platform == "linux"
    except (OSError, AttributeError):
        tied = False
    if not tied:
        threading.Thread(target=_watch, args=(lifeline_fd, group), daemon=True).start()
    elif select.select([lifeline_fd], [], [], 0)[0]:
        os.killpg(group, signal.SIGKILL)


def _watch(lifeline_fd, group):
    os.read(lifeline_fd, 1)
    os.killpg(group, signal.SIGKILL)


def _open_streams():
    """One write per line; a traceback of a crash in C code on standard error."""
    global _stdout, _stderr, _fflush
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    _stdout, _stderr = sys.stdout, sys.stderr
    _fflush = _c_stdio()
    try:
        import faulthandler

        faulthandler.enable(2)
    except (ImportError, OSError):
        pass


def _c_stdio():
    """Makes C's stdout write whole lines at once; returns what flushes the rest."""
    try:
        import ctypes

        libc = ctypes.PyDLL(None)
        stdout = ctypes.c_void_p.in_dll(libc, "stdout")
        libc.setvbuf(stdout, None, 1, 0)  # _IOLBF
        flush = libc.fflush
        flush.argtypes = (ctypes.c_void_p,)
        return flush
    except (ImportError, OSError, ValueError, AttributeError):
        return lambda _stream: None


def _flush():
    """Sends everything that was printed on its way, whatever the action did to `sys.stdout`."""
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
        sys.stdout = sys.__stdout__ = _stdout = _reopen(1)
        sys.stderr = sys.__stderr__ = _stderr = _reopen(2)
    _fflush(None)


def _try_flush(stream):
    try:
        stream.flush()
    except Exception:
        pass


def _reopen(fd):
    return io.open(fd, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)


def _end_threads(before):
    """Ends threads that the action left as the end of a script would: waits for them, daemons excepted.

    The interpreter cannot be used again after that: True. False when it turns out that none was left.
    """
    for _ in range(20):
        if len(threading.enumerate()) <= 1 and _thread._count() > before:
            time.sleep(0.001)  # a thread that was joined is counted for a moment longer
    if _thread._count() <= before:
        return False
    threading._shutdown()
    return True


class _Home:
    """What an attempt may change and the next one finds restored."""

    def __init__(self):
        self.directory = os.getcwd()
        self.environment = dict(os.environ._data)
        self.children = _children()

    def restore(self):
        try:
            moved = os.getcwd() != self.directory
        except OSError:
            moved = True
        if moved:
            try:
                os.chdir(self.directory)
            except OSError:
                pass
        if os.environ._data != self.environment:
            for key in [key for key in os.environ._data if key not in self.environment]:
                del os.environ[os.fsdecode(key)]
            for key, value in self.environment.items():
                if os.environ._data.get(key) != value:
                    os.environ[os.fsdecode(key)] = os.fsdecode(value)
        if signal.getsignal(signal.SIGTERM) is not _on_terminate:
            signal.signal(signal.SIGTERM, _on_terminate)


def _has_children(home):
    """Whether a process is alive that this attempt started, directly or by way of others: orphans come to us."""
    try:
        # One system call, about half a microsecond, when there is none: the usual case.
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    deadline = time.monotonic() + _SETTLE
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return False
        if home.children and _children() <= home.children:
            return False
        if time.monotonic() >= deadline:
            return True
        time.sleep(0.001)


def _children():
    """The living children of this process."""
    try:
        if not os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) and not os.path.isdir("/proc/self"):
            return set()
    except ChildProcessError:
        return set()
    me, found = str(os.getpid()), set()
    try:
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    with open("/proc/%s/stat" % name) as stat:
                        state, parent = stat.read().rpartition(")")[2].split()[:2]
                except OSError:
                    continue
                if parent == me and state not in "ZX":
                    found.add(name)
    except OSError:
        pass
    return found
