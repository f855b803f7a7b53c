"""Finds the actions below a directory."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import re
import traceback
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tinpot import _action, _instances, _modules, _text, schema

# The modules of names that actions use. They must be there before the first attempt: one that
# imports them itself takes longer, and leaves the interpreter with more modules than it found.
from tinpot import _command as _command
from tinpot import _param as _param
from tinpot import _secret as _secret
from tinpot._modules import has_actions, is_same

if TYPE_CHECKING:
    from tinpot._file_views import FileViews
    from tinpot._hazards import Hazards
    from tinpot._sources import Sources

_NONE: Mapping[str, str] = {}
# A line of a Towerfile by which its folder has `@action` files.
_KIND_ACTIONS = re.compile(rb"^[^#\n]*\bkind\s*=\s*[\"']actions[\"']", re.MULTILINE)
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
    "isolation",
)


class Discovery:
    """The actions of a directory, and the errors that kept others from loading."""

    def __init__(self) -> None:
        # The descriptions are JSON.
        self.actions: dict[str, tuple[_action.Entry, bytes]] = {}
        self.load_errors: list[dict[str, Any]] = []
        # The file of each action.
        self.files: dict[str, str] = {}
        # The actions of files that were imported late.
        self.late: set[str] = set()
        # The descriptions by action, because they take long to make. An entry that has gone may
        # have had the number of another one.
        self.described: dict[int, tuple[_action.Entry, dict[str, Any]]] = {}
        self._import_late: Callable[[Callable[[str], object]], None] = lambda importing: None

    def add_load_error(self, place: str, message: str, **details: Any) -> None:
        """Adds an error."""
        self.load_errors.append({"place": place, "message": message, **details})

    def import_late(self, importing: Callable[[str], object] = lambda file: None) -> None:
        """Imports the files that were left for later, and adds their actions."""
        self._import_late(importing)

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
    only: str | None = None,
    names: Iterable[str] = (),
    owners: Mapping[str, str] = _NONE,
    views: FileViews | None = None,
    late: Collection[str] = (),
    hazards: Hazards | None = None,
) -> Discovery:
    """Imports the files below `root` except those in `skip`, and collects the actions.

    Calls `importing` before each file.

    sources: the copies to import instead of the files on disk.
    only: the one file to import, if not all.
    names: further names of the folder, as the package that it is.
    owners: the file that has offered each action until now. Another file cannot take it over.
    views: put back after each import what the file changed in the process.
    late: the files that `Discovery.import_late` imports.
    hazards: told of the import of each file.
    """
    root = os.path.realpath(root)
    found = Discovery()
    folder = _modules.folder(root, sources, names)
    if only is not None:
        wanted = [only]
    else:
        wanted = files(root, found) if sources is None else sources.files()
    folder.hazards = hazards
    imported_by: dict[int, str] = {}

    def import_files(wanted: Iterable[str], importing: Callable[[str], object]) -> None:
        for file in wanted:
            if sources is None:
                importing(file)
            known = len(_action.registry)
            try:
                _import(folder, file, sources, views)
            except BaseException as error:
                message = _describe_import_error(error)
                found.add_load_error(file, message, failed=file, **_suspects(root, error))
                # Actions of a module whose import failed must not run: it is incomplete.
                path = os.path.join(root, file)
                _action.registry[:] = [
                    entry
                    for number, entry in enumerate(_action.registry)
                    if (number < known or entry.is_alive()) and not is_same(entry.file, path)
                ]
            for entry in _action.registry[known:]:
                imported_by[id(entry)] = file

    wanted = [file for file in wanted if file not in skip]
    import_files([file for file in wanted if file not in late], importing)
    folder.hazards = None
    of_imports = len(found.load_errors)
    _offer(_places(folder, imported_by, found), found, folder, owners)

    def import_late(importing: Callable[[str], object]) -> None:
        # Names that several files have are sorted out again.
        del found.load_errors[of_imports:]
        found.actions.clear()
        found.files.clear()
        import_files([file for file in wanted if file in late], importing)
        _offer(_places(folder, imported_by, found), found, folder, owners)
        found.late = {name for name, file in found.files.items() if file in late}

    found._import_late = import_late
    return found


def files(root: str, found: Discovery) -> list[str]:
    """Returns the Python files below `root`, relative to it, in a stable order."""

    def report(error: OSError) -> None:
        place = os.path.relpath(_text.of(error.filename), root)
        found.add_load_error(place, f"this folder cannot be read: {_text.of(error)}")

    seen, wanted = set(), []
    for folder, folders, names in os.walk(root, onerror=report, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen or "pyvenv.cfg" in names or ("Towerfile" in names and _is_app(folder)):
            folders[:] = []
            continue
        seen.add(real)
        folders[:] = sorted(
            name for name in folders if not name.startswith(("_", ".")) and name != "node_modules"
        )
        for name in sorted(names):
            path = os.path.join(folder, name)
            if name == "__init__.py":
                is_wanted = folder != root or has_actions(path)
            else:
                is_wanted = name.endswith(".py") and not name.startswith(("_", "."))
            if is_wanted:
                wanted.append(os.path.relpath(path, root))
    return wanted


def _is_app(folder: str) -> bool:
    """Returns True if the folder of a Towerfile is the program of an app.

    Importing its files would run them. `sources.rs` has the same rule.
    """
    path = os.path.join(folder, "Towerfile")
    # Opening a named pipe would wait for a writer.
    if not os.path.isfile(path):
        return False
    try:
        with open(path, "rb") as file:
            return not _KIND_ACTIONS.search(file.read(256 * 1024))
    except OSError:
        return False


def _import(
    folder: _modules.Folder, file: str, sources: Sources | None, views: FileViews | None
) -> None:
    path = os.path.join(folder.root, file)
    if views is not None:
        views.import_file(path, lambda: _import(folder, file, sources, None))
        return
    # The worker writes such a name with U+FFFD.
    if _text.valid(file) != file or ("\ufffd" in file and not os.path.exists(path)):
        raise OSError("the path of the file is not UTF-8: rename the file or its folder")
    if os.path.exists(path) and not os.path.isfile(path):
        # The import would wait for a writer of a named pipe.
        raise OSError(f"{file} is not a regular file")
    with folder.hazards.importing(file) if folder.hazards else contextlib.nullcontext():
        if sources is None:
            folder.import_file(file)
            return
        sources.begin(file)
        try:
            folder.import_file(file)
        finally:
            sources.end()


def _places(
    folder: _modules.Folder, imported_by: Mapping[int, str], found: Discovery
) -> dict[str, list[_Placed]]:
    """Returns the decorated functions below the folder, by name."""
    placed: dict[str, list[_Placed]] = {}
    elsewhere: dict[tuple[str, str], list[_action.Entry]] = {}
    seen: dict[tuple[object, ...], _action.Entry] = {}
    # A thousand actions are in far fewer files, and each call costs a system call per folder.
    real = functools.lru_cache(maxsize=None)(os.path.realpath)
    # The files below the folder that are links to files elsewhere.
    linked = {real(os.path.join(folder.root, file)): file for file in set(imported_by.values())}

    def below(path: str) -> str | None:
        file = folder.relative(path)
        if file is None:
            file = folder.relative(real(path)) or linked.get(real(path))
        return file

    for entry in _action.registry:
        # A file that was imported twice, under two names, has its actions once.
        key = (real(entry.file), entry.line, real(entry.at[0]), entry.at[1], entry.name)
        other = seen.setdefault(key, entry)
        if other is not entry and not entry.is_twin(other):
            continue
        for path, line in ((entry.file, entry.line), entry.at):
            file = below(path)
            if file is not None:
                placed.setdefault(entry.name, []).append(_Placed(entry, file, line))
                break
        else:
            file = imported_by.get(id(entry))
            if file is not None:
                elsewhere.setdefault((file, entry.file), []).append(entry)
    for (file, origin), entries in elsewhere.items():
        left_out = sorted({entry.name for entry in entries} - placed.keys())
        if left_out:
            found.add_load_error(
                file,
                f"actions of {origin} are not offered, because that file is not in the folder of"
                f" actions: {', '.join(left_out)}; to offer one, decorate it in a file of the"
                " folder, as in `deploy = action(package.deploy)`",
            )
    return placed


def _offer(
    placed: Mapping[str, list[_Placed]],
    found: Discovery,
    folder: _modules.Folder,
    owners: Mapping[str, str],
) -> None:
    """Adds the actions, each with its description."""
    for name, candidates in placed.items():
        kept = candidates[0]
        if len(candidates) > 1:
            owner = _owner(candidates, folder, owners.get(name))
            places = [str(one) for one in candidates]
            if owner is None:
                found.add_load_error(
                    places[0],
                    f"two actions have the name {name!r}: {' and '.join(places)};"
                    " none of them is offered, rename one",
                )
                continue
            kept = owner
            for other in candidates:
                if other is not kept:
                    found.add_load_error(
                        str(other),
                        f"action {name!r} is not offered from here, because {kept} has that name"
                        " already; rename one, or remove the copy",
                    )
        entry, place = kept.entry, str(kept)
        try:
            known = found.described.get(id(entry))
            described = known[1] if known and known[0] is entry else _describe(entry)
            description = _text.json_bytes({**described, "place": place})
        except (TypeError, ValueError, RecursionError, schema.SchemaError) as error:
            found.add_load_error(
                place, f"action {name!r}: {_text.of(error)}{_hint(entry, kept.file, folder)}"
            )
            continue
        except BaseException as error:
            # Code of the user, such as a property of a default.
            trace = _text.traceback_of(error)
            found.add_load_error(place, f"action {name!r}: {trace}")
            continue
        found.actions[name] = (entry, description)
        found.files[name] = kept.file
        found.described[id(entry)] = entry, described


class _Placed:
    """A decorated function, and its place in the folder."""

    def __init__(self, entry: _action.Entry, file: str, line: int) -> None:
        self.entry = entry
        self.file = file
        self.line = line

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def _owner(
    candidates: Sequence[_Placed], folder: _modules.Folder, owner: str | None
) -> _Placed | None:
    """Returns the function that keeps a name which several have; None if that is not clear.

    It is the one that had it before. Of equal files it does not matter.
    """
    by_file = {one.file: one for one in candidates}
    had_it = [one for one in candidates if one.file == owner]
    if len(had_it) == 1:
        return had_it[0]
    if had_it or len(by_file) < len(candidates):
        return None
    texts = {_content(folder, file) for file in by_file}
    if len(texts) > 1 or None in texts:
        return None
    # A copy usually has the longer name.
    return by_file[min(by_file, key=lambda file: (len(file), file))]


def _content(folder: _modules.Folder, file: str) -> bytes | None:
    copy = folder.sources.copy(file) if folder.sources else os.path.join(folder.root, file)
    try:
        with open(copy or "", "rb") as text:
            return text.read()
    except OSError:
        return None


def _hint(entry: _action.Entry, file: str, folder: _modules.Folder) -> str:
    if folder.relative(entry.file) is not None or file == entry.file:
        return ""
    return (
        f"\nThe function is in {entry.file}. If a decorator has put it in place of yours, let that"
        " decorator use `functools.wraps`."
    )


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


def _describe_import_error(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        code = "" if error.code is None else repr(_text.of(error.code))
        if isinstance(error.code, int):
            code = _text.of(error.code)
        return f"the file called sys.exit({code}) while it was imported"
    return _text.traceback_of(error)


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
