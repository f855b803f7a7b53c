"""Brings back an exception that was raised where none comes out.

Python drops what is raised in destructors, in callbacks of weak references and in the functions of
`os.register_at_fork`, and tells `sys.unraisablehook`. A request to end, which is raised wherever
the action is just then, must not be lost there.
"""

from __future__ import annotations

import _thread
import sys
import time
from collections.abc import Callable
from typing import Any

# In seconds: long enough to leave the place.
_PAUSE = 0.01
# An action may stop the clock.
_sleep = time.sleep


def bring_back(again: Callable[[BaseException | None], Callable[[], object] | None]) -> None:
    """Asks `again` about each exception that was dropped, from now on.

    again: returns what raises the exception once more, which is called soon in another thread; None
        if it need not be raised.
    """
    former = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        raise_it = again(unraisable.exc_value)
        if raise_it is None:
            former(unraisable)
        else:
            _thread.start_new_thread(_later, (raise_it,))

    sys.unraisablehook = hook


def _later(raise_it: Callable[[], object]) -> None:
    _sleep(_PAUSE)
    raise_it()
