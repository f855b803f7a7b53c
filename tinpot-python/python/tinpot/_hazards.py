"""Hazards: things in a process that its copies cannot share, and the files that left them."""

from __future__ import annotations

import _thread
import contextlib
import os
import random
import re
import stat
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any, NamedTuple

from tinpot import _late_imports, _template
from tinpot._leftovers import living_children

_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
# A line of `maps` with memory that is written and shared.
_SHARED = re.compile(rb"^(\S+) .w.s", re.MULTILINE)

# A kind, and what identifies one of that kind.
_Thing = tuple[str, ...]


class _Origin(NamedTuple):
    """The file during whose import something was found first.

    module: the module from elsewhere that the file imported then; empty if there is none.
    """

    file: str
    module: str

    def cause(self) -> str:
        return f"import of {self.module}" if self.module else "import"


class Found(NamedTuple):
    """The things that keep a process from being copied.

    reason: why it cannot be copied without any of its files; empty if it can.
    files: the files to import in each copy, with the reasons.
    """

    reason: str
    files: dict[str, str]


class Hazards:
    """Checks what is new in the process after the import of each file.

    Files import each other: what is new belongs to the innermost one.
    """

    def __init__(self, root: str) -> None:
        """Notes what is there before the imports of the files below `root`."""
        self._prefix = os.path.realpath(root) + os.sep
        self._known = frozenset(_present())
        self._modules = set(sys.modules)
        self._stack: list[str] = []
        self._origins: dict[_Thing, _Origin] = {}
        self._origins_of_modules: dict[str, _Origin] = {}
        # The files in the order in which their imports ended.
        self._order: dict[str, int] = {}
        # The files that import a file, or a module from elsewhere by its name.
        self._importers: dict[str, set[str]] = {}

    @contextlib.contextmanager
    def importing(self, file: str) -> Iterator[None]:
        """Notes that a file is imported meanwhile."""
        if self._stack[-1:] == [file]:
            yield
            return
        if self._stack:
            self._look()
            self._note(file)
        self._stack.append(file)
        try:
            yield
        finally:
            self._look()
            self._stack.pop()
            self._order.setdefault(file, len(self._order))

    def before(self) -> None:
        """Notes that the innermost file is about to import a module for the first time."""
        if self._stack:
            self._look()

    def after(self, names: Iterable[str], new: str) -> None:
        """Notes that the innermost file has imported modules.

        new: the name of one that was imported for the first time; empty if all were there before.
        """
        if not self._stack:
            return
        is_elsewhere = False
        for name in names:
            module = _module(name)
            if module is not None:
                file = self._below(getattr(module, "__file__", None))
                self._note(file or name)
                is_elsewhere = is_elsewhere or (name == new and file is None)
        if new:
            self._look(new if is_elsewhere else "")

    def found(self, with_actions: Iterable[str]) -> Found:
        """Returns what is there after all imports.

        with_actions: the files that have actions. If none of them could be copied, no file can.
        """
        try:
            return self._found(with_actions)
        except Exception as error:
            # Whatever imports did to the process, it can still run attempts itself.
            return Found(f"the check for copies failed: {type(error).__name__}", {})

    def _note(self, imported: str) -> None:
        if imported != self._stack[-1]:
            self._importers.setdefault(imported, set()).add(self._stack[-1])

    def _below(self, path: object) -> str | None:
        if isinstance(path, str) and path.startswith(self._prefix):
            return path[len(self._prefix) :]
        return None

    def _look(self, module: str = "") -> None:
        origin = _Origin(self._stack[-1], module)
        present = set(_present())
        for thing in self._origins.keys() - present:
            # Another one may get its number.
            del self._origins[thing]
        for thing in present - self._known:
            self._origins.setdefault(thing, origin)
        new = sys.modules.keys() - self._modules
        self._modules.update(new)
        self._origins_of_modules.update(dict.fromkeys(new, origin))

    def _found(self, with_actions: Iterable[str]) -> Found:
        if not _template.is_possible():
            return Found("this system cannot copy processes safely", {})
        blamed: dict[str, str] = {}
        for origin, what in self._all():
            if origin is None:
                return Found(f"an import {what}", {})
            if origin.file not in blamed:
                blamed[origin.file] = f"{origin.cause()} {what}"
            if origin.module:
                for file in sorted(self._importers.get(origin.module, ())):
                    blamed.setdefault(file, f"{origin.cause()} {what}")
        if not blamed:
            return Found("", {})
        causes = {file: f"its {cause}" for file, cause in blamed.items()}
        # Its code would run within an attempt, which would have to end what it starts.
        by_functions = self._imports_of_functions()
        waiting = [(file, file) for file in blamed]
        for file, culprit in waiting:
            for importer in sorted(self._importers_of(file, by_functions)):
                if importer not in causes:
                    causes[importer] = f"it imports {culprit}, whose {blamed[culprit]}"
                    waiting.append((importer, culprit))
        if causes.keys() >= set(with_actions):
            file = next(iter(blamed))
            return Found(f"{file}: {causes[file]}", causes)
        return Found("", causes)

    def _importers_of(self, file: str, by_functions: Mapping[str, set[str]]) -> set[str]:
        """Returns the files that import a file, also in their functions."""
        found = set(self._importers.get(file, ()))
        folder, name = os.path.split(file[: -len(".py")])
        if name == "__init__":
            found.update(other for other in self._order if other.startswith(folder + os.sep))
            name = os.path.basename(folder)
        found.update(other for other, names in by_functions.items() if name in names)
        found.discard(file)
        return found

    def _imports_of_functions(self) -> dict[str, set[str]]:
        """Returns the last components of the names that the functions of each file import."""
        found: dict[str, set[str]] = {}
        for module in list(sys.modules.values()):
            file = self._below(getattr(module, "__file__", None))
            if file is not None and file not in found:
                found[file] = _late_imports.of(module)
        return found

    def _all(self) -> Iterator[tuple[_Origin | None, str]]:
        """Yields everything that copies cannot share: its origin, if it is known, and a phrase."""
        present = set(_present()) - self._known
        yield from self._threads({thing[1] for thing in present if thing[0] == "thread"})
        for thing in sorted(present):
            what = _describe(thing)
            if what:
                yield self._origins.get(thing), what
        yield from self._generators()

    def _threads(self, tasks: set[str]) -> Iterator[tuple[_Origin | None, str]]:
        own = threading.current_thread()
        names = {str(one.native_id): one.name for one in threading.enumerate() if one is not own}
        if not names and _thread._count() == 0:
            if tasks:
                what = "started threads of C code"
                for task in tasks & _after_a_fork():
                    yield self._origins.get(("thread", task)), what
            return
        is_one_unnamed = _thread._count() > len(names)
        found = [task for task in sorted(tasks) if task in names or is_one_unnamed]
        for task in found:
            what = f"started a thread ({names.get(task, 'without a name')})"
            yield self._origins.get(("thread", task)), what
        if not found:
            yield None, "started a thread"

    def _generators(self) -> Iterator[tuple[_Origin | None, str]]:
        """Yields generators of random numbers: each copy would return the same ones."""
        holders: dict[int, list[tuple[str, str]]] = {}
        for name, key, value in _generators():
            holders.setdefault(id(value), []).append((name, key))
        for places in holders.values():
            origins = [self._origin_of_value(name) for name, _ in places]
            at = min(range(len(places)), key=lambda at: origins[at][0])
            name, key = places[at]
            what = f"made {name}.{key}, whose random numbers would be the same in all copies"
            yield origins[at][1], what

    def _origin_of_value(self, module: str) -> tuple[int, _Origin | None]:
        """Returns the origin of a value in a module, and its rank: several modules may have it."""
        file = self._below(getattr(sys.modules.get(module), "__file__", None))
        if file is None:
            return -1, self._origins_of_modules.get(module)
        return self._order.get(file, len(self._order)), _Origin(file, "")


