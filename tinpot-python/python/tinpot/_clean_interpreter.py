"""Keeps an interpreter clean: each attempt finds it as the first one did."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from tinpot import _resets
from tinpot._exit_handlers import ExitHandlers
from tinpot._file_views import FileViews
from tinpot._process_state import ProcessState, Snapshot
from tinpot._standard_streams import StandardStreams

# The variable that marks this interpreter and all its descendants.
COOKIE = "TINPOT_INTERPRETER"
# The number of times that clean-up begins again when a signal handler of the action interrupts it.
_MAX_TRIES = 5


class CleanInterpreter:
    """The state of the process before the first file, and its views by file."""

    def __init__(self, root: str, on_terminate: Callable[..., Any]) -> None:
        """Reads the state. Call this before the first import of a file.

        on_terminate: the handler of SIGTERM, which no file may replace.
        """
        self._on_terminate = on_terminate
        self._streams = StandardStreams()
        self._timers = _resets.Timers()
        self._variables = _resets.Environment()
        self._descriptors = _resets.Descriptors()
        self.exit_handlers = ExitHandlers()
        signal.signal(signal.SIGTERM, on_terminate)
        self._state = ProcessState()
        self.files = FileViews(root, self._state, self._put_back_after_import)

    def _put_back_after_import(self) -> None:
        self._timers.stop()
        self._streams.flush()
        self._put_back_streams()
        _resets.forget_warnings()
        signal.signal(signal.SIGTERM, self._on_terminate)

    def _put_back_streams(self) -> bool:
        is_safe = self._streams.put_back()
        if self._streams.has_reopened:
            self._state.hold("attributes of sys", self._streams.take_reopened())
        return is_safe

    def hold_variable(self, name: str, value: str) -> None:
        """Sets a variable of the environment for the attempts of all files."""
        os.environ[name] = value
        self._state.hold("environment", {os.fsencode(name): os.fsencode(value)})

    def enter_copy(self, stdout: int, stderr: int, cookie: str) -> None:
        """Makes a copy of the process use other pipes and another cookie."""
        self._streams.rebind(stdout, stderr)
        self.hold_variable(COOKIE, cookie)

    def enter(self, file: str) -> Snapshot:
        """Makes the process as it is for attempts of a file."""
        view = self.files.of(file)
        if view is not self._state.current:
            self._state.switch(view)
        return view

    def flush(self) -> None:
        """Flushes what the attempt printed."""
        self._streams.flush()

    def put_back(self) -> bool:
        """Puts back what the attempt changed, except for what `put_back_late` does.

        Returns False if something stays changed.
        """
        is_clean = True
        for _ in range(_MAX_TRIES):
            try:
                self._timers.stop()
                self._streams.flush()
                self._state.put_back_event_loop()
                if not self._state.is_unchanged() and self._put_back_all():
                    is_clean = False
                return is_clean
            except BaseException:
                # Of a signal handler that the action set: its timer was due just now.
                is_clean = False
        return False

    def put_back_late(self) -> bool:
        """Puts back what neither fails nor waits, which can be done after the reply.

        Returns False if something stays changed.
        """
        is_safe = self._put_back_streams()
        _resets.forget_warnings()
        is_safe = is_safe and (self._state.is_late_unchanged() or not self._put_back_all())
        self._variables.put_back()
        return is_safe and self._descriptors.are_few()

    def _put_back_all(self) -> list[str]:
        # Streams first: they are attributes of `sys`, which are put back as well.
        self._put_back_streams()
        return self._state.put_back()


def own_decimal_context() -> None:
    """Gives the attempt a decimal context of its own, if `decimal` is imported.

    The context variables of the attempt are a copy. The decimal context among them is an object
    that can be changed in place.
    """
    decimal: Any = sys.modules.get("decimal")
    if decimal is not None:
        decimal.setcontext(decimal.getcontext().copy())
