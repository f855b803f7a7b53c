"""The parts of the messages that a worker reads, checked."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

Message = dict[str, Any]
"""A message as it travels: an object with one key, its type."""

VERSION = "0.1.0"
U64 = 2**64 - 1
NUMBERS = re.compile(r"([0-9a-fA-F]{1,32})\.([0-9]{1,32})(?:\.([0-9]{1,32}))?")


class Malformed(ValueError):
    """Something that a peer sent cannot be read."""


class Epoch(NamedTuple):
    """One start of a coordinator on its store."""

    instance: int
    number: int

    @classmethod
    def parse(cls, text: object) -> Epoch:
        """Reads `instance.number`, hexadecimal and decimal."""
        return cls(*_numbers(text, 2))

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
        instance, epoch, number = _numbers(text, 3)
        return cls(Epoch(instance, epoch), number)

    def __str__(self) -> str:
        return f"{self.epoch}.{self.number}"


def _numbers(text: object, count: int) -> list[int]:
    found = NUMBERS.fullmatch(text) if isinstance(text, str) else None
    digits = [part for part in found.groups() if part] if found else []
    numbers = [int(part, base) for part, base in zip(digits, (16, 10, 10))]
    if len(numbers) != count or any(it >> bits for it, bits in zip(numbers, (32, 32, 64))):
        raise Malformed(f"{text!r} is not {'an epoch' if count == 2 else 'a fence'}")
    return numbers


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
        has_timeout = body.get("timeout_ms") is not None
        return cls(
            fence=Fence.parse(body.get("fence")),
            seq_echo=number(body, "seq_echo"),
            settled=number(body, "settled", 0),
            execution=typed(str, body, "execution"),
            attempt=number(body, "attempt"),
            action=typed(str, body, "action"),
            parameters=typed(dict, body, "parameters"),
            timeout=number(body, "timeout_ms") / 1000 if has_timeout else None,
            grace=number(body, "grace_ms") / 1000,
            retryable=body.get("retryable") is True,
            is_deployed=body.get("bundle") is not None,
        )


def typed(kind: type, body: Message, key: str, default: object = None) -> Any:
    """Returns a field that is of a type."""
    value = body.get(key, default)
    if type(value) is not kind:
        raise Malformed(f"{key} must be of type {kind.__name__} (got {value!r})")
    return value


def number(body: Message, key: str, default: int | None = None) -> int:
    """Returns a field that is a number from 0 to 2^64 - 1."""
    value: int = typed(int, body, key, default)
    if not 0 <= value <= U64:
        raise Malformed(f"{key} must be a number from 0 to 2^64-1 (got {value})")
    return value


def encode(document: object) -> bytes:
    """Returns the JSON form of a value. Raises ValueError or TypeError if it has none."""
    # Without `ensure_ascii`, lone surrogates would travel, which other JSON readers refuse.
    form = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return form.encode()


def decode(document: bytes) -> Message:
    """Reads a JSON object."""
    try:
        value = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise Malformed("a JSON object is expected")
    return value


def read_frame(document: bytes, worker: str) -> list[Message]:
    """Returns the messages of a frame that a coordinator sent to this worker."""
    frame = decode(document)
    messages = typed(list, frame, "messages")
    if frame.get("v") != 1:
        raise Malformed(f"the frame is of version {frame.get('v')!r}, and this side speaks 1")
    if frame.get("from") is not None:
        raise Malformed("the frame is of a worker, not of a coordinator")
    is_ours = frame.get("to") in (None, worker)
    return [it for it in messages if is_ours and isinstance(it, dict) and len(it) == 1]
