"""Standard error in the order in which a process wrote to both streams."""

from __future__ import annotations

import codecs
import io
from typing import Any

from tinpot import _channel, _context


class OrderedErrors(io.TextIOWrapper):
    """Replaces `sys.stderr` in a process that runs one attempt at a time.

    What is written through it shares a pipe with standard output, so that both arrive in order.
    Subprocesses and C code write to file descriptor 2, which has a pipe of its own.
    """

    is_log_of_attempt = True


def open_errors() -> Any:
    """Returns a stream for `sys.stderr`."""
    buffered: Any = io.BufferedWriter(_MarkedErrors())
    return OrderedErrors(buffered, "utf-8", "backslashreplace", line_buffering=True)


class _MarkedErrors(io.RawIOBase):
    """Bytes of standard error, as markup lines while an attempt runs."""

    name = "<stderr>"
    mode = "wb"

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode

    def write(self, data: Any, /) -> int:
        data = bytes(data)
        context = _context.find()
        channel = None if context is None else context._attempt.channel
        if (
            context is None
            or not isinstance(channel, _channel.PipeChannel)
            # An action, or a process that it forked, may have redirected standard error.
            or not _channel.pipes.has_errors()
            or not channel.send_errors(self._decode(data), context._step)
        ):
            _channel.write_all(2, data)
        return len(data)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return 2

    def isatty(self) -> bool:
        return False
