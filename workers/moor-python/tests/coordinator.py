"""A coordinator of Tinpot in place of a daemon: the program that the variable TINPOT names."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from daemon import PATIENCE

ENDS = ("succeeded", "failed", "cancelled", "timed_out", "lost")


def program() -> str | None:
    """Returns the path of the program, if there is one."""
    return os.environ.get("TINPOT")


def free_port() -> int:
    """Returns a port of which the next one is free as well."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port


def wait_for(what: str, look: Callable[[], Any]) -> Any:
    """Waits until something is found, and returns it."""
    until = time.monotonic() + PATIENCE
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < until, f"{what}: not in {PATIENCE:g} s"
        time.sleep(0.02)


class Coordinator:
    """A coordinator without a broker, to which workers of mooR attach."""

    def __init__(self, folder: Path, address: str, dialect: str, types: str, **more: str) -> None:
        self.folder, self.api_port = folder, free_port()
        self.variables = {
            "PORT": str(self.api_port),
            "MQTT_BROKER": "none",
            "TINPOT_STORE": str(folder / "tinpot.db"),
            "TINPOT_MOOR": address,
            "TINPOT_MOOR_DIALECT": dialect,
            "TINPOT_MOOR_TYPES": types,
            **more,
        }

    def __enter__(self) -> Coordinator:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Starts it, and waits until it can be asked."""
        command = [str(program()), "coordinator"]
        with (self.folder / "coordinator.log").open("ab") as log:
            self.child = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**os.environ, **self.variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_for("the coordinator", lambda: self.get("/health"))

    def run_program(self, *words: str) -> str:
        """Runs another command. Returns its output."""
        command = [str(program()), *words]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=True)
        return done.stdout

    def log(self) -> str:
        """Returns what it has written so far."""
        return (self.folder / "coordinator.log").read_text()

    def kill(self) -> None:
        """Ends it without a farewell."""
        self.child.kill()
        self.child.wait()

    def stop(self) -> int:
        """Ends it in order. Returns its status."""
        self.child.terminate()
        return self.child.wait(PATIENCE)

    def request(self, method: str, path: str, body: object = None) -> Any:
        """Asks the API. Returns the answer, or None if there is none."""
        assert self.child.poll() is None, self.log()
        data = None if body is None else json.dumps(body).encode()
        url = f"http://127.0.0.1:{self.api_port}{path}"
        asked = urllib.request.Request(url, data, {"Content-Type": "application/json"})
        asked.method = method
        try:
            with urllib.request.urlopen(asked, timeout=PATIENCE) as answer:
                return json.loads(answer.read() or b"null")
        except (urllib.error.URLError, ConnectionError):
            return None

    def get(self, path: str) -> Any:
        """Reads something, or returns None."""
        return self.request("GET", path)

    def action(self, name: str) -> Any:
        """Waits until an action is available."""

        def look() -> Any:
            found = self.get(f"/api/actions/{name}")
            return found if found and found["available"] else None

        return wait_for(f"the action {name}", look)

    def workers(self) -> list[Any]:
        """Returns the workers."""
        found: list[Any] = (self.get("/api/workers") or {"workers": []})["workers"]
        return found

    def submit(self, action: str, parameters: object, **options: object) -> str:
        """Submits an execution. Returns its id."""
        body = {"parameters": parameters, "options": options}
        path = f"/api/actions/{action}/execute"
        answer = wait_for("acceptance", lambda: self.request("POST", path, body))
        return str(answer["execution_id"])

    def wait(self, execution: str, *states: str) -> Any:
        """Waits until an execution has one of these states."""

        def look() -> Any:
            found = self.get(f"/api/executions/{execution}")
            return found if found and found["status"] in states else None

        return wait_for(f"{states}", look)

    def run(self, action: str, *arguments: object, **options: object) -> Any:
        """Runs an action, and waits for its end."""
        self.action(action)
        return self.wait(self.submit(action, {"args": arguments}, **options), *ENDS)

    def result(self, action: str, *arguments: object) -> Any:
        """Runs an action. Returns its result."""
        end = self.run(action, *arguments)
        assert end["status"] == "succeeded", end
        return end["outcome"]["result"]
