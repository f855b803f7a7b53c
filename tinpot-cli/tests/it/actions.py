"""Actions for the tests."""

import sys
import time
from typing import Literal, Optional

from tinpot import Context, action


@action
def noop():
    """Do nothing."""


@action(group="Texts")
def echo(
    text: str,
    count: int = 3,
    loud: bool = False,
    words: list[str] = ("a",),
    kind: Literal["short", "long"] = "short",
    settings: Optional[dict] = None,
    timeout: float = 1.5,
):
    """Give back what came.

    Args:
        text: What is given back.
        count: How often, at most nine times.
    """
    print("to stdout")
    print("to stderr", file=sys.stderr)
    return {"text": text, "count": count, "loud": loud, "words": list(words), "kind": kind, "settings": settings, "timeout": timeout}


@action
def say(text: str = "hello"):
    return text


@action
def fail(text: str = "no luck"):
    raise ValueError(text)


@action
def slow(seconds: float = 300, *, ctx: Context):
    """Take some time."""
    begun = time.monotonic()
    number = 0
    while time.monotonic() - begun < seconds:
        number += 1
        print("line", number, flush=True)
        ctx.progress(number, 1000, "working")
        time.sleep(0.05)
    return number


@action
def lines(number: int = 1000):
    for at in range(number):
        print("number", at)


@action
def colours():
    print("\x1b[31mred\x1b[0m \x1b]0;owned\x07\x1b[2Jtext")


@action
def logged(*, ctx: Context):
    ctx.log("debug", "fine print")
    ctx.log("warning", "look out")
    print("plain")


@action(queue="aside", priority=3, timeout=60, retries=2)
def aside():
    return 1
