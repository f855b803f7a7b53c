"""Classes whose methods are actions: one object each per process."""

import inspect
import sys
import threading

_lock = threading.RLock()
_objects = {}


def owner_name(function):
    """The qualified name of the class in whose body a function stands, or None."""
    outer, _, _ = function.__qualname__.rpartition(".")
    return outer if outer and not outer.endswith("<locals>") else None


def find(entry):
    """The class of an entry whose function is a method."""
    function = inspect.unwrap(entry.function)
    place = sys.modules.get(function.__module__)
    for part in owner_name(function).split("."):
        place = getattr(place, part, None)
    if not isinstance(place, type):
        raise TypeError("the class %s is not to be found in its module" % owner_name(function))
    return place


def instance(entry):
    """The one object of the class; made, and set up, when it is first needed."""
    kind = entry.owner
    with _lock:
        found = _objects.get(kind)
        if found is None:
            found = kind()
            setup = getattr(found, "setup", None)
            if callable(setup):
                setup()
            _objects[kind] = found
        return found
