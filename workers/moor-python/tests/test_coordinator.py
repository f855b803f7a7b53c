"""Workers at a coordinator of Tinpot, in both dialects."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import coordinator
import pytest
import zmq
from coordinator import ENDS, Coordinator, free_port, wait_for
from daemon import PATIENCE, FakeDaemon
from test_programs import example, finish, key_files
from test_programs import program as started
from vectors import load

from tinpot_moor import Err, Identity, SigningKey
from tinpot_moor.messages import Protocol
from tinpot_moor.schema import Dialect

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

    def __init__(self, folder: Path, form: str, types: str = TYPES, **more: str) -> None:
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
        if self.dialect == "token":
            self.flags += keys
            more["TINPOT_MOOR_KEY"] = keys[3]
        self.coordinator = Coordinator(folder, address, self.dialect, types, **more)
        if form == "plain-tcp":
            self.use_curve()

    def use_curve(self) -> None:
        """Encrypts the connections, and lets workers enrol."""
        self.coordinator.run_program("moor", "curve-keygen", "--key", "curve.key")
        enrolment, token = f"tcp://127.0.0.1:{free_port()}", self.folder / "token"
        token.write_text(f"{uuid4()}\n")
        variables = self.coordinator.variables
        variables["TINPOT_MOOR_CURVE_KEY"] = str(self.folder / "curve.key")
        variables["TINPOT_MOOR_CURVE_CLIENTS"] = str(self.folder / "clients")
        variables["TINPOT_MOOR_ENROLLMENT"] = enrolment
        variables["TINPOT_MOOR_ENROLLMENT_TOKEN_FILE"] = str(token)
        self.flags += ["--enrollment-address", enrolment, "--enrollment-token-file", str(token)]
        self.flags += ["--data-dir", str(self.folder / "data")]

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


@pytest.fixture(params=["token-ipc", "token-tcp", "plain-ipc", "plain-tcp"])
def scene(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Scene]:
    # The path of a socket is short.
    made = Scene(tmp_path_factory.mktemp("m"), str(request.param))
    with made.coordinator:
        yield made


@pytest.fixture
def token(tmp_path_factory: Any) -> Iterator[Scene]:
    made = Scene(tmp_path_factory.mktemp("m"), "token-ipc")
    with made.coordinator:
        yield made


@pytest.fixture
def curve(tmp_path_factory: Any) -> Iterator[Scene]:
    made = Scene(tmp_path_factory.mktemp("m"), "plain-tcp")
    with made.coordinator:
        yield made


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
    with scene.coordinator, scene.worker("echo") as child:
        status, output = finish(child)
    assert status == 1
    assert "the types are fetch" in output


def test_verify_setup_finds_nothing_wrong_with_a_coordinator(scene: Scene) -> None:
    if "--data-dir" in scene.flags:
        # A first start enrols it.
        with scene.worker("echo") as worker:
            scene.coordinator.action("echo")
            worker.send_signal(signal.SIGTERM)
            assert finish(worker)[0] == 0
    patience = ["--patience", str(PATIENCE)]
    with started("-m", "tinpot_moor.verify_setup", *scene.flags, *patience) as child:
        status, output = finish(child)
    assert (status, output.splitlines()[-1]) == (0, "all is well"), output
    assert "the daemon pings" in output
    wait_for("the end of the worker", lambda: scene.count("echo-") == 0)


# CURVE.


def test_only_workers_that_are_enrolled_can_connect(curve: Scene) -> None:
    with curve.worker("echo"):
        assert curve.coordinator.result("echo", 1) == ["echo_response", 1]
    lines = (curve.folder / "clients").read_text().splitlines()
    assert len(lines) == 1
    assert "python-echo-worker" in lines[0]
    known = Identity.load(curve.folder / "data", "python-echo-worker")
    assert known is not None
    assert lines[0].startswith(f"{known.public} {known.service_uuid} ")
    # Another key, and none.
    public, secret = (key.decode() for key in zmq.curve_keypair())
    Identity(public, secret, known.daemon, known.service_uuid).save(
        curve.folder / "other", "python-echo-worker", "box"
    )
    flags = [*curve.flags, "--data-dir", str(curve.folder / "other"), "--patience", "3"]
    with started("-m", "tinpot_moor.verify_setup", *flags) as child:
        status, output = finish(child)
        assert (status, "does not answer for 3 s" in output) == (1, True), output
    protocol = Protocol("echo", uuid4())
    with zmq.Context() as context, context.socket(zmq.REQ) as stranger:
        stranger.setsockopt(zmq.LINGER, 0)
        stranger.connect(curve.flags[3])
        stranger.send_multipart(protocol.attach())
        assert not stranger.poll(1000)
    wait_for("the end of the first worker", lambda: curve.count("echo-") == 0)
    with curve.worker("echo"):
        assert curve.coordinator.result("echo", 2) == ["echo_response", 2]


def test_an_enrolment_with_another_token_is_refused(curve: Scene) -> None:
    (curve.folder / "wrong").write_text(str(uuid4()))
    wrong = ["--enrollment-token-file", str(curve.folder / "wrong")]
    with started(example("echo"), *curve.flags, *wrong) as child:
        status, output = finish(child)
    assert (status, "the token of the enrollment is wrong" in output) == (1, True), output
    assert not (curve.folder / "clients").exists()


# The other way: actions of a coordinator at a daemon.


@pytest.mark.parametrize("dialect", list(Dialect))
def test_a_daemon_runs_actions_of_a_coordinator(dialect: Dialect, tmp_path_factory: Any) -> None:
    folder = tmp_path_factory.mktemp("m")
    key = SigningKey.parse(load("tokens-1.json")["keys"][0]["private_pem"].encode())
    daemon = FakeDaemon(dialect, "ipc", key if dialect is Dialect.A else None)
    more = {"TINPOT_MOOR_DAEMON": daemon.place}
    more["TINPOT_MOOR_DAEMON_ACTIONS"] = "calculator=arithmetic"
    if dialect is Dialect.A:
        more["TINPOT_MOOR_DAEMON_KEY"] = key_files(folder / "keys")[1]
    types = "arithmetic(operation: str, left: any, right: any):4"
    scene = Scene(folder, "plain-ipc", types, **more)
    with scene.coordinator, scene.worker("arithmetic"):
        scene.coordinator.action("arithmetic")
        worker_id = daemon.attached()
        assert daemon.result(daemon.ask(worker_id, "divide", 7, 2)) == 3.5
        named = {"operation": "remainder", "left": 7, "right": 0}
        assert daemon.result(daemon.ask(worker_id, named)) == Err("E_DIV", "Division by zero")
        kind, message = daemon.error(daemon.ask(worker_id, "power", 1, 2))
        assert (kind, "must be one of add" in message) == ("RequestError", True), message
        kind, message = daemon.error(daemon.ask(worker_id, 1, 2, 3))
        assert (kind, "operation" in message) == ("InvalidRequest", True), message
        # The daemon is restarted.
        daemon.leave()
        daemon.open()
        daemon.subscribed()
        daemon.ping()
        daemon.expect("WorkerPong", "WorkerAttached")
        assert daemon.result(daemon.ask(worker_id, "add", 1, 2.5)) == 3.5
        scene.coordinator.child.terminate()
        daemon.expect("DetachWorker")
        assert scene.coordinator.child.wait(PATIENCE) == 0
    daemon.close()
