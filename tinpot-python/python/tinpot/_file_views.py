"""The process as each file of actions sees it: with its own changes, not those of other files.

A file changes the environment, the directory or the configuration of logging at its top. That holds
for its attempts, and for files that import it. What the import of an installed package changes
holds for all files, because it happens once only.
"""

from __future__ import annotations

import builtins
import importlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from tinpot._process_state import ProcessState, Snapshot

if TYPE_CHECKING:
    from tinpot._hazards import Hazards

T = TypeVar("T")

# A module that is imported can be imported by all, and so can what its finder finds.
_IMPORT_SYSTEM = ("sys.path", "sys.meta_path", "sys.path_hooks")


class FileViews:
    """The snapshots after the imports of the files below a directory."""

    def __init__(self, root: str, state: ProcessState, put_back: Callable[[], object]) -> None:
        """Begins to follow imports.

        put_back: puts back what no file may change: streams, timers and the handler of SIGTERM.
        """
        self._state = state
        self._put_back = put_back
        self._prefix = os.path.realpath(root) + os.sep
        self._base = state.current
        self._views: dict[str, Snapshot] = {}
        # What the top of a file changes, with all that it imports.
        self._changes: dict[str, dict[int, Any]] = {}
        # The files whose functions were looked at for imports.
        self._followed: set[str] = set()
        # Told of each import, while that is set.
        self.hazards: Hazards | None = None
        self._import_module = importlib.import_module
        self._import = builtins.__import__
        self._begin()

    def _begin(self) -> None:
        importlib.import_module = self._follow_import_module
        builtins.__import__ = self._follow_import
        self._hold("__import__", builtins.__import__)

    def resume(self) -> None:
        """Begins to follow imports again, between two attempts."""
        self._state.enter(self._base)
        self._begin()

    def finish(self) -> None:
        """Stops following imports: those of attempts change nothing for others."""
        importlib.import_module = self._import_module
        builtins.__import__ = self._import
        self._hold("__import__", self._import)
        self.hazards = None
        if self._changes:
            self._follow_late_imports()

    def _follow_late_imports(self) -> None:
        """Adds to each view the changes of the files that functions import.

        These are imported already, so that their code does not run again in an attempt.
        """
        from tinpot import _late_imports

        modules = {
            os.path.realpath(module.__file__ or ""): module
            for module in list(sys.modules.values())
            if self._is_below(getattr(module, "__file__", None))
        }
        changing = {path: modules[path] for path in self._changes if path in modules}
        for path, module in modules.items():
            is_known = path in self._followed
            if is_known and changing.keys() <= self._followed:
                continue
            imported = _late_imports.of(module)
            for other, target in changing.items():
                if is_known and other in self._followed:
                    continue
                if other != path and target.__name__.rpartition(".")[2] in imported:
                    view = self._views.get(path, self._base)
                    self._state.enter(view)
                    # What the file says itself stays.
                    self._state.apply(self._changes[other])
                    self._state.apply(self._changes.get(path, {}))
                    self._views[path] = self._state.snapshot(view.context)
                    self._state.enter(self._base)
        self._followed.update(modules)

    def _hold(self, name: str, value: Any) -> None:
        self._state.hold("builtins", {name: value})

    def import_file(self, path: str, load: Callable[[], T]) -> T:
        """Imports a file, and puts back what it changed."""
        path = os.path.realpath(path)
        context = self._base.context.copy()
        try:
            return context.run(load)
        finally:
            self._put_back()
            state = self._state
            if path in self._changes:
                # Another file has imported it before.
                state.apply(self._changes[path])
            if not (state.is_unchanged() and state.is_late_unchanged()):
                changes = state.changes_since(self._base)
                state.hold_for_all(changes, _IMPORT_SYSTEM)
                if changes:
                    self._changes.setdefault(path, changes)
            # What all files share is no difference any more.
            if state.changes_since(self._base) or len(context) > len(self._base.context):
                self._views[path] = state.snapshot(context)
            state.enter(self._base)

    def of(self, file: str) -> Snapshot:
        """Returns the snapshot for attempts of a file."""
        view = self._views.get(file)
        if view is None:
            # A file that was found by a link.
            view = self._views.get(os.path.realpath(file), self._base)
            self._views[file] = view
        return view

    def merge(self) -> None:
        """Applies the changes of all files, for actions that run at the same time."""
        for changes in self._changes.values():
            self._state.apply(changes)

    def _follow_import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Any = (),
        level: int = 0,
    ) -> Any:
        def load() -> Any:
            return self._import(name, globals, locals, fromlist, level)

        if globals is None or not self._is_below(globals.get("__file__")):
            return load()
        absolute = _absolute(name, globals, level)
        wanted = [absolute, *(f"{absolute}.{one}" for one in fromlist or ())]
        return self._follow(wanted, load)

    def _follow_import_module(self, name: str, package: str | None = None) -> Any:
        def load() -> Any:
            return self._import_module(name, package)

        importer = sys._getframe(1).f_globals
        if not self._is_below(importer.get("__file__")):
            return load()
        level = len(name) - len(name.lstrip("."))
        absolute = _absolute(name[level:], {"__package__": package or ""}, level)
        return self._follow([absolute], load)

    def _follow(self, wanted: list[str], load: Callable[[], T]) -> T:
        """Imports modules for a file below the directory, with the changes that they make."""
        known = set(filter(sys.modules.__contains__, _with_parents(wanted)))
        before = None if wanted[0] in known else self._state.copy()
        if self.hazards is not None and before is not None:
            self.hazards.before()
        result = load()
        if self.hazards is not None:
            self.hazards.after(_with_parents(wanted), wanted[0] if before is not None else "")
        changes = None if before is None else self._state.changes_since(before)
        for name in _with_parents(wanted):
            file = getattr(sys.modules.get(name), "__file__", None)
            if not isinstance(file, str):
                continue
            is_below = self._is_below(file)
            own = self._changes.get(os.path.realpath(file)) if is_below else None
            if name in known:
                if own:
                    self._state.apply(own)
            elif changes and is_below:
                self._changes.setdefault(os.path.realpath(file), changes)
            elif changes:
                self._state.hold_for_all(changes)
        return result

    def _is_below(self, file: Any) -> bool:
        return isinstance(file, str) and file.startswith(self._prefix)


def _absolute(name: str, importer: Mapping[str, Any], level: int) -> str:
    """Returns the absolute name of a module."""
    if level == 0:
        return name
    package = importer.get("__package__")
    if not isinstance(package, str):
        package = str(importer.get("__name__", ""))
        if "__path__" not in importer:
            package = package.rpartition(".")[0]
    for _ in range(level - 1):
        package = package.rpartition(".")[0]
    return f"{package}.{name}" if name else package


def _with_parents(names: list[str]) -> Iterator[str]:
    for name in names:
        yield name
        while "." in name:
            name = name.rpartition(".")[0]
            yield name
