"""The event loop policy, as one part of the state that a process has once."""

from __future__ import annotations

import sys
from typing import Any

from tinpot._parts import Part


class EventLoop(Part):
    """The policy and the loop of the main thread; None before anything asked for them.

    `asyncio.run` leaves a policy that makes no loop any more.
    """

    def __init__(self) -> None:
        super().__init__("event loop", _read)

    def write(self, value: Any) -> Any:
        events: Any = sys.modules["asyncio.events"]
        if value is None:
            # A loop that is left is closed when nothing refers to it.
            events._event_loop_policy = None
            return value
        policy, loop, was_set, was_closed = value
        if loop is not None and loop.is_closed() and not was_closed:
            raise OSError("the event loop was closed")
        events._event_loop_policy = policy
        if hasattr(policy, "_local"):
            policy._local = local = type(policy._local)()
            local._loop, local._set_called = loop, was_set
        return value


def leave_running_loop() -> None:
    """Forgets a loop that counts as running, as after a loop that was stopped from outside."""
    events: Any = sys.modules.get("asyncio.events")
    if events is not None and events._get_running_loop() is not None:
        events._set_running_loop(None)


def _read() -> Any:
    policy: Any = getattr(sys.modules.get("asyncio.events"), "_event_loop_policy", None)
    if policy is None:
        return None
    local = getattr(policy, "_local", None)
    loop: Any = getattr(local, "_loop", None)
    is_closed = loop is not None and loop.is_closed()
    return (policy, loop, getattr(local, "_set_called", False), is_closed)
