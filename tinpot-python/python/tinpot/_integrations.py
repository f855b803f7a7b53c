"""What other libraries tell: logging with its levels, warnings, and the progress bars of tqdm."""

import importlib.util
import sys
import warnings

from tinpot import _context


def install():
    """Puts them in place, for a process that runs actions only. What is not imported yet is met when it is."""
    warnings.showwarning = _show_warning
    late = {}
    for name, patch in (("logging", _logging), ("tqdm.std", _tqdm)):
        if name in sys.modules:
            patch(sys.modules[name])
        else:
            late[name] = patch
    if late:
        sys.meta_path.insert(0, _Finder(late))


class _Finder:
    """Waits for the import of some modules."""

    def __init__(self, late):
        self._late = late

    def find_spec(self, name, path=None, target=None):
        patch = self._late.pop(name, None)
        if patch is None:
            return None
        if not self._late and self in sys.meta_path:
            sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, patch)
        return spec


class _Loader:
    def __init__(self, loader, patch):
        self._loader = loader
        self._patch = patch

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        self._loader.exec_module(module)
        self._patch(module)

    def __getattr__(self, name):
        return getattr(self._loader, name)


def _show_warning(message, category, filename, lineno, file=None, line=None):
    text = warnings.formatwarning(message, category, filename, lineno, line).rstrip("\n")
    context = _context.find()
    if context is None or file is not None:
        (sys.stderr if file is None else file).write(text + "\n")
    else:
        context.log("warning", text)


def _logging(logging):
    """Records become lines with their level."""

    class Handler(logging.Handler):
        def emit(self, record):
            context = _context.find()
            try:
                text = self.format(record)
                if context is None:
                    sys.stderr.write(text + "\n")
                else:
                    context.log(_level(logging, record.levelno), text)
            except Exception:
                self.handleError(record)

    class Formatter(logging.Formatter):
        def formatMessage(self, record):  # noqa: N802, the name is that of the standard library
            # The root logger says nothing about where a message comes from.
            return record.message if record.name == "root" else "%s: %s" % (record.name, record.message)

    handler = Handler()
    handler.setFormatter(Formatter())
    logging.root.addHandler(handler)
    if logging.root.level == logging.WARNING:  # nobody has said otherwise
        logging.root.setLevel(logging.INFO)


def _level(logging, number):
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warning"
    return "info" if number >= logging.INFO else "debug"


def _tqdm(module):
    """Bars become progress."""
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
