"""A daemon that a test plays, written from the description of the protocol.

It does nothing by itself: the test takes a message of a worker, and says what is replied.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import zmq
from official import official
from zmq.auth.thread import ThreadAuthenticator

from tinpot_moor import Daemon, Identity, Obj, SigningKey, Symbol, Worker, keys
from tinpot_moor.schema import Dialect
from tinpot_moor.values import SCHEMAS
from tinpot_moor.wire import decode

PATIENCE = float(os.environ.get("MOOR_PATIENCE") or 60)
SETTLED = ("WorkerAck", "WorkerUnknownRequest", "WorkerNotRegistered")
"""The replies after which a worker forgets an answer."""


@dataclass
class Message:
    """A message of a worker, which waits for its reply."""

    kind: str
    fields: dict[str, Any]
    worker_id: UUID
    daemon: FakeDaemon
    identity: bytes

    def reply(self, kind: str, **fields: Any) -> None:
        """Replies. The ids of the message are there already."""
        known = {"worker_id": self.worker_id, "request_id": self.fields.get("request_id")}
        known.update(token={"token": ""}, **fields)
        schema = self.daemon.schema
        self.raw(official(schema, "DaemonToWorkerReply", {"reply": (kind, known)}))

    def raw(self, *frames: bytes) -> None:
        """Replies with any frames."""
        self.daemon.responses.send_multipart([self.identity, b"", *frames])


class FakeDaemon:
    """One daemon in one dialect, over ipc:// or tcp://."""

    def __init__(self, dialect: Dialect, scheme: str, key: SigningKey | None = None) -> None:
        self.dialect, self.key, self.schema = dialect, key, SCHEMAS[dialect]
        self.context = zmq.Context()
        self.folder = tempfile.TemporaryDirectory(prefix="moor")
        self.settled: set[UUID] = set()
        """The requests whose answers were acknowledged."""
        self.repeated: list[str] = []
        """The kinds of answers that came again."""
        self.secret: bytes | None = None
        self.identity: Identity | None = None
        self.authenticator: ThreadAuthenticator | None = None
        if scheme == "tcp" and dialect is Dialect.B:
            self._use_curve()
        names = ("request", "response")
        # A coordinator that attaches here knows the beginning only.
        self.place = f"ipc://{self.folder.name}/m"
        ipc = [f"{self.place}_workers_{name}.sock" for name in names]
        self.addresses = ["tcp://127.0.0.1:0"] * 2 if scheme == "tcp" else ipc
        self.open()

    def _use_curve(self) -> None:
        public, secret = zmq.curve_keypair()
        daemon, self.secret = zmq.curve_keypair()
        self.identity = Identity(public.decode(), secret.decode(), daemon.decode(), str(uuid4()))
        self.admit(public)

    def admit(self, public: bytes) -> None:
        """Lets the owner of this key in, and no one else."""
        if self.authenticator is None:
            self.authenticator = ThreadAuthenticator(self.context)
            self.authenticator.start()
        allowed = Path(self.folder.name) / "allowed"
        allowed.mkdir(exist_ok=True)
        zmq.auth.certs._write_key_file(  # type: ignore[attr-defined]
            allowed / "worker.key", "", public
        )
        self.authenticator.configure_curve(domain="*", location=str(allowed))

    def open(self) -> None:
        """Binds both sockets, at the same addresses as before."""
        # An XPUB is a PUB that says who has subscribed.
        self.requests = self._bind(zmq.XPUB, 0)
        self.responses = self._bind(zmq.ROUTER, 1)

    def _bind(self, kind: int, number: int) -> zmq.Socket[bytes]:
        opened = self.context.socket(kind)
        opened.setsockopt(zmq.LINGER, 0)
        if self.secret is not None:
            opened.curve_server = True
            opened.curve_secretkey = self.secret
        until = time.monotonic() + PATIENCE
        while True:
            try:
                opened.bind(self.addresses[number])
                break
            except zmq.ZMQError:
                # A port stays taken for a moment after its socket was closed.
                assert time.monotonic() < until
                threading.Event().wait(0.01)
        self.addresses[number] = opened.getsockopt_string(zmq.LAST_ENDPOINT)
        return opened

    def leave(self) -> None:
        """Goes away."""
        self.requests.close()
        self.responses.close()

    def close(self) -> None:
        """Ends for good."""
        self.leave()
        if self.authenticator is not None:
            self.authenticator.stop()
        self.context.term()
        self.folder.cleanup()

    @property
    def address(self) -> Daemon:
        """The address for a worker."""
        return Daemon(self.addresses[0], self.addresses[1], self.key, self.identity)

    def next(self, patience: float = PATIENCE) -> Message:
        """Waits for a message of a worker, whose frames it checks."""
        assert self.responses.poll(round(patience * 1000)), "no message comes"
        identity, empty, *frames = self.responses.recv_multipart()
        assert empty == b""
        count = 3 if self.dialect is Dialect.A else 2
        assert len(frames) == count, frames
        worker_id = UUID(bytes=frames[-2])
        kind, fields = decode(self.schema, "WorkerToDaemonMessage", frames[-1])["message"]
        if self.key is not None:
            assert keys.verify(frames[0].decode(), self.key.public) == worker_id
            assert fields["token"]["token"] == frames[0].decode()
        else:
            assert fields["worker_id"] == worker_id
        return Message(kind, fields, worker_id, self, identity)

    def expect(self, kind: str, reply: str | None = "WorkerAck", **fields: Any) -> Message:
        """Waits for a message of this kind, and replies. Others in between are repetitions."""
        while True:
            message = self.next()
            request_id = message.fields.get("request_id")
            if message.kind == kind and request_id not in self.settled:
                if reply is not None:
                    if request_id is not None and reply in SETTLED:
                        self.settled.add(request_id)
                    message.reply(reply, **fields)
                return message
            if request_id is not None:
                assert request_id in self.settled, f"{message.kind} comes before {kind}"
                self.repeated.append(message.kind)
                message.reply("WorkerUnknownRequest")
            else:
                assert message.kind in ("WorkerPong", "AttachWorker"), message.kind
                message.reply("WorkerAttached")

    def attached(self) -> UUID:
        """Waits until a worker has attached and subscribed. Returns its id."""
        message = self.expect("AttachWorker", "WorkerAttached")
        self.subscribed()
        return message.worker_id

    def subscribed(self) -> None:
        """Waits for a subscription."""
        assert self.requests.poll(round(PATIENCE * 1000)), "no worker subscribes"
        assert self.requests.recv() == b"\1workers"

    def publish(self, kind: str, **fields: Any) -> None:
        """Publishes a message to all workers."""
        message = official(self.schema, "DaemonToWorkerMessage", {"message": (kind, fields)})
        self.requests.send_multipart([b"workers", message])

    def ping(self) -> None:
        """Publishes a ping."""
        self.publish("PingWorkers")

    def ask(
        self,
        worker_id: UUID,
        *arguments: Any,
        timeout_ms: int = 0,
        request_id: UUID | None = None,
    ) -> UUID:
        """Publishes a request. Returns its id."""
        request_id = request_id or uuid4()
        self.publish(
            "WorkerRequest",
            worker_id=worker_id,
            token={"token": ""},
            request_id=request_id,
            perms=Obj(-1),
            request=[x if hasattr(x, "write") else (x,) for x in arguments],
            timeout_ms=timeout_ms,
        )
        return request_id

    def result(self, request_id: UUID) -> Any:
        """Waits for the result of a request, and acknowledges it."""
        message = self.expect("RequestResult")
        assert message.fields["request_id"] == request_id
        return message.fields["result"][0]

    def error(self, request_id: UUID) -> tuple[str, str]:
        """Waits for the error of a request, and acknowledges it. Returns kind and message."""
        message = self.expect("RequestError")
        assert message.fields["request_id"] == request_id
        kind, fields = message.fields["error"]["error"]
        return kind.replace("Worker", ""), fields["message"]


