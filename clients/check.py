"""Runs actions of a real server with a generated client.

python3 clients/check.py COMMAND...

COMMAND takes the name of an action and its parameters as JSON, and prints how it ended. The server
is the program that TINPOT names, or `tinpot` in the path.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ACTIONS = """
from tinpot import action

@action
def greet(name: str) -> str:
    return f"Hello {name}"

@action
def fail() -> None:
    raise OSError("no backup")
"""
PATIENCE = 60.0
LISTENS = "Tinpot listens on "


def run(command: list[str], server: str, action: str, parameters: object) -> tuple[int, str]:
    """Runs a client. Returns its status and its output."""
    ran = subprocess.run(
        [*command, action, json.dumps(parameters)],
        env={**os.environ, "TINPOT_SERVER": server},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
    )
    return ran.returncode, ran.stdout


def check(command: list[str], server: str) -> None:
    """Runs an action that succeeds, one that fails, and requests that are refused."""
    status, output = run(command, server, "greet", {"name": "Ada"})
    ended = {"status": "SUCCESS", "result": "Hello Ada", "error": None}
    assert (status, json.loads(output)) == (0, ended), output
    status, output = run(command, server, "fail", {})
    ended = {"status": "FAILURE", "result": None, "error": "OSError: no backup"}
    assert (status, json.loads(output)) == (1, ended), output
    status, output = run(command, server, "greet", {})
    assert (status, "name is required" in output) == (2, True), output
    status, output = run(command, server, "none", {})
    assert (status, "not found" in output) == (2, True), output


def main() -> None:
    """Starts the server, and ends it."""
    program = os.environ.get("TINPOT", "tinpot")
    with tempfile.TemporaryDirectory() as folder:
        actions = Path(folder) / "actions"
        actions.mkdir()
        (actions / "actions.py").write_text(ACTIONS)
        with subprocess.Popen(
            [program, "dev", "--port", "0", "--insecure-no-auth", "--no-ui", str(actions)],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as server:
            try:
                printed = ""
                assert server.stdout is not None
                for line in server.stdout:
                    printed += line
                    if line.startswith(LISTENS):
                        check(sys.argv[1:], line[len(LISTENS) :].strip())
                        break
                else:
                    raise AssertionError(f"the server does not start:\n{printed}")
            finally:
                server.terminate()


main()
