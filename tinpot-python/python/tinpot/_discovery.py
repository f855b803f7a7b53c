"""Finds the actions below a directory."""

from __future__ import annotations

import functools
import importlib
import importlib.machinery
import importlib.util
import inspect
import os
import sys
import traceback
import types
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from tinpot import _action, _instances, _text, schema
from tinpot._run import without_own_frames

if TYPE_CHECKING:
    from tinpot._sources import Sources

# The parent package of files that cannot have a name of their own because another module has it.
_STAND_IN = "tinpot_actions"
# The options of the decorator that go to the coordinator as they are.
_OPTIONS = (
    "group",
    "description",
    "queue",
    "priority",
    "delay_ms",
    "expires_in_ms",
    "timeout_ms",
    "concurrency",
    "retry",
    "limits",
)


class Discovery:
    """The actions of a directory, and the errors that kept others from loading."""

    def __init__(self) -> None:
        # The descriptions are JSON.
        self.actions: dict[str, tuple[_action.Entry, bytes]] = {}
        self.load_errors: list[dict[str, Any]] = []

    def add_load_error(self, place: str, message: str, **details: Any) -> None:
        """Adds an error."""
        self.load_errors.append({"place": place, "message": message, **details})

    def as_json(self) -> bytes:
        """Returns the description for the worker."""
        actions = b",".join(description for _, description in self.actions.values())
        load_errors = _text.json_bytes(self.load_errors)
        return b'{"actions":[' + actions + b'],"load_errors":' + load_errors + b"}"

    def entries(self) -> dict[str, _action.Entry]:
        """Returns the callables by name."""
        return {name: entry for name, (entry, _) in self.actions.items()}


def discover(
    root: str,
    skip: Collection[str] = (),
    importing: Callable[[str], object] = lambda file: None,
    sources: Sources | None = None,
) -> Discovery:
    """Imports every file below `root` except those in `skip`, and collects the actions.

    Calls `importing` before each file. With `sources`, imports those instead of the files on disk.
    """
    root = os.path.realpath(root)
    found = Discovery()
    if root not in sys.path:
        # At the end: a file named like a module of the standard library must not hide that.
        sys.path.append(root)
    for file in files(root) if sources is None else sources.files():
        if file in skip:
            continue
        if sources is None:
            importing(file)
        known = len(_action.registry)
        try:
            _import(root, file, sources)
        except BaseException as error:
            message = _describe_import_error(error)
            found.add_load_error(file, message, failed=file, **_suspects(root, error))
            # Actions of a module whose import failed must not run: it is incomplete.
            path = os.path.join(root, file)
            _action.registry[known:] = [
                entry for entry in _action.registry[known:] if not _is_same(entry.file, path)
            ]
    _collect(root, found)
    return found


def files(root: str) -> list[str]:
    """Returns the Python files below `root`, relative to it, in a stable order."""
    seen, found = set(), []
    for folder, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen or "pyvenv.cfg" in names:
            folders[:] = []
            continue
        seen.add(real)
        folders[:] = sorted(
            name for name in folders if not name.startswith(("_", ".")) and name != "node_modules"
        )
        for name in sorted(names):
            if name == "__init__.py":
                is_wanted = folder != root
            else:
                is_wanted = name.endswith(".py") and not name.startswith(("_", "."))
            if is_wanted:
                found.append(os.path.relpath(os.path.join(folder, name), root))
    return found


def _import(root: str, file: str, sources: Sources | None) -> None:
    if sources is None:
        _import_file(root, file, None)
        return
    sources.begin(file)
    try:
        _import_file(root, file, sources)
    finally:
        sources.end()


def _import_file(root: str, file: str, sources: Sources | None) -> None:
    parts = file[: -len(".py")].split(os.sep)
    if parts[-1] == "__init__":
        parts.pop()
    if not any("." in part for part in parts) and _is_below_root(parts[0], root):
        path = os.path.join(root, file)
        # A file and a folder with the same name: the file cannot be the parent of the folder.
        if not _is_blocked(parts):
            module = importlib.import_module(".".join(parts))
            if _is_same(getattr(module, "__file__", None), path):
                return
    _import_as_stand_in(root, parts, os.path.join(root, file), sources)


def _is_below_root(top: str, root: str) -> bool:
    """Returns True if `import top` finds a module below `root`."""
    if top in sys.builtin_module_names:
        return False
    module = sys.modules.get(top)
    if module:
        spec = getattr(module, "__spec__", None)
    else:
        spec = importlib.machinery.PathFinder.find_spec(top)
    if spec is None:
        return False
    locations = list(spec.submodule_search_locations or [])
    if spec.origin and spec.origin not in ("built-in", "frozen", "namespace"):
        locations.append(spec.origin if locations else os.path.dirname(spec.origin))
    real = [os.path.realpath(location) for location in locations]
    return any(path == root or path.startswith(root + os.sep) for path in real)


def _is_blocked(parts: Sequence[str]) -> bool:
    """Returns True if a parent of the module is a file, not a package."""
    for end in range(1, len(parts)):
        module = sys.modules.get(".".join(parts[:end]))
        if module is not None and not hasattr(module, "__path__"):
            return True
        if module is None and end == 1:
            spec = importlib.machinery.PathFinder.find_spec(parts[0])
            if spec is not None and spec.submodule_search_locations is None:
                return True
    return False


