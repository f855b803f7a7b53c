"""An attempt whose markup lines are kept, for tests."""

import contextlib
import json

from tinpot import _channel, _context


class Recorder(_channel.PipeChannel):
    def __init__(self):
        self.lines = []

    def send(self, markup):
        # The worker reads UTF-8 without lone surrogates.
        markup.encode()
        self.lines.append(json.loads(markup))

    def enter_step(self, number):
        pass


@contextlib.contextmanager
def recorded():
    """Runs a block as an attempt; yields the list of its markup lines."""
    channel = Recorder()
    _context.enter(_channel.Attempt(channel))
    try:
        yield channel.lines
    finally:
        _context.leave()
