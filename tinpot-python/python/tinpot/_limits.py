"""Holds an attempt to its limits of memory, processor time and open files, as far as that is done from within."""

import errno
import fcntl
import math
import os
import resource
import signal

from tinpot import _run
from tinpot._errors import LimitExceeded

# The limit of processor time that is in force.
_cpu_seconds = None


def guards(entries, defaults, memory):
    """What guards which action, by name: those that have a limit. `memory`: whether memory is to be limited here."""
    found = {}
    for name, entry in entries.items():
        limits = {**defaults, **(entry.limits or {})}
        if not memory:
            limits.pop("memory", None)
        if limits:
            found[name] = Guard(limits)
    return found


class Guard:
    """The limits of one action."""

    __slots__ = ("memory", "cpu_seconds", "open_files", "max_result")

    def __init__(self, limits):
        for name in self.__slots__:
            setattr(self, name, limits.get(name))

    def call(self, entry, parameters, control, context):
        """Calls the function; raises `LimitExceeded` for what comes of a limit."""
        try:
            with _Set(self):
                return _run.call(entry, parameters, control, context)
        # The limits are lifted again: there is room for what follows.
        except MemoryError as error:
            if self.memory is None:
                raise
            raise _exceeded("memory", "%d bytes" % self.memory) from _bare(error)
        except OSError as error:
            if self.open_files is None or error.errno != errno.EMFILE:
                raise
            raise _exceeded("open_files", self.open_files) from _bare(error)


class _Set:
    """Limits in force. They are soft limits of the kernel: processes that the action starts inherit them, each for itself."""

    def __init__(self, guard):
        self.guard = guard
        self.before = []

    def __enter__(self):
        global _cpu_seconds
        guard = self.guard
        try:
            if guard.open_files is not None:
                self._limit(resource.RLIMIT_NOFILE, _descriptors(guard.open_files))
            if guard.cpu_seconds is not None:
                signal.signal(signal.SIGXCPU, _on_cpu_time)
                used = resource.getrusage(resource.RUSAGE_SELF)
                self._limit(resource.RLIMIT_CPU, math.ceil(used.ru_utime + used.ru_stime + guard.cpu_seconds))
                _cpu_seconds = guard.cpu_seconds
            if guard.memory is not None:
                self._limit(resource.RLIMIT_AS, _address_space(guard.memory))
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        global _cpu_seconds
        _cpu_seconds = None
        while self.before:
            resource.setrlimit(*self.before.pop())

    def _limit(self, kind, soft):
        before = resource.getrlimit(kind)
        least = [soft] + [bound for bound in before if bound != resource.RLIM_INFINITY]
        resource.setrlimit(kind, (min(least), before[1]))
        self.before.append((kind, before))


def _on_cpu_time(_signal, _frame):
    if _cpu_seconds is not None:
        raise _exceeded("cpu_seconds", "%g" % _cpu_seconds)


def _exceeded(name, value):
    return LimitExceeded("the limit %s of %s was exceeded" % (name, value))


def _bare(error):
    return error.with_traceback(_run.own_frames_removed(error.__traceback__))


def _descriptors(further):
    """The number below which `further` descriptors are free: that is what the kernel limits."""
    for place in ("/proc/self/fd", "/dev/fd"):
        try:
            listed = [int(name) for name in os.listdir(place)]
            break
        except (OSError, ValueError):
            listed = range(16)
    bound = further
    for number in sorted(filter(_is_open, listed)):
        if number < bound:
            bound += 1
    return bound


def _is_open(number):
    try:
        fcntl.fcntl(number, fcntl.F_GETFD)
    except OSError:
        return False
    return True


def _address_space(memory):
    """How large the address space may become, so that what is in memory stays below `memory`: much of it was never touched."""
    try:
        with open("/proc/self/statm") as statm:
            size, resident = [int(pages) * resource.getpagesize() for pages in statm.read().split()[:2]]
    except OSError:
        return memory
    return size + max(memory - resident, 0)
