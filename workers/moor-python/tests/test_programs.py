"""Programs: the examples, their signals, and `verify_setup`."""

from __future__ import annotations

import http.server
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zmq
from daemon import PATIENCE, FakeDaemon
from official import official
from vectors import load

from tinpot_moor import EnrolmentRefused, Err, Identity, enrol, enrolment_token, verify_setup
from tinpot_moor.schema import Dialect
from tinpot_moor.values import SCHEMAS
from tinpot_moor.wire import decode

HERE = Path(__file__).parents[1]
SLOW = """
import time
import tinpot_moor.worker
from tinpot_moor import Worker
from tinpot_moor.cli import main

# A slow machine takes longer to play the daemon.
tinpot_moor.worker.LAST_WORDS = 60
worker = Worker("slow", grace=60)

@worker.serve
def slow(name):
    print("begun", flush=True)
    while not open(name).read():
        time.sleep(0.01)
    return "done"

main(worker)
"""


def flags(daemon: FakeDaemon, folder: Path) -> list[str]:
    """Returns the flags of a worker, with key files for dialect A."""
    addresses = ["--request-address", daemon.addresses[0], "--response-address"]
    both = [*addresses, daemon.addresses[1]]
    if daemon.key is None:
        return both
    return [*both, *key_files(folder)]


def key_files(folder: Path, private: str = "private_pem", public: int = 0) -> list[str]:
    """Writes key files. Returns their flags."""
    entries = load("tokens-1.json")["keys"]
    folder.mkdir(exist_ok=True)
    paths = folder / "private.pem", folder / "public.pem"
    paths[0].write_text(entries[0][private])
    paths[0].chmod(0o600)
    paths[1].write_text(entries[public]["public_pem"])
    return ["--private-key", str(paths[0]), "--public-key", str(paths[1])]


