import contextlib
import io
import os
import sys
import tempfile
import time
import unittest

from tinpot import Cancelled, CommandError, CommandTimeout, action, action_print, run_command, schema
from tinpot._action import registry


def printed(function, *arguments, **options):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        value = function(*arguments, **options)
    return value, out.getvalue().splitlines()


class ActionTest(unittest.TestCase):
    def test_a_decorated_function_stays_a_plain_function(self):
        def plain(a, b=2):
            return a + b

        self.assertIs(action(plain), plain)
        self.assertIs(action(name="other", group="G")(plain), plain)
        self.assertEqual(plain(1), 3)
        self.assertEqual([entry.name for entry in registry[-2:]], ["plain", "other"])

    def test_wrong_options_are_refused(self):
        for options in ({"retries": -1}, {"retries": True}, {"timeout": 0}, {"timeout": "1"}, {"name": 3}):
            with self.assertRaises((TypeError, ValueError), msg=str(options)):
                action(**options)(lambda: None)
        with self.assertRaises(TypeError):
            action(3)

    def test_cancelled_is_no_exception_that_is_swallowed(self):
        self.assertFalse(issubclass(Cancelled, Exception))


class CommandTest(unittest.TestCase):
    def test_a_list_is_not_touched_by_a_shell(self):
        done, lines = printed(run_command, ["echo", "$HOME", "a b"])
        self.assertEqual(done.stdout, "$HOME a b\n")
        self.assertEqual(lines, ["$ echo '$HOME' 'a b'", "$HOME a b"])

    def test_a_string_is_split_and_a_shell_is_only_used_when_asked_for(self):
        self.assertEqual(printed(run_command, "echo 'a b' ; ls")[0].stdout, "a b ; ls\n")
        self.assertEqual(printed(run_command, "echo a; echo b", shell=True)[0].stdout, "a\nb\n")
        with self.assertRaises(TypeError):
            run_command(["echo"], shell=True)
        with self.assertRaises(ValueError):
            run_command("")

    def test_both_streams_are_printed_and_kept_apart(self):
        done, lines = printed(run_command, "echo out; echo err >&2; printf end", shell=True)
        self.assertEqual((done.stdout, done.stderr, done.returncode), ("out\nend", "err\n", 0))
        self.assertEqual(sorted(lines[1:]), ["end", "err", "out"])

    def test_output_is_seen_while_the_command_runs(self):
        class Watch(io.StringIO):
            first = None

            def write(self, text):
                if "one" in text:
                    Watch.first = time.monotonic()
                return super().write(text)

        with contextlib.redirect_stdout(Watch()):
            run_command([sys.executable, "-u", "-c", "import time; print('one'); time.sleep(0.5); print('two')"])
        self.assertGreater(time.monotonic() - Watch.first, 0.3)

    def test_a_code_is_an_error_unless_it_is_expected(self):
        with self.assertRaises(CommandError) as caught:
            printed(run_command, "echo why >&2; exit 3", shell=True)
        self.assertEqual(caught.exception.returncode, 3)
        self.assertIn("ended with code 3: why", str(caught.exception))
        self.assertEqual(printed(run_command, "exit 3", shell=True, check=False)[0].returncode, 3)

    def test_a_command_that_takes_too_long_is_killed(self):
        begin = time.monotonic()
        with self.assertRaises(CommandTimeout) as caught:
            printed(run_command, "echo before; exec sleep 1000", shell=True, timeout=0.3)
        self.assertLess(time.monotonic() - begin, 30)
        self.assertEqual(caught.exception.stdout, "before\n")

    def test_what_keeps_the_output_open_does_not_keep_the_command(self):
        begin = time.monotonic()
        done, _ = printed(run_command, "sleep 5 & echo done", shell=True)
        self.assertLess(time.monotonic() - begin, 4)
        self.assertEqual(done.stdout, "done\n")

    def test_directory_and_environment(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = os.path.realpath(folder)
            done, _ = printed(run_command, "pwd; echo $MARK; echo $PATH", shell=True, cwd=folder, env={"MARK": 3})
        self.assertEqual(done.stdout.splitlines(), [folder, "3", os.environ["PATH"]])

    def test_odd_bytes_and_a_flood(self):
        done, _ = printed(run_command, [sys.executable, "-c", "import os; os.write(1, b'\\xff\\n'); print('x' * 3000000)"])
        self.assertEqual(len(done.stdout), 3000003)
        self.assertTrue(done.stdout.startswith("\ufffd\n"))

    def test_action_print_prints(self):
        self.assertEqual(printed(action_print, "a", 1, sep="-")[1], ["a-1"])


class SchemaTest(unittest.TestCase):
    def test_annotations_that_cannot_be_read_are_named(self):
        def unknown(x: "Nothing"): pass  # noqa: F821
        def keys(x: "dict[int, str]"): pass
        def tuples(x: tuple): pass

        for function, part in ((unknown, "'Nothing' cannot be read"), (keys, "keys of a dict"), (tuples, "type tuple")):
            with self.assertRaises(schema.SchemaError) as caught:
                schema.derive(function)
            self.assertIn(part, str(caught.exception))
            self.assertIn("'x'", str(caught.exception))

    def test_a_default_that_is_not_json_is_named(self):
        def odd(x=float("nan")): pass

        with self.assertRaises(schema.SchemaError):
            schema.derive(odd)


if __name__ == "__main__":
    unittest.main()
