"""Runs one attempt at an action, and puts its outcome into words."""

import os
import sys
import traceback
import types

from tinpot import _encode
from tinpot._errors import Cancelled

_HERE = os.path.dirname(os.path.abspath(__file__))
CANCELLED = b'{"cancelled":true}'

_to_text = _encode.encode


class Control:
    """Where a running attempt can be asked to end."""

    __slots__ = ("running", "stopped", "hook")

    def __init__(self):
        self.running = False
        self.stopped = False
        # What to do instead of raising `Cancelled`: a coroutine is cancelled through its event loop.
        self.hook = None


def call(entry, parameters, control, context):
    """Calls the function; a coroutine is run to its end, and so is a generator."""
    if entry.is_async:
        return _call_async(entry, parameters, control, context)
    result = entry.call(parameters, context)
    if isinstance(result, types.GeneratorType):
        return _exhaust(result, context)
    return result


def _exhaust(generator, context):
    """What it yields is told as it comes: text is printed, a number or (done, total, message) is progress. It returns its result."""
    while True:
        try:
            value = next(generator)
        except StopIteration as end:
            return end.value
        _tell(value, context)


def _tell(value, context):
    if isinstance(value, bool) or value is None:
        return
    if isinstance(value, (int, float)):
        context.progress(value)
    elif isinstance(value, (tuple, list)) and 2 <= len(value) <= 3 and all(isinstance(part, (int, float)) for part in value[:2]):
        context.progress(*value)
    elif isinstance(value, dict) and "done" in value and set(value) <= {"done", "total", "message"}:
        context.progress(**value)
    else:
        print(value, flush=True)


def _call_async(entry, parameters, control, context):
    import asyncio

    async def main():
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        control.hook = lambda: loop.call_soon_threadsafe(task.cancel)
        try:
            result = entry.call(parameters, context)
            if not hasattr(result, "__aiter__"):
                return await result
            async for value in result:
                _tell(value, context)
        finally:
            control.hook = None

    return asyncio.run(main())


def succeeded(value, limit):
    """The reply for a value, as bytes of JSON without a line end."""
    try:
        data = b'{"ok":' + _to_text(value).encode() + b"}"
    except UnicodeEncodeError:
        return failure("ResultError", "the result has text that is not valid Unicode (a lone surrogate)")
    except RecursionError:
        return failure("ResultError", "the result is nested too deep for JSON")
    except (TypeError, ValueError, OverflowError, AttributeError) as error:
        return failure("ResultError", "the result has no JSON form: %s" % _what_has_no_form(value, error))
    if len(data) > limit:
        return failure("LimitExceeded", "the limit max_result of %d bytes was exceeded: the result is too large, %d bytes" % (limit, len(data) - 7))
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
                    _encode.key_text(key)
                except (TypeError, ValueError):
                    return "%s has a key of type %s" % (path, _type(key))
            pending.extend(("%s[%r]" % (path, key), value[key]) for key in reversed(list(value)))
        elif isinstance(value, (list, tuple)):
            pending.extend(("%s[%d]" % (path, index), value[index]) for index in reversed(range(len(value))))
        else:
            try:
                pending.append((path, _encode.form(value)))
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


def unknown(name, found):
    """The reply for an action that is not there."""
    message = "there is no action %r here" % name
    for problem in found.problems:
        message += "\n%s: %s" % (problem["place"], problem["message"])
    return failure("UnknownAction", message)


def failure(kind, message, trace=None):
    """The reply for a failure in words."""
    document = {"kind": kind, "message": message}
    if trace is not None:
        document["traceback"] = trace
    return ('{"failed":%s}' % _to_text(document)).encode("utf-8", "replace")


def own_frames_removed(trace):
    """The traceback from the first frame on that is neither ours nor the import system's."""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if os.path.dirname(file) != _HERE and not file.startswith("<frozen importlib") and os.path.basename(os.path.dirname(file)) != "importlib":
            break
        trace = trace.tb_next
    return trace
