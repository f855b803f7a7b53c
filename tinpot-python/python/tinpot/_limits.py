"""Enforces the limits of memory, processor time and open files from within the interpreter."""

from __future__ import annotations

import errno
import fcntl
import math
import os
import resource
import signal
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from tinpot import _run
from tinpot._errors import LimitExceeded

if TYPE_CHECKING:
    from types import FrameType

    from tinpot._action import Entry
    from tinpot._context import Context

    E = TypeVar("E", bound=BaseException)

# Of the limits of this module the state of the process knows nothing: they are put back here.
_set_limit = resource.setrlimit
# The limit of processor time in force, for the signal handler.
_cpu_seconds: float | None = None


def guards(
    entries: Mapping[str, Entry], defaults: Mapping[str, Any], limit_memory: bool
) -> dict[str, Guard]:
    """Returns the guards of the actions that have a limit, by name.

    limit_memory: if False, a cgroup limits the memory.
    """
    found = {}
    for name, entry in entries.items():
        limits = {**defaults, **(entry.limits or {})}
        if not limit_memory:
            limits.pop("memory", None)
        if limits:
            found[name] = Guard(limits)
    return found


class Guard:
    """The limits of one action."""

    __slots__ = ("cpu_seconds", "max_result", "memory", "open_files")

    def __init__(self, limits: Mapping[str, Any]) -> None:
        self.memory: int | None = limits.get("memory")
        self.cpu_seconds: float | None = limits.get("cpu_seconds")
        self.open_files: int | None = limits.get("open_files")
        self.max_result: int | None = limits.get("max_result")

    def call(
        self, entry: Entry, parameters: dict[str, Any], control: _run.Control, context: Context
    ) -> Any:
        """Calls the function within the limits; raises `LimitExceeded` if it exceeds one."""
        try:
            with _LimitsInForce(self):
                return _run.call(entry, parameters, control, context)
        # The limits are lifted by now: there is memory for the handling of these errors.
        except MemoryError as error:
            if self.memory is None:
                raise
            raise _exceeded("memory", f"{self.memory} bytes") from error
        except OSError as error:
            if self.open_files is None or error.errno != errno.EMFILE:
                raise
            raise _exceeded("open_files", self.open_files) from error


class _LimitsInForce:
    """Soft limits of the kernel. Processes that the action starts inherit them, each its own."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._before: list[tuple[int, tuple[int, int]]] = []
        self._handler: Any = None

    def __enter__(self) -> None:
        global _cpu_seconds
        guard = self._guard
        try:
            if guard.open_files is not None:
                self._limit(resource.RLIMIT_NOFILE, _descriptor_bound(guard.open_files))
            if guard.cpu_seconds is not None:
                self._handler = signal.signal(signal.SIGXCPU, _on_cpu_limit)
                used = resource.getrusage(resource.RUSAGE_SELF)
                total = used.ru_utime + used.ru_stime + guard.cpu_seconds
                self._limit(resource.RLIMIT_CPU, math.ceil(total))
                _cpu_seconds = guard.cpu_seconds
            if guard.memory is not None:
                self._limit(resource.RLIMIT_AS, _address_space(guard.memory))
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        global _cpu_seconds
        _cpu_seconds = None
        while self._before:
            _set_limit(*self._before.pop())
        if self._handler is not None:
            signal.signal(signal.SIGXCPU, self._handler)

    def _limit(self, kind: int, soft: int) -> None:
        before = resource.getrlimit(kind)
        bounds = [bound for bound in before if bound != resource.RLIM_INFINITY]
        _set_limit(kind, (min([soft, *bounds]), before[1]))
        self._before.append((kind, before))


def _on_cpu_limit(_signal: int, _frame: FrameType | None) -> None:
    if _cpu_seconds is not None:
        raise _exceeded("cpu_seconds", f"{_cpu_seconds:g}")


def _exceeded(name: str, value: object) -> LimitExceeded:
    # The worker has the same words in `limits.rs`.
    return LimitExceeded(f"the limit {name} of {value} was exceeded")


def _descriptor_bound(count: int) -> int:
    """Returns the number below which `count` descriptors are free, which the kernel limits."""
    listed: Iterable[int] = range(16)
    for folder in ("/proc/self/fd", "/dev/fd"):
        try:
            listed = [int(name) for name in os.listdir(folder)]
            break
        except (OSError, ValueError):
            pass
    bound = count
    for number in sorted(filter(_is_open, listed)):
        if number < bound:
            bound += 1
    return bound


def _is_open(number: int) -> bool:
    try:
        fcntl.fcntl(number, fcntl.F_GETFD)
    except OSError:
        return False
    return True


def _address_space(memory: int) -> int:
    """Returns the address space with which the resident memory stays below `memory`.

    Most of the address space was never touched, and takes no memory.
    """
    try:
        with open("/proc/self/statm") as statm:
            pages = statm.read().split()[:2]
    except OSError:
        return memory
    size, resident = (int(count) * resource.getpagesize() for count in pages)
    return size + max(memory - resident, 0)
