"""Tests of what is put back after an attempt, and of what each file sees.

Each runs in a process of its own, because it changes what a process has once.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import textwrap
import unittest
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
START = """
import os, sys, signal, logging, warnings, time, socket, contextvars
import tinpot
from tinpot._process_state import ProcessState
state = ProcessState()
def unchanged():
    return state.is_unchanged() and state.is_late_unchanged()
"""


def run(code: str, folder: str | None = None) -> str:
    """Runs code in an interpreter; returns what it prints."""
    program = START + textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(PACKAGE), "PATH": ""},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    return done.stdout.strip()


class State(unittest.TestCase):
    """The state that an attempt finds."""

    def test_nothing_has_changed_at_first(self) -> None:
        self.assertEqual(run("print(unchanged(), state.put_back(), unchanged())"), "True [] True")

    def test_each_change_is_seen_and_put_back(self) -> None:
        changes = [
            "os.environ['X'] = '1'",
            "os.chdir('/proc')",
            "signal.signal(signal.SIGUSR1, signal.SIG_IGN)",
            "sys.path.append('/x')",
            "sys.argv = ['x']",
            "sys.argv.append('x')",
            "sys.excepthook = print",
            "import builtins; builtins.open = None",
            "import builtins; builtins.new = None",
            "vars(sys)['x'] = 1",
            "del vars(builtins)['open']",
            "os.environ._data[b'PATH'] = b'x'",
            "import _signal; _signal.signal(_signal.SIGUSR1, _signal.SIG_IGN)",
            "tinpot.action = None",
            "del sys.modules['tinpot']",
            "sys.modules['tinpot'] = os",
            "warnings.simplefilter('error')",
            "warnings.filters = []",
            "socket.setdefaulttimeout(1)",
            "sys.setrecursionlimit(500)",
            "os.umask(0o7)",
            "logging.getLogger('x').setLevel(1)",
            "logging.getLogger('x').addHandler(logging.StreamHandler())",
            "logging.getLogger('x.y'); logging.getLogger('x').disabled = True",
            "logging.root.handlers.append(logging.NullHandler())",
            "logging.disable(50)",
            "logging.raiseExceptions = False",
            "import resource as r; k = r.RLIMIT_NOFILE; r.setrlimit(k, (99, r.getrlimit(k)[1]))",
            "time.sleep = None",
            "sys.setprofile(lambda *_: None)",
            "import gc; gc.set_threshold(3)",
            "import locale; locale.setlocale(locale.LC_ALL, 'C')",
        ]
        for change in changes:
            with self.subTest(change):
                code = f"""
                import gc, locale, builtins
                state.put_back(); state.put_back()
                before = (dict(os.environ), os.getcwd(), list(sys.argv), list(sys.path))
                for _ in range(2):
                    {change}
                    was = unchanged()
                    failed = state.put_back()
                    now = (dict(os.environ), os.getcwd(), list(sys.argv), list(sys.path))
                    print(was, failed, unchanged(), unchanged(), before == now)
                """
                self.assertEqual(run(code), "\n".join(["False [] True True True"] * 2))

    def test_what_a_first_import_adds_stays(self) -> None:
        code = """
        sys.path.insert(0, os.getcwd())
        state.put_back()
        sys.path.insert(0, os.getcwd())
        import library
        print(state.put_back(), unchanged())
        print(library.finder in sys.meta_path, logging.getLogger("library").level)
        print(logging.getLogger("other").level)
        """
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "library.py").write_text(
                "import logging, sys\n"
                "class Finder:\n    def find_spec(self, *_): return None\n"
                "finder = Finder()\nsys.meta_path.insert(0, finder)\n"
                "logging.getLogger('library').setLevel(40)\n"
                "logging.getLogger('other').setLevel(40)\n"
            )
            self.assertEqual(run(code, folder), "[] True\nTrue 40\n0")

    def test_builtins_of_a_first_import_stay_and_those_of_the_attempt_do_not(self) -> None:
        code = """
        import builtins
        sys.path.insert(0, os.getcwd())
        state.put_back()
        sys.path.insert(0, os.getcwd())
        import library
        builtins.shouted = True
        print(state.put_back(), unchanged())
        print(hasattr(builtins, "helper"), hasattr(builtins, "shouted"))
        """
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "library.py").write_text(
                "import builtins\ndef helper(): pass\nbuiltins.helper = helper\n"
            )
            self.assertEqual(run(code, folder), "[] True\nTrue False")

    def test_change_that_cannot_be_put_back_is_named(self) -> None:
        code = """
        from tinpot import _parts
        found = ["one"]
        state._parts.append(_parts.Part("of a test", lambda: found[0]))
        state.current.values.append("one")
        found[0] = "other"
        print(state.put_back())
        """
        self.assertEqual(run(code), "['of a test']")


class Exit(unittest.TestCase):
    """Handlers of atexit."""

    def test_handlers_have_a_time_limit(self) -> None:
        code = """
        import atexit
        from tinpot import _exit_handlers
        _exit_handlers.MAX_SECONDS = 0.05
        handlers = _exit_handlers.ExitHandlers()
        handlers.is_attempt = True
        sys.stderr = sys.stdout
        atexit.register(print, "never")
        atexit.register(time.sleep, 1000)
        atexit.register(print, "first")
        print(handlers.run(), handlers.run())
        os._exit(0 if sys.stdout.flush() is None else 1)
        """
        first, words, ran = run(code).split("\n")
        self.assertEqual((first, ran), ("first", "True False"))
        self.assertIn("more than 0.05 s: 2 of them", words)


class Lists(unittest.TestCase):
    """Changes of lists that several files make."""

    def test_additions_keep_their_places(self) -> None:
        from tinpot import _parts

        part = _parts.Lists("x", list)
        changes = part.changes(["a", "b"], ["new", "a", "between", "b", "last"])
        self.assertEqual(
            part.merged(["a", "own", "b"], changes), ["new", "a", "own", "between", "b", "last"]
        )
        changes = part.changes(["a", "b"], ["b"])
        self.assertEqual(part.merged(["a", "own", "b"], changes), ["own", "b"])


if __name__ == "__main__":
    unittest.main()
