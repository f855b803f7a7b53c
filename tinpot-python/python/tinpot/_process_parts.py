"""The parts of the state that a process has once: how each is read, kept, compared and put back."""

from __future__ import annotations

import _tracemalloc
import builtins
import gc
import os
import resource
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Set
from typing import Any

import tinpot
from tinpot._parts import GONE, Lists, Noted, Part, Table, Tuple, same

# The filters are a list, which type checkers take for an immutable sequence.
_warnings: Any = warnings
# The attributes of modules that libraries and tests like to replace, and those that keep a setting
# of the whole process: module, object in it, attribute.
_ATTRIBUTES = (
    ("asyncio", "", "run"),
    ("datetime", "", "date"),
    ("datetime", "", "datetime"),
    ("http.client", "HTTPConnection", "debuglevel"),
    ("json", "", "dumps"),
    ("json", "", "loads"),
    ("logging", "", "_warnings_showwarning"),
    ("multiprocessing.context", "_default_context", "_actual_context"),
    ("multiprocessing.process", "_current_process", "_name"),
    ("os", "", "environ"),
    ("os", "", "getcwd"),
    ("os", "", "system"),
    ("socket", "", "create_connection"),
    ("socket", "", "getaddrinfo"),
    ("socket", "", "gethostname"),
    ("socket", "", "socket"),
    ("ssl", "", "_create_default_https_context"),
    ("subprocess", "", "Popen"),
    ("subprocess", "", "check_call"),
    ("subprocess", "", "check_output"),
    ("subprocess", "", "run"),
    ("tempfile", "", "tempdir"),
    ("threading", "", "_profile_hook"),
    ("threading", "", "_trace_hook"),
    ("threading", "", "Thread"),
    ("threading", "", "excepthook"),
    ("time", "", "gmtime"),
    ("time", "", "localtime"),
    ("time", "", "monotonic"),
    ("time", "", "perf_counter"),
    ("time", "", "sleep"),
    ("time", "", "strftime"),
    ("time", "", "time"),
    ("time", "", "time_ns"),
    ("urllib.request", "", "_opener"),
    ("uuid", "", "uuid4"),
    ("warnings", "", "defaultaction"),
    ("warnings", "", "formatwarning"),
    ("warnings", "", "showwarning"),
)
# What a module that an attempt imports first has in these; of the others nothing is known.
_FRESH = {
    ("http.client", "HTTPConnection", "debuglevel"): 0,
    ("logging", "", "_warnings_showwarning"): None,
    ("multiprocessing.context", "_default_context", "_actual_context"): None,
    ("multiprocessing.process", "_current_process", "_name"): "MainProcess",
    ("tempfile", "", "tempdir"): None,
    ("urllib.request", "", "_opener"): None,
}


class Environment(Table):
    """The environment: the bytes behind `os.environ`, which need no conversion to compare."""

    def __init__(self) -> None:
        self._environment = os.environ
        super().__init__("environment", os.environ._data)  # type: ignore[attr-defined]

    def write(self, value: Any) -> Any:
        has_moved = not same(self._table.get(b"TZ", GONE), value.get(b"TZ", GONE))
        super().write(value)
        if has_moved:
            # C code may know of the change even if `time` does not.
            time.tzset()
        return value

    def _set(self, key: Any, value: Any) -> None:
        self._environment[os.fsdecode(key)] = os.fsdecode(value)

    def _remove(self, key: Any) -> None:
        del self._environment[os.fsdecode(key)]


class Filters(Lists):
    """The filters of warnings."""

    def __init__(self) -> None:
        super().__init__("filters of warnings", lambda: _warnings.filters)
        self._list = _warnings.filters

    def write(self, value: Any) -> Any:
        self._list[:] = value
        # `catch_warnings` replaces the list while it is in force.
        _warnings.filters = self._list
        with warnings.catch_warnings():
            # Makes the cache of the filters forget.
            pass
        return value


