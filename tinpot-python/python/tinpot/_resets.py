"""The state that is put back after every attempt unseen: that costs less than a comparison."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import sys
import warnings
from collections.abc import Callable
from typing import Any

from tinpot._parts import note_calls

# The number of times that timers are stopped which a handler of the action sets again.
_MAX_TRIES = 5
# The number of descriptors where none is set, which Linux has as its default maximum.
_MOST_FILES = 1 << 20


class Timers:
    """The timers that send a signal, wake a loop or end the process later.

    They are known by the functions that set them: to stop them all, set or not, takes longer than
    half of what else is put back.
    """

    def __init__(self) -> None:
        self._may_run = False
        module: Any = signal
        self._set_timer, self._set_wakeup = module.setitimer, module.set_wakeup_fd
        for name in ("alarm", "setitimer", "set_wakeup_fd"):
            for holder in (module, sys.modules.get("_signal")):
                note_calls(holder, name, self._note)
        self._faulthandler: Any = sys.modules.get("faulthandler")
        note_calls(self._faulthandler, "dump_traceback_later", self._note)

    def _note(self) -> None:
        self._may_run = True

    def stop(self) -> None:
        """Stops all timers."""
        for _ in range(_MAX_TRIES):
            if not self._may_run:
                return
            # First: a handler of the action may run at any point below, and set timers again.
            self._may_run = False
            try:
                self._stop_all()
            except BaseException:
                self._may_run = True
                raise

    def _stop_all(self) -> None:
        for which in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
            self._set_timer(which, 0)
        self._set_wakeup(-1)
        if self._faulthandler is not None:
            self._faulthandler.cancel_dump_traceback_later()


class Environment:
    """The variables that C code sees, which `os.putenv` sets without `os.environ`."""

    def __init__(self) -> None:
        self._environment = os.environ
        self._set, self._remove = os.putenv, os.unsetenv
        self._names: set[bytes] = set()
        os.putenv = self._note_set
        os.unsetenv = self._note_remove

    def _note_set(self, name: Any, value: Any, /) -> None:
        self._set(name, value)
        self._names.add(os.fsencode(name))

    def _note_remove(self, name: Any, /) -> None:
        self._remove(name)
        self._names.add(os.fsencode(name))

    def put_back(self) -> None:
        """Makes the variables as they are in `os.environ`."""
        while self._names:
            name = self._names.pop()
            value = self._environment._data.get(name)  # type: ignore[attr-defined]
            if value is None:
                self._remove(name)
            else:
                self._set(name, value)


class Descriptors:
    """The descriptors that are open, most of which an attempt may keep for the next one."""

    def __init__(self) -> None:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._half = (_MOST_FILES if limit == resource.RLIM_INFINITY else limit) // 2

    def are_few(self) -> bool:
        """Returns False if the next attempt may find none left.

        A descriptor gets the lowest number that is free: one in the middle of the range is taken
        when half of them have been open at once. The lowest free number would say less, since what
        keeps many may have closed an early one.
        """
        try:
            found = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, self._half)
        except OSError:
            return False
        os.close(found)
        return found == self._half


def forget_warnings() -> None:
    """Lets warnings be shown again that were shown before."""
    _bump()
    if warnings.onceregistry:  # type: ignore[attr-defined]
        warnings.onceregistry.clear()  # type: ignore[attr-defined]


def _find_bump() -> Callable[[], object]:
    """Returns the function that makes all registries of shown warnings void."""
    module: Any = warnings
    bump: Callable[[], object] | None = getattr(module, "_filters_mutated", None)
    if bump is not None:
        return bump
    try:
        from _warnings import (  # type: ignore[attr-defined]
            _acquire_lock,
            _filters_mutated_lock_held,
            _release_lock,
        )
    except ImportError:
        return lambda: None

    def bump_with_lock() -> None:
        _acquire_lock()
        try:
            _filters_mutated_lock_held()
        finally:
            _release_lock()

    return bump_with_lock


_bump = _find_bump()
