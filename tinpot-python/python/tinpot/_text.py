"""Text for the worker: the one place where it becomes valid Unicode of a bounded size.

A string may have lone surrogates. They stand for bytes of a path that are not UTF-8, and UTF-8 does
not have them.
"""

from __future__ import annotations

import json
import os
import re
import traceback
from collections.abc import Iterator
from typing import Any

# The functions as they are now: actions replace those of the module.
dumps, loads = json.dumps, json.loads
# The maximum length of a description of an exception, in characters.
_MAX_LENGTH = 12_000
_HERE = os.path.dirname(os.path.abspath(__file__))
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def valid(text: str) -> str:
    r"""Returns valid Unicode: lone surrogates become escapes, such as `\udce9`."""
    try:
        str.encode(text)
        return text
    except UnicodeEncodeError:
        return str.encode(text, errors="backslashreplace").decode()


def to_bytes(document: str) -> bytes:
    """Returns a JSON document as UTF-8, with lone surrogates as text."""
    try:
        return document.encode()
    except UnicodeEncodeError:
        return _LONE_SURROGATE.sub(lambda one: f"\\\\u{ord(one[0]):04x}", document).encode()


def json_bytes(value: Any) -> bytes:
    """Returns the JSON of a value; raises an exception if it has none."""
    return to_bytes(dumps(value, ensure_ascii=False, allow_nan=False))


def of(value: object) -> str:
    """Returns `str(value)`, bounded, and also if that fails."""
    try:
        return bounded(str(value))
    except BaseException as error:
        return f"(the str() of its {type(value).__name__} raises {type(error).__name__})"


def traceback_of(error: BaseException) -> str:
    """Returns a traceback, bounded, and also if the text of the exception fails.

    Frames in this package and in the import system are left out: they do not help the user.
    """
    try:
        report = traceback.TracebackException(type(error), error, error.__traceback__)
        for one in _with_causes(report):
            one.stack[:] = [frame for frame in one.stack if not is_own_frame(frame.filename)]
        return bounded("".join(report.format()).rstrip())
    except BaseException:
        return f"{type(error).__name__}: {of(error)}"


def _with_causes(
    report: traceback.TracebackException,
) -> Iterator[traceback.TracebackException]:
    """Yields a report and those of all exceptions behind it or in its group."""
    waiting = [report]
    while waiting:
        one = waiting.pop()
        yield one
        behind = (one.__cause__, one.__context__, *(getattr(one, "exceptions", None) or ()))
        waiting.extend(other for other in behind if other is not None)


def is_own_frame(file: str) -> bool:
    """Returns True for a file of this package or of the import system."""
    folder = os.path.dirname(file)
    is_import = file.startswith("<frozen importlib") or os.path.basename(folder) == "importlib"
    return folder == _HERE or is_import


def bounded(text: str) -> str:
    """Returns text of a bounded length. Of a traceback the end matters most."""
    if len(text) <= _MAX_LENGTH:
        return text
    first, last = _MAX_LENGTH // 4, _MAX_LENGTH * 3 // 4
    left_out = len(text) - first - last
    return f"{text[:first]}\n… {left_out} characters left out …\n{text[-last:]}"
