"""The command of the wheel, under both of its names."""

import os
import subprocess
import sys
import sysconfig
import time

import tinpot

PROGRAM = os.path.join(sysconfig.get_path("scripts"), "tinpot")


def output(*words, **options):
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, **options)
    return done.stdout, done.stderr, done.returncode


def test_both_names_are_the_same_program():
    for words in (["--version"], ["run", "--help"], ["nonsense"]):
        by_name = output(PROGRAM, *words)
        assert output(sys.executable, "-m", "tinpot", *words) == by_name
    assert output(PROGRAM, "--version")[0] == f"tinpot {tinpot.__version__}\n"


def test_the_version_is_that_of_the_metadata():
    from importlib.metadata import version

    assert version("tinpot") == tinpot.__version__


def test_actions_run_in_the_interpreter_that_was_called(tmp_path):
    file = tmp_path / "where.py"
    file.write_text(
        "import sys\nfrom tinpot import action\n@action\ndef where(): return sys.prefix"
    )
    kept = {name: value for name, value in os.environ.items() if name != "TINPOT_PYTHON"}
    printed, errors, code = output(
        sys.executable, "-m", "tinpot", "exec", f"{file}::where", env=kept
    )
    assert (code, printed.strip()) == (0, sys.prefix), errors


def test_the_program_is_found_in_every_layout(tmp_path):
    from tinpot.__main__ import find

    assert find() == PROGRAM
    script = "from tinpot.__main__ import find; print(find())"
    source = os.path.dirname(os.path.dirname(tinpot.__file__))
    version = "python{}.{}".format(*sys.version_info[:2])
    for package, program in (
        ("target", "target/bin"),
        (f"prefix/lib/{version}/site-packages", "prefix/bin"),
    ):
        (tmp_path / package).mkdir(parents=True)
        os.symlink(os.path.join(source, "tinpot"), tmp_path / package / "tinpot")
        (tmp_path / program).mkdir(parents=True)
        os.symlink(PROGRAM, tmp_path / program / "tinpot")
        # Without the site-packages of this environment, and its folder of scripts.
        base = getattr(sys, "_base_executable", sys.executable)
        path = f"import sys; sys.path[:0] = [{str(tmp_path / package)!r}]"
        found = output(base, "-I", "-S", "-c", f"{path}; {script}")
        assert found[0].strip() == str(tmp_path / program / "tinpot"), found


def test_import_is_quick():
    times = {"pass": [], "import tinpot": []}
    # In turn, so that the load of the machine meets both; the shortest have met the least of it.
    for _ in range(10):
        for code, found in times.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, "-I", "-c", code], check=True)
            found.append(time.perf_counter() - began)
    assert min(times["import tinpot"]) - min(times["pass"]) < 0.015
