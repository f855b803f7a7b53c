"""The plugin of pytest: runs in this process, and its server."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import work

import tinpot


def test_a_run_has_everything_that_an_attempt_writes(run_action, tmp_path, capsys):
    run = run_action.with_options(secrets={"api": "hunter2"})(work.report, str(tmp_path / "r"))
    assert (run.status, run.value, run.error) == ("succeeded", "ok", None)
    assert run.steps == [("collect", "succeeded"), ("inner", "succeeded")]
    warning, command, printed, secret = run.log
    assert (warning.level, warning.message) == ("warning", "little space")
    assert (warning.fields, warning.step) == ({"free": 3}, ("collect",))
    assert command.message == "$ echo 'from a command'"
    assert printed.message == "from a command"
    assert secret.message == "token ***"
    assert run.artifacts == {"report.txt": b"the report"}
    assert run.summary == "**done**"
    assert capsys.readouterr().out == ""


def test_arguments_pass_through_json_and_the_schema(run_action):
    assert run_action(work.backup, "db", days=3).value == 3
    assert run_action(work.backup, "db", days=3).progress[-1] == (3, 3, "")
    run = run_action(work.backup, "db", days="many")
    assert run.status == "failed"
    assert isinstance(run.error, tinpot.ParameterError)
    with pytest.raises(tinpot.ParameterError, match="days"):
        _ = run.value
    with pytest.raises(TypeError):
        run_action(work.backup, object())
    with pytest.raises(TypeError, match="decorated function"):
        run_action(print)


def test_failures_and_kinds_of_functions(run_action):
    run = run_action(work.restore, "db")
    assert (run.status, str(run.error)) == ("failed", "db has no backup")
    assert run_action(work.wait_async, 0.0).value == "waited"
    run = run_action(work.count, 2)
    assert (run.value, [one.done for one in run.progress]) == (2, [0, 1])

    @tinpot.action
    def strange():
        return object()

    assert run_action(strange).status == "failed"

    @tinpot.action
    def leaves(code: int):
        sys.exit(code)

    assert run_action(leaves, 0).status == "succeeded"
    assert run_action(leaves, 3).status == "failed"


def test_a_run_is_cancelled_as_on_a_worker(run_action):
    before = signal.getsignal(signal.SIGUSR1)
    cancelling = run_action.with_options(cancel_after=0.05)
    run = cancelling(work.wait, 60)
    assert (run.status, run.lines) == ("cancelled", ["cleaned up"])
    assert cancelling(work.wait_async, 60).status == "cancelled"
    assert cancelling(work.backup, "db").status == "succeeded"
    assert signal.getsignal(signal.SIGUSR1) is before


def test_calls_are_answered_by_the_test(run_action):
    faked = run_action.with_options(calls={"backup": lambda host, days=1: days * 10})
    run = faked(work.copy, "db")
    assert run.value == 30
    assert run.calls == [("backup", {"host": "db"}), ("backup", {"host": "db", "days": 2})]
    run = run_action(work.copy, "db")
    assert run.status == "failed" and "no result for a call of 'backup'" in str(run.error)


def test_an_isolated_run_has_an_interpreter_of_its_own(run_action, tmp_path):
    isolated = run_action.with_options(isolated=True)
    assert run_action(work.remember, "here").value == ["here"]
    assert isolated(work.remember, "one").value == ["one"]
    assert isolated(work.remember, "two").value == ["two"]
    # What an attempt writes arrives as in this process.
    secrets = {"api": "hunter2"}
    path = str(tmp_path / "r")
    run = run_action.with_options(isolated=True, secrets=secrets)(work.report, path)
    here = run_action.with_options(secrets=secrets)(work.report, path)
    names = ("status", "value", "log", "steps", "artifacts", "summary", "progress", "calls")
    assert [getattr(run, name) for name in names] == [getattr(here, name) for name in names]
    run = run_action.with_options(isolated=True, calls={"backup": 10})(work.copy, "db")
    assert run.value == 20
    assert run.calls == [("backup", {"host": "db"}), ("backup", {"host": "db", "days": 2})]
    run = isolated(work.restore, "db")
    assert run.status == "failed" and run.error.kind == "OSError"
    assert "db has no backup" in str(run.error) and "work.py" in run.error.traceback
    run = isolated(work.backup, "db", days="many")
    assert run.status == "failed" and "days" in str(run.error)
    run = run_action.with_options(isolated=True, cancel_after=0.05)(work.wait, 60)
    assert (run.status, run.lines) == ("cancelled", ["cleaned up"])
    # A crash is a failure, also while a process is left behind.
    run = isolated(work.crash, 7)
    assert run.status == "failed" and "exit code 7" in str(run.error)
    with pytest.raises(TypeError, match="results of calls"):
        run_action.with_options(isolated=True, calls={"backup": len})(work.copy, "db")

    @tinpot.action
    def inner():
        pass

    with pytest.raises(TypeError, match="top of a module"):
        isolated(inner)


def test_runs_leave_nothing_behind(run_action):
    out = sys.stdout
    run_action.with_options(secrets={"api": "x"})(work.restore, "db")
    assert sys.stdout is out
    assert tinpot.current().execution_id is None
    with pytest.raises(KeyError):
        tinpot.current().secret("api")


def test_the_server_runs_actions_and_its_log_is_shown(pytester):
    pytester.mkdir("actions")
    (pytester.path / "actions/one.py").write_text(
        "from tinpot import action\n\n@action\ndef one() -> int: return 1\n"
    )
    pytester.makepyfile(
        """
        import os, pathlib

        def test_server(tinpot_server):
            pathlib.Path("guard").write_text(str(tinpot_server._guard.pid))
            assert tinpot_server.client.run("one") == 1

        def test_failure(tinpot_server):
            assert tinpot_server.client.run("one") == 2
        """
    )
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*log of tinpot_server*", "Tinpot listens on http*"])
    with pytest.raises(ProcessLookupError):
        os.kill(int((pytester.path / "guard").read_text()), 0)


def test_a_folder_without_actions_is_an_error_that_says_so(pytester):
    pytester.makepyfile("def test_server(tinpot_server): pass")
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*ServerError: no folder */actions with actions*"])


def test_the_plugin_imports_nothing_before_it_is_used(pytester):
    pytester.makepyfile(
        """
        import sys

        def test_modules():
            found = {name for name in sys.modules if name.startswith("tinpot")}
            assert found == {"tinpot", "tinpot.pytest_plugin"}
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_the_server_ends_with_tests_that_are_killed(tinpot_actions):
    script = f"""if True:
        import os, signal
        from tinpot.testing import Server
        server = Server({str(tinpot_actions)!r})
        guard = server._guard.pid
        with open(f"/proc/{{guard}}/task/{{guard}}/children") as children:
            print(guard, children.read(), server._own, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    guard, server, folder = killed.stdout.split()
    give_up = time.monotonic() + 20
    while any(os.path.exists(f"/proc/{pid}") for pid in (guard, server)):
        assert time.monotonic() < give_up
        time.sleep(0.02)
    shutil.rmtree(folder)
