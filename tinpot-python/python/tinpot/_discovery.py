"""Finds the actions below a directory."""

import functools
import importlib
import importlib.machinery
import importlib.util
import inspect
import os
import sys
import traceback
import types

from tinpot import _action, _instances, schema
from tinpot._run import own_frames_removed

# What stands in as the parent of files that cannot be imported under their own name, because another module has it.
_STAND_IN = "tinpot_actions"


class Found:
    """What a directory offers."""

    def __init__(self):
        self.actions = {}
        self.problems = []

    def problem(self, place, message, **more):
        self.problems.append({"place": place, "message": message, **more})

    def offer(self):
        """The JSON form."""
        return {"actions": [description for _, description in self.actions.values()], "problems": self.problems}

    def entries(self):
        """The callables by name."""
        return {name: entry for name, (entry, _) in self.actions.items()}


def discover(root, skip=(), importing=lambda file: None, sources=None):
    """Imports every file below `root` except those in `skip`, and collects the actions; calls `importing` before each file.

    With `sources` the files are those, whatever is on the disk.
    """
    root = os.path.realpath(root)
    found = Found()
    if root not in sys.path:
        # Last: a file called like a module of the standard library must not take its place for everybody.
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
            found.problem(file, _explain(error), failed=file, **_suspects(root, error))
            # Half a module is no place to run actions from.
            path = os.path.join(root, file)
            _action.registry[known:] = [entry for entry in _action.registry[known:] if not _same(entry.file, path)]
    _collect(root, found)
    return found


def files(root):
    """The Python files below `root` in a steady order, relative to it."""
    seen, found = set(), []
    for folder, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen or "pyvenv.cfg" in names:
            folders[:] = []
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith(("_", ".")) and name != "node_modules")
        for name in sorted(names):
            wanted = name == "__init__.py" if name.startswith("_") else name.endswith(".py") and not name.startswith(".")
            if wanted and not (name == "__init__.py" and folder == root):
                found.append(os.path.relpath(os.path.join(folder, name), root))
    return found


def _import(root, file, sources):
    if sources is None:
        return _import_file(root, file, None)
    sources.begin(file)
    try:
        return _import_file(root, file, sources)
    finally:
        sources.end()


def _import_file(root, file, sources):
    parts = file[: -len(".py")].split(os.sep)
    if parts[-1] == "__init__":
        parts.pop()
    if not any("." in part for part in parts) and _is_ours(parts[0], root):
        path = os.path.join(root, file)
        name = ".".join(parts)
        # A folder and a file of one name: the file cannot be the folder's parent.
        if not _blocked(parts):
            module = importlib.import_module(name)
            if _same(getattr(module, "__file__", None), path):
                return name
    return _import_as_stand_in(root, parts, os.path.join(root, file), sources)


def _is_ours(top, root):
    """Whether `import top` would find it below `root`."""
    if top in sys.builtin_module_names:
        return False
    module = sys.modules.get(top)
    spec = getattr(module, "__spec__", None) if module else importlib.machinery.PathFinder.find_spec(top)
    if spec is None:
        return False
    places = list(spec.submodule_search_locations or [])
    if spec.origin and spec.origin not in ("built-in", "frozen", "namespace"):
        places.append(os.path.dirname(spec.origin) if not places else spec.origin)
    return any(os.path.realpath(place) == root or os.path.realpath(place).startswith(root + os.sep) for place in places)


def _blocked(parts):
    for end in range(1, len(parts)):
        module = sys.modules.get(".".join(parts[:end]))
        if module is not None and not hasattr(module, "__path__"):
            return True
        if module is None and end == 1:
            spec = importlib.machinery.PathFinder.find_spec(parts[0])
            if spec is not None and spec.submodule_search_locations is None:
                return True
    return False