class Attributes(Tuple):
    """Attributes of modules; those of modules that are not imported yet are absent."""

    grows = late = True

    def __init__(self) -> None:
        super().__init__("attributes of modules", self._read)
        # Their number says whether modules were imported since.
        self._modules = 0
        self._present: Callable[[], tuple[Any, ...]] = tuple

    @staticmethod
    def _read() -> tuple[Any, ...]:
        found = [(_holder(attribute), attribute[2]) for attribute in _ATTRIBUTES]
        return tuple(vars(one).get(name, GONE) if one is not None else GONE for one, name in found)

    def is_as(self, value: Any) -> bool:
        if len(sys.modules) != self._modules:
            self._modules = len(sys.modules)
            self._present = self._compiled()
        return bool(self._present() == value)

    def _compiled(self) -> Callable[[], tuple[Any, ...]]:
        """Returns a function that reads the attributes of the modules that are imported.

        One expression takes a quarter of the time of a loop.
        """
        names: dict[str, Any] = {"gone": GONE}
        reads = []
        for at, (attribute, value) in enumerate(zip(_ATTRIBUTES, self._read())):
            names[f"holder{at}"] = _holder(attribute)
            reads.append("gone" if value is GONE else f"holder{at}.{attribute[2]}")
        found: Callable[[], tuple[Any, ...]] = eval(f"lambda: ({', '.join(reads)},)", names)
        return found

    def _set(self, at: int, value: Any) -> None:
        holder = _holder(_ATTRIBUTES[at])
        if value is GONE:
            value = _FRESH.get(_ATTRIBUTES[at], GONE)
        if holder is not None and value is not GONE:
            setattr(holder, _ATTRIBUTES[at][2], value)

    def additions(self, old: Any, new: Any, packages: Set[str]) -> Any:
        found = {}
        for at, (before, now) in enumerate(zip(old, new)):
            if before is GONE and now is not GONE:
                found[at] = _FRESH.get(_ATTRIBUTES[at], now)
        return found or None


def _holder(attribute: tuple[str, str, str]) -> Any:
    """Returns the holder of an attribute; None if it is not imported."""
    module, inner, _name = attribute
    holder: Any = sys.modules.get(module)
    return getattr(holder, inner, None) if inner else holder


def _handlers() -> Noted:
    # The module in C: `signal` calls it for each change, and its results need no conversion to
    # enums, which takes a microsecond for each.
    module: Any = sys.modules.get("_signal", signal)
    get, put, numbers = module.getsignal, module.signal, range(1, signal.NSIG)

    def put_back(at: int, value: Any) -> None:
        if value is None:
            raise OSError(f"the handler of signal {at + 1} was not Python's")
        put(at + 1, value)

    setters = [(module, "signal")]
    return Noted("signal handlers", lambda: tuple(map(get, numbers)), put_back, setters)


def _resource_limits() -> Noted:
    names = [name for name in dir(resource) if name.startswith("RLIMIT_")]
    kinds = sorted({getattr(resource, name) for name in names})
    get_limit, set_limit = resource.getrlimit, resource.setrlimit
    return Noted(
        "resource limits",
        lambda: tuple(map(get_limit, kinds)),
        lambda at, value: set_limit(kinds[at], value),
        [(resource, "setrlimit"), (resource, "prlimit")],
    )


def _user() -> Noted:
    reads = [getattr(os, name, os.getpid) for name in ("getresuid", "getresgid", "getgroups")]
    kinds = ("uid", "gid", "euid", "egid", "reuid", "regid", "resuid", "resgid", "groups")
    setters = [(os, f"set{kind}") for kind in kinds]
    setters.append((os, "initgroups"))
    return Noted("user", lambda: tuple(read() for read in reads), None, setters)


class DecimalDefaults(Part):
    """The decimal context of which new ones are copies; None while `decimal` is not imported."""

    late = True
    # As `decimal` documents them.
    _first = (28, "ROUND_HALF_EVEN", -999999, 999999, 1, 0)

    def __init__(self) -> None:
        super().__init__("default decimal context", self._read)

    @staticmethod
    def _read() -> Any:
        context = getattr(sys.modules.get("decimal"), "DefaultContext", None)
        return context and (
            context.prec,
            context.rounding,
            context.Emin,
            context.Emax,
            context.capitals,
            context.clamp,
            context.traps.copy(),
        )

    def write(self, value: Any) -> Any:
        decimal: Any = sys.modules["decimal"]
        context = decimal.DefaultContext
        if value is None:
            # The attempt imported the module.
            trapped = (decimal.DivisionByZero, decimal.Overflow, decimal.InvalidOperation)
            value = (*self._first, {signal: signal in trapped for signal in context.traps})
        context.prec, context.rounding, context.Emin, context.Emax = value[:4]
        context.capitals, context.clamp, traps = value[4:]
        context.traps.update(traps)
        return value


