"""The decorator, and the list of what it has seen."""

import datetime
import inspect
import re

from tinpot import _instances, _wrapper

# Every decorated function, in the order in which the decorators ran.
registry = []


# The bounds that the SDK sets: what is beyond them is refused here, where the file and the line can be named.
_RETRIES_MAX = 1000
_SECONDS_MAX = 100 * 366 * 86_400


class Entry:
    """A decorated function, and what the decorator was told about it."""

    __slots__ = (
        "name", "group", "description", "queue", "priority", "delay_ms", "expires_in_ms", "timeout_ms", "retry", "limits",
        "function", "module", "file", "line", "is_async", "signature", "concurrency", "owner",
    )

    @property
    def place(self):
        return "%s:%d" % (self.file, self.line)

    def call(self, parameters, context):
        """Calls the function with a dict of parameters in JSON, which have been checked against its schema."""
        signature = self.signature
        if signature.plain and self.owner is None:
            if signature.context is None:
                return self.function(**parameters)
            return self.function(**parameters, **{signature.context: context})
        args, kwargs = signature.convert(parameters, trusted=True)
        if signature.context is not None:
            kwargs[signature.context] = context
        if self.owner is not None:
            return self.function(_instances.instance(self.owner), *args, **kwargs)
        return self.function(*args, **kwargs)


def action(
    function=None, /, *, name=None, group=None, description=None, queue=None, priority=0, delay=None, expires_in=None,
    timeout=None, concurrency=None, retries=0, retry_delay=1.0, backoff="exponential", max_retry_delay=None, retry_jitter=None,
    max_lost_attempts=3, memory=None, cpu_seconds=None, open_files=None, max_output=None, max_result=None,
):
    """Offers a function as an action. It stays a plain function; called by another action it is a step of that one's execution.

    A method is an action too: its class is made once per process, without arguments, and its `setup()` is called before the first use.

    Times are seconds or a timedelta, and at most 100 years. A submission may say otherwise about everything from `queue` on.

    name: what it is called; the function's own name when not given. Unique among all actions.
    group: where it is shown; "General" when not given.
    description: what it does; the docstring when not given.
    queue: which workers run it; "default" when not given.
    priority: what has a higher one runs first within a queue; a whole number of 32 bits.
    delay: how long an execution has to wait at least.
    expires_in: an execution that still waits for a worker after that long fails, and says so.
    timeout: how long an attempt may run.
    concurrency: for `async def`: so many attempts run at once in one interpreter, beside the worker's slots.
    retries: how often it is tried again after an attempt that failed, timed out or was lost, 0 to 1000. Declaring retries declares that
        running it twice does no harm: without, it is started at most once.
    retry_delay: how long it waits before it is tried again.
    backoff: "exponential", each further delay is twice as long, or "fixed".
    max_retry_delay: no delay is longer; 300 s when not given, or `retry_delay` where that is longer.
    retry_jitter: which part of a delay is spread, 0 to 1: with 0.2 a delay is between 80 % and 100 % of what it would be. When not given,
        0.2, and 0 with fixed delays.
    max_lost_attempts: after so many attempts that were lost with their workers it fails as poisoned, even if retries are left; 1 or more.

    What an attempt may use, where the worker's own limits are not right; one that needs more fails with the kind "LimitExceeded":
    memory: bytes, or text like "256M" (of 1024 each), the interpreter and what it has imported included.
    cpu_seconds: processor time, not the time that passes; noticed at full seconds.
    open_files: how many files and connections it may have open at once.
    max_output: how many bytes of log it may write, as a number or like "10M".
    max_result: how large its result may be as JSON, likewise.
    """

    # Before there is a function: the traceback then names the line of the decorator.
    for label, value in (("name", name), ("group", group), ("description", description), ("queue", queue)):
        if value is not None and not isinstance(value, str):
            raise TypeError("@action: %s must be a string, not %s" % (label, _shown(value)))
    options = {
        "group": group,
        "queue": queue,
        "priority": _whole("priority", priority, -(2**31), 2**31 - 1),
        "delay_ms": _milliseconds("delay", delay),
        "expires_in_ms": _milliseconds("expires_in", expires_in, least=1),
        "timeout_ms": _milliseconds("timeout", timeout, least=1),
        "concurrency": None if concurrency is None else _whole("concurrency", concurrency, 1, 100_000),
        "retry": _retry(retries, retry_delay, backoff, max_retry_delay, retry_jitter, max_lost_attempts),
        "limits": _limits(memory, cpu_seconds, open_files, max_output, max_result),
    }

    def register(function):
        entry = _entry(function, name, description, options)
        registry.append(entry)
        return _wrapper.wrap(function, entry)

    return register if function is None else register(function)


