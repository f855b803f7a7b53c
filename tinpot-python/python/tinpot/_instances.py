"""Classes whose methods are actions: one object each per process."""

import inspect
import sys
import threading

_lock = threading.RLock()
_objects = {}


def find(function):
    """The class whose objects a function is called on, or None: it stands in no class, or is a static method."""
    outer, _, name = function.__qualname__.rpartition(".")
    if not outer or outer.endswith("<locals>"):
        return None
    place = sys.modules.get(function.__module__)
    for part in outer.split("."):
        place = getattr(place, part, None)
    if not isinstance(place, type):
        raise TypeError("the class %s is not to be found in its module" % outer)
    found = inspect.getattr_static(place, name, None)
    if isinstance(found, classmethod):
        raise TypeError("a class method cannot be an action: make it a static method, or a method of the object")
    return None if isinstance(found, staticmethod) else place


def instance(kind):
    """The one object of a class; made, and set up, when it is first needed."""
    found = _objects.get(kind)
    if found is not None:
        return found
    with _lock:
        found = _objects.get(kind)
        if found is None:
            found = kind()
            setup = getattr(found, "setup", None)
            if callable(setup):
                setup()
            _objects[kind] = found
        return found
