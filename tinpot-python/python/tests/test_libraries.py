"""Runs the cases with libraries of numbers, tables and times in an environment that has them."""

import sys
import unittest

import test_logs
from environments import environment, run_cases

REQUIREMENTS = ("numpy", "pandas", "pendulum", "arrow", "attrs", "tqdm", "loguru", "structlog")


class LibrariesTest(unittest.TestCase):
    def test_results_of_libraries(self):
        modules = ", ".join(name.replace("attrs", "attr") for name in REQUIREMENTS)
        python, why = environment("libraries", REQUIREMENTS, modules)
        if python is None:
            print(f"NOT TESTED with libraries: {why}", file=sys.stderr)
            self.skipTest(why)
        done = run_cases("library_cases.py", python)
        self.assertEqual(done.returncode, 0, done.stderr)
        test_logs.LoggingTest().run_case("libraries", python)


if __name__ == "__main__":
    unittest.main()
