"""Conversion of Python values to JSON: results, parameters of calls, and defaults.

docs/types.md lists the forms. A value is written in its own form or refused with its path: it is
never turned into another one.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterable
from typing import Any

from tinpot import _forms
from tinpot._frames import NoForm as NoForm


class ContainsSecret(Exception):
    """A default that contains a secret, and so must not be shown."""


# The coordinator refuses parameters beyond this depth, and many JSON libraries fail soon after it.
MAX_DEPTH = 100
# The bound of values that have no smaller one. The worker bounds messages itself.
_MAX_BYTES = 512 * 1024 * 1024
# Bounds the memory for classes that actions create on every call.
_MAX_KNOWN_CLASSES = 10_000
# Integers with fewer bits have fewer than 4300 digits, which Python always writes.
_SURELY_WRITTEN_BITS = 14_000
_MAX_PATH_LENGTH = 300

_SCALARS = {str, int, float, bool, type(None)}
_CONTAINERS = {dict, list, tuple}
_known: dict[type, _forms.Convert] = {}

# Text stays as it is, so that its conversion to UTF-8 finds lone surrogates.
_to_text = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def encode(value: Any, limit: int = _MAX_BYTES) -> str:
    """Returns the JSON text of a value.

    limit: the number of bytes that the text may have; it bounds the work, not the text.

    Raises `NoForm` if a part of the value has no form.
    """
    # The most frequent results, without the cost of the encoder.
    if value is None:
        return "null"
    cls = type(value)
    if cls is int and value.bit_length() < _SURELY_WRITTEN_BITS:
        return str(value)
    if cls in _SCALARS or (cls in _CONTAINERS and _is_plain(value, limit)):
        try:
            return _to_text(value)
        except (ValueError, RecursionError):
            # The conversion finds the part.
            pass
    return _to_text(convert(value, limit=limit))


def result(value: Any, limit: int) -> bytes:
    """Returns the JSON text of a result. Raises `NoForm`, which names the part without a form."""
    try:
        text = encode(value, limit)
        try:
            return text.encode()
        except UnicodeEncodeError:
            return _to_text(convert(value, limit=limit)).encode()
    except NoForm as error:
        error.path = "result" + error.path
        raise


def _is_plain(value: Any, limit: int) -> bool:
    """Returns True if JSON's encoder writes the value as it is.

    It would write subclasses by the methods of their base classes, and keys that are no text as
    text that may be the text of another key.
    """
    level = [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for container in level:
            items = container
            if type(container) is dict:
                if set(map(type, container)) - {str}:
                    return False
                items = container.values()
            # An item has at least two bytes, with its comma.
            limit -= 2 * len(container)
            if limit < 0:
                return False
            others = set(map(type, items)) - _SCALARS
            if others:
                if others - _CONTAINERS:
                    return False
                below.extend(item for item in items if type(item) in _CONTAINERS)
        if not below:
            return True
        level = below
    return False


def convert(
    value: Any, on_secret: Callable[[Any], str] = _forms.mask, limit: int = _MAX_BYTES
) -> Any:
    """Returns a copy of a value that consists of the types of JSON only.

    on_secret: returns what is written for a secret.

    Raises `NoForm` if a part of the value has no form.
    """
    try:
        return _Conversion(on_secret, limit).value(value, 0)
    except NoForm as error:
        if len(error.path) > _MAX_PATH_LENGTH:
            error.path = error.path[:_MAX_PATH_LENGTH] + "…"
        raise
    except RecursionError:
        raise NoForm("is nested too deep") from None


class _Conversion:
    """The conversion of one value."""

    __slots__ = ("left", "on_secret", "open")

    def __init__(self, on_secret: Callable[[Any], str], limit: int) -> None:
        self.on_secret = on_secret
        # The bytes that are left.
        self.left = limit
        # The containers around the present value.
        self.open: set[int] = set()

    def value(self, value: Any, depth: int) -> Any:
        cls = type(value)
        if cls is str:
            self.spend(len(value))
            if not value.isascii():
                _check_text(value)
            return value
        if cls is int:
            return _checked_integer(value)
        if cls is float:
            if not value - value == 0:
                raise NoForm(f"is {value!r}, which is not JSON")
            return value
        if cls is bool or value is None:
            return value
        if cls in _CONTAINERS:
            return self.container(value, depth)
        found = _known.get(cls)
        if found is None:
            found = _forms.find(cls)
            if found is None:
                raise NoForm(f"is of type {_forms.type_name(cls)}, which has no JSON form")
            if len(_known) < _MAX_KNOWN_CLASSES:
                _known[cls] = found
        if id(value) in self.open:
            raise NoForm("is a circular reference")
        self.open.add(id(value))
        try:
            closer = found(value, self.on_secret)
        except (NoForm, ContainsSecret, RecursionError):
            raise
        except Exception as error:
            text = f"{type(error).__name__}: {error}"[:200]
            raise NoForm(f"cannot be converted: {text}") from None
        if type(closer) is cls:
            raise NoForm(f"is of type {_forms.type_name(cls)}, which has no JSON form")
        try:
            return self.value(closer, depth)
        finally:
            self.open.discard(id(value))

    def container(self, value: Any, depth: int) -> Any:
        if id(value) in self.open:
            raise NoForm("is a circular reference")
        if depth >= MAX_DEPTH:
            raise NoForm(f"is nested too deep: at most {MAX_DEPTH} levels")
        self.spend(2 * len(value))
        self.open.add(id(value))
        items: list[Any] = []
        try:
            if type(value) is not dict:
                for item in value:
                    items.append(self.value(item, depth + 1))
                return items
            return self.members(value.items(), depth)
        except NoForm as error:
            if type(value) is not dict:
                error.path = f"[{len(items)}]{error.path}"
            raise
        finally:
            self.open.discard(id(value))

    def members(self, pairs: Iterable[tuple[Any, Any]], depth: int) -> dict[str, Any]:
        converted: dict[str, Any] = {}
        for key, inner in pairs:
            text = key if type(key) is str and key.isascii() else self.key(key, depth)
            if text in converted:
                raise NoForm(f"has two keys that are {text[:80]!r} as JSON")
            try:
                converted[text] = self.value(inner, depth + 1)
            except NoForm as error:
                error.path = f"[{text[:80]!r}]{error.path}"
                raise
        return converted

    def key(self, key: Any, depth: int) -> str:
        """Returns the text of a key."""
        if not isinstance(key, (bytes, bytearray)) and not _forms.is_secret(type(key)):
            form = key
            if type(key) not in _SCALARS:
                try:
                    form = self.value(key, depth + 1)
                except NoForm:
                    form = ()
            if type(form) is str:
                _check_text(form)
                return form
            if form is None or form.__class__ in (bool, int, float):
                return _to_text(self.value(form, depth + 1))
        raise NoForm(f"has a key of type {_forms.type_name(type(key))}")

    def spend(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise NoForm("is too large", is_too_large=True)


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise NoForm("is text with a lone surrogate: use valid Unicode") from None


def _checked_integer(value: int) -> int:
    if value.bit_length() >= _SURELY_WRITTEN_BITS:
        try:
            str(value)
        except ValueError as error:
            raise NoForm(f"is an integer that Python does not write: {error}") from None
    return value


def parameters(given: Any) -> Any:
    """Returns the parameters of a call as JSON; the called action gets secrets, not their mask.

    Raises `TypeError`, which names the part that has no JSON form.
    """
    try:
        return convert(given, _forms.reveal)
    except NoForm as error:
        error.path = "parameters" + error.path
        raise TypeError(f"a call cannot pass this: {error}") from None


def to_json(value: Any) -> Any:
    """Returns a default as JSON.

    Raises `ContainsSecret` if there is a secret in it, and `ValueError` if it has no JSON form.
    """

    def stop(_secret: Any) -> str:
        raise ContainsSecret

    try:
        return convert(value, stop)
    except NoForm as error:
        error.path = "it" + error.path
        raise ValueError(f"{repr(value)[:80]} has no JSON form: {error}") from None


def is_moment(value: object) -> bool:
    """Returns True for a date or time, which is stale as a default that was computed at import."""
    return isinstance(value, (datetime.date, datetime.time))
