"""The shortest action, and an action with a parameter of every plain type."""

from collections.abc import Sequence
from typing import Any, Optional

from tinpot import action


@action
def hello(name: str = "world") -> str:
    """Say hello."""
    print(f"Hello, {name}!")
    return f"Hello, {name}!"


@action(group="Basics", description="Takes one parameter of every type and returns what it got")
def echo(
    text: str,
    count: int = 3,
    ratio: float = 0.5,
    loud: bool = False,
    words: Sequence[str] = ("one", "two"),
    settings: Optional[dict[str, Any]] = None,
    note: Optional[str] = None,
) -> dict[str, Any]:
    """Show the Python values of parameters that come from a form or as JSON."""
    for number in range(1, count + 1):
        print(f"{number}: {text.upper() if loud else text}")
    return {
        "text": text,
        "count": count,
        "ratio": ratio,
        "loud": loud,
        "words": list(words),
        "settings": settings,
        "note": note,
    }
