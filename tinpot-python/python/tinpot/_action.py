"""The decorator, and the list of what it has seen."""

import datetime
import inspect

# Every decorated function, in the order in which the decorators ran.
registry = []


class Entry:
    """A decorated function, and what the decorator was told about it."""

    __slots__ = (
        "name", "group", "description", "queue", "timeout_ms", "retries",
        "function", "module", "file", "line", "is_async", "positional",
    )

    @property
    def place(self):
        return "%s:%d" % (self.file, self.line)

    def call(self, parameters):
        """Calls the function with a dict of parameters."""
        if self.positional:
            parameters = dict(parameters)
            given = [parameters.pop(name) for name in self.positional if name in parameters]
            return self.function(*given, **parameters)
        return self.function(**parameters)


def action(function=None, /, *, name=None, group=None, description=None, queue=None, timeout=None, retries=0):
    """Offers a function as an action; the function itself is returned unchanged.

    name: what it is called; the function's own name when not given. Unique among all actions.
    group: where it is shown; "General" when not given.
    description: what it does; the docstring when not given.
    queue: which workers run it; "default" when not given.
    timeout: how long an attempt may run, in seconds or as a timedelta.
    retries: how often it is tried again after a failure; declaring retries declares that running it twice does no harm.
    """

    def register(function):
        registry.append(_entry(function, name, group, description, queue, timeout, retries))
        return function

    return register if function is None else register(function)


def _entry(function, name, group, description, queue, timeout, retries):
    code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
    if code is None:
        raise TypeError("@action is for functions, not for %r" % (function,))
    for label, value in (("name", name), ("group", group), ("description", description), ("queue", queue)):
        if value is not None and not isinstance(value, str):
            raise TypeError("@action: %s must be a string, not %r" % (label, value))
    if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:
        raise ValueError("@action: retries must be a whole number, 0 or more, not %r" % (retries,))
    entry = Entry()
    entry.name = function.__name__ if name is None else name
    entry.group = group
    entry.description = inspect.getdoc(function) if description is None else inspect.cleandoc(description)
    entry.queue = queue
    entry.timeout_ms = _milliseconds(timeout)
    entry.retries = retries
    entry.function = function
    entry.module = getattr(function, "__module__", None)
    entry.file = code.co_filename
    entry.line = code.co_firstlineno
    entry.is_async = False
    entry.positional = ()
    return entry


def _milliseconds(timeout):
    if timeout is None:
        return None
    if isinstance(timeout, datetime.timedelta):
        timeout = timeout.total_seconds()
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError("@action: timeout must be seconds or a timedelta, not %r" % (timeout,))
    if not 0 < timeout < 1e10:
        raise ValueError("@action: timeout must be more than 0 seconds, not %r" % (timeout,))
    return max(1, round(timeout * 1000))