def _entry(function, name, description, options):
    code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
    if code is None:
        raise TypeError("@action is for functions, not for %s" % _shown(function))
    entry = Entry()
    for label, value in options.items():
        setattr(entry, label, value)
    entry.name = function.__name__ if name is None else name
    entry.description = inspect.getdoc(function) if description is None else inspect.cleandoc(description)
    entry.function = function
    entry.module = getattr(function, "__module__", None)
    entry.file = code.co_filename
    entry.line = code.co_firstlineno
    entry.is_async = False
    entry.signature = None
    entry.owner = None
    if entry.concurrency is not None and not inspect.iscoroutinefunction(inspect.unwrap(function)):
        raise TypeError("@action: concurrency is for `async def`: other functions take one slot each")
    if entry.concurrency is not None and {"memory", "cpu_seconds", "open_files"} & set(entry.limits or {}):
        raise TypeError("@action: memory, cpu_seconds and open_files limit a whole interpreter, which concurrency shares")
    return entry


def _retry(retries, delay, backoff, max_delay, jitter, max_lost_attempts):
    """The policy as the SDK reads it."""
    if backoff not in ("exponential", "fixed"):
        raise ValueError("@action: backoff must be 'exponential' or 'fixed', not %s" % _shown(backoff))
    fixed = backoff == "fixed"
    delay_ms = _milliseconds("retry_delay", delay)
    if delay_ms is None:
        raise TypeError("@action: retry_delay must be seconds or a timedelta, not None")
    max_delay_ms = _milliseconds("max_retry_delay", max_delay)
    if max_delay_ms is None:
        max_delay_ms = delay_ms if fixed else max(delay_ms, 300_000)
    return {
        "retries": _whole("retries", retries, 0, _RETRIES_MAX),
        "delay_ms": delay_ms,
        "factor": 1.0 if fixed else 2.0,
        "max_delay_ms": max_delay_ms,
        "jitter": (0.0 if fixed else 0.2) if jitter is None else _part("retry_jitter", jitter),
        "max_lost_attempts": _whole("max_lost_attempts", max_lost_attempts, 1, 2**32 - 1),
    }


def _limits(memory, cpu_seconds, open_files, max_output, max_result):
    """The limits that are given, by name."""
    limits = {
        "memory": _bytes("memory", memory),
        "cpu_seconds": None if cpu_seconds is None else _milliseconds("cpu_seconds", cpu_seconds, least=1) / 1000,
        "open_files": None if open_files is None else _whole("open_files", open_files, 0, 2**31 - 1),
        "max_output": _bytes("max_output", max_output),
        "max_result": _bytes("max_result", max_result),
    }
    return {name: value for name, value in limits.items() if value is not None} or None


def _bytes(label, value):
    """A size in bytes; None when there is none."""
    if value is None:
        return None
    if isinstance(value, str):
        size = re.fullmatch(r"\s*(\d{1,18})\s*([KMGT]?)(?:i?B)?\s*", value, re.ASCII | re.IGNORECASE)
        if size is None:
            raise ValueError("@action: %s must be bytes, or text like '256M', not %s" % (label, _shown(value)))
        value = int(size[1]) << 10 * " KMGT".index(size[2].upper() or " ")
    return _whole(label, value, 1, 2**62)


def _whole(label, value, least, most):
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("@action: %s must be a whole number, not %s" % (label, _shown(value)))
    if not least <= value <= most:
        raise ValueError("@action: %s must be a whole number from %d to %d, not %s" % (label, least, most, _shown(value)))
    return int(value)


def _part(label, value):
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError("@action: %s must be a number, not %s" % (label, _shown(value)))
    if not 0 <= value <= 1:
        raise ValueError("@action: %s must be a number from 0 to 1, not %s" % (label, _shown(value)))
    return float(value)


def _milliseconds(label, value, least=0):
    """A time as whole milliseconds, `least` at least; None when there is none."""
    if value is None:
        return None
    seconds = value.total_seconds() if isinstance(value, datetime.timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError("@action: %s must be seconds or a timedelta, not %s" % (label, _shown(value)))
    # Written so that it is not true of NaN either.
    if not (0 < seconds or (seconds == 0 and not least)):
        must = "more than 0 seconds" if least else "0 seconds or more"
        raise ValueError("@action: %s must be %s, not %s" % (label, must, _shown(value)))
    if not seconds <= _SECONDS_MAX:
        raise ValueError("@action: %s must be at most %d seconds (100 years), not %s" % (label, _SECONDS_MAX, _shown(value)))
    return max(least, round(seconds * 1000))


def _shown(value):
    """A value as an error shows it, however large."""
    try:
        text = repr(value)
    except Exception:
        return "a value of type %s" % type(value).__name__
    return text if len(text) <= 80 else text[:80] + "…"
