"""A worker and a daemon over real sockets."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any
from uuid import uuid4

import pytest
import zmq
from daemon import PATIENCE, FakeDaemon, Running, attach_type, serving, worker_of
from official import bomb, tagged

from tinpot_moor import (
    Daemon,
    InternalError,
    InvalidRequest,
    PermissionDenied,
    Refused,
    Request,
    TimedOut,
    Worker,
)
from tinpot_moor.schema import Dialect


def echo(*arguments: Any) -> Any:
    return list(arguments)


class Gate:
    """A function that runs until the test opens it, and says when it has begun."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.opened = threading.Event()

    def __call__(self, *arguments: Any) -> Any:
        self.begun.release()
        assert self.opened.wait(PATIENCE)
        return list(arguments)


def test_a_worker_attaches_answers_and_leaves(any_daemon: FakeDaemon) -> None:
    running = Running(worker_of(echo), any_daemon.address)
    attach = any_daemon.expect("AttachWorker", "WorkerAttached")
    assert attach_type(attach) == "Echo"
    assert attach.worker_id == running.worker.id
    any_daemon.subscribed()
    any_daemon.ping()
    assert attach_type(any_daemon.expect("WorkerPong")) == "Echo"
    asked = any_daemon.ask(attach.worker_id, "Hello", 123, [1.5, {"a": None}])
    assert any_daemon.result(asked) == ["Hello", 123, [1.5, {"a": None}]]
    assert any_daemon.result(any_daemon.ask(attach.worker_id)) == []
    running.stop()
    any_daemon.expect("DetachWorker")
    assert running.ended() is None


def test_a_worker_that_is_not_admitted_does_not_attach() -> None:
    daemon = FakeDaemon(Dialect.B, "tcp")
    try:
        daemon.admit(zmq.curve_keypair()[0])
        running = Running(worker_of(echo), daemon.address)
        assert not daemon.responses.poll(300)
        running.stop()
        running.stop()
        assert running.ended() is None
    finally:
        daemon.close()


