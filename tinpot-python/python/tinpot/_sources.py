"""Serves the Python files below a directory as they were at one moment, whatever is on the disk by now.

The worker keeps a copy of each file, so that all interpreters of one generation load the same: also one that starts while a file is edited,
or while a broken file keeps its last good version.
"""

import importlib.machinery
import importlib.util
import marshal
import os
import sys


class Sources:
    """The copies, and the import system's way to them."""

    def __init__(self, root, store, names, loading):
        """`names` are the names of the copies in `store` by file, relative to `root`; none for a file that cannot be read.

        `loading` is told which file is being loaded, after those that wait for it; until `settle` is called.
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
        self._loading = loading
        self._stack = []

    def install(self):
        sys.path_hooks.insert(0, self._finder)
        sys.path_importer_cache.clear()

    def files(self):
        """The files that may have actions, folder by folder as `os.walk` finds them."""
        found = []
        for file in self.names:
            folders, name = _split(file)
            hidden = any(folder.startswith("_") for folder in folders)
            if not hidden and (not name.startswith("_") or (name == "__init__.py" and folders)):
                found.append((folders, name, file))
        return [file for _, _, file in sorted(found)]

    def has(self, path):
        return self.relative(path) in self.names

    def spec(self, fullname, path, locations=None):
        """How a module is loaded from its copy; None when there is no such file."""
        file = self.relative(path)
        if file not in self.names:
            return None
        loader = _Loader(fullname, path, self, file)
        return importlib.util.spec_from_file_location(fullname, path, loader=loader, submodule_search_locations=locations)

    def relative(self, path):
        """The file as it is called here; None for what is elsewhere."""
        if path == self.root:
            return ""
        return path[len(self.root) + 1 :] if path.startswith(self.root + os.sep) else None

    def copy(self, file):
        """The path of the copy."""
        name = self.names[file]
        return None if name is None else os.path.join(self.store, name)

    def begin(self, file):
        self._stack.append(file)
        if self._loading is not None and self._stack[-2:-1] != [file]:
            self._loading(self._stack)

    def end(self):
        file = self._stack.pop()
        if self._loading is not None and self._stack and self._stack[-1] != file:
            self._loading(self._stack)

    def settle(self):
        """Everything is imported that was to be: what actions import later is nobody's business."""
        self._loading = None

    def _finder(self, path):
        for candidate in (os.path.abspath(path), os.path.realpath(path)):
            folder = self.relative(candidate)
            if folder in self.folders:
                return _Finder(self, path, folder)
        raise ImportError("not a folder of actions", path=path)


class _Finder(importlib.machinery.FileFinder):
    """Finds the modules of one folder. What is not written in Python is looked for on the disk."""

    def __init__(self, sources, path, folder):
        super().__init__(path, (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES))
        self._sources = sources
        self._folder = os.path.join(sources.root, folder) if folder else sources.root

    def find_spec(self, fullname, target=None):
        place = os.path.join(self._folder, fullname.rpartition(".")[2])
        spec = self._sources.spec(fullname, os.path.join(place, "__init__.py"), [place])
        if spec is not None:
            return spec
        other = super().find_spec(fullname, target)
        if other is not None and other.loader is not None:
            return other
        spec = self._sources.spec(fullname, place + ".py")
        if spec is not None:
            return spec
        if other is None and self._sources.relative(place) in self._sources.folders:
            other = importlib.machinery.ModuleSpec(fullname, None)
            other.submodule_search_locations = [place]
        return other


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads one module from its copy, under the path that it has for people."""

    def __init__(self, fullname, path, sources, file):
        super().__init__(fullname, path)
        self._sources = sources
        self._file = file

    def exec_module(self, module):
        self._sources.begin(self._file)
        try:
            super().exec_module(module)
        finally:
            self._sources.end()

    def get_code(self, fullname):
        copy = self._sources.copy(self._file)
        if copy is None:
            return super().get_code(fullname)
        try:
            with open(copy + "c", "rb") as compiled:
                return marshal.load(compiled)
        except (OSError, EOFError, ValueError, TypeError):
            pass
        with open(copy, "rb") as source:
            code = self.source_to_code(source.read(), self.path)
        _keep(copy + "c", code)
        return code

    def get_source(self, fullname):
        copy = self._sources.copy(self._file)
        if copy is None:
            return super().get_source(fullname)
        with open(copy, "rb") as source:
            return importlib.util.decode_source(source.read())


def _keep(path, code):
    """Saves the next interpreter the compilation; the file is there with all that belongs into it, or not at all."""
    own = "%s.%d" % (path, os.getpid())
    try:
        with open(own, "wb") as file:
            marshal.dump(code, file)
        os.replace(own, path)
    except (OSError, ValueError):
        pass


def _split(file):
    *folders, name = file.split(os.sep)
    return folders, name
