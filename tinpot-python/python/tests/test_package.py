import contextlib
import datetime
import io
import os
import sys
import tempfile
import time
import unittest

from tinpot import (
    Cancelled,
    CommandError,
    CommandTimeout,
    action,
    action_print,
    run_command,
    schema,
)
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

        self.assertIs(action(plain).__wrapped__, plain)
        self.assertIs(action(name="other", group="G")(plain).__wrapped__, plain)
        self.assertEqual(plain(1), 3)
        self.assertEqual([entry.name for entry in registry[-2:]], ["plain", "other"])

    def test_limits_are_kept_as_numbers(self):
        @action(
            memory="256M",
            cpu_seconds=datetime.timedelta(seconds=2),
            open_files=0,
            max_output=" 10 kib ",
            max_result=7,
        )
        def limited():
            pass

        expected = {
            "memory": 256 << 20,
            "cpu_seconds": 2.0,
            "open_files": 0,
            "max_output": 10240,
            "max_result": 7,
        }
        self.assertEqual(registry[-1].limits, expected)
        action(limited)
        self.assertIsNone(registry[-1].limits)

    def test_wrong_options_are_refused_by_name(self):
        nan, inf = float("nan"), float("inf")
        wrong = {
            "name": [3],
            "group": [3],
            "description": [b"x"],
            "queue": [["q"]],
            "priority": [True, None, 1.0, "1", 2**31, -(2**31) - 1],
            "delay": [
                True,
                "1",
                -1,
                -0.001,
                nan,
                inf,
                10**12,
                10**5000,
                datetime.timedelta(seconds=-1),
                datetime.timedelta.max,
            ],
            "expires_in": [True, [1], 0, -1, nan, inf, 10**12],
            "timeout": [True, "1", 0, -1, nan, inf, 10**12, datetime.timedelta(0)],
            "retries": [True, None, 1.0, "1", -1, 1001, 10**9, 10**5000],
            "retry_delay": [None, True, "1", -1, nan, inf, 10**12],
            "backoff": [None, "linear", 2, True],
            "max_retry_delay": [True, "1", -1, nan, inf, 10**12],
            "retry_jitter": [True, "0.2", -0.1, 1.1, nan, inf],
            "max_lost_attempts": [True, None, 1.5, 0, -1, 2**32],
            "memory": [
                True,
                1.5,
                0,
                -1,
                "",
                "M",
                "12X",
                "-1M",
                "1.5G",
                "9" * 30,
                "999999999999T",
                2**63,
            ],
            "cpu_seconds": [True, "1", 0, -1, nan, inf],
            "open_files": [True, "20", -1, 2**31],
            "max_output": [True, 1.5, 0, "1 K B"],
            "max_result": [b"1K", 0],
        }
        known = len(registry)
        for name, values in wrong.items():
            for value in values:
                with self.assertRaises((TypeError, ValueError)) as caught:
                    action(**{name: value})(lambda: None)
                self.assertTrue(
                    str(caught.exception).startswith(f"@action: {name} must be "),
                    str(caught.exception),
                )
                self.assertLess(len(str(caught.exception)), 250)
        with self.assertRaises(TypeError):
            action(3)
        with self.assertRaises(TypeError):
            action(retry=3)(lambda: None)
        self.assertEqual(len(registry), known, "what is refused is not offered")

    def test_options_at_their_bounds_are_taken(self):
        right = {
            "priority": [-(2**31), 2**31 - 1],
            "delay": [0, 0.0004, 100 * 366 * 86_400, datetime.timedelta(0)],
            "expires_in": [0.0001, datetime.timedelta(days=36_600)],
            "timeout": [0.0001, 1, None],
            "retries": [0, 1000],
            "retry_delay": [0],
            "retry_jitter": [0, 1, 0.5],
            "max_lost_attempts": [1, 2**32 - 1],
        }
        for name, values in right.items():
            for value in values:
                action(**{name: value})(lambda: None)

    def test_times_are_whole_milliseconds(self):
        action(delay=0.0004, expires_in=0.0001, timeout=datetime.timedelta(minutes=1))(lambda: None)
        self.assertEqual(
            (registry[-1].delay_ms, registry[-1].expires_in_ms, registry[-1].timeout_ms),
            (0, 1, 60_000),
        )

    def test_delays_between_retries_are_as_elsewhere(self):
        usual = {
            "retries": 3,
            "delay_ms": 1000,
            "factor": 2.0,
            "max_delay_ms": 300_000,
            "jitter": 0.2,
            "max_lost_attempts": 3,
        }
        for options, changed in (
            ({}, {}),
            ({"retry_delay": 600}, {"delay_ms": 600_000, "max_delay_ms": 600_000}),
            ({"max_retry_delay": 10, "retry_jitter": 0}, {"max_delay_ms": 10_000, "jitter": 0.0}),
            ({"backoff": "fixed"}, {"factor": 1.0, "max_delay_ms": 1000, "jitter": 0.0}),
            (
                {"backoff": "fixed", "retry_delay": 600, "retry_jitter": 0.5},
                {"factor": 1.0, "delay_ms": 600_000, "max_delay_ms": 600_000, "jitter": 0.5},
            ),
        ):
            action(retries=3, **options)(lambda: None)
            self.assertEqual(registry[-1].retry, {**usual, **changed}, str(options))

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
            run_command(
                [
                    sys.executable,
                    "-u",
                    "-c",
                    "import time; print('one'); time.sleep(0.5); print('two')",
                ]
            )
        self.assertGreater(time.monotonic() - Watch.first, 0.3)

    def test_a_code_is_an_error_unless_it_is_expected(self):
        with self.assertRaises(CommandError) as caught:
            printed(run_command, "echo why >&2; exit 3", shell=True)
        self.assertEqual(caught.exception.returncode, 3)
        self.assertIn("exited with code 3: why", str(caught.exception))
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
            done, _ = printed(
                run_command, "pwd; echo $MARK; echo $PATH", shell=True, cwd=folder, env={"MARK": 3}
            )
        self.assertEqual(done.stdout.splitlines(), [folder, "3", os.environ["PATH"]])

    def test_odd_bytes_and_a_flood(self):
        done, _ = printed(
            run_command,
            [sys.executable, "-c", "import os; os.write(1, b'\\xff\\n'); print('x' * 3000000)"],
        )
        self.assertEqual(len(done.stdout), 3000003)
        self.assertTrue(done.stdout.startswith("\ufffd\n"))

    def test_action_print_prints(self):
        self.assertEqual(printed(action_print, "a", 1, sep="-")[1], ["a-1"])


class SchemaTest(unittest.TestCase):
    def test_annotations_that_cannot_be_read_are_named(self):
        def unknown(x: "Nothing"):  # noqa: F821
            pass

        def keys(x: "dict[bool, str]"):
            pass

        def numbers(x: complex):
            pass

        for function, part in (
            (unknown, "'Nothing' cannot be read"),
            (keys, "keys of a dict"),
            (numbers, "type complex"),
        ):
            with self.assertRaises(schema.SchemaError) as caught:
                schema.derive(function)
            self.assertIn(part, str(caught.exception))
            self.assertIn("'x'", str(caught.exception))

    def test_a_default_that_is_not_json_is_named(self):
        def odd(x=float("nan")):
            pass

        with self.assertRaises(schema.SchemaError):
            schema.derive(odd)


if __name__ == "__main__":
    unittest.main()
