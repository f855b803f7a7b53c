"""The state that is put back after every attempt unseen: that costs less than a comparison."""

from __future__ import annotations

import os
import resource
import signal
import sys
import warnings
from collections.abc import Callable
from typing import Any

# As a plain number, which needs no conversion.
_REAL = int(signal.ITIMER_REAL)


class Timers:
    """The timers that send a signal or end the process later."""

    def __init__(self) -> None:
        self._stop = signal.setitimer
        # The others are known by the function that sets them: a system call for each takes longer
        # than everything else here.
        self._may_run = False
        module: Any = signal
        module.setitimer = self._set

    def _set(self, which: int, *times: float) -> Any:
        if which != signal.ITIMER_REAL:
            self._may_run = True
        return self._stop(which, *times)

    def stop(self) -> None:
        """Stops all timers."""
        self._stop(_REAL, 0)
        if self._may_run:
            self._may_run = False
            self._stop(signal.ITIMER_VIRTUAL, 0)
            self._stop(signal.ITIMER_PROF, 0)
        signal.set_wakeup_fd(-1)
        faulthandler: Any = sys.modules.get("faulthandler")
        if faulthandler is not None:
            faulthandler.cancel_dump_traceback_later()


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
        self._most = sys.maxsize if limit == resource.RLIM_INFINITY else limit // 2

    def are_few(self) -> bool:
        """Returns False if the next attempt may find none left."""
        try:
            # The lowest number that is free.
            found = os.dup(0)
        except OSError:
            return False
        os.close(found)
        return found < self._most


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