class Running:
    """A worker in a thread."""

    def __init__(self, worker: Worker, daemon: Daemon) -> None:
        self.worker = worker
        self.failure: BaseException | None = None
        self.is_stopped = False
        self._thread = threading.Thread(target=self._run, args=(daemon,), daemon=True)
        self._thread.start()

    def _run(self, daemon: Daemon) -> None:
        try:
            self.worker.run(daemon)
        except BaseException as error:
            self.failure = error

    def stop(self) -> None:
        """Stops the worker."""
        self.is_stopped = True
        self.worker.stop()

    def ended(self) -> BaseException | None:
        """Waits for the end. Returns what the worker raised."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the worker does not end"
        return self.failure


def worker_of(function: Callable[..., Any], **options: Any) -> Worker:
    """Returns a worker that needs no patience."""
    options = {"timeout": 30.0, "grace": 0.1, **options}
    worker = Worker("Echo", **options)
    worker.serve(function)
    return worker


@contextmanager
def serving(daemon: FakeDaemon, function: Callable[..., Any], **options: Any) -> Any:
    """Runs a worker that has attached. Yields it and its id."""
    running = Running(worker_of(function, **options), daemon.address)
    try:
        yield running, daemon.attached()
        if not running.is_stopped:
            running.stop()
            daemon.expect("DetachWorker")
    finally:
        running.stop()
        running.stop()
        assert running.ended() is None


def attach_type(message: Message) -> str:
    """Returns the type with which a worker attaches."""
    symbol: Symbol = message.fields["worker_type"]
    return symbol.name
