"""The frames between a worker and its daemon, in both dialects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from .keys import SigningKey
from .schema import Dialect
from .values import SCHEMAS, Obj, Symbol, Value
from .wire import Malformed, decode, encode

TOPIC = b"workers"


@dataclass(frozen=True)
class Head:
    """A request without its arguments, which may be unreadable."""

    worker_id: UUID
    request_id: UUID
    perms: Obj
    timeout: float | None
    """The time limit in seconds."""


class Protocol:
    """The messages of one worker. With a key it speaks dialect A, otherwise B."""

    def __init__(self, worker_type: str, worker_id: UUID, key: SigningKey | None = None) -> None:
        self.worker_type, self.worker_id = worker_type, worker_id
        self.dialect = Dialect.B if key is None else Dialect.A
        self._schema = SCHEMAS[self.dialect]
        token = None if key is None else key.token(worker_id)
        self._frames = [worker_id.bytes] if token is None else [token.encode(), worker_id.bytes]
        # Each dialect takes the one that it knows.
        self._sender = {"worker_id": worker_id, "token": {"token": token}}

    def attach(self) -> list[bytes]:
        """Returns the frames that register the worker."""
        return self._message("AttachWorker", worker_type=Symbol(self.worker_type))

    def pong(self) -> list[bytes]:
        """Returns the frames that answer a ping."""
        return self._message("WorkerPong", worker_type=Symbol(self.worker_type))

    def detach(self) -> list[bytes]:
        """Returns the frames that sign the worker off."""
        return self._message("DetachWorker")

    def result(self, request_id: UUID, value: object) -> list[bytes]:
        """Returns the frames of a result. Raises `NotEncodable`."""
        return self._message("RequestResult", request_id=request_id, result=(value,))

    def error(self, request_id: UUID, kind: str, message: str) -> list[bytes]:
        """Returns the frames of an error. `kind` is a member of `WorkerErrorUnion`."""
        error = {"error": (kind, {"message": message})}
        return self._message("RequestError", request_id=request_id, error=error)

    def published(self, frames: list[bytes]) -> tuple[str, Any]:
        """Reads a publication: its type, and its fields or the `Head` of a request."""
        if len(frames) != 2 or frames[0] != TOPIC:
            shown = f"{len(frames)} frames, the first is {bytes(frames[0][:32])!r}"
            raise Malformed(f"a publication must have 2 frames, the first {TOPIC!r} (got {shown})")
        body = decode(self._schema, "DaemonToWorkerMessage", frames[1], skip=frozenset(["request"]))
        name, fields = body["message"]
        if name == "WorkerRequest":
            limit = fields["timeout_ms"]
            timeout = limit / 1000 if limit else None
            ids = (fields["worker_id"], fields["request_id"])
            return name, Head(*ids, fields["perms"], timeout)
        return name, fields

    def arguments(self, frames: list[bytes]) -> list[Value]:
        """Reads the arguments of a request. Raises `Malformed`."""
        body = decode(self._schema, "DaemonToWorkerMessage", frames[1])
        return [value for (value,) in body["message"][1]["request"]]

    def reply(self, frames: list[bytes]) -> tuple[str, dict[str, Any]]:
        """Reads a reply of the daemon: its type and its fields. Raises `Malformed`."""
        if len(frames) != 1:
            raise Malformed(f"a reply must have 1 frame (got {len(frames)})")
        name, fields = decode(self._schema, "DaemonToWorkerReply", frames[0])["reply"]
        return name, fields

    def _message(self, name: str, **fields: object) -> list[bytes]:
        message = {"message": (name, {**self._sender, **fields})}
        return [*self._frames, encode(self._schema, "WorkerToDaemonMessage", message)]
