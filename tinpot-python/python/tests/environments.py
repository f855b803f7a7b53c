"""Virtual environments with libraries that some tests need."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


def environment(name, requirements, modules):
    """Returns an interpreter with these packages, or None and the reason why there is none.

    That is this interpreter, or one in a virtual environment that is kept for the next run.
    """
    probe = [sys.executable, "-c", f"import {modules}"]
    if subprocess.run(probe, capture_output=True).returncode == 0:
        return sys.executable, None
    mark = hashlib.sha256(repr((sys.version, requirements)).encode()).hexdigest()[:12]
    cache = os.environ.get("TINPOT_TEST_CACHE") or tempfile.gettempdir()
    folder = os.path.join(cache, f"tinpot-{name}-{mark}-{os.getuid()}")
    if not os.path.exists(folder):
        # Built elsewhere and renamed when complete: other tests may do the same at once.
        made = tempfile.mkdtemp(dir=cache)
        try:
            why = _make(made, requirements)
            if why is not None:
                return None, why
            os.rename(made, folder)
        except OSError:
            pass  # another test was faster
        finally:
            shutil.rmtree(made, ignore_errors=True)
    return os.path.join(folder, "bin", "python"), None


def _make(folder, requirements):
    """Makes a virtual environment with packages; what went wrong, if anything."""
    options = ["--quiet", "--disable-pip-version-check", "--retries", "1", "--timeout", "20"]
    for command in (
        [sys.executable, "-m", "venv", folder],
        [os.path.join(folder, "bin", "python"), "-m", "pip", "install", *options, *requirements],
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


def run_cases(file, python):
    """Runs a file of tests with an interpreter, and returns the completed process."""
    path = os.pathsep.join([os.path.dirname(HERE), HERE])
    return subprocess.run(
        [python, "-B", os.path.join(HERE, file)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
