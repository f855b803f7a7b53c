"""The sockets of a worker."""

from __future__ import annotations

import contextlib
import re
import socket
from dataclasses import dataclass

import zmq

from .enrol import Identity
from .keys import SigningKey
from .messages import TOPIC
from .wire import MESSAGE_BYTES

REQUESTS = "ipc:///tmp/moor_workers_request.sock"
RESPONSES = "ipc:///tmp/moor_workers_response.sock"
PATH_BYTES = 107
"""The longest path of a socket on Linux."""
RECEIVED = 100
"""The number of publications that are read before replies have a turn again."""


@dataclass(frozen=True)
class Daemon:
    """The addresses of a daemon, and what it takes to talk to it.

    With a key the worker speaks dialect A, otherwise B. Dialect B needs an identity over TCP.
    """

    requests: str = REQUESTS
    responses: str = RESPONSES
    key: SigningKey | None = None
    identity: Identity | None = None

    def check(self) -> None:
        """Raises ValueError if the parts do not fit together."""
        for name, address in (("requests", self.requests), ("responses", self.responses)):
            scheme, _, place = address.partition("://")
            if scheme not in ("ipc", "tcp") or not place:
                raise ValueError(f"{name} must be ipc://PATH or tcp://HOST:PORT (got {address!r})")
            if scheme == "ipc" and len(place.encode()) > PATH_BYTES:
                bound = f"a path of a socket must have at most {PATH_BYTES} bytes"
                raise ValueError(f"{bound} (got {len(place.encode())}): {address}")
            port = re.fullmatch(r".+:([0-9]{1,5})", place)
            if scheme == "tcp" and (port is None or not 0 < int(port[1]) < 65536):
                raise ValueError(
                    f"{name} must have a port, as in tcp://HOST:7896 (got {address!r})"
                )
            if scheme == "tcp" and self.key is None and self.identity is None:
                need = "a signing key (dialect A) or an enrolled identity (dialect B)"
                raise ValueError(f"{address} needs {need}")


class Link:
    """The sockets, and a way to wake up the thread that polls them."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._context = zmq.Context()
        self._poller = zmq.Poller()
        self._awake, self._waker = socket.socketpair()
        for end in (self._awake, self._waker):
            end.setblocking(False)
        self._poller.register(self._awake.fileno(), zmq.POLLIN)
        self._sub: zmq.Socket[bytes] | None = None
        self._req: zmq.Socket[bytes] | None = None
        self.subscribe()
        self.reconnect()

    def subscribe(self) -> None:
        """Opens a new subscription in place of the present one."""
        self._close(self._sub)
        self._sub = self._open(zmq.SUB)
        self._sub.setsockopt(zmq.SUBSCRIBE, TOPIC)
        self._sub.connect(self._daemon.requests)

    def reconnect(self) -> None:
        """Opens a new socket for requests. One without a reply can send nothing any more."""
        self._close(self._req)
        self._req = self._open(zmq.REQ)
        self._req.connect(self._daemon.responses)

    def _open(self, kind: int) -> zmq.Socket[bytes]:
        opened = self._context.socket(kind)
        # What was not sent when the worker ends is of no use to the daemon.
        opened.setsockopt(zmq.LINGER, 0)
        # Larger ones than a worker reads are answered, up to a bound.
        opened.setsockopt(zmq.MAXMSGSIZE, 4 * MESSAGE_BYTES)
        if self._daemon.identity is not None:
            self._daemon.identity.secure(opened)
        self._poller.register(opened, zmq.POLLIN)
        return opened

    def _close(self, opened: zmq.Socket[bytes] | None) -> None:
        if opened is not None:
            self._poller.unregister(opened)
            opened.close()

    def send(self, frames: list[bytes]) -> None:
        """Sends a message. A reply has to follow before the next one, or `reconnect`."""
        if self._req is not None:
            # Without a connection to take it, it is a message without a reply.
            with contextlib.suppress(zmq.Again):
                self._req.send_multipart(frames, zmq.NOBLOCK)

    def poll(self, seconds: float) -> tuple[list[bytes] | None, list[list[bytes]]]:
        """Waits, and returns a reply and publications."""
        events = dict(self._poller.poll(max(0, round(seconds * 1000 + 0.5))))
        if self._awake.fileno() in events:
            with contextlib.suppress(BlockingIOError):
                self._awake.recv(4096)
        reply = None
        published: list[list[bytes]] = []
        if self._req in events and self._req is not None:
            reply = self._req.recv_multipart(zmq.NOBLOCK)
        if self._sub in events and self._sub is not None:
            with contextlib.suppress(zmq.Again):
                while len(published) < RECEIVED:
                    published.append(self._sub.recv_multipart(zmq.NOBLOCK))
        return reply, published

    @property
    def waker(self) -> int:
        """The file to which any byte is written to end `poll` early."""
        return self._waker.fileno()

    def wake(self) -> None:
        """Ends `poll` early. Any thread and any signal handler may call this."""
        with contextlib.suppress(OSError):
            self._waker.send(b"\0")

    def close(self) -> None:
        """Closes everything."""
        self._close(self._sub)
        self._close(self._req)
        self._sub = self._req = None
        self._context.term()
        self._awake.close()
        self._waker.close()
