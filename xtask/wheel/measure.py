"""Measures what an installed wheel costs; run it with the interpreter that has it.

Usage: python xtask/wheel/measure.py [ROUNDS]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# An action that does nothing, so that what is left is the way to it and back.
ACTION = "from tinpot import action\n\n\n@action\ndef noop():\n    pass\n"


def main(rounds: int = 21) -> None:
    """Prints a table of medians, beyond those of an interpreter that does nothing."""
    import tinpot
    from tinpot.__main__ import find

    program = find()
    if program is None:
        sys.exit("error: the wheel is not installed for this interpreter")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "noop.py"
        file.write_text(ACTION)
        cases = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "import tinpot": [sys.executable, "-c", "import tinpot"],
            "from tinpot import action": [sys.executable, "-c", "from tinpot import action"],
            "from tinpot import Client": [sys.executable, "-c", "from tinpot import Client"],
            "tinpot --version": [program, "--version"],
            "python -m tinpot --version": [sys.executable, "-m", "tinpot", "--version"],
            "tinpot exec of a no-op": [program, "exec", f"{file}::noop"],
            "python -m tinpot exec of a no-op": [
                sys.executable,
                "-m",
                "tinpot",
                "exec",
                f"{file}::noop",
            ],
        }
        times: dict[str, list[float]] = {name: [] for name in cases}
        # They take turns; the first of each brings the files into memory.
        for turn in range(rounds + 1):
            for name, words in cases.items():
                began = time.perf_counter()
                subprocess.run(words, check=True, capture_output=True)
                if turn:
                    times[name].append((time.perf_counter() - began) * 1e3)
    base = statistics.median(times["python -c pass"])
    print(f"tinpot {tinpot.__version__}, Python {sys.version.split()[0]}, {rounds} rounds\n")
    print("| | median | beyond `python -c pass` |\n| --- | --- | --- |")
    for name, found in times.items():
        median = statistics.median(found)
        print(f"| `{name}` | {median:.1f} ms | {median - base:+.1f} ms |")
    print(f"\nprogram: {Path(program).stat().st_size} bytes")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
