"""A run of an action in an interpreter of its own, for tests.

The parent sends one line of JSON to the standard input of the child, and reads one line from a
pipe. The child ends with its process group when its input closes, also because the parent dies.
"""

from __future__ import annotations

import base64
import importlib
import importlib.util
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tinpot import _encode, _run, _text
from tinpot._errors import ActionError, Cancelled

if TYPE_CHECKING:
    from tinpot.testing import Run

_CHILD = """
import json, sys
request = json.loads(sys.stdin.buffer.readline())
sys.path[:] = request["path"]
from tinpot._isolated_run import main
main(request)
"""
_POLL_SECONDS = 0.05


def run(run: Run[Any], action: Any, parameters: Any, options: Mapping[str, Any]) -> None:
    """Runs an action in a new interpreter, and fills the run."""
    reading, writing = os.pipe()
    request = _request(action, parameters, options, writing)
    try:
        # A group of its own: what the action starts ends with it.
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD],
            stdin=subprocess.PIPE,
            pass_fds=[writing],
            start_new_session=True,
        )
        os.close(writing)
        try:
            assert child.stdin is not None
            try:
                child.stdin.write(request)
                child.stdin.flush()
            except BrokenPipeError:
                pass
            reply = _read(reading, child)
        finally:
            _end(child)
    finally:
        os.close(reading)
    if reply is None:
        run.status = "failed"
        run.error = ActionError(_ended(child.returncode), kind="Crashed")
    else:
        _fill(run, reply)


def _request(action: Any, parameters: Any, options: Mapping[str, Any], reply: int) -> bytes:
    if "<locals>" in action.__qualname__:
        message = f"isolated runs need an action at the top of a module, not {action.__qualname__}"
        raise TypeError(message)
    calls = options.get("calls") or {}
    for name, fake in calls.items():
        if callable(fake):
            raise TypeError(
                f"isolated runs take results of calls, and calls[{name!r}] is a function"
            )
    module = sys.modules.get(action.__module__)
    document = {
        "path": [os.path.abspath(folder) for folder in sys.path],
        "module": action.__module__,
        "file": getattr(module, "__file__", None),
        "name": action.__qualname__,
        "parameters": parameters,
        "cancel_after": options.get("cancel_after"),
        "calls": {name: json.loads(_encode.encode(fake)) for name, fake in calls.items()},
        "secrets": dict(options.get("secrets") or {}),
        "reply": reply,
    }
    return json.dumps(document).encode() + b"\n"


def _read(pipe: int, child: subprocess.Popen[bytes]) -> dict[str, Any] | None:
    """Returns the reply; None if the child ends without one."""
    data = bytearray()
    while not data.endswith(b"\n"):
        has_ended = _has_ended(child)
        # A process that the action has left behind may hold the pipe open.
        if select.select([pipe], [], [], 0 if has_ended else _POLL_SECONDS)[0]:
            piece = os.read(pipe, 1 << 16)
            if not piece:
                return None
            data += piece
        elif has_ended:
            return None
    reply: dict[str, Any] = json.loads(data)
    return reply


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.stdin is not None:
        try:
            child.stdin.close()
        except BrokenPipeError:
            pass
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
    child.wait()


def _has_ended(child: subprocess.Popen[bytes]) -> bool:
    """Returns True if a child has ended. Until it is waited for, its id names no other group."""
    if sys.platform == "darwin":
        return child.poll() is not None
    return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _ended(code: int | None) -> str:
    if code is not None and code < 0:
        return f"the interpreter was killed by signal {-code}"
    return f"the interpreter ended with exit code {code}, and without a result"


def _fill(run: Run[Any], reply: dict[str, Any]) -> None:
    from tinpot.testing import Call, Line, Progress, Step

    run.status, run.summary, run._value = reply["status"], reply["summary"], reply["value"]
    run.log = [
        Line(level, message, stream, fields, tuple(step))
        for level, message, stream, fields, step in reply["log"]
    ]
    run.progress = [Progress(*one) for one in reply["progress"]]
    run.steps = [Step(*one) for one in reply["steps"]]
    run.calls = [Call(*one) for one in reply["calls"]]
    run.artifacts = {name: base64.b64decode(text) for name, text in reply["artifacts"].items()}
    if reply["status"] == "cancelled":
        run.error = Cancelled("the attempt was asked to end")
    elif reply["error"] is not None:
        run.error = ActionError(**reply["error"])


def main(request: dict[str, Any]) -> None:
    """Runs what the parent asks for, and replies. Called in the child."""
    from tinpot.testing import Runner

    reply = request["reply"]
    os.set_inheritable(reply, False)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    options = {name: request[name] for name in ("cancel_after", "calls", "secrets")}
    action = _find(request["module"], request["file"], request["name"])
    run = Runner(options)(action, **request["parameters"])
    document = {
        "status": run.status,
        "value": run._value,
        "error": None if run.error is None else _described(run.error),
        "log": run.log,
        "progress": run.progress,
        "steps": run.steps,
        "calls": run.calls,
        "summary": run.summary,
        "artifacts": {
            name: base64.b64encode(data).decode() for name, data in run.artifacts.items()
        },
    }
    with os.fdopen(reply, "wb") as pipe:
        pipe.write(_text.json_bytes(document) + b"\n")


def _end_with_parent() -> None:
    os.read(0, 1)
    os.killpg(0, signal.SIGKILL)


def _find(module: str, file: str | None, name: str) -> Any:
    """Returns a function of a module: by its name, or from its file if that is another module."""
    found = None
    if module != "__main__":
        try:
            found = importlib.import_module(module)
        except ImportError:
            if file is None:
                raise
    own = getattr(found, "__file__", None)
    if found is None or (file is not None and own is not None and not os.path.samefile(own, file)):
        spec = importlib.util.spec_from_file_location("tinpot_isolated", file or module)
        if spec is None or spec.loader is None:
            raise ImportError(f"cannot import {file}")
        found = sys.modules["tinpot_isolated"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _described(error: BaseException) -> dict[str, Any]:
    if isinstance(error, ActionError):
        return {
            "message": error.message,
            "kind": error.kind,
            "traceback": error.traceback,
            "execution": error.execution,
            "status": error.status,
        }
    failed = _text.loads(_run.failed(error, _run.Control())).get("failed", {})
    return {name: failed.get(name) for name in ("message", "kind", "traceback")}
