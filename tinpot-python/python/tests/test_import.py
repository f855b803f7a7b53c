"""The cost of `import tinpot`, and that its names are complete."""

import subprocess
import sys
import unittest

import tinpot


def modules(code):
    """Returns the modules that a new interpreter has after this code, beyond those at its start."""
    script = f"import sys; before = set(sys.modules); {code}; print(*(set(sys.modules) - before))"
    words = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.append({FOLDER!r}); {script}"]
    return set(subprocess.run(words, check=True, capture_output=True, text=True).stdout.split())


FOLDER = tinpot.__path__[0].rpartition("/")[0]


class ImportTest(unittest.TestCase):
    def test_the_package_alone_imports_nothing_else(self):
        self.assertEqual(modules("import tinpot"), {"tinpot"})

    def test_a_name_imports_what_it_needs(self):
        loaded = modules("from tinpot import action, Context, ActionError")
        self.assertFalse(loaded & {"asyncio", "http.client", "ssl", "tinpot._client_sync"}, loaded)
        self.assertNotIn("asyncio", modules("from tinpot import Client"))

    def test_every_name_is_there(self):
        self.assertEqual(sorted(tinpot.__all__), tinpot.__all__)
        for name in tinpot.__all__:
            self.assertIsNotNone(getattr(tinpot, name))
        everything = {}
        exec("from tinpot import *", everything)
        self.assertLessEqual(set(tinpot.__all__), set(everything))
        self.assertLessEqual({*tinpot.__all__, "__version__"}, set(dir(tinpot)))
        with self.assertRaisesRegex(AttributeError, "has no attribute 'nonsense'"):
            _ = tinpot.nonsense

    def test_a_worker_imports_all_that_actions_use_before_they_run(self):
        names = set(tinpot.__all__) - {"Client", "AsyncClient", "ClientError"}
        used = {f"tinpot.{module}" for name, module in tinpot._MODULES.items() if name in names}
        self.assertLessEqual(used, modules("import tinpot._discovery"))
