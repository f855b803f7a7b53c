"""Threads and processes that an attempt leaves behind."""

from __future__ import annotations

import _thread
import os
import threading
import time
from collections.abc import Callable

# The time in which a process that the action started may end by itself after the action, in
# seconds.
_SETTLE_TIME = 0.02


def end_threads(before: int) -> bool:
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


class Children:
    """The processes that the imports started, which are no leftovers."""

    def __init__(self) -> None:
        self._known = living_children()
        # An action may stop the clock.
        self._now, self._sleep = time.monotonic, time.sleep

    def has_more(self) -> bool:
        """Returns True if a process of the attempt is alive. Orphans become our children."""
        try:
            # One system call, about half a microsecond, in the usual case that there is none.
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return False
        deadline = self._now() + _SETTLE_TIME
        while True:
            try:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                return False
            if self._known and living_children() <= self._known:
                return False
            if self._now() >= deadline:
                return True
            self._sleep(0.001)


def living_children() -> set[str]:
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
