"""Integrations of other libraries: logging with levels, warnings, and the progress bars of tqdm."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, TextIO

from tinpot import _context


def install() -> None:
    """Installs all integrations, in a process that runs nothing but actions.

    A module that is not imported yet is integrated when an action imports it.
    """
    warnings.showwarning = _show_warning
    late = {}
    patches: dict[str, Callable[[Any], None]] = {
        "logging": _integrate_logging,
        "tqdm.std": _integrate_tqdm,
    }
    for name, patch in patches.items():
        if name in sys.modules:
            patch(sys.modules[name])
        else:
            late[name] = patch
    if late:
        sys.meta_path.insert(0, _Finder(late))


class _Finder:
    """A finder that patches modules when they are imported."""

    def __init__(self, late: dict[str, Callable[[Any], None]]) -> None:
        self._late = late

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        patch = self._late.pop(name, None)
        if patch is None:
            return None
        if not self._late and self in sys.meta_path:
            sys.meta_path.remove(self)
        # This finder no longer answers for the name, so that the others are asked.
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            loader: Any = _Loader(spec.loader, patch)
            spec.loader = loader
        return spec


class _Loader:
    """A loader that patches the module after it was loaded."""

    def __init__(self, loader: Any, patch: Callable[[Any], None]) -> None:
        self._loader = loader
        self._patch = patch

    def create_module(self, spec: ModuleSpec) -> Any:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        self._patch(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    text = warnings.formatwarning(message, category, filename, lineno, line).rstrip("\n")
    context = _context.find()
    if context is None or file is not None:
        (sys.stderr if file is None else file).write(text + "\n")
    else:
        context.log("warning", text)


def _integrate_logging(logging: Any) -> None:
    """Writes records to the log of the attempt, with their levels."""

    class Handler(logging.Handler):  # type: ignore[misc]
        def emit(self, record: Any) -> None:
            context = _context.find()
            try:
                text = self.format(record)
                if context is None:
                    sys.stderr.write(text + "\n")
                else:
                    context.log(_level(logging, record.levelno), text)
            except Exception:
                self.handleError(record)

    class Formatter(logging.Formatter):  # type: ignore[misc]
        def formatMessage(self, record: Any) -> Any:
            # The name of the root logger does not say where a message comes from.
            if record.name == "root":
                return record.message
            return f"{record.name}: {record.message}"

    handler = Handler()
    handler.setFormatter(Formatter())
    logging.root.addHandler(handler)
    # The default, which the user has not changed.
    if logging.root.level == logging.WARNING:
        logging.root.setLevel(logging.INFO)


def _level(logging: Any, number: int) -> str:
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warning"
    return "info" if number >= logging.INFO else "debug"


def _integrate_tqdm(module: Any) -> None:
    """Reports the outermost bar as progress, and prints none."""
    bar = module.tqdm
    display, close = bar.display, bar.close

    def display_as_progress(self: Any, msg: Any = None, pos: Any = None) -> Any:
        context = _context.find()
        if context is None:
            return display(self, msg, pos)
        # Inner bars do not tell the progress of the whole.
        if getattr(self, "pos", 0) not in (0, None):
            return True
        text = str(self.desc or "").rstrip(": ")
        if self.postfix:
            text = f"{text} {self.postfix}" if text else str(self.postfix)
        context.progress(self.n, self.total, text)
        return True

    def close_as_progress(self: Any) -> Any:
        if _context.find() is None or self.disable:
            return close(self)
        self.display()
        # Keeps tqdm from printing the last state and from erasing its line.
        self.leave = False
        self.sp = lambda _text: None
        return close(self)

    bar.display = display_as_progress
    bar.close = close_as_progress
