import asyncio
import contextlib
import datetime
import io
import json
import os
import pathlib
import pickle
import subprocess
import sys
import tempfile
import time
import unittest

from type_support import returned

from tinpot import (
    Cancelled,
    CommandError,
    CommandTimeout,
    Context,
    Secret,
    _channel,
    _context,
    action,
    action_print,
    current,
    run_command,
    schema,
)
from tinpot._action import registry


def printed(function, *arguments, **options):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        value = function(*arguments, **options)
    return value, out.getvalue().splitlines()


def _lives(pid):
    """Returns True if a process exists and is no zombie."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(") ")[2][0] not in "ZX"
    except FileNotFoundError:
        return False


class ActionTest(unittest.TestCase):
    def test_a_decorated_function_stays_a_plain_function(self):
        def plain(a, b=2):
            return a + b

        self.assertIs(action(plain).__wrapped__, plain)
        self.assertIs(action(name="other", group="G")(plain).__wrapped__, plain)
        self.assertEqual(plain(1), 3)
        self.assertEqual([entry.name for entry in registry[-2:]], ["plain", "other"])

    def test_texts_are_taken_by_position_as_in_older_versions(self):
        @action("named", "Group", "Text", "queue", timeout=1)
        def function():
            "Docstring."

        entry = registry[-1]
        found = (entry.name, entry.group, entry.description, entry.queue, entry.timeout_ms)
        self.assertEqual(found, ("named", "Group", "Text", "queue", 1000))
        action(None, "Other")(function.__wrapped__)
        found = (registry[-1].name, registry[-1].group, registry[-1].description)
        self.assertEqual(found, ("function", "Other", "Docstring."))
        known = len(registry)
        for wrong in (
            lambda: action("a", name="b"),
            lambda: action("a", "b", "c", "d", "e"),
            lambda: action("a", 1),
            lambda: action(function, "Group"),
        ):
            self.assertRaises(TypeError, wrong)
        self.assertEqual(len(registry), known)

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

    def test_a_string_is_run_by_a_shell_unless_that_is_refused(self):
        self.assertEqual(printed(run_command, "echo a; echo b")[0].stdout, "a\nb\n")
        self.assertEqual(printed(run_command, "echo a; echo b", shell=True)[0].stdout, "a\nb\n")
        done, _ = printed(run_command, "echo 'a b' ; ls", shell=False)
        self.assertEqual(done.stdout, "a b ; ls\n")
        with tempfile.TemporaryDirectory() as folder:
            program = os.path.join(folder, "a program")
            os.symlink("/bin/echo", program)
            self.assertEqual(printed(run_command, pathlib.Path(program))[0].stdout, "\n")
        with self.assertRaises(TypeError):
            run_command(["echo"], shell=True)
        for empty in ("", " ", []):
            with self.assertRaises(ValueError):
                run_command(empty)

    def test_secrets_are_passed_on_and_masked(self):
        masked = []

        class Recorder(_channel.Channel):
            def send(self, markup):
                mark = json.loads(markup)
                if "x" in mark:
                    masked.append(mark["x"])

        _context.enter(_channel.Attempt(Recorder()))
        try:
            secret = Secret("hunter2")
            done, lines = printed(
                run_command,
                ["sh", "-c", "cat; echo ${#1} ${#P}", "sh", secret],
                env={"P": secret},
                input=secret,
            )
        finally:
            _context.leave()
        self.assertEqual(done.stdout, "hunter27 7\n")
        self.assertEqual(lines[0], "$ sh -c 'cat; echo ${#1} ${#P}' sh ***")
        self.assertNotIn("hunter2", repr(done.args) + done.command)
        self.assertEqual(set(masked), {"hunter2"})

    def test_what_is_no_argument_is_refused_with_its_position(self):
        for arguments, options, error, part in (
            (["git", "checkout", None], {}, TypeError, "argument 2 is None"),
            (["git", ["a"]], {}, TypeError, "argument 1 is a list"),
            (None, {}, TypeError, "the command must be a string or a list, not NoneType"),
            (5, {}, TypeError, "not int"),
            (["true"], {"env": {"A": None}}, TypeError, "the environment variable A is None"),
            (["true"], {"input": 5}, TypeError, "input must be str, bytes or Secret, not int"),
            (["true"], {"bogus": 5}, TypeError, "no keyword 'bogus'"),
            (["a\0b"], {}, ValueError, "argument 0 has a null character"),
            (["true"], {"input": "x", "stdin": 0}, ValueError, "input and stdin"),
            (["true"], {"stdin": subprocess.PIPE}, ValueError, "use input"),
            (["true"], {"stdout": subprocess.STDOUT}, ValueError, "stdout cannot be STDOUT"),
        ):
            with self.assertRaisesRegex(error, part):
                run_command(arguments, **options)

    def test_the_keywords_of_subprocess_run_work(self):
        def output(*arguments, **options):
            return printed(run_command, *arguments, **options)[0].stdout

        large = "x" * 300_000
        self.assertEqual(output(["cat"], input=large), large)
        self.assertEqual(output(["cat"], input=b"\xff", text=False), b"\xff")
        self.assertEqual(output("printf 'a\\r\\nb'", text=True), "a\nb")
        self.assertEqual(output("printf 'a\\r\\nb'", universal_newlines=True), "a\nb")
        self.assertEqual(output("printf 'a\\r\\nb'"), "a\r\nb")
        self.assertEqual(output("printf '\\344'", encoding="latin-1"), "ä")
        self.assertEqual(output("printf '\\344'", errors="ignore"), "")
        self.assertEqual(output("umask", umask=0o077, capture_output=True), "0077\n")
        self.assertEqual(output("echo $0", executable="/bin/bash"), "/bin/bash\n")
        self.assertEqual(output("echo a >&2; echo b", stderr=subprocess.STDOUT), "a\nb\n")
        # Closes its input before everything was written.
        self.assertEqual(output(["true"], input=large), "")
        done, lines = printed(run_command, "echo gone; echo kept >&2", stdout=subprocess.DEVNULL)
        self.assertEqual((done.stdout, done.stderr, lines[1:]), (None, "kept\n", ["kept"]))
        with tempfile.TemporaryFile() as file:
            file.write(b"from a file")
            file.seek(0)
            self.assertEqual(output(["cat"], stdin=file), "from a file")
        with self.assertRaises(UnicodeDecodeError):
            output("printf '\\377'", errors="strict")
        with self.assertRaises(CommandTimeout):
            output("exec sleep 1000", timeout=datetime.timedelta(seconds=0.1))

    def test_the_result_and_the_errors_are_those_of_subprocess(self):
        done, _ = printed(run_command, ["sh", "-c", "echo why >&2; exit 3"], check=False)
        self.assertIsInstance(done, subprocess.CompletedProcess)
        self.assertEqual(done.args, ["sh", "-c", "echo why >&2; exit 3"])
        with self.assertRaises(subprocess.CalledProcessError) as caught:
            done.check_returncode()
        error = caught.exception
        self.assertEqual((error.returncode, error.stdout, error.stderr), (3, "", "why\n"))
        self.assertEqual((error.output, error.cmd), ("", done.command))
        self.assertEqual(str(pickle.loads(pickle.dumps(error))), str(error))
        with self.assertRaises(subprocess.TimeoutExpired) as caught:
            printed(run_command, "exec sleep 1000", timeout=0.1)
        self.assertEqual(caught.exception.timeout, 0.1)
        form = {"args": ["true"], "returncode": 0, "stdout": "", "stderr": ""}
        self.assertEqual(returned(printed(run_command, ["true"])[0]), form)

    def test_what_a_command_prints_on_its_end_is_kept(self):
        code = "trap 'seq 1 50000; echo cleaned up; exit 0' TERM; while :; do sleep 0.01; done"
        with self.assertRaises(CommandTimeout) as caught:
            printed(run_command, code, timeout=1)
        self.assertTrue(caught.exception.stdout.endswith("50000\ncleaned up\n"))

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

    def test_the_rest_of_its_process_group_ends_with_a_command(self):
        script = """
