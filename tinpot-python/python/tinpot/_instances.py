"""Classes whose methods are actions: each has one instance per process."""

from __future__ import annotations

import inspect
import sys
import threading
from collections.abc import Callable
from typing import Any

# Reentrant: a constructor may call an action of another class.
_lock = threading.RLock()
_instances: dict[type, Any] = {}


def find(function: Callable[..., Any]) -> type | None:
    """Returns the class of a method; None for a static method or a function outside of a class."""
    outer, _, name = function.__qualname__.rpartition(".")
    if not outer or outer.endswith("<locals>"):
        return None
    owner: Any = sys.modules.get(function.__module__)
    for part in outer.split("."):
        owner = getattr(owner, part, None)
    if not isinstance(owner, type):
        raise TypeError(f"the class {outer} is not in its module: define it at the top level")
    found = inspect.getattr_static(owner, name, None)
    if isinstance(found, classmethod):
        raise TypeError(
            "a class method cannot be an action: make it a static method or an instance method"
        )
    return None if isinstance(found, staticmethod) else owner


def instance(owner: type) -> Any:
    """Returns the instance of a class; the first call constructs it and calls its `setup()`."""
    found = _instances.get(owner)
    if found is not None:
        return found
    with _lock:
        found = _instances.get(owner)
        if found is None:
            found = owner()
            setup = getattr(found, "setup", None)
            if callable(setup):
                setup()
            _instances[owner] = found
        return found
