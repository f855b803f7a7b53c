"""Text for the worker: the one place where it becomes valid Unicode of a bounded size.

A string may have lone surrogates. They stand for bytes of a path that are not UTF-8, and UTF-8 does
not have them.
"""

from __future__ import annotations

import json
import re
import traceback
from typing import Any

# The maximum length of a description of an exception, in characters.
_MAX_LENGTH = 12_000
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
    return to_bytes(json.dumps(value, ensure_ascii=False, allow_nan=False))


def of(value: object) -> str:
    """Returns `str(value)`, bounded, and also if that fails."""
    try:
        return bounded(str(value))
    except BaseException as error:
        return f"(the str() of its {type(value).__name__} raises {type(error).__name__})"


def traceback_of(error: BaseException, trace: Any) -> str:
    """Returns a traceback, bounded, and also if the text of the exception fails."""
    try:
        lines = traceback.format_exception(type(error), error, trace)
        return bounded("".join(lines).rstrip())
    except BaseException:
        return f"{type(error).__name__}: {of(error)}"


def bounded(text: str) -> str:
    """Returns text of a bounded length. Of a traceback the end matters most."""
    if len(text) <= _MAX_LENGTH:
        return text
    first, last = _MAX_LENGTH // 4, _MAX_LENGTH * 3 // 4
    left_out = len(text) - first - last
    return f"{text[:first]}\n… {left_out} characters left out …\n{text[-last:]}"
