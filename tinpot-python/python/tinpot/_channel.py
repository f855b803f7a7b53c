"""The ways from an attempt to its worker."""

import os
import sys

from tinpot._errors import ActionError


class Attempt:
    """The attempt that a process, a thread or a task runs: what its contexts share."""

    def __init__(self, link, execution=None, fence=None, number=1):
        self.link = link
        self.execution = execution
        self.fence = fence
        self.number = number
        self.spans = 0
        self.artifacts = 0
        self.artifact_bytes = 0
        self._tmpdir = None

    def tmpdir(self):
        if self._tmpdir is None:
            import tempfile

            self._tmpdir = tempfile.TemporaryDirectory(prefix="tinpot-", dir=self.link.tmp)
        return self._tmpdir.name

    def close(self):
        if self._tmpdir is not None:
            directory, self._tmpdir = self._tmpdir, None
            try:
                directory.cleanup()
            except OSError:
                pass


class Link:
    """The way to the worker; this one leads nowhere: outside of a worker everything is told on standard error."""

    tmp = None

    def stopped(self):
        return False

    def mark(self, text):
        pass

    def say(self, line):
        try:
            sys.stderr.write(line + "\n")
        except (OSError, ValueError):
            pass

    def span(self, _number):
        pass

    async def call_async(self, request):
        import asyncio

        return await asyncio.get_running_loop().run_in_executor(None, self.call, request)

    def call(self, _request):
        raise ActionError("there is no worker here that could have other actions run", kind="Unavailable")


class PipeLink(Link):
    """Marked lines on standard output; the worker takes them out again."""

    def __init__(self, mark, connection=None, control=None, tmp=None):
        self.prefix = prefix(mark)
        self.bytes = self.prefix.encode()
        self.connection = connection
        self.control = control
        self.tmp = tmp

    def stopped(self):
        return self.control.stopped

    def mark(self, text):
        try:
            sys.stdout.flush()
        except (OSError, ValueError):
            pass
        data = (self.prefix + text + "\n").encode("utf-8", "replace")
        written = os.write(1, data)
        if written < len(data):
            write(1, data[written:])

    def span(self, number):
        # Both streams change at once.
        try:
            sys.stderr.flush()
        except (OSError, ValueError):
            pass
        os.write(2, b'%b{"s":%d}\n' % (self.bytes, number))

    def say(self, line):
        pass

    def call(self, request):
        return self.connection.call(request)


def prefix(mark):
    """How a marked line begins."""
    return "\x1b_" + mark


def write(fd, data):
    """Writes all of it."""
    while data:
        data = data[os.write(fd, data):]