class Nameless(Exception):
    """An error that cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError


def failing(why: str) -> Any:
    if why == "invalid":
        raise InvalidRequest("days must be at most 7 (got 8)")
    if why == "denied":
        raise PermissionDenied("only wizards")
    if why == "internal":
        raise InternalError("")
    if why == "late":
        raise TimedOut("the other server is slow")
    if why == "nameless":
        raise Nameless
    if why == "exit":
        sys.exit(3)
    if why == "object":
        return {"when": [object()]}
    raise KeyError(f"{why}\ud800")


@pytest.mark.parametrize(
    ("why", "kind", "message"),
    [
        ("invalid", "InvalidRequest", "days must be at most 7 (got 8)"),
        ("denied", "PermissionDenied", "only wizards"),
        ("internal", "InternalError", "InternalError"),
        ("late", "RequestTimedOut", "the other server is slow"),
        (
            "object",
            "InternalError",
            "result.pairs[0].value.elements[0]: a value of type object has no form in MOO",
        ),
        ("other", "RequestError", "KeyError: 'other"),
        ("exit", "RequestError", "SystemExit: 3 (test_worker.py:"),
        ("nameless", "InternalError", "an error without a text"),
    ],
)
def test_failures_are_answered(daemon: FakeDaemon, why: str, kind: str, message: str) -> None:
    with serving(daemon, failing) as (_, worker_id):
        answered = daemon.error(daemon.ask(worker_id, why))
        assert answered[0] == kind
        assert message in answered[1]


def test_arguments_that_do_not_fit_are_answered(daemon: FakeDaemon) -> None:
    with serving(daemon, failing) as (_, worker_id):
        kind, message = daemon.error(daemon.ask(worker_id))
        assert (kind, message) == (
            "InvalidRequest",
            "failing: missing a required argument: 'why'",
        )


def test_unreadable_arguments_are_answered(any_daemon: FakeDaemon) -> None:
    with serving(any_daemon, echo) as (_, worker_id):
        for value, said in (
            (tagged(13), "request[1]: a lambda cannot be sent to a worker"),
            (bomb(100, 1), "values must be nested at most 64 deep"),
            (bomb(8, 10), "refers to the same tables too often"),
        ):
            kind, message = any_daemon.error(any_daemon.ask(worker_id, 1, value))
            assert kind == "InvalidRequest"
            assert said in message
        assert any_daemon.result(any_daemon.ask(worker_id, 2)) == [2]


def test_a_request_that_is_too_large_is_not_silently_dropped(daemon: FakeDaemon) -> None:
    with serving(daemon, echo) as (_, worker_id):
        assert daemon.result(daemon.ask(worker_id, "x" * 4_000_000)) == ["x" * 4_000_000]


def test_what_is_not_for_the_worker_is_ignored(any_daemon: FakeDaemon) -> None:
    with serving(any_daemon, echo) as (_, worker_id):
        publish = any_daemon.requests.send_multipart
        publish([b"workers", b""])
        publish([b"workers", b"\xff" * 12])
        publish([b"workers"])
        publish([b"workers2", b"x"])
        publish([b"workers", b"x", b"y"])
        any_daemon.ask(uuid4(), "for another worker")
        any_daemon.publish("PleaseDie", worker_id=uuid4(), token={"token": ""})
        assert any_daemon.result(any_daemon.ask(worker_id, "mine")) == ["mine"]


def test_a_request_that_comes_twice_runs_once(daemon: FakeDaemon) -> None:
    gate = Gate()
    with serving(daemon, gate) as (_, worker_id):
        request_id = daemon.ask(worker_id, 1)
        daemon.ask(worker_id, 2, request_id=request_id)
        gate.opened.set()
        assert daemon.result(request_id) == [1]
        assert daemon.result(daemon.ask(worker_id, 3)) == [3]


def test_please_die_ends_the_worker(any_daemon: FakeDaemon) -> None:
    running = Running(worker_of(echo), any_daemon.address)
    worker_id = any_daemon.attached()
    any_daemon.publish("PleaseDie", worker_id=worker_id, token={"token": ""})
    any_daemon.expect("DetachWorker")
    assert running.ended() is None


def test_pings_are_answered_during_work(daemon: FakeDaemon) -> None:
    gate = Gate()
    with serving(daemon, gate, slots=1) as (_, worker_id):
        asked = daemon.ask(worker_id, 1)
        assert gate.begun.acquire(timeout=PATIENCE)
        for _ in range(3):
            daemon.ping()
            daemon.expect("WorkerPong")
        gate.opened.set()
        assert daemon.result(asked) == [1]


def test_requests_wait_for_a_slot_and_then_are_refused(daemon: FakeDaemon) -> None:
    gate = Gate()
    with serving(daemon, gate, slots=2, waiting=1) as (_, worker_id):
        asked = [daemon.ask(worker_id, number) for number in range(4)]
        kind, message = daemon.error(asked[3])
        assert (kind, message) == ("InternalError", "the worker is busy: 1 requests wait")
        gate.opened.set()
        results = [daemon.expect("RequestResult").fields for _ in range(3)]
        assert {fields["request_id"] for fields in results} == set(asked[:3])


def test_a_time_limit_is_kept(daemon: FakeDaemon) -> None:
    ends: list[str] = []
    checked = threading.Event()

    def wait(request: Request, name: str) -> str:
        assert request.stopping.wait(PATIENCE)
        try:
            request.check()
        except TimedOut:
            ends.append(name)
        checked.set()
        return name

    with serving(daemon, wait, slots=1) as (_, worker_id):
        first = daemon.ask(worker_id, "first", timeout_ms=100)
        assert daemon.error(first) == ("RequestTimedOut", "the request has exceeded its time")
        assert checked.wait(PATIENCE)
        assert ends == ["first"]
        # The late result is not sent, and the slot is free again.
        second = daemon.ask(worker_id, "second", timeout_ms=1)
        assert daemon.error(second)[0] == "RequestTimedOut"
    assert daemon.repeated == []


def test_a_request_that_waits_too_long_never_starts(daemon: FakeDaemon) -> None:
    gate = Gate()
    with serving(daemon, gate, slots=1) as (_, worker_id):
        first = daemon.ask(worker_id, 1)
        assert gate.begun.acquire(timeout=PATIENCE)
        second = daemon.ask(worker_id, 2, timeout_ms=50)
        kind, message = daemon.error(second)
        assert (kind, message) == (
            "RequestTimedOut",
            "the request has exceeded its time before it could start",
        )
        gate.opened.set()
        assert daemon.result(first) == [1]
        assert not gate.begun.acquire(blocking=False)


def test_the_worker_has_a_time_limit_of_its_own(daemon: FakeDaemon) -> None:
    def wait(request: Request) -> None:
        assert 0 < request.remaining() < 1
        assert request.stopping.wait(PATIENCE)

    with serving(daemon, wait, timeout=0.1) as (_, worker_id):
        assert daemon.error(daemon.ask(worker_id, timeout_ms=60_000))[0] == "RequestTimedOut"


def test_a_result_that_the_daemon_cannot_read_is_followed_by_an_error(daemon: FakeDaemon) -> None:
    with serving(daemon, echo) as (_, worker_id):
        for reply in ("WorkerInvalidPayload", "WorkerRejected"):
            asked = daemon.ask(worker_id, 1)
            daemon.expect("RequestResult", reply, reason="no lists today")
            kind, message = daemon.error(asked)
            said = "the daemon refuses the result: no lists today"
            assert (kind, message) == ("InternalError", said)


def test_results_that_are_not_waited_for_are_dropped(daemon: FakeDaemon) -> None:
    with serving(daemon, echo) as (_, worker_id):
        daemon.ask(worker_id, 1)
        daemon.expect("RequestResult", "WorkerUnknownRequest")
        assert daemon.result(daemon.ask(worker_id, 2)) == [2]


def test_a_forgotten_worker_registers_again(daemon: FakeDaemon) -> None:
    with serving(daemon, echo) as (_, worker_id):
        daemon.ask(worker_id, 1)
        daemon.expect("RequestResult", "WorkerNotRegistered")
        daemon.expect("WorkerPong", "WorkerAttached")
        assert daemon.result(daemon.ask(worker_id, 2)) == [2]


def test_a_message_without_a_reply_is_sent_again(daemon: FakeDaemon) -> None:
    with serving(daemon, echo, reply_timeout=0.2) as (_, worker_id):
        asked = daemon.ask(worker_id, 1)
        daemon.expect("RequestResult", None)
        assert daemon.result(asked) == [1]
        # The reply of two frames, or one that is no message, is none.
        asked = daemon.ask(worker_id, 2)
        daemon.expect("RequestResult", None).raw(b"two", b"frames")
        daemon.expect("RequestResult", None).raw(b"\xff" * 12)
        assert daemon.result(asked) == [2]


def test_an_attach_is_repeated_until_it_is_answered(daemon: FakeDaemon) -> None:
    running = Running(worker_of(echo, reply_timeout=0.1), daemon.address)
    for _ in range(3):
        daemon.expect("AttachWorker", None)
    daemon.attached()
    running.stop()
    daemon.expect("DetachWorker")
    assert running.ended() is None


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("WorkerAuthFailed", "the daemon refuses the worker: why (WorkerAuthFailed)"),
        ("WorkerInvalidPayload", "the daemon refuses the worker: why (WorkerInvalidPayload)"),
        ("WorkerRejected", "this worker speaks dialect A: for the other one start it without"),
        (None, "the reply to the attach cannot be read"),
    ],
)
def test_a_refused_worker_ends(daemon: FakeDaemon, reply: str | None, said: str) -> None:
    running = Running(worker_of(echo), daemon.address)
    attach = daemon.expect("AttachWorker", None)
    if reply is None:
        attach.raw(b"\xff" * 12)
    else:
        attach.reply(reply, reason="why")
    failure = running.ended()
    assert isinstance(failure, Refused)
    assert said in str(failure)


def test_a_daemon_may_go_away_and_come_back(any_daemon: FakeDaemon) -> None:
    gate = Gate()
    with serving(any_daemon, gate, reply_timeout=0.3) as (_, worker_id):
        late = any_daemon.ask(worker_id, "late")
        assert gate.begun.acquire(timeout=PATIENCE)
        any_daemon.leave()
        gate.opened.set()
        any_daemon.open()
        # The result is for a daemon that has forgotten its request.
        message = any_daemon.expect("RequestResult", "WorkerNotRegistered")
        assert message.fields["request_id"] == late
        any_daemon.expect("WorkerPong", "WorkerAttached")
        any_daemon.subscribed()
        any_daemon.ping()
        any_daemon.expect("WorkerPong")
        assert any_daemon.result(any_daemon.ask(worker_id, "new")) == ["new"]


def test_without_pings_the_worker_connects_again(daemon: FakeDaemon) -> None:
    with serving(daemon, echo, silence=0.2):
        for _ in range(2):
            daemon.expect("WorkerPong", "WorkerAttached")


def test_a_worker_waits_for_its_daemon(daemon: FakeDaemon) -> None:
    daemon.leave()
    running = Running(worker_of(echo, reply_timeout=0.2), daemon.address)
    daemon.open()
    worker_id = daemon.attached()
    assert daemon.result(daemon.ask(worker_id, 1)) == [1]
    running.stop()
    daemon.expect("DetachWorker")
    assert running.ended() is None


def test_a_worker_ends_without_its_daemon(
    daemon: FakeDaemon, caplog: pytest.LogCaptureFixture
) -> None:
    daemon.leave()
    running = Running(worker_of(echo, reply_timeout=0.05), daemon.address)
    until = time.monotonic() + PATIENCE
    while "no reply to the attach" not in caplog.text:
        assert time.monotonic() < until
        time.sleep(0.01)
    running.stop()
    running.stop()
    assert running.ended() is None
    daemon.open()


def test_running_requests_may_end_within_the_grace_period(daemon: FakeDaemon) -> None:
    gate = Gate()
    with serving(daemon, gate, slots=1, grace=PATIENCE) as (running, worker_id):
        first, second = daemon.ask(worker_id, 1), daemon.ask(worker_id, 2)
        assert gate.begun.acquire(timeout=PATIENCE)
        running.stop()
        assert daemon.error(second) == ("InternalError", "the worker shuts down")
        third = daemon.ask(worker_id, 3)
        assert daemon.error(third) == ("InternalError", "the worker shuts down")
        daemon.ping()
        daemon.expect("WorkerPong")
        gate.opened.set()
        assert daemon.result(first) == [1]
        daemon.expect("DetachWorker")


def test_after_the_grace_period_requests_are_answered_for(daemon: FakeDaemon) -> None:
    gate = Gate()
    with serving(daemon, gate, grace=0.1) as (running, worker_id):
        asked = daemon.ask(worker_id, 1)
        assert gate.begun.acquire(timeout=PATIENCE)
        running.stop()
        assert daemon.error(asked) == ("InternalError", "the worker shuts down")
        daemon.expect("DetachWorker")
        gate.opened.set()


@pytest.mark.parametrize(
    ("daemon_address", "said"),
    [
        (Daemon("udp://a:1"), "must be ipc://PATH or tcp://HOST:PORT"),
        (Daemon("ipc://"), "must be ipc://PATH or tcp://HOST:PORT"),
        (Daemon(f"ipc:///{'x' * 120}"), "at most 107 bytes"),
        (Daemon("tcp://localhost", "tcp://localhost:1"), "must have a port"),
        (Daemon("tcp://localhost:65536", "tcp://localhost:1"), "must have a port"),
        (Daemon("tcp://h:1", "tcp://h:2"), "needs a signing key"),
    ],
)
def test_addresses_are_checked(daemon_address: Daemon, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        worker_of(echo).run(daemon_address)


def test_a_worker_needs_a_type_a_function_and_a_slot() -> None:
    with pytest.raises(ValueError, match="must have a name"):
        Worker("")
    with pytest.raises(ValueError, match="at least 1"):
        Worker("x", slots=0)
    with pytest.raises(ValueError, match="has no function"):
        Worker("x").run()
    with pytest.raises(ValueError, match="has one function"):
        worker_of(echo).serve(echo)
