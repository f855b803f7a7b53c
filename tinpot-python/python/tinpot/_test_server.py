"""A server of its own for tests: the real program, on a free port."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinpot._client_async import AsyncClient
    from tinpot._client_sync import Client

# The longest time until the server answers, and until it has ended.
_START_SECONDS = 60.0
_END_SECONDS = 15.0
_LOG_BYTES = 16 * 1024

# The program between the tests and the server. It ends the server with its whole process group when
# its input closes, which it also does when the tests are killed.
_GUARD = """
import os, select, signal, subprocess, sys
server = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL, start_new_session=True)
while server.poll() is None:
    if select.select([0], [], [], 0.05)[0] and not os.read(0, 1):
        server.terminate()
        try:
            server.wait(float(sys.argv[1]))
        except subprocess.TimeoutExpired:
            pass
        break
try:
    os.killpg(server.pid, signal.SIGKILL)
except ProcessLookupError:
    pass
"""


class ServerError(Exception):
    """A server for tests that does not start."""


class Server:
    """A server that runs the actions of a folder, until it is stopped.

    folder: the folder of the actions.
    url: the URL.
    client, async_client: clients of it.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = os.path.abspath(os.fspath(folder))
        self._own = tempfile.mkdtemp(prefix="tinpot-test-")
        self._log = os.path.join(self._own, "log")
        self._port = 0
        self._guard: subprocess.Popen[bytes] | None = None
        self.url = ""
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        self.client: Client = self.new_client()
        self.async_client: AsyncClient = self.new_async_client()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Starts the program; after `end`, on the same port and with the same history."""
        if not os.path.isdir(self.folder):
            raise ServerError(f"no folder {self.folder} with actions")
        words = [_program(), "dev", self.folder, "--port", str(self._port)]
        words += ["--store", os.path.join(self._own, "tinpot.db"), "--python", sys.executable]
        guard = [sys.executable, "-I", "-S", "-c", _GUARD, str(_END_SECONDS - 5)]
        with open(self._log, "ab") as log:
            at = log.tell()
            self._guard = subprocess.Popen(
                guard + words, stdin=subprocess.PIPE, stdout=log, stderr=log, env=self._variables()
            )
        self.url = self._wait_for_url(at)
        self._port = int(self.url.rpartition(":")[2])

    def end(self) -> None:
        """Ends the program, and waits for its end. `start` starts it again."""
        guard, self._guard = self._guard, None
        if guard is None:
            return
        if guard.stdin is not None:
            guard.stdin.close()
        try:
            guard.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            guard.kill()
            guard.wait()

    def stop(self) -> None:
        """Ends the program, and removes its history."""
        client = self.__dict__.get("client")
        if client is not None:
            client.close()
        self.end()
        shutil.rmtree(self._own, ignore_errors=True)

    def log(self) -> str:
        """Returns the end of what the program printed."""
        try:
            with open(self._log, "rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _LOG_BYTES))
                return file.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""

    @property
    def token(self) -> str:
        """The API token, which is another one after each start."""
        with open(self._token_file(), encoding="utf-8") as file:
            return str(json.load(file)["token"])

    def _token_file(self) -> str:
        return os.path.join(self._own, "tinpot", f"dev-{self._port}.json")

    def _variables(self) -> dict[str, str]:
        """Returns the environment without settings of the user's own servers."""
        others = ("PORT", "HOST", "CONCURRENCY", "PYTHONPATH", "PYTHONHOME")
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("TINPOT_") and name not in others
        }
        # Where `tinpot dev` keeps its token.
        return {**kept, "XDG_RUNTIME_DIR": self._own, "XDG_STATE_HOME": self._own}

    def _wait_for_url(self, at: int) -> str:
        give_up = time.monotonic() + _START_SECONDS
        while True:
            with open(self._log, "rb") as file:
                file.seek(at)
                text = file.read().decode("utf-8", "replace")
            for line in text.splitlines(True):
                if line.startswith("Tinpot listens on ") and line.endswith("\n"):
                    return line[len("Tinpot listens on ") :].strip()
            guard = self._guard
            if guard is None or guard.poll() is not None:
                raise ServerError(f"the server ended at its start:\n{text}")
            if time.monotonic() > give_up:
                raise ServerError(f"the server does not listen after {_START_SECONDS} s:\n{text}")
            time.sleep(0.01)

    def new_client(self, **options: Any) -> Client:
        """Returns a client with options of its own, such as `patience`."""
        from tinpot._client_sync import Client

        client = Client(self.url, token=self.token, **options)
        client._core.settings.take_dev_file(self._token_file())
        return client

    def new_async_client(self, **options: Any) -> AsyncClient:
        """Returns a client for an event loop, with options of its own."""
        from tinpot._client_async import AsyncClient

        client = AsyncClient(self.url, token=self.token, **options)
        client._core.settings.take_dev_file(self._token_file())
        return client


def _program() -> str:
    """Returns the program to start: that of this installation, or the one on the path."""
    from tinpot.__main__ import find

    program = os.environ.get("TINPOT_PROGRAM") or find() or shutil.which("tinpot")
    if program is None:
        raise ServerError("no program `tinpot`: install the wheel, or name it in TINPOT_PROGRAM")
    return program
