"""The guardian: a program that outlives the worker and kills the processes of its interpreters.

Standard input is a pipe that ends with the worker, however the worker ends. Standard output is a
writing end of the pipe that ties the interpreters to the worker and to this process. Nothing is
ever written to it: while it is open, the interpreters live, and adopt orphans of their own.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

# The time to go on while killed processes do not disappear, in seconds. They may be stuck in the
# kernel.
_PATIENCE = 5.0


def main(mark: str, cgroup: str) -> None:
    """Waits for the end of the worker, then kills what it left.

    mark: the first characters of a variable in the environment of the interpreters.
    cgroup: the path of the pool's cgroup; empty if there is none.
    """
    os.chdir("/")
    # A terminal or a service manager signals all its processes, and this one has to outlive the
    # worker.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 4096):
        pass
    _kill_all(mark.encode(), cgroup)
    if cgroup:
        _remove(cgroup)


def _kill_all(mark: bytes, cgroup: str) -> None:
    """Kills the marked interpreters, their descendants, and the members of the cgroup."""
    give_up, pause = time.monotonic() + _PATIENCE, 0.0005
    stopped: set[int] = set()
    others: dict[int, int] = {}
    while time.monotonic() < give_up:
        is_populated = _kill_cgroup(cgroup)
        # A killed process loses its memory, and with it the mark, before it is dead.
        interpreters, others = _find_processes(mark, stopped, others)
        if not (is_populated or interpreters or others):
            return
        # The interpreters go last, because the tree of descendants is lost with them. They are
        # stopped first, so that they start nothing more.
        is_last = not others and interpreters <= stopped
        for pid in interpreters:
            _send(pid, signal.SIGKILL if is_last else signal.SIGSTOP)
        for pid in others:
            _send(pid, signal.SIGKILL)
        stopped |= interpreters
        time.sleep(pause)
        pause = min(2 * pause, 0.02)


def _find_processes(
    mark: bytes, stopped: set[int], killed: dict[int, int]
) -> tuple[set[int], dict[int, int]]:
    """Returns the living interpreters, and all other processes of these and the `stopped` ones.

    The others are returned with the time of their start, because another process can get the same
    id. They include those of the `killed` ones that are alive.
    """
    processes = _processes()
    marked = {pid for pid in processes if _has_mark(pid, mark)}
    interpreters = {pid for pid in marked if processes[pid][0] not in marked}
    heads, others = interpreters | stopped, {}
    for pid, (_, group, session, started) in processes.items():
        if pid in heads:
            continue
        is_member = pid in marked or group in heads or session in heads
        is_member = is_member or killed.get(pid) == started
        if is_member or _descends(processes, pid, heads):
            others[pid] = started
    return interpreters, others


def _processes() -> dict[int, tuple[int, int, int, int]]:
    """Returns parent, process group, session and time of the start of every living process."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            stat = _read(f"/proc/{name}/stat")
            # The name in parentheses can have any characters: fields start after the last one.
            fields = stat.rpartition(b")")[2].split()
            if len(fields) > 19 and fields[0] not in (b"Z", b"X"):
                # In ticks since the boot: the 22nd field of the line.
                started = int(fields[19])
                found[int(name)] = (int(fields[1]), int(fields[2]), int(fields[3]), started)
    found.pop(os.getpid(), None)
    return found


def _has_mark(pid: int, mark: bytes) -> bool:
    environment = _read(f"/proc/{pid}/environ").split(b"\0")
    return any(entry.startswith(mark) for entry in environment)


def _descends(processes: dict[int, tuple[int, int, int, int]], pid: int, heads: set[int]) -> bool:
    # The table was read over time, so that it can show a loop: the length bounds the search.
    for _ in processes:
        pid = processes[pid][0]
        if pid in heads or pid not in processes:
            return pid in heads
    return False


def _kill_cgroup(cgroup: str) -> bool:
    """Kills the members of the cgroup; returns True if any is alive."""
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


def _remove(cgroup: str) -> None:
    for folder, _, _ in os.walk(cgroup, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(folder)


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(OSError):
        os.kill(pid, number)


def _read(file: str) -> bytes:
    try:
        with open(file, "rb") as handle:
            return handle.read()
    except OSError:
        return b""


if __name__ == "__main__":
    main(*sys.argv[1:])
