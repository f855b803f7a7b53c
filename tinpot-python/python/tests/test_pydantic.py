"""Runs the cases with pydantic in an environment that has it, and shows that nothing needs it."""

import os
import subprocess
import sys
import unittest

from environments import HERE, environment, run_cases

REQUIREMENTS = ("pydantic>=2.9,<3", "annotated-types")


class PydanticTest(unittest.TestCase):
    def test_with_pydantic(self):
        python, why = environment("pydantic", REQUIREMENTS, "pydantic, annotated_types")
        if python is None:
            print(f"NOT TESTED with pydantic: {why}", file=sys.stderr)
            self.skipTest(why)
        done = run_cases("pydantic_cases.py", python)
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