sh -c 'trap "" TERM; echo $$ > pid; while :; do sleep 0.05; done' > /dev/null 2>&1 &
while [ ! -s pid ]; do sleep 0.01; done
exec sleep 100
"""
        with tempfile.TemporaryDirectory() as folder:
            with self.assertRaises(CommandTimeout):
                run_command(script, cwd=folder, timeout=1, start_new_session=True)
            with open(os.path.join(folder, "pid")) as file:
                pid = int(file.read())
            deadline = time.monotonic() + 30
            while _lives(pid):
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.01)

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


class CallTest(unittest.TestCase):
    def setUp(self):
        requests = self.requests = []

        class Recorder(_channel.Channel):
            def call(self, request):
                requests.append(request)
                return "an-id", None

        _context.enter(_channel.Attempt(Recorder()))

    def tearDown(self):
        _context.leave()

    def test_positional_arguments_are_named_by_the_signature(self):
        @action
        def backup(host, days=1, *rest, ctx: Context):
            pass

        backup.call("db1", days=2)
        backup.submit("db1", 2, 3)
        asyncio.run(backup.call_async("db1"))
        current().call(backup, "db1", 2)
        current().call(backup, current(), host="db1", ctx=current())
        child = current().submit(backup, "db1")
        self.assertEqual(
            [request["parameters"] for request in self.requests],
            [
                {"host": "db1", "days": 2},
                {"host": "db1", "days": 2, "rest": [3]},
                {"host": "db1"},
                {"host": "db1", "days": 2},
                {"host": "db1"},
                {"host": "db1"},
            ],
        )
        self.assertEqual(returned([child]), ["an-id"])
        with self.assertRaisesRegex(TypeError, "'backup' is the name of an action"):
            current().call("backup", "db1")
        with self.assertRaisesRegex(TypeError, "several values for the argument 'host'"):
            backup.call("db1", host="db2")

        @action
        def restore(host, /, days=1, *, force=False):
            pass

        with self.assertRaisesRegex(TypeError, "at most 2 positional arguments, not 3"):
            restore.call("db1", 2, True)

    def test_a_nested_call_gets_the_context(self):
        @action
        def first(ctx: Context, host, days=1):
            return isinstance(ctx, Context), host, days

        @action
        def last(host, *, ctx: Context):
            return isinstance(ctx, Context), host

        @action
        async def later(ctx: Context, host):
            return isinstance(ctx, Context), host

        class Hosts:
            @action
            def add(self, ctx: Context, host):
                return isinstance(ctx, Context), host

        def check():
            for got in (first(host="a"), first("a"), first(current(), "a"), first("a", 1)):
                self.assertEqual(got, (True, "a", 1))
            self.assertEqual(first("fake", "a", 1), (False, "a", 1))
            self.assertEqual(last("a"), (True, "a"))
            self.assertEqual(asyncio.run(later("a")), (True, "a"))
            self.assertEqual(Hosts().add("a"), (True, "a"))

        check()
        # Outside of an attempt too.
        _context.leave()
        check()


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
