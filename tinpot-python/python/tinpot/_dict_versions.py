"""Tells in constant time whether a dictionary has changed, where CPython counts its changes."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from typing import Any


def reader(table: dict[Any, Any]) -> Callable[[], object]:
    """Returns a function whose result differs after each change of a dictionary.

    The dictionary must live as long as the function. Where there is no such number, each call
    returns another object.
    """
    return _reader(table) if IS_COUNTED else object


def _reader(table: dict[Any, Any]) -> Callable[[], object]:
    # The field `ma_version_tag` of PEP 509: it follows the head of the object and `ma_used`.
    address = id(table) + object.__basicsize__ + ctypes.sizeof(ctypes.c_ssize_t)
    field = ctypes.c_uint64.from_address(address)
    return lambda: field.value


def _is_counted() -> bool:
    """Returns True if this interpreter counts: 3.13 removed the field, others never had it."""
    if sys.implementation.name != "cpython" or sys.version_info >= (3, 13):
        return False
    table: dict[Any, Any] = {"": 0}
    read = _reader(table)
    seen = [read()]
    table[""] = 1
    seen.append(read())
    table["a"] = 1
    seen.append(read())
    del table["a"]
    seen.append(read())
    table.clear()
    seen.append(read())
    return len(set(seen)) == len(seen) and read() == seen[-1]


# If False, nothing is known about changes.
IS_COUNTED = _is_counted()
