"""Runs the cases with pydantic in an environment that has it, and shows that nothing needs it."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
REQUIREMENTS = ("pydantic>=2.9,<3", "annotated-types")


def environment():
    """Returns an interpreter with pydantic, or None and the reason why there is none.

    That is this interpreter, or one in a virtual environment that is kept for the next run.
    """
    probe = [sys.executable, "-c", "import pydantic, annotated_types"]
    if subprocess.run(probe, capture_output=True).returncode == 0:
        return sys.executable, None
    mark = hashlib.sha256(repr((sys.version, REQUIREMENTS)).encode()).hexdigest()[:12]
    cache = os.environ.get("TINPOT_TEST_CACHE") or tempfile.gettempdir()
    folder = os.path.join(cache, f"tinpot-pydantic-{mark}-{os.getuid()}")
    if not os.path.exists(folder):
        # Built elsewhere and renamed when complete: other tests may do the same at once.
        made = tempfile.mkdtemp(dir=cache)
        try:
            why = _make(made)
            if why is not None:
                return None, why
            os.rename(made, folder)
        except OSError:
            pass  # another test was faster
        finally:
            shutil.rmtree(made, ignore_errors=True)
    return os.path.join(folder, "bin", "python"), None


def _make(folder):
    """Makes a virtual environment with pydantic; what went wrong, if anything."""
    options = ["--quiet", "--disable-pip-version-check", "--retries", "1", "--timeout", "20"]
    for command in (
        [sys.executable, "-m", "venv", folder],
        [os.path.join(folder, "bin", "python"), "-m", "pip", "install", *options, *REQUIREMENTS],
    ):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=180)
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        if done.returncode:
            return "{}: {}".format(
                " ".join(command[1:4]), (done.stderr or done.stdout).strip()[-500:]
            )
    return None


class PydanticTest(unittest.TestCase):
    def test_with_pydantic(self):
        python, why = environment()
        if python is None:
            print(f"NOT TESTED with pydantic: {why}", file=sys.stderr)
            self.skipTest(why)
        path = os.pathsep.join([os.path.dirname(HERE), HERE])
        done = subprocess.run(
            [python, "-B", os.path.join(HERE, "pydantic_cases.py")],
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=120,
        )
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_pydantic_is_never_imported_for_files_that_do_not_use_it(self):
        code = (
            "import sys, datetime; sys.modules['pydantic'] = None\n"
            "from tinpot import schema, _run\n"
            "def f(x: 'datetime.date', y: 'list[int]' = [1]) -> 'set[int]': pass\n"
            "s = schema.derive(f); s.convert({'x': '2026-01-31'}); _run.succeeded({1}, 100)\n"
            "del sys.modules['pydantic']\n"
            "schema.derive(f); assert 'pydantic' not in sys.modules\n"
        )
        done = subprocess.run(
            [sys.executable, "-B", "-c", code],
            env={**os.environ, "PYTHONPATH": os.path.dirname(HERE)},
            capture_output=True,
            text=True,
        )
        self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main()
