"""The steps of plans, the events of a stream, and their bounds."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar, Union

T = TypeVar("T")

# The largest answer to read into memory; the API sends far less.
MAX_ANSWER_BYTES = 256 * 1024 * 1024
# The longest line of a stream: room for the longest log line and its envelope.
MAX_LINE_BYTES = 64 * 1024 * 1024
# The longest time for a connection.
MAX_CONNECT_SECONDS = 10.0
# The longest silence of a stream, in which the server writes a comment every 15 seconds.
STREAM_SILENCE_SECONDS = 45.0
# The connections that a client keeps for its next requests.
MAX_IDLE_CONNECTIONS = 8


class Event(NamedTuple):
    """An event of an execution: docs/events.md lists the types.

    type: such as "log", "progress" or "complete".
    data: the fields.
    id: the position after the event, from which `events(after=…)` continues.
    """

    type: str
    data: dict[str, Any]
    id: str


class Artifact(NamedTuple):
    """A file that an execution kept."""

    id: str
    name: str
    size_bytes: int
    media_type: str


class Send(NamedTuple):
    """A request to send; it is answered with an `Answer`.

    path: the path below the server's, with the query.
    body: bytes, or the path of a file.
    silence: the longest silence, in seconds.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes | str | None
    silence: float


class Open(NamedTuple):
    """A request whose answer is read piece by piece; it is answered with an `Answer`, too.

    The body of an answer that is no success has been read.
    """

    path: str
    headers: dict[str, str]
    silence: float


class Read(NamedTuple):
    """The next bytes of the open answer; none at its end."""

    # The longest wait, in seconds.
    within: float


class Sleep(NamedTuple):
    """A pause, in seconds."""

    seconds: float


class Give(NamedTuple):
    """A value for the caller, who is iterating."""

    value: Any


class Answer(NamedTuple):
    """The answer to a request. The names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Cut(Exception):
    """Raised into a plan: the connection failed, or was silent for too long.

    was_sent: if True, the request may have reached the server.
    """

    def __init__(self, why: str, was_sent: bool = True) -> None:
        super().__init__(why)
        self.was_sent = was_sent


Step = Union[Send, Open, Read, Sleep, Give]
Plan = Generator[Step, Any, T]


class EventParser:
    """The reader of a stream of server-sent events."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._id = self._name = ""
        self._data: list[str] = []
        self._size = 0

    def feed(self, piece: bytes) -> Iterator[tuple[str, str, str]]:
        """Returns the events that are complete with a piece: their names, ids and data."""
        # A long line is searched once.
        self._rest += piece
        if b"\n" not in piece:
            lines: list[bytes] = []
        else:
            *lines, rest = bytes(self._rest).split(b"\n")
            self._rest = bytearray(rest)
        if len(self._rest) > MAX_LINE_BYTES:
            raise Cut(f"a line of the stream has more than {MAX_LINE_BYTES} bytes")
        for line in lines:
            text = line.rstrip(b"\r").decode("utf-8", "replace")
            if text:
                self._take(text)
                continue
            name, data = self._name, "\n".join(self._data)
            self._name, self._data, self._size = "", [], 0
            if data:
                yield name, self._id, data

    def _take(self, line: str) -> None:
        field, _, value = line.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if field == "data":
            self._size += len(value)
            if self._size > MAX_LINE_BYTES:
                raise Cut(f"an event of the stream has more than {MAX_LINE_BYTES} bytes")
            self._data.append(value)
        elif field == "event":
            self._name = value
        elif field == "id" and value.isascii() and value.isalnum():
            self._id = value