class Directory(Part):
    """The working directory, also if it was removed."""

    def __init__(self) -> None:
        super().__init__("working directory", self._read)
        self.quick_read = os.getcwd
        self._first = self._read()
        # Stays usable when the directory is renamed or removed.
        self._fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    @staticmethod
    def _read() -> str | None:
        try:
            return os.getcwd()
        except OSError:
            return None

    def write(self, value: Any) -> Any:
        if value == self._first:
            os.fchdir(self._fd)
        else:
            os.chdir(value)
        return value


class Builtins(Table):
    """The builtins. What a first import may have added comes from one of its packages.

    Otherwise it is the attempt's: the first one of an interpreter always imports something.
    """

    def __init__(self) -> None:
        super().__init__("builtins", vars(builtins), grows=True)

    def additions(self, old: Any, new: Any, packages: Set[str]) -> Any:
        found = super().additions(old, new, packages) or {}
        return {key: value for key, value in found.items() if _package(value) in packages} or None


def _package(value: object) -> str:
    """Returns the name of the package that a value comes from; empty if it does not say."""
    return str(getattr(value, "__module__", "")).partition(".")[0]


class Package(Table):
    """The attributes of this package. Its names are added when they are used for the first time."""

    def __init__(self) -> None:
        super().__init__("attributes of tinpot", vars(tinpot), grows=True)

    def additions(self, old: Any, new: Any, packages: Set[str]) -> Any:
        found = super().additions(old, new, packages) or {}
        return {key: value for key, value in found.items() if _is_own(key, value)} or None


def _is_own(name: str, value: object) -> bool:
    """Returns False for a name of the package that has another value than its module gives it."""
    module = tinpot._MODULES.get(name)
    if module is None:
        return True
    return getattr(sys.modules.get(f"tinpot.{module}"), name, GONE) is value


def find() -> list[Part]:
    """Returns all parts, in the order in which they are put back."""
    main_thread = threading.main_thread()
    parts = [
        Table("attributes of sys", vars(sys), grows=True),
        Builtins(),
        Package(),
        Attributes(),
        Environment(),
        Directory(),
        _handlers(),
        Lists("sys.argv", lambda: sys.argv),
        Lists("sys.path", lambda: sys.path),
        Lists("sys.meta_path", lambda: sys.meta_path, grows=True),
        Lists("sys.path_hooks", lambda: sys.path_hooks, grows=True),
        Filters(),
        *_settings(),
        _umask(),
        Part("profile function", sys.getprofile, sys.setprofile),
        Part("trace function", sys.gettrace, sys.settrace),
        Lists("callbacks of gc", lambda: gc.callbacks),
        Part("thread name", lambda: main_thread.name, lambda v: setattr(main_thread, "name", v)),
        DecimalDefaults(),
        _resource_limits(),
        _user(),
    ]
    parts.extend(_parts_of_some_systems())
    return parts


