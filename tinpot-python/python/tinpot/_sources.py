"""Imports copies of Python files, which stay the same when the files on disk change.

The worker keeps a copy of each file. All interpreters of one generation load the same copies: also
an interpreter that starts while a file is edited, or after a file was broken.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import marshal
import os
import sys
from collections.abc import Callable, Mapping
from types import CodeType, ModuleType
from typing import Any

from tinpot._modules import has_actions

ModuleSpec = importlib.machinery.ModuleSpec
# The version of compiled code.
_MAGIC = importlib.util.MAGIC_NUMBER


class Sources:
    """The copies of all files, and a path hook for the import system."""

    def __init__(
        self,
        root: str,
        store: str,
        names: Mapping[str, str | None],
        loading: Callable[[list[str]], object],
    ) -> None:
        """Describes the files below `root`.

        names: the names of the copies in `store`, by path relative to `root`; None for a file that
            cannot be read.
        loading: called with the file that is being loaded, after those that wait for it, until
            `finish` is called.
        """
        self.root = root
        self.store = store
        self.names = names
        self.folders = {""}
        for file in names:
            folder = os.path.dirname(file)
            while folder not in self.folders:
                self.folders.add(folder)
                folder = os.path.dirname(folder)
        self._loading: Callable[[list[str]], object] | None = loading
        self._stack: list[str] = []

    def install(self) -> None:
        """Adds the path hook."""
        sys.path_hooks.insert(0, self._finder)
        sys.path_importer_cache.clear()

    def files(self) -> list[str]:
        """Returns the files that can have actions, in the order of `os.walk`."""
        found = []
        for file in self.names:
            *folders, name = file.split(os.sep)
            is_hidden = any(folder.startswith("_") for folder in folders)
            is_package = name == "__init__.py" and (bool(folders) or has_actions(self.copy(file)))
            if not is_hidden and (is_package or not name.startswith("_")):
                found.append((folders, name, file))
        return [file for _, _, file in sorted(found)]

    def has(self, path: str) -> bool:
        """Returns True if there is a copy of the file with that path."""
        return self.relative(path) in self.names

    def spec(
        self, fullname: str, path: str, locations: list[str] | None = None
    ) -> ModuleSpec | None:
        """Returns the spec that loads a module from its copy; None if there is none."""
        file = self.relative(path)
        if file is None or file not in self.names:
            return None
        loader = _Loader(fullname, path, self, file)
        return importlib.util.spec_from_file_location(
            fullname, path, loader=loader, submodule_search_locations=locations
        )

    def relative(self, path: str) -> str | None:
        """Returns a path relative to `root`; None if it is elsewhere."""
        if path == self.root:
            return ""
        prefix = self.root + os.sep
        return path[len(prefix) :] if path.startswith(prefix) else None

    def copy(self, file: str) -> str | None:
        """Returns the path of the copy of a file."""
        name = self.names[file]
        return None if name is None else os.path.join(self.store, name)

    def begin(self, file: str) -> None:
        """Notes that the import of a file begins."""
        self._stack.append(file)
        if self._loading is not None and self._stack[-2:-1] != [file]:
            self._loading(self._stack)

    def end(self) -> None:
        """Notes that the import of the innermost file has ended."""
        file = self._stack.pop()
        if self._loading is not None and self._stack and self._stack[-1] != file:
            self._loading(self._stack)

    def resume(self, loading: Callable[[list[str]], object]) -> None:
        """Begins to report again, until `finish` is called."""
        self._loading = loading

    def finish(self) -> None:
        """Stops the reports: imports that actions make later are no part of discovery."""
        self._loading = None

    def _finder(self, path: str) -> _Finder:
        for candidate in (os.path.abspath(path), os.path.realpath(path)):
            folder = self.relative(candidate)
            if folder is not None and folder in self.folders:
                return _Finder(self, path, folder)
        raise ImportError("not a folder of actions", path=path)


class _Finder(importlib.machinery.FileFinder):
    """Finds the modules of one folder. Finds extension modules on the disk."""

    def __init__(self, sources: Sources, path: str, folder: str) -> None:
        extensions = importlib.machinery.EXTENSION_SUFFIXES
        super().__init__(path, (importlib.machinery.ExtensionFileLoader, extensions))
        self._sources = sources
        self._folder = os.path.join(sources.root, folder) if folder else sources.root

    def find_spec(self, fullname: str, target: ModuleType | None = None) -> ModuleSpec | None:
        # In the order of the standard finder: package, extension module, module, namespace.
        path = os.path.join(self._folder, fullname.rpartition(".")[2])
        spec = self._sources.spec(fullname, os.path.join(path, "__init__.py"), [path])
        if spec is not None:
            return spec
        other = super().find_spec(fullname, target)
        if other is not None and other.loader is not None:
            return other
        spec = self._sources.spec(fullname, path + ".py")
        if spec is not None:
            return spec
        if other is None and self._sources.relative(path) in self._sources.folders:
            other = ModuleSpec(fullname, None)
            other.submodule_search_locations = [path]
        return other


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads one module from its copy, under the path of the original."""

    def __init__(self, fullname: str, path: str, sources: Sources, file: str) -> None:
        super().__init__(fullname, path)
        self._sources = sources
        self._file = file

    def exec_module(self, module: ModuleType) -> None:
        self._sources.begin(self._file)
        try:
            super().exec_module(module)
        finally:
            self._sources.end()

    def get_code(self, fullname: str) -> Any:
        copy = self._sources.copy(self._file)
        if copy is None:
            return super().get_code(fullname)
        try:
            with open(copy + "c", "rb") as compiled:
                # Another version of Python may have compiled it, before it was replaced.
                if compiled.read(len(_MAGIC)) == _MAGIC:
                    return marshal.load(compiled)
        except (OSError, EOFError, ValueError, TypeError):
            pass
        try:
            with open(copy, "rb") as source:
                text = source.read()
        except FileNotFoundError:
            # The copies were cleaned away. The worker makes others soon.
            with open(self.path, "rb") as source:
                return self.source_to_code(source.read(), self.path)
        code = self.source_to_code(text, self.path)
        _save_code(copy + "c", code)
        return code

    def get_source(self, fullname: str) -> str | None:
        copy = self._sources.copy(self._file)
        if copy is None:
            return super().get_source(fullname)
        with open(copy, "rb") as source:
            return importlib.util.decode_source(source.read())


def _save_code(path: str, code: CodeType) -> None:
    """Saves compiled code for the next interpreter, atomically."""
    temporary = f"{path}.{os.getpid()}"
    try:
        with open(temporary, "wb") as file:
            file.write(_MAGIC)
            marshal.dump(code, file)
        os.replace(temporary, path)
    except (OSError, ValueError):
        pass
