"""Workers at a coordinator of Tinpot, in both dialects."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import coordinator
import pytest
from coordinator import ENDS, Coordinator, free_port, wait_for
from test_programs import example, finish, key_files
from test_programs import program as started
from vectors import load

pytestmark = pytest.mark.skipif(
    coordinator.program() is None, reason="the variable TINPOT does not name the program"
)

TYPES = "echo,arithmetic,fetch,slow:2"
SLOW = """
import time
from tinpot_moor import Request, Worker
from tinpot_moor.cli import main

worker = Worker("slow", slots=2, grace=60)

@worker.serve
def slow(request: Request, name, result):
    open(name, "w").write(str(request.remaining()))
    while "go" not in open(name).read():
        time.sleep(0.01)
    return result

main(worker)
"""


class Scene:
    """A coordinator, and the flags of its workers."""

    def __init__(self, folder: Path, form: str, types: str = TYPES) -> None:
        self.dialect, _, scheme = form.partition("-")
        self.folder = folder
        if scheme == "tcp":
            port = free_port()
            address = f"tcp://127.0.0.1:{port}"
            sockets = [address, f"tcp://127.0.0.1:{port + 1}"]
        else:
            address = f"ipc://{folder}/m"
            sockets = [f"{address}_workers_{name}.sock" for name in ("request", "response")]
        self.flags = ["--request-address", sockets[0], "--response-address", sockets[1]]
        keys = key_files(folder / "keys")
        more = {}
        if self.dialect == "token":
            self.flags += keys
            more["TINPOT_MOOR_KEY"] = keys[3]
        self.coordinator = Coordinator(folder, address, self.dialect, types, **more)

    def worker(self, name: str) -> Any:
        """Starts an example."""
        return started(example(name), *self.flags)

    def slow(self) -> Any:
        """Starts a worker that waits."""
        return started("-c", SLOW, *self.flags)

    def began(self, name: str) -> float:
        """Waits until a slow request runs. Returns the seconds that it has."""
        path = self.folder / name
        return float(wait_for(name, lambda: path.exists() and path.read_text()))

    def go(self, name: str) -> None:
        """Lets a slow request end."""
        (self.folder / name).write_text("go")

    def count(self, worker_type: str) -> int:
        """Returns the number of live workers of a type."""
        names = [worker["name"] for worker in self.coordinator.workers()]
        return sum(name.startswith(worker_type) for name in names)


@pytest.fixture(params=["token-ipc", "token-tcp", "plain-ipc"])
def scene(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Scene]:
    # The path of a socket is short.
    made = Scene(tmp_path_factory.mktemp("m"), str(request.param))
    yield made
    made.coordinator.kill()


@pytest.fixture
def token(tmp_path_factory: Any) -> Iterator[Scene]:
    made = Scene(tmp_path_factory.mktemp("m"), "token-ipc")
    yield made
    made.coordinator.kill()


def test_the_examples_run_executions(scene: Scene) -> None:
    place = scene.coordinator
    with scene.worker("echo") as echo, scene.worker("arithmetic"), scene.worker("fetch"):
        assert place.result("echo", "Hello", 123) == ["echo_response", "Hello", 123]
        dialects = "A" if scene.dialect == "token" else "B"
        values = load("values-1.json")["values"]
        values = [it["value"] for it in values if dialects in it["dialects"]]
        assert place.result("echo", *values) == ["echo_response", *values]
        assert place.result("arithmetic", "divide", 7, 2) == 3.5
        zero = place.result("arithmetic", "remainder", 7, 0)
        assert zero == {"$err": {"code": "E_DIV", "msg": "Division by zero"}}
        for action, arguments, kind, said in (
            ("arithmetic", ("power", 1, 2), "invalid_request", "must be one of add"),
            ("arithmetic", ("add", 1), "invalid_request", "missing a required argument"),
            ("fetch", ("GET", "http://localhost/"), "permission_denied", "--allow"),
            ("arithmetic", ({"$sum": 1},), "InvalidParameters", "args[0].$sum"),
        ):
            end = place.run(action, *arguments)
            assert (end["status"], end["outcome"]["kind"]) == ("failed", kind), end
            assert said in end["outcome"]["error"], end
        (worker,) = [one for one in place.workers() if one["name"].startswith("echo-")]
        assert worker["version"] == f"mooR worker, {scene.dialect} dialect"
        echo.send_signal(signal.SIGTERM)
        assert finish(echo)[0] == 0
        wait_for("the end of the worker", lambda: scene.count("echo-") == 0)
    assert "WARN" not in place.log(), place.log()


def test_a_worker_that_is_killed_loses_its_executions_and_another_goes_on(token: Scene) -> None:
    place = token.coordinator
    with token.slow() as worker:
        place.action("slow")
        gone = str(token.folder / "gone")
        lost = place.submit("slow", {"args": [gone, 1]}, timeout=15)
        assert 0 < token.began("gone") <= 15
        worker.kill()
        worker.wait()
    # Nothing says that it is gone: at its timeout the execution is, and then the worker.
    assert place.wait(lost, *ENDS)["status"] == "timed_out"
    wait_for("the end of the worker", lambda: token.count("slow-") == 0)
    with token.slow():
        name = "there"
        place.action("slow")
        there = place.submit("slow", {"args": [str(token.folder / name), {"$sym": "x"}]})
        token.began(name)
        token.go(name)
        assert place.wait(there, *ENDS)["outcome"]["result"] == {"$sym": "x"}


def test_a_worker_registers_again_at_a_new_coordinator(scene: Scene) -> None:
    place = scene.coordinator
    with scene.worker("echo") as worker:
        assert place.result("echo", 1) == ["echo_response", 1]
        place.kill()
        place.start()
        assert place.result("echo", 2) == ["echo_response", 2]
        assert place.stop() == 0
        place.start()
        assert place.result("echo", 3) == ["echo_response", 3]
        assert worker.poll() is None


def test_a_worker_answers_before_it_ends(token: Scene) -> None:
    place = token.coordinator
    with token.slow() as worker:
        place.action("slow")
        names = ("one", "two")
        running = [
            place.submit("slow", {"args": [str(token.folder / name), name]}) for name in names
        ]
        for name in names:
            token.began(name)
        worker.send_signal(signal.SIGTERM)
        for name in names:
            token.go(name)
        ends = [place.wait(one, *ENDS) for one in running]
        assert [end["outcome"].get("result") for end in ends] == list(names), ends
        assert finish(worker)[0] == 0


def test_a_cancelled_execution_ends_with_the_answer(token: Scene) -> None:
    place = token.coordinator
    with token.slow():
        place.action("slow")
        execution = place.submit("slow", {"args": [str(token.folder / "one"), 1]})
        token.began("one")
        place.request("POST", f"/api/executions/{execution}/cancel", {})
        assert place.get(f"/api/executions/{execution}")["status"] not in ENDS
        token.go("one")
        assert place.wait(execution, *ENDS)["status"] in ENDS


def test_another_key_or_dialect_is_explained(token: Scene) -> None:
    flags = token.flags[:4]
    other = token.folder / "other.pem"
    other.write_text(load("tokens-1.json")["keys"][1]["private_pem"])
    for arguments, said in (
        ([*flags, "--private-key", str(other)], "not signed with the key of this coordinator"),
        (flags, "not 2; the worker speaks the dialect without tokens"),
    ):
        with started(example("echo"), *arguments) as child:
            status, output = finish(child)
            assert status == 1
            assert said in output
    with token.worker("echo"):
        assert token.coordinator.result("echo", 1) == ["echo_response", 1]


def test_a_type_that_is_not_allowed_is_explained(tmp_path_factory: Any) -> None:
    scene = Scene(tmp_path_factory.mktemp("m"), "plain-ipc", "fetch")
    with scene.worker("echo") as child:
        status, output = finish(child)
    scene.coordinator.kill()
    assert status == 1
    assert "the types are fetch" in output


def test_verify_setup_finds_nothing_wrong_with_a_coordinator(scene: Scene) -> None:
    with started("-m", "tinpot_moor.verify_setup", *scene.flags) as child:
        status, output = finish(child)
    assert (status, output.splitlines()[-1]) == (0, "all is well"), output
    wait_for("the end of the worker", lambda: scene.count("echo-") == 0)