def _module(name: str) -> ModuleType | None:
    """Returns a module, also by one of its other names, or by that of an attribute."""
    module = sys.modules.get(name)
    if module is None:
        parent, _, attribute = name.rpartition(".")
        value = getattr(sys.modules.get(parent), "__dict__", {}).get(attribute)
        module = value if isinstance(value, ModuleType) else None
    return module


def _present() -> Iterator[_Thing]:
    """Yields what is there now, other than files that copies can share."""
    own = str(os.getpid())
    for task in _tasks():
        if task != own:
            yield "thread", task
    for pid in living_children():
        yield "process", pid
    for fd, mode, flags in _template.opened(()):
        try:
            place = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            continue
        if stat.S_ISDIR(mode) or place in _DEVICES:
            continue
        access = flags & os.O_ACCMODE
        is_shareable = access == os.O_RDONLY or (access == os.O_WRONLY and flags & os.O_APPEND)
        if not (stat.S_ISREG(mode) and is_shareable):
            yield "descriptor", str(fd), place
    try:
        with open("/proc/self/maps", "rb") as maps:
            for addresses in _SHARED.findall(maps.read()):
                yield "memory", addresses.decode()
    except OSError:
        pass


def _describe(thing: _Thing) -> str:
    kind, *details = thing
    if kind == "process":
        return "started a process"
    if kind == "descriptor":
        return f"left {details[1]} open"
    if kind == "memory":
        return "left memory that processes share (a lock of multiprocessing?)"
    return ""


def _tasks() -> list[str]:
    try:
        return os.listdir("/proc/self/task")
    except OSError:
        return []


def _after_a_fork() -> set[str]:
    """Returns the threads that C code does not end before a copy is made, as OpenBLAS does."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    # In the way in which the template waits: it must be possible.
    process = os.pidfd_open(pid)
    os.waitid(os.P_PIDFD, process, os.WEXITED)
    os.close(process)
    return set(_tasks())


def _generators() -> Iterator[tuple[str, str, Any]]:
    """Yields the generators of random numbers in modules, but not those that copies seed again."""
    kinds: list[Any] = [random.Random]
    numbers: Any = sys.modules.get("numpy.random")
    if numbers is not None:
        kinds += [numbers.Generator, numbers.RandomState]
    known = [
        vars(random).get("_inst"),
        getattr(sys.modules.get("numpy.random.mtrand"), "_rand", None),
    ]
    for name, module in list(sys.modules.items()):
        try:
            # Asks neither modules nor values for anything: some of them load or fail then.
            values: Mapping[str, Any] = dict(object.__getattribute__(module, "__dict__"))
        except Exception:
            continue
        for key, value in values.items():
            kind = type(value)
            is_one = issubclass(kind, tuple(kinds)) and not issubclass(kind, random.SystemRandom)
            if is_one and not any(value is one for one in known):
                yield name, key, value
