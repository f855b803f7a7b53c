"""The logs of attempts: lines that are sent again until the coordinator has stored them."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .messages import U64, Fence, Message, number, typed

RESEND = 1.0
WINDOW_BYTES = 512 * 1024
"""The bytes in flight of one attempt."""
BUFFER_BYTES = 4 * 1024 * 1024
"""The bytes of one attempt that wait for the window. Further lines are dropped and counted."""
CHUNK_BYTES = 64 * 1024
LINE_CHARACTERS = 16 * 1024
"""The longest line: longer ones are split. It has at most 64 KiB in UTF-8."""
SAME_TIME = 1_000
"""The microseconds within which lines count as written together."""


@dataclass
class Chunk:
    """A message with lines of one origin that were written together."""

    origin: Message
    body: Message
    size: int = 64

    def last_seq(self) -> int:
        """Returns the number of the last line."""
        return int(self.body["first_seq"]) + len(self.body["lines"]) - 1


class Log:
    """The log of one attempt. Any thread may write to it."""

    def __init__(self, fence: Fence, wake: Callable[[], None]) -> None:
        self.last_seq = 0
        self.finished = False
        self.progress: Message | None = None
        self.wake = wake
        self._fence = str(fence)
        self._lock = threading.Lock()
        self._pending: deque[Chunk] = deque()
        self._pending_bytes = 0
        self._in_flight: deque[Chunk] = deque()
        self._in_flight_bytes = 0
        self._sent_at = 0.0
        self._dropped = 0
        self._unwanted = False

    def write(self, text: str, stream: str, level: str, fields: Message | None = None) -> None:
        """Adds the lines of a text."""
        origin: Message = {"stream": stream, "level": level}
        if fields is not None:
            origin["fields"] = fields
        # A lone surrogate has no form in UTF-8.
        text = text.encode("utf-8", "replace").decode("utf-8")
        with self._lock:
            for line in text.split("\n"):
                for at in range(0, max(len(line), 1), LINE_CHARACTERS):
                    self._add(line[at : at + LINE_CHARACTERS], origin)
        self.wake()

    def _add(self, line: str, origin: Message) -> None:
        size = len(line.encode()) + 8
        if self._unwanted:
            return
        if self._pending_bytes + size > BUFFER_BYTES:
            self._dropped += 1
            return
        if self._dropped:
            note, self._dropped = f"{self._dropped} lines were dropped: the log is too fast", 0
            self._add(note, {"stream": "system", "level": "warning"})
        now = time.time_ns() // 1000
        self.last_seq += 1
        last = self._pending[-1] if self._pending else None
        fits = last is not None and last.origin == origin and last.size + size <= CHUNK_BYTES
        if last is None or not fits or now - last.body["time"] > SAME_TIME:
            body = {"fence": self._fence, "first_seq": self.last_seq, "time": now, "lines": []}
            last = Chunk(origin, body | origin)
            self._pending.append(last)
            self._pending_bytes += last.size
        last.body["lines"].append(line)
        last.size += size
        self._pending_bytes += size

    def acknowledged(self, now: float, seq: int) -> None:
        """Drops what the coordinator has stored; everything if it wants no more lines."""
        with self._lock:
            if seq == U64:
                self._unwanted = True
                self._pending.clear()
                self._pending_bytes = 0
            while self._in_flight and self._in_flight[0].last_seq() <= seq:
                self._in_flight_bytes -= self._in_flight.popleft().size
                self._sent_at = now

    def due(self, now: float) -> Iterator[Message]:
        """Returns what is to be sent now: first everything in flight, if that is overdue."""
        with self._lock:
            if self.progress is not None:
                yield {"progress": {"fence": self._fence, **self.progress}}
                self.progress = None
            if self._in_flight and self._sent_at + RESEND <= now:
                self._sent_at = now
                for chunk in self._in_flight:
                    yield {"log": chunk.body}
            while self._pending and self._in_flight_bytes + self._pending[0].size <= WINDOW_BYTES:
                chunk = self._pending.popleft()
                self._pending_bytes -= chunk.size
                if not self._in_flight:
                    # Later chunks do not move it: a lost one is missed while lines keep coming.
                    self._sent_at = now
                self._in_flight.append(chunk)
                self._in_flight_bytes += chunk.size
                yield {"log": chunk.body}

    def is_over(self) -> bool:
        """Returns true if the attempt has ended and all its lines are stored."""
        return self.finished and not (self._pending or self._in_flight or self.progress)

    def wake_at(self) -> float:
        """Returns when lines in flight count as lost."""
        return self._sent_at + RESEND if self._in_flight else math.inf


class Logs(dict[Fence, Log]):
    """The logs of all attempts of a worker whose lines are not all stored."""

    def receive(self, now: float, message: Message) -> None:
        """Handles a message of the logs lane."""
        if "log_ack" in message:
            body = typed(dict, message, "log_ack")
            log = self.get(Fence.parse(body.get("fence")))
            if log is not None:
                log.acknowledged(now, number(body, "seq"))

    def due(self, now: float) -> list[Message]:
        """Returns what is to be sent now, and drops the logs that are over."""
        messages = [message for log in self.values() for message in log.due(now)]
        for fence in [fence for fence, log in self.items() if log.is_over()]:
            del self[fence]
        return messages

    def wake_at(self) -> float:
        """Returns when `due` must be called."""
        return min((log.wake_at() for log in self.values()), default=math.inf)
