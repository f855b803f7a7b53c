"""Keeps an interpreter clean: each attempt finds it as the first one did."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from tinpot import _resets
from tinpot._file_views import FileViews
from tinpot._process_state import ProcessState, Snapshot
from tinpot._standard_streams import StandardStreams

# The number of times that clean-up begins anew when a signal handler of the action interrupts it.
_MAX_TRIES = 5


class CleanInterpreter:
    """The state of the process before the first file, and its views by file."""

    def __init__(self, root: str, on_terminate: Callable[..., Any]) -> None:
        """Reads the state. Call this before the first import of a file.

        on_terminate: the handler of SIGTERM, which no file may replace.
        """
        self._on_terminate = on_terminate
        self._streams = StandardStreams()
        signal.signal(signal.SIGTERM, on_terminate)
        self._state = ProcessState()
        self.files = FileViews(root, self._state, self._put_back_always)

    def _put_back_always(self) -> bool:
        _resets.stop_timers()
        is_safe = self._streams.put_back()
        if self._streams.has_reopened:
            self._state.hold("attributes of sys", self._streams.take_reopened())
        _resets.forget_warnings()
        self._state.put_back_event_loop()
        if signal.getsignal(signal.SIGTERM) is not self._on_terminate:
            signal.signal(signal.SIGTERM, self._on_terminate)
        return is_safe

    def hold_variable(self, name: str, value: str) -> None:
        """Sets a variable of the environment for the attempts of all files."""
        os.environ[name] = value
        self._state.hold("environment", {os.fsencode(name): os.fsencode(value)})

    def enter(self, file: str) -> Snapshot:
        """Makes the process as it is for attempts of a file."""
        view = self.files.of(file)
        if view is not self._state.current:
            self._state.enter(view)
        return view

    def put_back(self) -> bool:
        """Puts back what the attempt changed. Returns False if something stays changed."""
        is_clean = True
        for _ in range(_MAX_TRIES):
            try:
                if not self._put_back_always():
                    is_clean = False
                if not self._state.is_unchanged() and self._state.put_back():
                    is_clean = False
                return is_clean
            except BaseException:
                # Of a signal handler that the action set: its timer was due just now.
                is_clean = False
        return False


def own_decimal_context() -> None:
    """Gives the attempt a decimal context of its own, if `decimal` is imported.

    The context variables of the attempt are a copy. The decimal context among them is an object
    that can be changed in place.
    """
    decimal: Any = sys.modules.get("decimal")
    if decimal is not None:
        decimal.setcontext(decimal.getcontext().copy())
