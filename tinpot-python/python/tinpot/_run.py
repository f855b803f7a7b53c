"""Runs one attempt at an action, and puts its outcome into words."""

import os
import sys
import traceback

from tinpot import _values
from tinpot._errors import Cancelled

_HERE = os.path.dirname(os.path.abspath(__file__))
CANCELLED = b'{"cancelled":true}'

_encode = _values.encode


class Control:
    """Where a running attempt can be asked to end."""

    __slots__ = ("running", "stopped", "hook")

    def __init__(self):
        self.running = False
        self.stopped = False
        # What to do instead of raising `Cancelled`: a coroutine is cancelled through its event loop.
        self.hook = None


def call(entry, parameters, control):
    """Calls the function; a coroutine is run to its end."""
    if entry.is_async:
        return _call_async(entry, parameters, control)
    if entry.signature.plain:
        return entry.function(**parameters)
    return entry.call(parameters)


def _call_async(entry, parameters, control):
    import asyncio

    async def main():
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        control.hook = lambda: loop.call_soon_threadsafe(task.cancel)
        try:
            return await entry.call(parameters)
        finally:
            control.hook = None

    return asyncio.run(main())


def succeeded(value, limit):
    """The reply for a value, as bytes of JSON without a line end."""
    try:
        data = b'{"ok":' + _encode(value).encode() + b"}"
    except UnicodeEncodeError:
        return failure("ResultError", "the result has text that is not valid Unicode (a lone surrogate)")
    except RecursionError:
        return failure("ResultError", "the result is nested too deep for JSON")
    except (TypeError, ValueError, OverflowError, AttributeError) as error:
        return failure("ResultError", "the result has no JSON form: %s" % _what_has_no_form(value, error))
    if len(data) > limit:
        return failure("ResultError", "the result is too large: %d bytes, and at most %d are allowed" % (len(data) - 7, limit))
    return data


def _what_has_no_form(value, error):
    """Names the first thing in `value` that has no JSON form, and where it is."""
    pending, steps = [("result", value)], 0
    while pending and steps < 100_000:
        steps += 1
        path, value = pending.pop()
        if value is None or isinstance(value, (str, int)):
            continue
        if isinstance(value, float):
            if value != value or value in (float("inf"), float("-inf")):
                return "%s is %r, which is not JSON" % (path, value)
        elif isinstance(value, dict):
            for key in value:
                try:
                    _values.key_text(key)
                except (TypeError, ValueError):
                    return "%s has a key of type %s" % (path, _type(key))
            pending.extend(("%s[%r]" % (path, key), value[key]) for key in reversed(list(value)))
        elif isinstance(value, (list, tuple)):
            pending.extend(("%s[%d]" % (path, index), value[index]) for index in reversed(range(len(value))))
        else:
            try:
                pending.append((path, _values.form(value)))
            except TypeError:
                return "%s is of type %s" % (path, _type(value))
            except ValueError as error:
                return "%s: %s" % (path, error)
    return str(error)


def _type(value):
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else "%s.%s" % (kind.__module__, kind.__qualname__)


def failed(error, control):
    """The reply for an exception."""
    if control.stopped and _comes_of_stop(error):
        return CANCELLED
    if isinstance(error, SystemExit):
        code = error.code
        return failure("SystemExit", "called sys.exit(%s)" % ("0" if code is None else repr(code)))
    try:
        text = str(error)
    except Exception:
        text = "(its str() fails)"
    try:
        lines = traceback.format_exception(type(error), error, own_frames_removed(error.__traceback__))
        trace = "".join(lines).rstrip()
    except Exception as worse:
        trace = "(the traceback cannot be formatted: %s)" % type(worse).__name__
    return failure(type(error).__name__, text, trace)


def _comes_of_stop(error):
    """Whether an exception is the request to end, or was raised while that was on its way up."""
    asyncio = sys.modules.get("asyncio")
    kinds = (Cancelled, asyncio.CancelledError) if asyncio else (Cancelled,)
    seen = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, kinds):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


def failure(kind, message, trace=None):
    """The reply for a failure in words."""
    document = {"kind": kind, "message": message}
    if trace is not None:
        document["traceback"] = trace
    return ('{"failed":%s}' % _encode(document)).encode("utf-8", "replace")


def own_frames_removed(trace):
    """The traceback from the first frame on that is neither ours nor the import system's."""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if os.path.dirname(file) != _HERE and not file.startswith("<frozen importlib") and os.path.basename(os.path.dirname(file)) != "importlib":
            break
        trace = trace.tb_next
    return trace
