"""The imports in the functions of a module, which happen while an attempt runs."""

from __future__ import annotations

import dis
from collections.abc import Iterator
from types import CodeType, ModuleType
from typing import Any


def of(module: ModuleType) -> set[str]:
    """Returns the last components of the names that the functions of a module import."""
    found: set[str] = set()
    for code in _functions(module):
        for instruction in dis.get_instructions(code):
            if instruction.opname in ("IMPORT_NAME", "IMPORT_FROM"):
                found.add(str(instruction.argval).rpartition(".")[2])
    return found


def _functions(module: ModuleType) -> Iterator[CodeType]:
    """Yields the code of all functions that a module defines, with those inside of them."""
    values: list[Any] = list(vars(module).values())
    for value in list(values):
        # Not `isinstance`, which asks the value: a lazy object may fail or load then.
        if issubclass(type(value), type) and vars(value).get("__module__") == module.__name__:
            values.extend(vars(value).values())
    waiting = [code for value in values if (code := _code(value)) is not None]
    seen: set[int] = set()
    while waiting:
        code = waiting.pop()
        if id(code) not in seen and code.co_filename == getattr(module, "__file__", None):
            seen.add(id(code))
            yield code
            waiting.extend(one for one in code.co_consts if isinstance(one, CodeType))


def _code(value: Any) -> CodeType | None:
    """Returns the code of a function, also below decorators that use `functools.wraps`."""
    for _ in range(20):
        try:
            inner = value.__wrapped__
        except Exception:
            break
        value = inner
    try:
        code = getattr(value, "__func__", value).__code__
    except Exception:
        return None
    return code if type(code) is CodeType else None