def _import_as_stand_in(
    root: str, parts: Sequence[str], path: str, sources: Sources | None
) -> None:
    package, folder = _STAND_IN, root
    # Each directory has its own, so that executors in one process do not share modules.
    number = 0
    while package in sys.modules and list(sys.modules[package].__path__) != [root]:
        number += 1
        package = f"{_STAND_IN}_{number}"
    _ensure_package(package, folder)
    for part in parts[:-1]:
        folder = os.path.join(folder, part)
        package = f"{package}.{part.replace('.', '_')}"
        init = os.path.join(folder, "__init__.py")
        has_init = os.path.exists(init) if sources is None else sources.has(init)
        if package not in sys.modules and has_init:
            _load(package, init, [folder], sources)
        else:
            _ensure_package(package, folder)
    name = f"{package}.{parts[-1].replace('.', '_')}"
    is_package = os.path.basename(path) == "__init__.py"
    while name in sys.modules and not _is_same(getattr(sys.modules[name], "__file__", None), path):
        name += "_"
    if name not in sys.modules:
        _load(name, path, [os.path.dirname(path)] if is_package else None, sources)


def _ensure_package(name: str, folder: str) -> None:
    if name not in sys.modules or not hasattr(sys.modules[name], "__path__"):
        module = types.ModuleType(name)
        module.__path__ = [folder]
        sys.modules[name] = module


def _load(name: str, path: str, locations: list[str] | None, sources: Sources | None) -> None:
    spec = sources.spec(name, path, locations) if sources else None
    if spec is None:
        spec = importlib.util.spec_from_file_location(
            name, path, submodule_search_locations=locations
        )
    if spec is None or spec.loader is None:
        raise ImportError(f"no loader for {path}", name=name, path=path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise


def _collect(root: str, found: Discovery) -> None:
    by_name: dict[str, list[_action.Entry]] = {}
    seen = set()
    # A thousand actions are in far fewer files, and each call costs a system call per folder.
    real = functools.lru_cache(maxsize=None)(os.path.realpath)
    for entry in _action.registry:
        entry.file = file = real(entry.file)
        key = (file, entry.line, entry.name)
        if not file.startswith(root + os.sep) or key in seen:
            continue
        seen.add(key)
        by_name.setdefault(entry.name, []).append(entry)
    for name, entries in by_name.items():
        places = [_place(root, entry) for entry in entries]
        if len(entries) > 1:
            found.add_load_error(
                places[0],
                f"two actions have the name {name!r}: {' and '.join(places)};"
                " none of them is offered, rename one",
            )
            continue
        entry = entries[0]
        try:
            description = _text.json_bytes({**_describe(entry), "place": places[0]})
        except (TypeError, ValueError, RecursionError, schema.SchemaError) as error:
            found.add_load_error(places[0], f"action {name!r}: {_text.of(error)}")
            continue
        except BaseException as error:
            # Code of the user, such as a property of a default.
            trace = _text.traceback_of(error, without_own_frames(error.__traceback__))
            found.add_load_error(places[0], f"action {name!r}: {trace}")
            continue
        found.actions[name] = (entry, description)


def _place(root: str, entry: _action.Entry) -> str:
    return f"{os.path.relpath(entry.file, root)}:{entry.line}"


def _describe(entry: _action.Entry) -> dict[str, Any]:
    function: Any = inspect.unwrap(entry.function)
    is_coroutine = inspect.iscoroutinefunction(function)
    entry.is_async = is_coroutine or inspect.isasyncgenfunction(function)
    entry.owner = _instances.find(function)
    is_method = entry.owner is not None
    entry.signature = signature = schema.derive(entry.function, is_method=is_method)
    description: dict[str, Any] = {"name": entry.name, "schema": signature.schema}
    if signature.result_schema is not None:
        description["result_schema"] = signature.result_schema
    for label in _OPTIONS:
        value = getattr(entry, label)
        if value is not None:
            description[label] = value
    docstring = inspect.getdoc(entry.function)
    if entry.description is not None and entry.description == docstring:
        # The parts about parameters are in the schema.
        description["description"] = signature.description or ""
    return description


def _is_same(one: str | None, other: str) -> bool:
    return bool(one) and os.path.realpath(one or "") == os.path.realpath(other)


def _describe_import_error(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        code = "" if error.code is None else repr(_text.of(error.code))
        if isinstance(error.code, int):
            code = _text.of(error.code)
        return f"the file called sys.exit({code}) while it was imported"
    # The frames of the import system and of this module do not help the user.
    return _text.traceback_of(error, without_own_frames(error.__traceback__))


def _suspects(root: str, error: BaseException) -> dict[str, list[str]]:
    """Returns the files below `root` that may have caused a failed import, likeliest first.

    "importing" has the files that were being imported, "others" all others.
    """
    importing: list[object] = []
    others: list[object] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        if isinstance(current, SyntaxError):
            importing.append(current.filename)
        frames = [
            (frame.f_code.co_name, frame.f_code.co_filename)
            for frame, _ in traceback.walk_tb(current.__traceback__)
        ]
        importing.extend(file for name, file in reversed(frames) if name == "<module>")
        others.extend(file for _, file in reversed(frames))
        if isinstance(current, ImportError):
            others.append(current.path)
            name = current.name if isinstance(current.name, str) else ""
            module = os.path.join(root, *name.split("."))
            others.extend((module + ".py", os.path.join(module, "__init__.py")))
        current = current.__cause__ or current.__context__
    return {"importing": _below(root, importing), "others": _below(root, others)}


def _below(root: str, paths: Iterable[object]) -> list[str]:
    """Returns the paths below `root`, relative to it and without duplicates."""
    prefix = root + os.sep
    # An exception can have anything as its file.
    texts = (path for path in paths if isinstance(path, str))
    relative = (path[len(prefix) :] for path in texts if path.startswith(prefix))
    return list(dict.fromkeys(relative))
