"""Outlives the worker by a moment, to kill what the worker's interpreters have started. A program of its own.

Standard input is a pipe that ends with the worker, however that ended. Standard output is an end of the pipe that ties the interpreters to this
process and to the worker, and is never written to: while this process is there, they adopt what their descendants leave behind.
"""

import os
import signal
import sys
import time

# How long to go on while killed processes do not disappear (they may be stuck in the kernel), in seconds.
_PATIENCE = 5.0


def main(mark, cgroup):
    """`mark` is how an entry of the interpreters' environment begins; `cgroup` that of the pool, or nothing."""
    os.chdir("/")
    # Who ends a terminal's or a service's processes asks all of them: this one is needed until the worker has ended.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 4096):
        pass
    _end(mark.encode(), cgroup)
    if cgroup:
        _remove(cgroup)


def _end(mark, cgroup):
    """Kills the interpreters with that mark, all that belongs to them, and what is in the cgroup."""
    give_up, pause, stopped = time.monotonic() + _PATIENCE, 0.0005, set()
    while time.monotonic() < give_up:
        populated = _kill_cgroup(cgroup)
        interpreters, others = _belonging(mark, stopped)
        if not (populated or interpreters or others):
            return
        # An interpreter goes last: with it the tree of its descendants is lost. It is stopped first, so that they do not become more.
        last = not others and interpreters <= stopped
        for pid in interpreters:
            _send(pid, signal.SIGKILL if last else signal.SIGSTOP)
        for pid in others:
            _send(pid, signal.SIGKILL)
        stopped |= interpreters
        time.sleep(pause)
        pause = min(2 * pause, 0.02)


def _belonging(mark, known):
    """The living interpreters, and everything else that is alive and belongs to them or to the `known` ones."""
    processes = _processes()
    marked = {pid for pid in processes if _has_mark(pid, mark)}
    interpreters = {pid for pid in marked if processes[pid][0] not in marked}
    heads, others = interpreters | known, set()
    for pid, (_, group, session) in processes.items():
        if pid not in heads and (pid in marked or group in heads or session in heads or _descends(processes, pid, heads)):
            others.add(pid)
    return interpreters, others


def _processes():
    """Parent, process group and session of everything that is alive."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            stat = _read("/proc/%s/stat" % name)
            # The name in parentheses may hold anything: the fields begin after the last one.
            fields = stat.rpartition(b")")[2].split(None, 4)
            if len(fields) == 5 and fields[0] not in (b"Z", b"X"):
                found[int(name)] = tuple(map(int, fields[1:4]))
    found.pop(os.getpid(), None)
    return found


def _has_mark(pid, mark):
    return any(entry.startswith(mark) for entry in _read("/proc/%d/environ" % pid).split(b"\0"))


def _descends(processes, pid, heads):
    # A chain longer than the table would be a loop, which a table read over time could show.
    for _ in processes:
        pid = processes[pid][0]
        if pid in heads or pid not in processes:
            return pid in heads
    return False


def _kill_cgroup(cgroup):
    """Kills what is in it; whether anything is alive."""
    try:
        fd = os.open(cgroup + "/cgroup.kill", os.O_WRONLY)
    except OSError:
        return False
    try:
        os.write(fd, b"1")
    except OSError:
        pass
    finally:
        os.close(fd)
    return b"populated 1" in _read(cgroup + "/cgroup.events")


def _remove(cgroup):
    for folder, _, _ in os.walk(cgroup, topdown=False):
        try:
            os.rmdir(folder)
        except OSError:
            pass


def _send(pid, number):
    try:
        os.kill(pid, number)
    except OSError:
        pass


def _read(file):
    try:
        with open(file, "rb") as handle:
            return handle.read()
    except OSError:
        return b""


if __name__ == "__main__":
    main(*sys.argv[1:])