def _import_as_stand_in(root, parts, path, sources):
    package, folder = _STAND_IN, root
    # One stand-in per directory, so that executors in one process do not meet.
    number = 0
    while package in sys.modules and sys.modules[package].__path__ != [root]:
        number += 1
        package = "%s_%d" % (_STAND_IN, number)
    _package(package, folder)
    for part in parts[:-1]:
        folder = os.path.join(folder, part)
        package = "%s.%s" % (package, part.replace(".", "_"))
        init = os.path.join(folder, "__init__.py")
        if package not in sys.modules and (os.path.exists(init) if sources is None else sources.has(init)):
            _load(package, init, [folder], sources)
        else:
            _package(package, folder)
    name = "%s.%s" % (package, parts[-1].replace(".", "_"))
    inner = [os.path.dirname(path)] if os.path.basename(path) == "__init__.py" else None
    while name in sys.modules and not _same(getattr(sys.modules[name], "__file__", None), path):
        name += "_"
    if name not in sys.modules:
        _load(name, path, inner, sources)
    return name


def _package(name, folder):
    if name not in sys.modules or not hasattr(sys.modules[name], "__path__"):
        module = types.ModuleType(name)
        module.__path__ = [folder]
        sys.modules[name] = module


def _load(name, path, locations, sources):
    spec = sources.spec(name, path, locations) if sources else None
    spec = spec or importlib.util.spec_from_file_location(name, path, submodule_search_locations=locations)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise


def _collect(root, found):
    by_name, seen = {}, set()
    real = functools.lru_cache(maxsize=None)(os.path.realpath)
    for entry in _action.registry:
        # A thousand actions are in far fewer files, and each look is a system call per folder.
        entry.file = file = real(entry.file)
        key = (file, entry.line, entry.name)
        if not file.startswith(root + os.sep) or key in seen:
            continue
        seen.add(key)
        by_name.setdefault(entry.name, []).append(entry)
    for name, entries in by_name.items():
        if len(entries) > 1:
            places = [_place(root, entry) for entry in entries]
            found.problem(places[0], "two actions are called %r: %s; none of them is offered" % (name, " and ".join(places)))
            continue
        entry = entries[0]
        try:
            description = _describe(entry)
        except Exception as error:
            found.problem(_place(root, entry), "action %r: %s" % (name, error))
            continue
        description["place"] = _place(root, entry)
        found.actions[name] = (entry, description)


def _place(root, entry):
    return "%s:%d" % (os.path.relpath(entry.file, root), entry.line)


def _describe(entry):
    function = inspect.unwrap(entry.function)
    entry.is_async = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
    entry.owner = _instances.find(function)
    entry.signature = signature = schema.derive(entry.function, is_method=entry.owner is not None)
    description = {"name": entry.name, "schema": signature.schema}
    if signature.result_schema is not None:
        description["result_schema"] = signature.result_schema
    for label in ("group", "description", "queue", "priority", "delay_ms", "expires_in_ms", "timeout_ms", "concurrency", "retry", "limits"):
        value = getattr(entry, label)
        if value is not None:
            description[label] = value
    if entry.description is not None and entry.description == inspect.getdoc(entry.function):
        # What the docstring says of parameters is with the parameters.
        description["description"] = signature.description or ""
    return description


def _same(one, other):
    return bool(one) and os.path.realpath(one) == os.path.realpath(other)


def _explain(error):
    if isinstance(error, SystemExit):
        return "the file called sys.exit(%r) while it was imported" % (error.code,)
    # The frames of the import system and of this module say nothing about the user's file.
    lines = traceback.format_exception(type(error), error, own_frames_removed(error.__traceback__))
    return "".join(lines).rstrip()


def _suspects(root, error):
    """The files below `root` that may be to blame for a failed import, likeliest first: those that were being imported, and all others."""
    importing, others, seen = [], [], set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, SyntaxError):
            importing.append(error.filename)
        frames = [(frame.f_code.co_name, frame.f_code.co_filename) for frame, _ in traceback.walk_tb(error.__traceback__)]
        importing.extend(file for name, file in reversed(frames) if name == "<module>")
        others.extend(file for _, file in reversed(frames))
        if isinstance(error, ImportError):
            others.append(error.path)
            module = os.path.join(root, *(error.name or "").split("."))
            others.extend((module + ".py", os.path.join(module, "__init__.py")))
        error = error.__cause__ or error.__context__
    return {"importing": _below(root, importing), "others": _below(root, others)}


def _below(root, places):
    """Those that are below `root`, relative to it, each once."""
    found = dict.fromkeys(place[len(root) + 1 :] for place in places if place and place.startswith(root + os.sep))
    return list(found)
