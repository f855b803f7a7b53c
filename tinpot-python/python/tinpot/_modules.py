"""Imports the files of a folder, each as one module.

A file is a module by its path: `a/b.py` is `a.b`. A file whose name cannot be had, such as
`statistics.py` or `x.y.py`, is a module of a package that stands for the folder.

That package has all other files as well, so that relative imports work: for `from .b import name`,
the module `a.b` is found, and not loaded a second time. `actions` and the name of the folder are
other names of the package, unless other modules have them.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import importlib.util
import json
import os
import re
import sys
import types
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinpot._hazards import Hazards
    from tinpot._sources import Sources

ModuleSpec = importlib.machinery.ModuleSpec
PathFinder = importlib.machinery.PathFinder

# The package that stands for a folder.
_PACKAGE = "tinpot_actions"
# The name of the folder in every Tinpot before this one.
_USUAL_NAME = "actions"
# The folder for the processes that multiprocessing starts, which inherit the environment.
_VARIABLE = "TINPOT_MODULES"
# The decorator, as it is usually written, and the part of a file in which it is looked for.
_DECORATOR = re.compile(rb"^[ \t]*@[ \t]*(?:\w+\.)*action\b", re.MULTILINE)
_MAX_TEXT = 1024 * 1024

_folders: list[Folder] = []


def folder(root: str, sources: Sources | None = None, names: Iterable[str] = ()) -> Folder:
    """Returns the folder with that path, from which modules can be imported from now on."""
    for known in _folders:
        if known.root == root:
            known.sources = sources
            return known
    new = Folder(root, sources, names)
    # At the end: a file named like a module of the standard library must not hide that.
    if root not in sys.path:
        sys.path.append(root)
    finders: list[Any] = sys.meta_path
    # After the finders of built-in modules, and of others who want to be the first.
    at = finders.index(PathFinder) if PathFinder in finders else len(finders)
    finders.insert(at, new)
    _folders.append(new)
    return new


def for_spawned_processes(root: str) -> tuple[str, str]:
    """Returns the variable that lets processes of multiprocessing import the same modules."""
    names = [known.names for known in _folders if known.root == root]
    return _VARIABLE, json.dumps([root, sorted(set().union(*names))])


def in_spawned_process() -> None:
    """Makes the modules of the parent process importable."""
    try:
        root, names = json.loads(os.environ.get(_VARIABLE, ""))
    except ValueError:
        return
    folder(root, None, names)


class Folder:
    """A folder of files to import, and the finder of its package."""

    def __init__(self, root: str, sources: Sources | None, names: Iterable[str]) -> None:
        self.root = root
        # The copies to import instead of the files on disk.
        self.sources = sources
        self.package = _PACKAGE
        # Each folder has its own, so that executors in one process do not share modules.
        while any(other.package == self.package for other in _folders):
            self.package = f"{_PACKAGE}_{len(_folders)}"
        # Told of each import of a file, while that is set.
        self.hazards: Hazards | None = None
        wanted = {_USUAL_NAME, os.path.basename(root), *names}
        self.names = {name for name in wanted if name.isidentifier()}

    def import_file(self, file: str) -> types.ModuleType:
        """Imports a file, whose path is relative to the folder, and returns its module."""
        parts = file[: -len(".py")].split(os.sep)
        if parts[-1] == "__init__":
            parts.pop()
        if not parts:
            return importlib.import_module(self.package)
        if not any("." in part for part in parts) and self._has_module(parts[0]):
            path = os.path.join(self.root, file)
            # A file and a folder with the same name: the file cannot be the parent of the folder.
            if not _is_blocked(parts):
                module = importlib.import_module(".".join(parts))
                if is_same(getattr(module, "__file__", None), path):
                    return module
        return self._import_into_package(parts, os.path.join(self.root, file))

    def relative(self, path: str) -> str | None:
        """Returns a path relative to the folder; None if it is elsewhere."""
        prefix = self.root + os.sep
        return path[len(prefix) :] if path.startswith(prefix) else None

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: Any = None
    ) -> ModuleSpec | None:
        """Finds a module of the package, or lets a module of the folder import relative to it."""
        top, _, rest = fullname.partition(".")
        if fullname == self.package:
            return self._package_spec()
        if rest and (top == self.package or self._is_other_name(top)):
            file = self._file_of(rest.split("."))
            if file is not None:
                return _other_name(fullname, self._importer(file))
        spec = PathFinder.find_spec(fullname, path, target)
        if fullname in self.names and (spec is None or self._is_at(spec)):
            return _other_name(fullname, lambda: importlib.import_module(self.package))
        return None if spec is None else self._adopt(spec)

    def _is_at(self, spec: ModuleSpec) -> bool:
        """Returns True if a package is the folder itself, found by a path to its parent."""
        locations = spec.submodule_search_locations or ()
        return any(os.path.realpath(location) == self.root for location in locations)

    def _importer(self, file: str) -> Callable[[], types.ModuleType]:
        if file.endswith(".py"):
            return lambda: self.import_file(file)
        return lambda: self._import_namespace(file)

    def _is_other_name(self, name: str) -> bool:
        module = sys.modules.get(name)
        return name in self.names and module is not None and module.__name__ == self.package

    def _has_module(self, top: str) -> bool:
        """Returns True if `import top` finds a module of the folder."""
        if top in sys.builtin_module_names:
            return False
        module = sys.modules.get(top)
        spec = getattr(module, "__spec__", None) if module else PathFinder.find_spec(top)
        if spec is None:
            return False
        locations = list(spec.submodule_search_locations or [])
        if spec.origin and spec.origin not in ("built-in", "frozen", "namespace"):
            locations.append(spec.origin if locations else os.path.dirname(spec.origin))
        # Links below the folder belong to it, wherever they point.
        locations += [os.path.realpath(location) for location in locations]
        return any(path == self.root or self.relative(path) is not None for path in locations)

    def _import_into_package(self, parts: Sequence[str], path: str) -> types.ModuleType:
        package, where = self.package, self.root
        for part in parts[:-1]:
            where = os.path.join(where, part)
            package = f"{package}.{_as_name(part)}"
            init = os.path.join(where, "__init__.py")
            if package not in sys.modules and self._has(init):
                self._load(package, init, [where])
            else:
                _ensure_package(package, where)
        name = f"{package}.{_as_name(parts[-1])}"
        is_package = os.path.basename(path) == "__init__.py"
        while name in sys.modules and not is_same(
            getattr(sys.modules[name], "__file__", None), path
        ):
            name += "_"
        if name not in sys.modules:
            self._load(name, path, [os.path.dirname(path)] if is_package else None)
        return sys.modules[name]

    def _import_namespace(self, where: str) -> types.ModuleType:
        """Imports a folder without `__init__.py`."""
        parts = where.split(os.sep)
        if not any("." in part for part in parts) and self._has_module(parts[0]):
            return importlib.import_module(".".join(parts))
        package, where = self.package, self.root
        for part in parts:
            where = os.path.join(where, part)
            package = f"{package}.{_as_name(part)}"
            _ensure_package(package, where)
        return sys.modules[package]

    def _load(self, name: str, path: str, locations: list[str] | None) -> None:
        spec = self._spec(name, path, locations)
        if spec is None or spec.loader is None:
            raise ImportError(f"no loader for {path}", name=name, path=path)
        module = importlib.util.module_from_spec(self._adopt(spec))
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            sys.modules.pop(name, None)
            raise

    def _spec(self, name: str, path: str, locations: list[str] | None) -> ModuleSpec | None:
        spec = self.sources.spec(name, path, locations) if self.sources else None
        if spec is None:
            spec = importlib.util.spec_from_file_location(
                name, path, submodule_search_locations=locations
            )
        return spec

    def _package_spec(self) -> ModuleSpec | None:
        init = os.path.join(self.root, "__init__.py")
        if self._has(init):
            return self._spec(self.package, init, [self.root])
        spec = ModuleSpec(self.package, None, is_package=True)
        spec.submodule_search_locations = [self.root]
        return spec

    def _adopt(self, spec: ModuleSpec) -> ModuleSpec:
        """Makes a module of the folder import relative to the package.

        A library below the folder, as in a virtual environment, has another name than its path.
        """
        file = self.relative(spec.origin or "")
        if file is not None and file.endswith(".py"):
            if self.hazards is not None:
                self._follow(spec.loader, file)
            *parents, name = file[: -len(".py")].split(os.sep)
            path = parents if name == "__init__" else [*parents, name]
            is_own = spec.name == ".".join(path) or spec.name.startswith(self.package + ".")
            if is_own and not any("." in part for part in parents):
                spec.__class__ = _Adopted
                spec.__dict__["tinpot_parent"] = ".".join([self.package, *parents])
        return spec

    def _follow(self, loader: Any, file: str) -> None:
        """Makes a loader tell of the import of its file."""
        load = loader.exec_module

        def exec_module(module: types.ModuleType) -> None:
            with self.hazards.importing(file) if self.hazards else contextlib.nullcontext():
                load(module)

        loader.exec_module = exec_module

    def _has(self, path: str) -> bool:
        return os.path.exists(path) if self.sources is None else self.sources.has(path)

    def _file_of(self, parts: Sequence[str]) -> str | None:
        """Returns the file or the folder that a module of the package is; None if there is none."""
        where = ""
        for part in parts[:-1]:
            found = self._entry(where, part, "")
            if found is None:
                return None
            where = os.path.join(where, found)
        inner = self._entry(where, parts[-1], "")
        if inner is not None:
            init = os.path.join(where, inner, "__init__.py")
            if self._has(os.path.join(self.root, init)):
                return init
        # A file is found before a folder that is no package.
        found = self._entry(where, parts[-1], ".py") or inner
        return None if found is None else os.path.join(where, found)

    def _entry(self, where: str, name: str, ending: str) -> str | None:
        """Returns the entry of a folder with that module name and ending."""
        entries = self._entries(where)
        if name + ending in entries:
            return name + ending
        for entry in sorted(entries):
            stem = entry[: len(entry) - len(ending)]
            if entry.endswith(ending) and "." in stem and _as_name(stem) == name:
                return entry
        return None

    def _entries(self, where: str) -> set[str]:
        """Returns the names of the Python files of a folder, and of the folders in it."""
        if self.sources is None:
            path = os.path.join(self.root, where)
            try:
                names = os.listdir(path)
            except OSError:
                return set()
            is_folder = os.path.isdir
            return {n for n in names if n.endswith(".py") or is_folder(os.path.join(path, n))}
        prefix = where + os.sep if where else ""
        known = [*self.sources.names, *self.sources.folders]
        below = (path[len(prefix) :] for path in known if path.startswith(prefix))
        return {path for path in below if path and os.sep not in path}


class _Adopted(ModuleSpec):
    """The spec of a module of the folder: its parent is in the package of the folder."""

    @property
    def parent(self) -> str | None:
        found: str | None = self.__dict__["tinpot_parent"]
        return found


class _OtherName:
    """Imports a module under another name: it is the same module."""

    def __init__(self, find: Callable[[], types.ModuleType]) -> None:
        self._find = find
        self._spec: ModuleSpec | None = None

    def create_module(self, spec: ModuleSpec) -> types.ModuleType:
        module = self._find()
        self._spec = module.__spec__
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        # The import system has replaced it.
        module.__spec__ = self._spec


def _other_name(fullname: str, find: Callable[[], types.ModuleType]) -> ModuleSpec:
    loader: Any = _OtherName(find)
    return ModuleSpec(fullname, loader)


def _as_name(part: str) -> str:
    return part.replace(".", "_")


def _is_blocked(parts: Sequence[str]) -> bool:
    """Returns True if a parent of the module is a file, not a package."""
    for end in range(1, len(parts)):
        module = sys.modules.get(".".join(parts[:end]))
        if module is not None and not hasattr(module, "__path__"):
            return True
        if module is None and end == 1:
            spec = PathFinder.find_spec(parts[0])
            if spec is not None and spec.submodule_search_locations is None:
                return True
    return False


def _ensure_package(name: str, where: str) -> None:
    if name not in sys.modules or not hasattr(sys.modules[name], "__path__"):
        module = types.ModuleType(name)
        module.__path__ = [where]
        sys.modules[name] = module


def is_same(one: str | None, other: str) -> bool:
    """Returns True if two paths are the same file."""
    return bool(one) and os.path.realpath(one or "") == os.path.realpath(other)


def has_actions(path: str | None) -> bool:
    """Returns True if a file seems to define actions."""
    try:
        with open(path or "", "rb") as file:
            return _DECORATOR.search(file.read(_MAX_TEXT)) is not None
    except OSError:
        return False
