"""Runs many coroutines at once in one interpreter: the actions that ask for it with `concurrency`."""

import asyncio
import json
import sys

from tinpot import _connection, _context, _channel, _run
from tinpot._errors import ActionError

# The longest line of the worker: parameters and results of children are bounded there.
_LINE_MAX = 512 * 1024 * 1024


def serve(socket, found, limit, mark, tmp):
    """Runs what the worker asks for until it is gone."""
    asyncio.run(_Loop(found, limit, mark, tmp).run(socket))


class _Loop:
    def __init__(self, found, limit, mark, tmp):
        self.found = found
        self.entries = found.entries()
        self.limit = limit
        self.mark = mark
        self.tmp = tmp
        self.tasks = {}
        self.answers = {}
        self.calls = 0
        self.writer = None

    async def run(self, socket):
        reader, self.writer = await asyncio.open_connection(sock=socket, limit=_LINE_MAX)
        sys.stdout = _Stream(sys.stdout, 0)
        sys.stderr = _Stream(sys.stderr, 1)
        while True:
            line = await reader.readline()
            if not line:
                return
            request = json.loads(line)
            if "called" in request:
                answer = self.answers.pop(request["called"], None)
                if answer is not None and not answer.done():
                    answer.set_result(request)
            elif "cancel" in request:
                running = self.tasks.get(request["cancel"])
                if running is not None:
                    control, task = running
                    control.stopped = True
                    task.cancel()
            else:
                control = _run.Control()
                task = asyncio.create_task(self.attempt(request, control))
                self.tasks[request["id"]] = (control, task)

    async def attempt(self, request, control):
        number = request["id"]
        link = _Link(self, number, control)
        context = _context.Context(_channel.Attempt(link, request.get("execution"), request.get("fence"), request.get("attempt", 1)))
        _context._current.set(context)
        try:
            entry = self.entries.get(request["action"])
            if entry is None:
                reply = _run.unknown(request["action"], self.found)
            else:
                reply = _run.succeeded(await entry.call(request["parameters"], context), self.limit)
        except BaseException as error:
            reply = _run.failed(error, control)
        finally:
            self.tasks.pop(number, None)
        for stream in (0, 1):
            link.flush(stream)
        link.closed = True
        context._attempt.close()
        self.writer.write(b'{"id":%d,' % number + reply[1:] + b"\n")

    async def call(self, number, request):
        self.calls += 1
        request["number"] = self.calls
        request["id"] = number
        self.answers[self.calls] = answer = asyncio.get_running_loop().create_future()
        self.writer.write(b'{"call":' + json.dumps(request).encode() + b"}\n")
        return _connection.judged(await answer)


class _Link(_channel.PipeLink):
    """Marked lines that say whose they are."""

    def __init__(self, loop, number, control):
        super().__init__(loop.mark, control=control, tmp=loop.tmp)
        self.loop = loop
        self.number = number
        self.closed = False
        self.parts = ["", ""]

    def mark(self, text):
        for stream in (0, 1):
            self.flush(stream)
        self._mark('{"a":%d,%s' % (self.number, text[1:]))

    def _mark(self, text):
        _channel.write(1, (self.prefix + text + "\n").encode("utf-8", "replace"))

    def span(self, _number):
        pass  # each line says which step it belongs to

    def write(self, stream, text):
        whole, end, rest = (self.parts[stream] + text).rpartition("\n")
        if end:
            self.lines(stream, whole)
        while len(rest) > _context._TEXT_MAX:
            self.lines(stream, rest[: _context._TEXT_MAX])
            rest = rest[_context._TEXT_MAX :]
        self.parts[stream] = rest

    def flush(self, stream):
        text, self.parts[stream] = self.parts[stream], ""
        if text:
            self.lines(stream, text)

    def lines(self, stream, text):
        here = _context.find()
        span = here._span if here is not None and here._attempt.link is self else 0
        for line in text.split("\n"):
            for at in range(0, len(line) or 1, _context._TEXT_MAX):
                piece = line[at : at + _context._TEXT_MAX]
                self._mark('{"a":%d,"o":%d,"m":%s,"s":%d}' % (self.number, stream, _context._escape(piece), span))

    def call(self, _request):
        raise ActionError("this action runs together with others: use `await ctx.call_async(…)`", kind="InvalidInput")

    def call_async(self, request):
        return self.loop.call(self.number, request)


class _Stream:
    """Stands for `sys.stdout` or `sys.stderr`: what a coroutine prints is its own attempt's."""

    def __init__(self, original, number):
        self._original = original
        self._number = number

    def write(self, text):
        context = _context.find()
        if context is None or context._attempt.link.closed:
            return self._original.write(text)
        context._attempt.link.write(self._number, text)
        return len(text)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def flush(self):
        self._original.flush()

    def isatty(self):
        return False

    def __getattr__(self, name):
        return getattr(self._original, name)
