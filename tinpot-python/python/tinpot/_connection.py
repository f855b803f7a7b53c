"""The connection to the worker, on which requests come, replies go, and calls of other actions are answered."""

import json
import threading

from tinpot._errors import ActionError


class Connection:
    """Lines of JSON in both directions. Between two requests only the main loop reads; while an attempt runs, whoever waits for an answer does."""

    def __init__(self, socket):
        self._socket = socket
        self._lines = socket.makefile("rb", 65536)
        self.send = socket.sendall
        self._turn = threading.Condition(threading.Lock())
        self._reading = False
        self._number = 0
        self._answers = {}

    def request(self):
        """The next request, or None at the end. Answers that nobody waits for any more are left out."""
        while True:
            line = self._lines.readline()
            if not line.startswith(b'{"called"'):
                return line or None

    def call(self, request):
        """Has another action run: its execution id, and its value when the request waits for it."""
        with self._turn:
            self._number += 1
            number = self._number
            # None: somebody waits.
            self._answers[number] = None
        request["number"] = number
        try:
            self.send(b'{"call":' + json.dumps(request).encode() + b"}\n")
            answer = self._answer(number)
        finally:
            with self._turn:
                self._answers.pop(number, None)
        return judged(answer)

    def _answer(self, number):
        while True:
            with self._turn:
                while self._reading and self._answers[number] is None:
                    self._turn.wait()
                if self._answers[number] is not None:
                    return self._answers[number]
                self._reading = True
            try:
                line = self._lines.readline()
                if not line:
                    raise ActionError("the worker is gone", kind="Unavailable")
                answer = json.loads(line)
            finally:
                with self._turn:
                    self._reading = False
                    self._turn.notify_all()
            with self._turn:
                if answer.get("called") in self._answers:
                    self._answers[answer["called"]] = answer
                self._turn.notify_all()


def judged(answer):
    """What an answer means to the caller."""
    refused, execution = answer.get("refused"), answer.get("execution")
    if refused is not None:
        raise ActionError(refused["message"], kind=refused["kind"], status="refused")
    status = answer.get("status")
    if status is None or status == "succeeded":
        return execution, answer.get("value")
    failure = answer.get("failure") or {}
    message = failure.get("message") or answer.get("error") or status
    raise ActionError(message, failure.get("kind", ""), failure.get("traceback"), execution, status)
