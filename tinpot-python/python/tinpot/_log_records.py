"""Texts and fields of log lines as JSON of a bounded size. Nothing is left out without a word."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tinpot import _text

# The bound of the text of one markup line, in bytes. The rest of a message is a line of its own.
MAX_BYTES = 60 * 1024
# JSON writes a control character as six bytes.
_SURELY_FITS = MAX_BYTES // 6
# The bounds of all fields of a message, and of one of them, in characters.
_MAX_FIELDS_LENGTH = 12 * 1024
_MAX_FIELD_LENGTH = 4 * 1024

_escape: Callable[[str], str] = json.encoder.encode_basestring
_to_text = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def escape(text: str) -> str:
    """Returns text as a JSON string, with lone surrogates as escapes that a reader sees."""
    return _escape(_text.valid(text))


def parts(message: str) -> Iterator[str]:
    """Yields a message as JSON strings, each of which fits into a markup line.

    A message of many lines is divided between lines. A line that is too long is cut, with the
    number of bytes that are left out.
    """
    if len(message) <= _SURELY_FITS:
        yield escape(message)
        return
    message = _text.valid(message)
    lines: list[str] = []
    size = 0
    for line in message.split("\n"):
        line = _cut(line)
        length = _size(line) + 2
        if lines and size + length > MAX_BYTES:
            yield _escape("\n".join(lines))
            lines, size = [], 0
        lines.append(line)
        size += length
    yield _escape("\n".join(lines))


def _size(text: str) -> int:
    return len(_escape(text).encode())


def _cut(line: str) -> str:
    """Returns a line that fits into a markup line."""
    if len(line) <= _SURELY_FITS or _size(line) <= MAX_BYTES:
        return line
    # The longest beginning that fits: its size grows with its length.
    low, high = _SURELY_FITS, min(len(line), MAX_BYTES)
    while low < high:
        middle = (low + high + 1) // 2
        if _size(line[:middle]) <= MAX_BYTES:
            low = middle
        else:
            high = middle - 1
    left_out = len(line[low:].encode())
    return f"{line[:low]} … [tinpot] {left_out} bytes of this line are not kept"


def shortened(text: str, length: int) -> str:
    """Returns valid text of at most this length, with a mark if it was longer."""
    return _text.valid(text) if len(text) <= length else _text.valid(text[: length - 1]) + "…"


def number(value: Any) -> float | None:
    """Returns a finite number; None for anything else."""
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if found - found == 0 else None


def fields(given: Mapping[str, Any]) -> str:
    """Returns fields as a JSON object.

    A value without a JSON form is written as text, and a long one is cut.
    """
    written = {_text.valid(name): _field(value) for name, value in given.items()}
    document = "{" + ",".join(f"{_escape(name)}:{value}" for name, value in written.items()) + "}"
    if len(document.encode()) <= _MAX_FIELDS_LENGTH:
        return document
    kept, size = [], 0
    for name, value in written.items():
        size += _size(name) + len(value.encode()) + 2
        if size > _MAX_FIELDS_LENGTH:
            break
        kept.append(f"{_escape(name)}:{value}")
    note = f'"tinpot":"{len(written) - len(kept)} of {len(written)} fields are not kept"'
    return "{" + ",".join([*kept, note]) + "}"


def _field(value: Any) -> str:
    """Returns a value as JSON of a bounded size."""
    cls = type(value)
    if cls is str:
        return _escape(_bounded(value))
    if cls is int:
        return _to_text(value) if value.bit_length() < 4096 else '"(too large)"'
    if cls is bool or value is None:
        return _to_text(value)
    from tinpot import _encode

    try:
        text = _encode.encode(value, _MAX_FIELD_LENGTH * 4)
        text.encode()
        if len(text) <= _MAX_FIELD_LENGTH:
            return text
    except Exception:
        # NaN, a circle, an object of any class: shown as Python shows it.
        pass
    try:
        shown = str(value)
    except Exception as error:
        shown = f"(the str() of its {cls.__name__} raises {type(error).__name__})"
    return _escape(_bounded(shown))


def _bounded(text: str) -> str:
    if len(text) > _MAX_FIELD_LENGTH:
        text = f"{text[:_MAX_FIELD_LENGTH]}… ({len(text) - _MAX_FIELD_LENGTH} more characters)"
    return _text.valid(text)
