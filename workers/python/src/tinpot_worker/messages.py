"""The parts of the messages that a worker reads, checked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NamedTuple

Message = dict[str, Any]
"""A message as it travels: an object with one key, its type."""

U64 = 2**64 - 1


class Malformed(ValueError):
    """Something that a peer sent cannot be read."""


class Epoch(NamedTuple):
    """One start of a coordinator on its store."""

    instance: int
    number: int

    @classmethod
    def parse(cls, text: object) -> Epoch:
        """Reads `instance.number`, hexadecimal and decimal."""
        if not isinstance(text, str):
            raise Malformed(f"an epoch must be a text (got {text!r})")
        instance, dot, number = text.partition(".")
        return cls(_digits(instance, 16, 32, text), _digits(number if dot else "", 10, 32, text))

    def __str__(self) -> str:
        return f"{self.instance:x}.{self.number}"

    def is_after(self, other: Epoch) -> bool:
        """Returns true if this is a later start on the same store."""
        return self.instance == other.instance and self.number > other.number


class Fence(NamedTuple):
    """The identity of one attempt, and the right to report on it."""

    epoch: Epoch
    number: int

    @classmethod
    def parse(cls, text: object) -> Fence:
        """Reads `instance.epoch.number`."""
        if not isinstance(text, str):
            raise Malformed(f"a fence must be a text (got {text!r})")
        epoch, _, number = text.rpartition(".")
        return cls(Epoch.parse(epoch), _digits(number, 10, 64, text))

    def __str__(self) -> str:
        return f"{self.epoch}.{self.number}"


def _digits(text: str, base: int, bits: int, whole: str) -> int:
    # `int` accepts signs, spaces and underscores, too.
    if text.isascii() and text.isalnum():
        try:
            value = int(text, base)
        except ValueError:
            value = -1
        if 0 <= value < 1 << bits:
            return value
    raise Malformed(f"{whole!r} is neither an epoch nor a fence")


@dataclass(frozen=True)
class Dispatch:
    """The request to run an attempt. Times are in seconds."""

    fence: Fence
    seq_echo: int
    settled: int
    execution: str
    attempt: int
    action: str
    parameters: dict[str, Any]
    timeout: float | None
    grace: float
    retryable: bool
    is_deployed: bool

    @classmethod
    def read(cls, body: Message) -> Dispatch:
        """Reads the body of a `dispatch`."""
        timeout = body.get("timeout_ms")
        parameters = body.get("parameters")
        if not isinstance(parameters, dict):
            raise Malformed("parameters must be an object")
        return cls(
            fence=Fence.parse(body.get("fence")),
            seq_echo=number(body, "seq_echo"),
            settled=number(body, "settled", 0),
            execution=text(body, "execution"),
            attempt=number(body, "attempt"),
            action=text(body, "action"),
            parameters=parameters,
            timeout=None if timeout is None else number(body, "timeout_ms") / 1000,
            grace=number(body, "grace_ms") / 1000,
            retryable=body.get("retryable", False) is True,
            is_deployed=body.get("bundle") is not None,
        )


def number(body: Message, key: str, default: int | None = None) -> int:
    """Returns a field that is a number from 0 to 2^64 - 1."""
    value = body.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= U64:
        raise Malformed(f"{key} must be a number from 0 to 2^64-1 (got {value!r})")
    return value


def text(body: Message, key: str) -> str:
    """Returns a field that is a text."""
    value = body.get(key)
    if not isinstance(value, str):
        raise Malformed(f"{key} must be a text (got {value!r})")
    return value


def fences(body: Message, key: str) -> list[Fence]:
    """Returns a field that is a list of fences; empty if it is absent."""
    value = body.get(key, [])
    if not isinstance(value, list):
        raise Malformed(f"{key} must be a list")
    return [Fence.parse(item) for item in value]


def encode(document: object) -> bytes:
    """Returns the JSON form of a value. Raises ValueError or TypeError if it has none."""
    # Without `ensure_ascii`, lone surrogates would travel, which other JSON readers refuse.
    form = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return form.encode()


def read_frame(document: bytes, worker: str) -> list[Message]:
    """Returns the messages of a frame that a coordinator sent to this worker."""
    try:
        frame = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"not a frame: {error}") from None
    if not isinstance(frame, dict) or not isinstance(frame.get("messages"), list):
        raise Malformed("not a frame: an object with messages is expected")
    if frame.get("v") != 1:
        raise Malformed(f"the frame is of version {frame.get('v')!r}, and this side speaks 1")
    if frame.get("from") is not None:
        raise Malformed("the frame is of a worker, not of a coordinator")
    if frame.get("to") not in (None, worker):
        return []
    messages = frame["messages"]
    return [message for message in messages if isinstance(message, dict) and len(message) == 1]
