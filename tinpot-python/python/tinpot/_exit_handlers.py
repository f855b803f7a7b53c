"""The handlers that code registers with `atexit`: those of an attempt run after the attempt.

Handlers that are registered while a module is imported belong to the module, which stays. They
never run, because an interpreter is killed when it is not needed any more.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

# The time that all handlers of an attempt have together, in seconds.
MAX_SECONDS = 10.0
_IMPORT_SYSTEM = "<frozen importlib._bootstrap>"


class ExitHandlers:
    """The handlers that the running attempt registered."""

    def __init__(self) -> None:
        self._found: list[_Handler] = []
        # Before the first attempt everything belongs to the imports.
        self.is_attempt = False
        self._register = atexit.register
        self._unregister = atexit.unregister
        atexit.register = self._note
        atexit.unregister = self._forget

    def _note(self, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Register a function to be executed after the attempt."""
        if not self.is_attempt or _is_of_module():
            return self._register(func, *args, **kwargs)
        if not callable(func):
            raise TypeError("the first argument must be callable")
        self._found.append(_Handler(os.getpid(), func, args, kwargs))
        return func

    def _forget(self, func: Callable[..., Any], /) -> None:
        """Unregister a function that was registered before."""
        self._found = [one for one in self._found if one.function != func]
        self._unregister(func)

    def run(self) -> bool:
        """Runs the handlers, the last one first. Returns False if there was none."""
        self.is_attempt = False
        if not self._found:
            return False
        # A process that the action forked has a copy of the list.
        self._found = [one for one in self._found if one.pid == os.getpid()]
        signal.signal(signal.SIGALRM, _on_timeout)
        signal.setitimer(signal.ITIMER_REAL, MAX_SECONDS)
        try:
            while self._found:
                handler = self._found.pop()
                try:
                    handler.function(*handler.args, **handler.kwargs)
                except _TooLong:
                    raise
                except BaseException:
                    # As Python reports it, and the others run.
                    print(
                        f"Exception ignored in atexit callback {handler.function!r}:",
                        file=sys.stderr,
                    )
                    traceback.print_exc()
        except _TooLong:
            more = len(self._found) + 1
            print(
                f"[tinpot] the handlers of atexit took more than {MAX_SECONDS:g} s:"
                f" {more} of them did not end or did not run",
                file=sys.stderr,
            )
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._found.clear()
        return True


class _Handler(NamedTuple):
    pid: int
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class _TooLong(BaseException):
    """The handlers of an attempt took too long."""


def _on_timeout(*_: object) -> None:
    raise _TooLong


def _is_of_module() -> bool:
    """Returns True if a module is being imported, or registers what belongs to the process."""
    frame = sys._getframe(2)
    if frame.f_globals.get("__name__") == "weakref":
        # One handler for all finalizers of the process, which also serves later attempts.
        return True
    found: Any = frame
    while found is not None:
        if found.f_code.co_filename == _IMPORT_SYSTEM:
            return True
        found = found.f_back
    return False