def _settings() -> list[Noted]:
    """Returns the settings that one function reads and another one sets."""
    pairs = (
        ("recursion limit", sys, "getrecursionlimit", "setrecursionlimit"),
        ("switch interval", sys, "getswitchinterval", "setswitchinterval"),
        ("digits of int", sys, "get_int_max_str_digits", "set_int_max_str_digits"),
        (
            "depth of origins",
            sys,
            "get_coroutine_origin_tracking_depth",
            "set_coroutine_origin_tracking_depth",
        ),
        ("timeout of sockets", socket, "getdefaulttimeout", "setdefaulttimeout"),
        ("stack size of threads", threading, "stack_size", "stack_size"),
        ("debug flags of gc", gc, "get_debug", "set_debug"),
    )
    found = [
        _setting(name, getattr(module, get), getattr(module, put), (module, put))
        for name, module, get, put in pairs
        if hasattr(module, get)
    ]
    set_zone, enable, disable, set_threshold = time.tzset, gc.enable, gc.disable, gc.set_threshold
    set_hooks, trace, stop_tracing = sys.set_asyncgen_hooks, _tracemalloc.start, _tracemalloc.stop
    both = (_tracemalloc, sys.modules.get("tracemalloc"))
    return [
        *found,
        _setting(
            "time zone",
            lambda: (time.tzname, time.timezone),
            lambda _: set_zone(),
            (time, "tzset"),
        ),
        _setting(
            "hooks of generators",
            sys.get_asyncgen_hooks,
            lambda hooks: set_hooks(*hooks),
            (sys, "set_asyncgen_hooks"),
        ),
        _setting(
            "state of gc",
            gc.isenabled,
            lambda is_on: enable() if is_on else disable(),
            (gc, "enable"),
            (gc, "disable"),
        ),
        _setting(
            "thresholds of gc",
            gc.get_threshold,
            lambda values: set_threshold(*values),
            (gc, "set_threshold"),
        ),
        _setting(
            "tracemalloc",
            _tracemalloc.is_tracing,
            lambda is_on: trace() if is_on else stop_tracing(),
            *[(module, name) for module in both for name in ("start", "stop")],
        ),
    ]


def _setting(
    name: str, read: Callable[[], Any], write: Callable[[Any], object], *setters: tuple[Any, str]
) -> Noted:
    return Noted(name, lambda: (read(),), lambda _, value: write(value), setters)


def _umask() -> Noted:
    set_mask = os.umask

    def read() -> tuple[int]:
        mask = set_mask(0o77)
        set_mask(mask)
        return (mask,)

    return Noted("umask", read, lambda _, mask: set_mask(mask), [(os, "umask")])


def _priority() -> Noted:
    which, get, put = os.PRIO_PROCESS, os.getpriority, os.setpriority
    return Noted(
        "priority",
        lambda: (get(which, 0),),
        lambda _, value: put(which, 0, value),
        [(os, "nice"), (os, "setpriority")],
        others=["psutil"],
    )


def _processors() -> Noted:
    get, put = os.sched_getaffinity, os.sched_setaffinity
    return Noted(
        "processors",
        lambda: (get(0),),
        lambda _, value: put(0, value),
        [(os, "sched_setaffinity")],
        others=["psutil"],
    )


def _locale() -> Noted | None:
    try:
        import _locale as module
    except ImportError:
        return None
    kind, set_locale = module.LC_ALL, module.setlocale
    setters: list[tuple[Any, str]] = [(module, "setlocale")]
    if "locale" in sys.modules:
        setters.append((sys.modules["locale"], "_setlocale"))
    return Noted(
        "locale", lambda: (set_locale(kind),), lambda _, value: set_locale(kind, value), setters
    )


def _signal_mask() -> Noted:
    set_mask = signal.pthread_sigmask
    return Noted(
        "signal mask",
        lambda: (set_mask(signal.SIG_BLOCK, ()),),
        lambda _, value: set_mask(signal.SIG_SETMASK, value),
        [(signal, "pthread_sigmask")],
    )


def _parts_of_some_systems() -> list[Part]:
    found: list[Part] = []
    locale = _locale()
    if locale is not None:
        found.append(locale)
    if hasattr(signal, "pthread_sigmask"):
        found.append(_signal_mask())
    if hasattr(os, "setpriority"):
        found.append(_priority())
    if hasattr(os, "sched_getaffinity"):
        found.append(_processors())
        setters = [(os, "sched_setscheduler"), (os, "sched_setparam")]
        found.append(Noted("scheduler", lambda: (os.sched_getscheduler(0),), None, setters))
    monitoring: Any = getattr(sys, "monitoring", None)
    if monitoring is not None:

        def write(tools: list[Any]) -> None:
            for number, tool in enumerate(tools):
                if tool is None and monitoring.get_tool(number) is not None:
                    monitoring.free_tool_id(number)

        found.append(Part("monitoring", lambda: list(map(monitoring.get_tool, range(6))), write))
    return found
