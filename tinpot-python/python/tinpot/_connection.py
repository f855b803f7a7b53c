"""The connection to the worker: it carries requests, replies, and answers to calls of actions."""

from __future__ import annotations

import io
import os
import threading
from typing import Any, Optional

from tinpot import _text
from tinpot._errors import ActionError

# The length of the number of an attempt, with which every line from and to it begins.
_NONCE_BYTES = 32

# An execution id, and the result if the request waits for one.
Result = tuple[Optional[str], Any]


class Connection:
    """Lines of JSON in both directions.

    Between two attempts only the main loop reads. While an attempt runs, each thread of the action
    may wait for an answer: one of them reads, and delivers the answers of the others.
    """

    def __init__(self, requests_fd: int, replies_fd: int) -> None:
        """Takes the ends of two pipes, which block."""
        self.requests = io.BufferedReader(io.FileIO(requests_fd), 65536)
        self.replies_fd = replies_fd
        self._sending = threading.Lock()
        # The number of the attempt. The worker takes no line of another one.
        self._nonce = b""
        self._turn = threading.Condition(threading.Lock())
        self._reading = False
        self._number = 0
        # By number of the call; None until the answer is here.
        self._answers: dict[int, dict[str, Any] | None] = {}

    def close(self) -> None:
        """Closes both pipes."""
        self.requests.close()
        os.close(self.replies_fd)

    def send(self, line: bytes) -> None:
        """Sends a line, whole even if other threads send, too."""
        with self._sending:
            sent = os.write(self.replies_fd, line)
            while sent < len(line):
                line = line[sent:]
                sent = os.write(self.replies_fd, line)

    def request(self) -> bytes | None:
        """Returns the next request; None at the end. Skips answers that no thread waits for."""
        while True:
            line = self.requests.readline()
            if not line.startswith(b'{"called"'):
                return line or None

    def next_attempt(self) -> bytes | None:
        """Returns the next request to run an attempt; None at the end."""
        line = self.request()
        if line is None:
            return None
        self._nonce = line[:_NONCE_BYTES]
        return line[_NONCE_BYTES:]

    def reply(self, line: bytes) -> None:
        """Sends the reply of the attempt."""
        self.send(self._nonce + line)

    def call(self, request: dict[str, Any]) -> Result:
        """Submits another action, and waits for its result if the request says so."""
        with self._turn:
            self._number += 1
            number = self._number
            self._answers[number] = None
        request["number"] = number
        try:
            self.reply(b'{"call":' + _text.dumps(request, allow_nan=False).encode() + b"}\n")
            answer = self._answer(number)
        finally:
            with self._turn:
                self._answers.pop(number, None)
        return unwrap(answer)

    def _answer(self, number: int) -> dict[str, Any]:
        while True:
            with self._turn:
                while self._reading and self._answers[number] is None:
                    self._turn.wait()
                known = self._answers[number]
                if known is not None:
                    return known
                self._reading = True
            try:
                line = self.requests.readline()
                if not line:
                    raise ActionError("the connection to the worker closed", kind="Unavailable")
                answer = _text.loads(line)
            finally:
                with self._turn:
                    self._reading = False
                    self._turn.notify_all()
            with self._turn:
                if answer.get("called") in self._answers:
                    self._answers[answer["called"]] = answer
                self._turn.notify_all()


def unwrap(answer: dict[str, Any]) -> Result:
    """Returns what an answer holds; raises `ActionError` unless the call succeeded."""
    refused, execution = answer.get("refused"), answer.get("execution")
    if refused is not None:
        raise ActionError(refused["message"], kind=refused["kind"], status="refused")
    status = answer.get("status")
    if status is None or status == "succeeded":
        return execution, answer.get("value")
    failure = answer.get("failure") or {}
    message = failure.get("message") or answer.get("error") or status
    raise ActionError(message, failure.get("kind", ""), failure.get("traceback"), execution, status)