@contextmanager
def program(*command: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """Runs a Python program, and ends it."""
    environment = {**os.environ, **variables, "PYTHONPATH": str(HERE / "src")}
    child = subprocess.Popen(
        [sys.executable, *command],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def finish(child: subprocess.Popen[str]) -> tuple[int, str]:
    """Waits for the end of a program. Returns its status and its output."""
    output = child.communicate(timeout=PATIENCE)[0]
    return child.returncode, output


def example(name: str) -> str:
    return str(HERE / "examples" / f"{name}.py")


def test_the_echo_answers_and_ends_by_sigterm(any_daemon: FakeDaemon, tmp_path: Path) -> None:
    if any_daemon.identity is not None:
        any_daemon.identity.save(tmp_path, "python-echo-worker", "box")
    arguments = [*flags(any_daemon, tmp_path), "--data-dir", str(tmp_path)]
    with program(example("echo"), *arguments) as child:
        worker_id = any_daemon.attached()
        asked = any_daemon.ask(worker_id, "Hello", "World", 123)
        assert any_daemon.result(asked) == ["echo_response", "Hello", "World", 123]
        child.send_signal(signal.SIGTERM)
        any_daemon.expect("DetachWorker")
        assert finish(child)[0] == 0


def test_sigterm_in_the_middle_of_a_request(daemon_b: FakeDaemon, tmp_path: Path) -> None:
    name = tmp_path / "gate"
    name.touch()
    with program("-c", SLOW, *flags(daemon_b, tmp_path)) as child:
        worker_id = daemon_b.attached()
        asked = daemon_b.ask(worker_id, str(name))
        assert child.stdout is not None
        while "begun" not in child.stdout.readline():
            pass
        child.send_signal(signal.SIGTERM)
        daemon_b.ping()
        daemon_b.expect("WorkerPong")
        name.write_text("go")
        assert daemon_b.result(asked) == "done"
        daemon_b.expect("DetachWorker")
        assert finish(child)[0] == 0


def test_a_second_signal_ends_at_once(daemon_b: FakeDaemon, tmp_path: Path) -> None:
    name = tmp_path / "gate"
    name.touch()
    with program("-c", SLOW, *flags(daemon_b, tmp_path)) as child:
        asked = daemon_b.ask(daemon_b.attached(), str(name))
        assert child.stdout is not None
        while "begun" not in child.stdout.readline():
            pass
        child.send_signal(signal.SIGTERM)
        while "stopping" not in child.stdout.readline():
            pass
        child.send_signal(signal.SIGINT)
        assert daemon_b.error(asked) == ("InternalError", "the worker shuts down")
        daemon_b.expect("DetachWorker")
        assert finish(child)[0] == 0


def test_the_calculator_calculates(daemon: FakeDaemon, tmp_path: Path) -> None:
    with program(example("arithmetic"), *flags(daemon, tmp_path)):
        worker_id = daemon.attached()
        for arguments, result in (
            (("add", 1, 2), 3),
            (("divide", 7, 2), 3.5),
            (("multiply", 2, 1.5), 3.0),
            (("remainder", 7, 0), Err("E_DIV", "Division by zero")),
        ):
            assert daemon.result(daemon.ask(worker_id, *arguments)) == result
        kind, message = daemon.error(daemon.ask(worker_id, "power", 1, 2))
        assert (kind, message[:30]) == ("InvalidRequest", "the operation must be one of a")
        kind, message = daemon.error(daemon.ask(worker_id, "add", 1, "2"))
        assert (kind, message) == ("InvalidRequest", "an operand must be a number (got '2')")


class Page(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(404 if self.path == "/none" else 200)
        self.send_header("X-Name", self.headers["X-Name"] or "")
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.end_headers()
        self.wfile.write("Grüße, ".encode() + body)

    def do_GET(self) -> None:
        self.send_response(302)
        self.send_header("Location", "http://elsewhere.test/")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


def test_the_fetcher_fetches_from_hosts_that_are_allowed(
    daemon: FakeDaemon, tmp_path: Path
) -> None:
    server = http.server.HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    allow = ["--allow", "127.0.0.1"]
    with program(example("fetch"), *flags(daemon, tmp_path), *allow) as child:
        worker_id = daemon.attached()
        asked = daemon.ask(worker_id, "POST", f"{url}/", "Ada", [["X-Name", "Countess"]])
        answer = daemon.result(asked)
        assert (answer["status"], answer["body"]) == (200, "Grüße, Ada")
        assert ["X-Name", "Countess"] in answer["headers"]
        assert daemon.result(daemon.ask(worker_id, "POST", f"{url}/none", "x"))["status"] == 404
        assert daemon.result(daemon.ask(worker_id, "GET", url))["status"] == 302
        for arguments, kind in (
            (("GET", "http://localhost/"), "PermissionDenied"),
            (("GET", "file:///etc/passwd"), "InvalidRequest"),
            (("GET",), "InvalidRequest"),
        ):
            assert daemon.error(daemon.ask(worker_id, *arguments))[0] == kind
        child.send_signal(signal.SIGTERM)
        daemon.expect("DetachWorker")
        assert finish(child)[0] == 0
    server.shutdown()
    server.server_close()


def test_a_program_says_why_it_cannot_start(daemon: FakeDaemon, tmp_path: Path) -> None:
    with program(example("echo"), "--private-key", str(tmp_path / "none.pem")) as child:
        status, output = finish(child)
        assert (status, output.strip()[-25:]) == (1, "No such file or directory")
    with program(example("echo"), *flags(daemon, tmp_path)) as child:
        daemon.expect("AttachWorker", "WorkerAuthFailed", reason="not you")
        status, output = finish(child)
        assert status == 1
        assert "the daemon refuses the worker: not you" in output


# Enrolment.


@contextmanager
def enrolling(**response: Any) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Answers one enrolment."""
    asked: list[dict[str, Any]] = []
    schema = SCHEMAS[Dialect.B]
    with zmq.Context() as context, context.socket(zmq.REP) as answering:
        answering.setsockopt(zmq.LINGER, 1000)
        answering.bind("tcp://127.0.0.1:0")
        address = answering.getsockopt_string(zmq.LAST_ENDPOINT)

        def answer() -> None:
            if answering.poll(round(PATIENCE * 1000)):
                asked.append(decode(schema, "EnrollmentRequest", answering.recv()))
                answering.send(official(schema, "EnrollmentResponse", response))

        thread = threading.Thread(target=answer)
        thread.start()
        yield address, asked
        thread.join()


def test_a_worker_is_enrolled_and_keeps_its_keys(tmp_path: Path) -> None:
    daemon = zmq.curve_keypair()[0].decode()
    granted = {"success": True, "service_uuid": "some-uuid", "daemon_curve_public_key": daemon}
    with enrolling(**granted) as (address, asked):
        identity = enrol("python-echo-worker", "the token", address, tmp_path / "data", PATIENCE)
    assert (identity.daemon, identity.service_uuid) == (daemon, "some-uuid")
    assert asked[0]["enrollment_token"] == "the token"
    assert asked[0]["curve_public_key"] == identity.public
    assert asked[0]["service_type"] == "python-echo-worker"
    assert identity.secret not in repr(identity)
    assert Identity.load(tmp_path / "data", "python-echo-worker") == identity
    secret = tmp_path / "data" / "python-echo-worker-curve.key"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    secret.write_text("nothing")
    with pytest.raises(EnrolmentRefused, match="remove the three files"):
        Identity.load(tmp_path / "data", "python-echo-worker")
    assert Identity.load(tmp_path, "python-echo-worker") is None


@pytest.mark.parametrize(
    ("response", "said"),
    [
        ({"success": False, "error": "Invalid token"}, "Invalid token"),
        ({"success": True, "daemon_curve_public_key": "short"}, "Z85 of 40 characters"),
        ({"success": True}, "Z85 of 40 characters"),
    ],
)
def test_an_enrolment_that_fails_is_explained(
    response: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with enrolling(**response) as (address, _), pytest.raises(EnrolmentRefused, match=said):
        enrol("python-echo-worker", "token", address, tmp_path, PATIENCE)
    assert not list(tmp_path.iterdir())
    with pytest.raises(TimeoutError, match="does not answer"):
        enrol("python-echo-worker", "token", "tcp://127.0.0.1:1", tmp_path, 0.05)


def test_the_token_of_an_enrolment_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("MOOR_ENROLLMENT_TOKEN", raising=False)
    with pytest.raises(EnrolmentRefused, match="MOOR_ENROLLMENT_TOKEN is not set"):
        enrolment_token()
    (tmp_path / "moor").mkdir()
    (tmp_path / "moor" / "enrollment-token").write_text("of the folder\n")
    assert enrolment_token() == "of the folder"
    (tmp_path / "mine").write_text("of the file\n")
    assert enrolment_token(tmp_path / "mine") == "of the file"
    monkeypatch.setenv("MOOR_ENROLLMENT_TOKEN", "of the variable")
    assert enrolment_token(tmp_path / "mine") == "of the variable"


# verify_setup.


def verify(*arguments: str) -> Any:
    return program("-m", "tinpot_moor.verify_setup", *arguments)


def test_verify_setup_finds_nothing_wrong(any_daemon: FakeDaemon, tmp_path: Path) -> None:
    if any_daemon.identity is not None:
        any_daemon.identity.save(tmp_path, "python-echo-worker", "box")
    arguments = [*flags(any_daemon, tmp_path), "--data-dir", str(tmp_path)]
    with verify(*arguments, "--patience", str(PATIENCE)) as child:
        any_daemon.attached()
        any_daemon.ping()
        any_daemon.expect("DetachWorker")
        status, output = finish(child)
        assert (status, output.splitlines()[-1]) == (0, "all is well"), output
        assert "the daemon pings" in output


def test_verify_setup_explains_the_keys(
    daemon: FakeDaemon, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    addresses = flags(daemon, tmp_path)[:4]
    cases: list[tuple[list[str], str]] = [
        (key_files(tmp_path / "a", public=1), "is not the public key of"),
        (key_files(tmp_path / "b", private="private_pem_v2"), "PKCS#8 version 2"),
        (["--public-key", str(tmp_path / "a" / "public.pem")], "needs a private key"),
    ]
    (tmp_path / "b" / "private.pem").chmod(0o644)
    for arguments, said in cases:
        status = verify_setup.main([*addresses, *arguments, "--offline"])
        output = capsys.readouterr().out
        assert said in output
        assert ("others can read" in output) == ("version 2" in said)
        assert status == (0 if "version 2" in said else 1)


def test_verify_setup_explains_the_addresses(
    daemon_b: FakeDaemon, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = daemon_b.addresses
    file = tmp_path / "file"
    file.touch()
    for addresses, said in (
        ((first, first), "must have two addresses"),
        ((f"ipc://{tmp_path}/none", second), "there is no socket"),
        ((f"ipc://{tmp_path}/none/none", second), "there is no socket and no folder"),
        ((f"ipc://{file}", second), "this is not a socket"),
        (("http://x", second), "must be ipc://PATH or tcp://HOST:PORT"),
        (("tcp://127.0.0.1:1", second), "needs a signing key"),
        ((first, "tcp://127.0.0.1:1"), "echo is not enrolled yet"),
        ((first, "tcp://127.0.0.1:1"), "enrolment: tcp://127.0.0.1:2: no process listens"),
    ):
        requests, responses = addresses
        arguments = ["--request-address", requests, "--response-address", responses]
        arguments += ["--enrollment-address", "tcp://127.0.0.1:2", "--data-dir", str(tmp_path)]
        status = verify_setup.main([*arguments, "--offline"])
        output = capsys.readouterr().out
        assert (status, said in output) == (1, True), output


def test_verify_setup_explains_the_daemon(daemon_b: FakeDaemon, tmp_path: Path) -> None:
    first, second = daemon_b.addresses
    arguments = ["--patience", "0.3"]
    swapped = ["--request-address", second, "--response-address", first, *arguments]
    with verify(*swapped) as child:
        status, output = finish(child)
        assert (status, "does not answer for 0.3 s" in output) == (1, True), output
    right = ["--request-address", first, "--response-address", second]
    with verify(*right, *key_files(tmp_path), "--patience", str(PATIENCE)) as child:
        identity, empty, *frames = daemon_b.responses.recv_multipart()
        assert (empty, len(frames)) == (b"", 3)
        reply = {"reply": ("WorkerRejected", {"reason": "Message rejected"})}
        message = official(daemon_b.schema, "DaemonToWorkerReply", reply)
        daemon_b.responses.send_multipart([identity, b"", message])
        status, output = finish(child)
        assert (status, "dialect A may be the wrong one" in output) == (1, True), output
    with verify(*right, "--patience", "2") as child:
        daemon_b.attached()
        daemon_b.expect("DetachWorker")
        status, output = finish(child)
        assert (status, "no ping for 2 s" in output) == (1, True), output
