"""The decisions of a worker about what it sends, without clock and sockets.

The daemon answers every message, and a socket carries one at a time. An attach of a known worker
makes the daemon forget its requests, so a worker attaches once. Afterwards it registers with a
pong, which does no harm to a daemon that still knows it.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from uuid import UUID

from .messages import Protocol
from .wire import Malformed

TRIES = 5
"""The number of times that an answer is sent. By then the daemon has given up the worker."""
ANSWERS = 1000
"""The number of answers that wait. Only refusals can exceed it, and are dropped."""

logger = logging.getLogger("tinpot_moor")


class Refused(Exception):
    """The daemon refuses the worker. Another try would end in the same way."""


@dataclass
class _Letter:
    kind: str
    frames: list[bytes]
    request_id: UUID | None = None
    is_result: bool = False
    tries: int = 0


class Session:
    """One worker at one daemon. Times are in seconds on one clock of the caller."""

    def __init__(self, protocol: Protocol, reply_timeout: float, silence: float) -> None:
        self.protocol, self.reply_timeout, self.silence = protocol, reply_timeout, silence
        self.is_attached = False
        self.is_over = False
        """True after the daemon has heard of the end, or did not answer to it."""
        self._answers: deque[_Letter] = deque()
        self._pong_is_due = False
        self._detach_is_due = False
        self._open: _Letter | None = None
        self._open_until = 0.0
        self._heard = 0.0

    def turn(self, now: float) -> list[bytes] | None:
        """Returns the frames to send next. Call `replied` or `lost` before the next ones."""
        if self._open is not None or self.is_over:
            return None
        letter = self._next()
        if letter is None:
            # An attach without a reply has ended: the daemon does not know the worker.
            self.is_over = self._detach_is_due
            return None
        letter.tries += 1
        self._open, self._open_until = letter, now + self.reply_timeout
        return letter.frames

    def _next(self) -> _Letter | None:
        if not self.is_attached:
            return None if self._detach_is_due else _Letter("attach", self.protocol.attach())
        if self._pong_is_due:
            self._pong_is_due = False
            return _Letter("pong", self.protocol.pong())
        if self._answers:
            return self._answers.popleft()
        return _Letter("detach", self.protocol.detach()) if self._detach_is_due else None

    def deadline(self) -> float | None:
        """Returns the time at which `is_stuck` or `is_deaf` may become true."""
        if self._open is not None:
            return self._open_until
        return self._heard + self.silence if self.is_attached else None

    def is_stuck(self, now: float) -> bool:
        """Returns true if the daemon does not reply: the socket is of no more use."""
        return self._open is not None and now >= self._open_until

    def is_deaf(self, now: float) -> bool:
        """Returns true if no ping has come for too long."""
        return self._open is None and self.is_attached and now >= self._heard + self.silence

    def pinged(self, now: float) -> None:
        """Takes note of a ping."""
        self._heard = now
        self._pong_is_due = self.is_attached

    def resubscribed(self, now: float) -> None:
        """Registers again, after a new subscription."""
        self.pinged(now)

    def answer(self, request_id: UUID, frames: list[bytes], is_result: bool = False) -> None:
        """Queues the answer to a request."""
        if len(self._answers) >= ANSWERS:
            logger.error("the answer to %s is dropped: %d wait already", request_id, ANSWERS)
            return
        self._answers.append(_Letter("answer", frames, request_id, is_result))

    def detach(self) -> None:
        """Signs off after everything that waits."""
        self._detach_is_due = True

    def lost(self) -> None:
        """Takes note that the open message is not replied."""
        letter, self._open = self._open, None
        if letter is None:
            return
        logger.warning("no reply to the %s for %g s", letter.kind, self.reply_timeout)
        self._again(letter)

    def _again(self, letter: _Letter) -> None:
        if letter.kind == "detach":
            self.is_over = True
        elif letter.kind == "answer":
            if letter.tries < TRIES:
                self._answers.append(letter)
            else:
                logger.error("the answer to %s is lost", letter.request_id)

    def replied(self, now: float, frames: list[bytes]) -> None:
        """Takes the reply to the open message. Raises `Refused`."""
        letter, self._open = self._open, None
        if letter is None:
            return
        try:
            name, fields = self.protocol.reply(frames)
        except Malformed as error:
            logger.warning("the reply to %s cannot be read: %s", letter.kind, error)
            if letter.kind == "attach":
                raise Refused(f"the reply to the attach cannot be read: {error}") from None
            self._again(letter)
            return
        reason = fields.get("reason") or "no reason given"
        if name == "WorkerAuthFailed" or (letter.kind == "attach" and name not in _ACCEPTED):
            raise Refused(self._refusal(name, reason))
        if letter.kind == "attach":
            self.is_attached, self._heard = True, now
            logger.info("attached as %s %s", self.protocol.worker_type, self.protocol.worker_id)
        elif letter.kind == "detach":
            self.is_over = True
        elif name == "WorkerNotRegistered":
            logger.warning("the daemon has forgotten this worker; registering again")
            self._pong_is_due = True
        elif name == "WorkerUnknownRequest":
            logger.warning("the daemon does not wait for %s any more", letter.request_id)
        elif name in ("WorkerRejected", "WorkerInvalidPayload"):
            logger.error("the daemon refuses this %s: %s", letter.kind, reason)
            if letter.is_result and letter.request_id is not None:
                # The daemon still waits for an answer.
                text = f"the daemon refuses the result: {reason}"
                error_frames = self.protocol.error(letter.request_id, "WorkerInternalError", text)
                self.answer(letter.request_id, error_frames)

    def _refusal(self, name: str, reason: str) -> str:
        text = f"the daemon refuses the worker: {reason} ({name})"
        if name == "WorkerRejected":
            here = self.protocol.dialect.value
            other = "without a key" if here == "A" else "with the daemon's key"
            text += f"; this worker speaks dialect {here}: for the other one start it {other}"
        return text


_ACCEPTED = ("WorkerAttached", "WorkerAck")
