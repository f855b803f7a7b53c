"""What is put back after every attempt without a look: that costs less than the look."""

from __future__ import annotations

import signal
import sys
import warnings
from collections.abc import Callable
from typing import Any


def stop_timers() -> None:
    """Stops the timers that send a signal or end the process later."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.set_wakeup_fd(-1)
    faulthandler: Any = sys.modules.get("faulthandler")
    if faulthandler is not None:
        faulthandler.cancel_dump_traceback_later()


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
