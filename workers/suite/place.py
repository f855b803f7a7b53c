"""A broker and a coordinator as processes of their own, and a client of the API.

The program is the one that TINPOT names, or `tinpot` in the path.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
PATIENCE = 20.0
QUICK = {
    "TINPOT_HEARTBEAT_INTERVAL": "0.25",
    "TINPOT_WORKER_LEASE": "3",
    "TINPOT_COORDINATOR_LEASE": "4.5",
    "TINPOT_KILL_AFTER": "1",
}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for(what: str, look: Callable[[], T | None]) -> T:
    until = time.monotonic() + PATIENCE
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < until, f"{what} does not come"
        time.sleep(0.02)


class Process:
    """A program that ends with the test. Its output is in a file."""

    def __init__(self, command: list[str], folder: Path, **variables: str) -> None:
        self.log = folder / f"{Path(command[0]).name}.log"
        environment = {**os.environ, **variables, "PATH": os.environ["PATH"] + ":/usr/sbin"}
        with self.log.open("ab") as output:
            self.child = subprocess.Popen(
                command, cwd=folder, env=environment, stdout=output, stderr=output
            )
        atexit.register(self.kill)

    def kill(self) -> None:
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()


class Place:
    """mosquitto, a coordinator, and a folder for them."""

    def __init__(self, frames: str, **variables: str) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.folder = Path(self._folder.name)
        self.program = os.environ.get("TINPOT") or shutil.which("tinpot") or "tinpot"
        self.port, self.api_port = free_port(), free_port()
        self.broker = f"mqtt://127.0.0.1:{self.port}"
        config = f"user root\nlistener {self.port} 127.0.0.1\nallow_anonymous true\n"
        (self.folder / "mosquitto.conf").write_text(config)
        self.variables = {
            "MQTT_BROKER": self.broker,
            "PORT": str(self.api_port),
            "TINPOT_STORE": str(self.folder / "tinpot.db"),
            "TINPOT_FRAMES": frames,
            **QUICK,
            **variables,
        }
        self.start_broker()
        self.start()

    def start_broker(self) -> None:
        self.mosquitto = Process(["mosquitto", "-c", "mosquitto.conf"], self.folder)

    def start(self) -> None:
        self.coordinator = Process([self.program, "coordinator"], self.folder, **self.variables)
        wait_for("the coordinator", lambda: self.request("GET", "/health"))

    def token(self, names: str) -> str:
        command = [self.program, "workers", "join-token", "--names", names]
        environment = {**os.environ, **self.variables}
        made = subprocess.run(
            command, cwd=self.folder, env=environment, check=False, capture_output=True
        )
        assert made.returncode == 0, made.stderr.decode()
        return made.stdout.decode().strip()

    def request(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        url = f"http://127.0.0.1:{self.api_port}{path}"
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
        request.method = method
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return json.loads(answer.read() or b"null")
        except (urllib.error.URLError, ConnectionError):
            return None

    def wait_for_action(self, name: str) -> None:
        wait_for(f"action {name}", lambda: self.request("GET", f"/api/actions/{name}"))

    def submit(self, action: str, **parameters: object) -> str:
        path = f"/api/actions/{action}/execute"
        answer = wait_for(
            "acceptance", lambda: self.request("POST", path, {"parameters": parameters})
        )
        return str(answer["execution_id"])

    def execution(self, execution: str) -> Any:
        return self.request("GET", f"/api/executions/{execution}") or {}

    def wait_for(self, execution: str, *states: str) -> Any:
        def look() -> Any:
            found = self.execution(execution)
            return found if found.get("status") in states else None

        return wait_for(f"{states}", look)

    def end(self, execution: str) -> Any:
        return self.wait_for(execution, "succeeded", "failed", "cancelled", "timed_out", "lost")

    def lines(self, execution: str) -> list[str]:
        lines: list[str] = []
        after: int | None = 0
        while after is not None:
            path = f"/api/executions/{execution}/logs?after={after}&limit=10000"
            page = self.request("GET", path)
            lines += [line["message"] for line in page["lines"]]
            after = page["next"]
        return lines

    def close(self) -> None:
        for process in (self.coordinator, self.mosquitto):
            process.kill()
        self._folder.cleanup()
