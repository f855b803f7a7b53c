"""Actions for the tests."""

import sys
import time
from typing import Literal, Optional

from tinpot import Context, Secret, action


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


@action
def measure(blob: bytes, suffix: Optional[bytes] = None):
    """Measure a file."""
    return {"size": len(blob), "start": blob[:9].decode("latin-1")}


@action
def login(user: str, token: Secret):
    return f"{user} has a token of {len(token.reveal())} characters"


@action
def stepped(*, ctx: Context):
    with ctx.step("outer"):
        with ctx.step("inner"):
            ctx.log("info", "counted", number=3, words="a b", place="here")
    with ctx.step("last"):
        raise ValueError("no luck")
