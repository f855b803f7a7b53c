"""What other libraries tell: logging with its levels, warnings, and the progress bars of tqdm."""

import importlib.abc
import importlib.util
import logging
import sys

from tinpot import _context


class _Handler(logging.Handler):
    """Records of `logging` become lines with their level."""

    def emit(self, record):
        context = _context.find()
        try:
            text = self.format(record)
            if context is None:
                sys.stderr.write(text + "\n")
            else:
                context.log(_level(record.levelno), text)
        except Exception:
            self.handleError(record)


def _level(number):
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warning"
    return "info" if number >= logging.INFO else "debug"


def _format(record):
    # The root logger says nothing about where a message comes from.
    return "%(message)s" if record.name == "root" else "%(name)s: %(message)s"


class _Formatter(logging.Formatter):
    def formatMessage(self, record):  # noqa: N802, the name is that of the standard library
        return _format(record) % record.__dict__


def install():
    """Puts them in place, for a process that runs actions only."""
    handler = _Handler()
    handler.setFormatter(_Formatter())
    logging.root.addHandler(handler)
    if logging.root.level == logging.WARNING:  # nobody has said otherwise
        logging.root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    if "tqdm.std" in sys.modules:
        _patch(sys.modules["tqdm.std"])
    else:
        sys.meta_path.insert(0, _Finder())


class _Finder(importlib.abc.MetaPathFinder):
    """Waits for the import of tqdm."""

    def find_spec(self, name, path=None, target=None):
        if name != "tqdm.std":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(importlib.abc.Loader):
    def __init__(self, loader):
        self._loader = loader

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        self._loader.exec_module(module)
        _patch(module)

    def __getattr__(self, name):
        return getattr(self._loader, name)


def _patch(module):
    bar = module.tqdm
    display = bar.display

    def display_as_progress(self, msg=None, pos=None):
        context = _context.find()
        if context is None or getattr(self, "pos", 0) not in (0, None):  # inner bars say little about the whole
            return display(self, msg, pos) if context is None else True
        text = str(self.desc or "").rstrip(": ")
        if self.postfix:
            text = "%s %s" % (text, self.postfix) if text else str(self.postfix)
        context.progress(self.n, self.total, text)
        return True

    bar.display = display_as_progress
    close = bar.close

    def close_as_progress(self):
        if _context.find() is None or self.disable:
            return close(self)
        self.display()
        self.leave = False  # no last bar on standard error, no line to erase
        self.sp = lambda _text: None
        return close(self)

    bar.close = close_as_progress
