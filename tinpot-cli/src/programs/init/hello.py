"""Two actions to begin with. Change this file and save it: `tinpot dev` picks it up."""

import time
from typing import Literal

from tinpot import Context, action


@action
def hello(name: str = "world", greeting: Literal["Hello", "Good morning", "Good night"] = "Hello"):
    """Say hello.

    Args:
        name: The person to greet.
        greeting: The words of the greeting.
    """
    print(f"{greeting}, {name}!")
    return f"{greeting}, {name}!"


@action(group="Lessons")
def countdown(seconds: int = 10, *, ctx: Context):
    """Count down, with one line per second.

    Watch its log grow, or cancel it.

    Args:
        seconds: The number to start from.
    """
    for left in range(seconds, 0, -1):
        print(f"{left} seconds left")
        ctx.progress(seconds - left, seconds)
        time.sleep(1)
    ctx.progress(seconds, seconds)
    return "lift-off!"
